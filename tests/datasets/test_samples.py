"""The quickstart's images: real areas that do not touch, noise of the stated kind, hard enough to restore."""

import numpy as np
import pytest
from skimage.data import immunohistochemistry
from skimage.filters import gaussian

from aeanet_tf.datasets.samples import load_sample_pairs, simulate_low_exposure
from aeanet_tf.evaluation.protocols import get_protocol


@pytest.fixture(scope="module")
def pairs():
    return load_sample_pairs()


def places(image, whole):
    """All positions at which ``image`` occurs in ``whole``, looked for by its first row."""
    height, width = image.shape
    windows = np.lib.stride_tricks.sliding_window_view(whole, width, axis=1)
    rows, columns = np.nonzero((windows[: len(whole) - height + 1] == image[0]).all(-1))
    return [
        (row, column)
        for row, column in zip(rows, columns, strict=True)
        if np.array_equal(whole[row : row + height, column : column + width], image)
    ]


def test_the_areas_do_not_touch(pairs):
    whole = np.zeros((512, 512), int)
    for number, (_, gts) in enumerate(pairs.values(), 1):
        spots = set()
        for channel, gt in enumerate(gts):
            exposure = immunohistochemistry()[..., channel].astype(np.float32) / 255
            exposure = (100 + 100 * exposure).astype(np.float32)
            (spot,) = places(gt, exposure)
            spots.add(spot)
        # the same area in every exposure, or one would show what another is tested on
        ((row, column),) = spots
        area = whole[max(row - 8, 0) : row + gt.shape[0] + 8, max(column - 8, 0) : column + gt.shape[1] + 8]
        assert not area.any()
        whole[row : row + gt.shape[0], column : column + gt.shape[1]] = number
    assert set(pairs) == {"train", "validation", "test"}


def test_images_are_2d_floats_that_hold_a_patch(pairs):
    for lows, gts in pairs.values():
        assert len(lows) == len(gts) == 3
        for low, gt in zip(lows, gts, strict=True):
            assert low.dtype == gt.dtype == np.float32 and low.shape == gt.shape and min(low.shape) >= 128


def test_the_test_images_leave_room_for_three_decibels(pairs):
    care = get_protocol("care")
    before = [care(gt, low)["psnr"] for low, gt in zip(*pairs["test"], strict=True)]
    blurred = [care(gt, gaussian(low, 1))["psnr"] for low, gt in zip(*pairs["test"], strict=True)]
    assert 18 < np.mean(before) < 22
    # what a plain blur reaches, a trained network surpasses
    assert np.mean(blurred) - np.mean(before) > 3


def test_noise_has_the_stated_mean_and_variance():
    rng = np.random.default_rng(1)
    for level in (0.0, 0.3, 1.0):
        low = simulate_low_exposure(np.full((400, 400), level), rng, photons=50, read_noise=2, offset=20)
        assert low.mean() == pytest.approx(20 + 50 * level, abs=0.1)
        assert low.var() == pytest.approx(50 * level + 4, rel=0.03)


def test_the_seed_decides_the_noise_alone(pairs):
    again, other = load_sample_pairs(0), load_sample_pairs(1)
    for name, (lows, gts) in pairs.items():
        for index in range(3):
            np.testing.assert_array_equal(lows[index], again[name][0][index])
            np.testing.assert_array_equal(gts[index], other[name][1][index])
            noise, other_noise = lows[index] - gts[index], other[name][0][index] - gts[index]
            assert abs(noise.mean()) < 0.2  # both in the camera's counts
            assert abs(np.corrcoef(noise.ravel(), other_noise.ravel())[0, 1]) < 0.02

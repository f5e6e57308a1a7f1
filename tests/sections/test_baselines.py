"""The mean of two slices, and the slice halfway between two that were displaced."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.metrics import psnr
from aeanet_tf.sections.alignment import covered, moved, translation
from aeanet_tf.sections.baselines import average, registered, smoothed_average

SLICES = Path(__file__).parents[3] / "shared" / "data" / "isbi2012" / "slices.tif"
SCENE = gaussian_filter(np.random.default_rng(0).normal(size=(200, 210)), 4) * 1000


def test_the_average_does_not_overflow():
    before, after = np.array([[250, 3]], np.uint8), np.array([[251, 4]], np.uint8)
    assert average(before, after).dtype == np.float32
    np.testing.assert_array_equal(average(before, after), [[250.5, 3.5]])


@pytest.mark.parametrize("shift", [(4, -6), (-2, 0)])
def test_registered_slices_meet_halfway(shift):
    y, x = shift
    places = ((20, 20), (20 + y // 2, 20 + x // 2), (20 + y, 20 + x))
    before, middle, after = (SCENE[top : top + 160, left : left + 170] for top, left in places)
    found = registered(before, after)
    assert found.shape == before.shape and found.dtype == np.float32 and np.isfinite(found).all()
    inside = (slice(20, -20), slice(20, -20))
    error = np.sqrt(np.mean((found - middle)[inside] ** 2))
    assert error < 0.05 * middle.std()
    assert error < 0.3 * np.sqrt(np.mean((average(before, after) - middle)[inside] ** 2))
    assert found.min() >= min(before.min(), after.min()) and found.max() <= max(before.max(), after.max())


def test_contrast_does_not_change_the_registration():
    before, after = SCENE[20:180, 20:190], SCENE[24:184, 14:184]
    both = registered(before, after)
    np.testing.assert_allclose(registered(before * 1e-5, after * 1e-5), both * 1e-5, atol=1e-5)


def test_equal_and_constant_slices_stay():
    image = SCENE[:60, :70].astype(np.float32)
    np.testing.assert_allclose(registered(image, image), image, atol=1e-3)
    flat = np.full((40, 30), 7, np.uint8)
    np.testing.assert_array_equal(registered(flat, flat + 2), np.full((40, 30), 8))


@pytest.mark.parametrize("baseline", [average, registered])
def test_slices_of_unlike_size_are_refused(baseline):
    with pytest.raises(
        InputError, match=r"neighbouring slices: found shapes \(9, 9\) and \(9, 8\), expected two images"
    ):
        baseline(np.zeros((9, 9)), np.zeros((9, 8)))


@pytest.mark.skipif(not SLICES.is_file(), reason="needs the EM slices in shared/data")
def test_registration_restores_a_real_slice_better_than_the_average():
    before, middle, after = tifffile.imread(SLICES, key=range(26, 29))
    shifts = [(t.y, t.x) for t in (translation(middle, neighbour) for neighbour in (before, after))]
    common = covered(middle.shape, *shifts)
    before, middle, after = moved(before, *shifts[0])[common], middle[common], moved(after, *shifts[1])[common]
    found = [psnr(middle, baseline(before, after), data_range=255) for baseline in (average, registered)]
    assert 14.5 < found[0] < found[1] - 0.15


def test_smoothing_is_a_gaussian_of_the_average():
    before, after = np.zeros((31, 31)), np.zeros((31, 31))
    before[15, 15] = after[15, 15] = 100
    found = smoothed_average(before, after, 2.0)
    y, x = np.mgrid[-15:16, -15:16]
    np.testing.assert_allclose(found, 100 * np.exp(-(y**2 + x**2) / 8) / (8 * np.pi), atol=0.02)
    assert found.dtype == np.float32

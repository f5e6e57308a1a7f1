"""The truth is brought into the intensities of its input, whatever the noise, and what cannot be is refused."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.training import PatchSampler, ValidationSet
from aeanet_tf.training.pairs import ImagePairs, MatchError, match_target


def scene(shape, seed=0, smooth=3):
    """Something smooth, 0 to 1, ``(*shape, 1)``."""
    image = gaussian_filter(np.random.default_rng(seed).random(shape), smooth)
    return ((image - image.min()) / np.ptp(image))[..., None]


@pytest.mark.parametrize("shape", [(200, 160), (12, 60, 50)])
def test_gain_and_offset_are_found_through_noise(shape):
    y = scene(shape)
    gains, offsets = np.array([300.0, 0.5]), np.array([100.0, -2.0])
    truth = np.concatenate([y, scene(shape, 1)], -1)
    noise = np.random.default_rng(2).normal(0, gains, truth.shape)
    match = match_target(gains * truth + offsets + noise, truth)
    # Noise as strong as the whole range: the standard error is a few percent.
    np.testing.assert_allclose(match.gain, gains, rtol=0.1)
    np.testing.assert_allclose(match.offset, offsets, atol=0.05 * gains.max())
    means = [image.reshape(-1, 2).mean(0) for image in (match.apply(truth), gains * truth + offsets + noise)]
    np.testing.assert_allclose(*means, rtol=1e-5)
    # The fit the other way round, of the truth on the input, is what noise would make too small.
    x = (gains * truth + offsets + noise)[..., 0].ravel()
    shrunk = np.cov(x, truth[..., 0].ravel())[0, 1] / x.var()
    assert 1 / shrunk > 2 * gains[0]


def test_the_fit_is_least_squares_and_does_not_depend_on_normalisation():
    x, y = scene((40, 30), 3), scene((40, 30), 4) + scene((40, 30), 3)
    match = match_target(x, y)
    expected, *_ = np.linalg.lstsq(np.stack([y.ravel(), np.ones(y.size)], 1), x.ravel(), rcond=None)
    np.testing.assert_allclose([match.gain[0], match.offset[0]], expected, rtol=1e-5)
    other = match_target(10 * x - 3, 7 * y + 5)
    np.testing.assert_allclose(other.apply(7 * y + 5), 10 * match.apply(y) - 3, rtol=1e-4, atol=1e-4)
    assert match.correlation[0] == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def test_images_that_are_not_in_memory_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("aeanet_tf.training.pairs._PIECE", 1000)
    x, y = scene((30, 20, 10), 5).astype("float32"), scene((30, 20, 10), 5).astype("float32")

    class Stored:
        def __init__(self, array):
            self.array, self.shape, self.largest = array, array.shape, 0

        def __getitem__(self, index):
            piece = self.array[index]
            self.largest = max(self.largest, piece.size)
            return piece

    stored = Stored(3 * x + 1), Stored(y)
    match = match_target(*stored)
    assert match.gain[0] == pytest.approx(3, rel=1e-5) and match.offset[0] == pytest.approx(1, rel=1e-4)
    assert max(one.largest for one in stored) <= 1000


def test_whole_integers_do_not_overflow():
    y = (200 * scene((64, 64), 6)).astype("uint8")
    match = match_target(np.uint16(60000) + y * np.uint16(20), y)
    assert match.gain[0] == pytest.approx(20, rel=1e-4) and match.offset[0] == pytest.approx(60000, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (scene((32, 32), 1), scene((32, 32), 1, 0.1), "correlation"),
        (scene((32, 32), 1), -scene((32, 32), 1), "correlation of -1.000, expected at least 0.1"),
        (np.ones((8, 8, 1)), scene((8, 8)), "the input is constant"),
        (scene((8, 8)), np.ones((8, 8, 1)), "the truth is constant"),
        (scene((8, 8)), scene((8, 9)), "shapes"),
    ],
)
def test_what_cannot_be_matched_is_refused(x, y, message):
    if message == "correlation":
        y = np.random.default_rng(0).random(y.shape)
    with pytest.raises(MatchError, match=message) as error:
        match_target(x, y, 4)
    assert str(error.value).startswith("pair 4 (X[4], Y[4]): ") and error.value.index == 4


def test_batches_hold_matched_targets():
    """Each image by its own fit, crops by that of their image, and what is not asked for stays."""
    Y = [scene((40, 40), seed) for seed in range(3)]
    gains = [1.5, 4.0, 0.5]
    X = [gain * y + 0.25 for gain, y in zip(gains, Y, strict=True)]
    for kwargs in ({"patch_size": (16, 16)}, {"patch_size": None, "augment": False}):
        matched = PatchSampler(X, Y, 8, 2, match_targets=True, **kwargs)
        x, y = matched[0]
        assert y.dtype == np.float32
        np.testing.assert_allclose(x, y, atol=1e-5)
        x, y = PatchSampler(X, Y, 8, 2, **kwargs)[0]
        assert np.abs(x - y).max() > 0.2
    np.testing.assert_allclose(
        [match.gain[0] for match in ImagePairs(X, Y, match_targets=True).matches], gains, rtol=1e-5
    )
    x, y = ValidationSet(X, Y, 16, match_targets=True)[2]
    np.testing.assert_allclose(x, y, atol=1e-5)
    with pytest.raises(InputError, match="match_targets: found True for a projection"):
        ImagePairs([np.ones((4, 8, 8, 1))], [np.ones((8, 8, 1))], projected_axis=0, match_targets=True)

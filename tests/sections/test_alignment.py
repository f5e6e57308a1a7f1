"""Shifts that are known are found; halves of them meet; histograms are those of sorted pixels."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.exposure import match_histograms
from skimage.feature import match_template

from aeanet_tf.errors import InputError
from aeanet_tf.sections.alignment import SMOOTHING, covered, moved, to_common_histogram, to_midpoint, translation

RANDOM = np.random.default_rng(0)
# What slices show is larger than a pixel; cut from it are images that were shifted against each other.
SCENE = gaussian_filter(RANDOM.normal(size=(240, 260)), 3) * 1000


def cut(y=0, x=0, size=(140, 160)):
    """The scene's part at (40, 40), its content moved by (y, x)."""
    return SCENE[40 - y : 40 - y + size[0], 40 - x : 40 - x + size[1]]


@pytest.mark.parametrize("shift", [(0, 0), (5, -7), (-12, 3), (20, 20), (-20, 19)])
def test_a_known_shift_is_found(shift):
    noise = RANDOM.normal(size=(2, 140, 160)) * 50
    # Moved by the shift it lies on the fixed image: in the moving one everything is displaced by the opposite.
    fixed, moving = cut() + noise[0], cut(-shift[0], -shift[1]) * 0.3 + 500 + noise[1]
    found = translation(fixed, moving, 20)
    assert (found.y, found.x) == shift and 0.7 < found.score <= 1
    inside = covered(fixed.shape, shift)
    back = moved(cut(-shift[0], -shift[1]), found.y, found.x)
    np.testing.assert_array_equal(back[inside], cut()[inside])


@pytest.mark.parametrize("sigma", [0, SMOOTHING])
def test_the_score_is_that_of_scikit_image(sigma):
    fixed, moving = RANDOM.integers(20000, 20050, (2, 60, 71)).astype(np.uint16)
    smooth = [
        gaussian_filter(image.astype(float), sigma) if sigma else image.astype(float) for image in (fixed, moving)
    ]
    scores = match_template(smooth[0], smooth[1][9:-9, 9:-9])
    found = translation(fixed, moving, 9, sigma)
    assert (found.y + 9, found.x + 9) == np.unravel_index(scores.argmax(), scores.shape)
    assert found.score == pytest.approx(scores.max(), abs=1e-6)


def test_smoothing_finds_what_noise_hides():
    random = np.random.default_rng(3)
    fixed, moving = (image + random.normal(size=image.shape) * 1000 for image in (cut(), cut(-6, 9)))
    found = translation(fixed, moving, 20)
    assert (abs(found.y - 6) <= 1) and (abs(found.x + 9) <= 1)
    assert found.score > 2 * translation(fixed, moving, 20, sigma=0).score


def test_constant_images_are_not_moved():
    flat, blank_middle = np.full((140, 160), 137, np.uint8), cut().copy()
    blank_middle[10:-10, 10:-10] = 0.1
    # The mean of this is not its value, by rounding.
    odd = np.full((140, 160), 0.7)
    for fixed, moving in ((flat, cut()), (cut(), flat), (flat, flat), (cut(), blank_middle), (odd, odd), (odd, cut())):
        found = translation(fixed, moving, 20)
        assert (found.y, found.x, found.score) == (0, 0, 0) and np.isfinite(found.score)


def test_too_large_shifts_and_unlike_images_are_refused():
    assert translation(cut(size=(40, 80)), cut(size=(40, 80)), 10).score == pytest.approx(1)
    with pytest.raises(InputError, match=r"max_shift: found 11 for slices of \(40, 80\) pixels, expected 0 to 10"):
        translation(cut(size=(40, 80)), cut(size=(40, 80)), 11)
    with pytest.raises(InputError, match=r"max_shift: found -1"):
        to_midpoint(cut(), cut(), -1)
    with pytest.raises(InputError, match=r"shapes \(140, 160\) and \(140, 159\), expected two images \(Y, X\) of one"):
        translation(cut(), cut()[:, 1:])


def test_moving_repeats_the_border():
    image = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(moved(image, 1, -2), [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7]])
    assert covered((3, 4), (1, -2)) == (slice(1, 3), slice(0, 2))
    assert covered((9, 9), (1, -2), (-3, -1)) == (slice(1, 6), slice(0, 7))


@pytest.mark.parametrize("shift", [(6, -8), (7, -9), (-5, 0), (1, -1)])
def test_slices_meet_halfway(shift):
    y, x = shift
    before, after, found = to_midpoint(cut(y, x).astype(np.float32), cut().astype(np.float32), 16)
    assert (found.y, found.x) == shift
    assert before.dtype == after.dtype == np.float32
    back = [-int(np.floor(n / 2)) for n in shift]
    forth = (y + back[0], x + back[1])
    # Of the scene both show what lies halfway; also where one of them ends, but for the two corners where both do.
    middle = cut(*forth).astype(np.float32)
    hidden = np.ones(before.shape, bool)
    for moves in (back, forth):
        hidden[covered(before.shape, moves)] = False
    assert hidden.mean() < 0.002
    for image in (before, after):
        np.testing.assert_array_equal(image[~hidden], middle[~hidden])
    swapped = to_midpoint(cut().astype(np.float32), cut(y, x).astype(np.float32), 16)
    assert (swapped[2].y, swapped[2].x) == (-y, -x)
    np.testing.assert_array_equal(swapped[0], after)
    np.testing.assert_array_equal(swapped[1], before)


def test_slices_that_are_aligned_elsewhere_stay():
    first, second = RANDOM.integers(0, 255, (2, 10, 10), dtype=np.uint8)
    before, after, found = to_midpoint(first, second, 0)
    np.testing.assert_array_equal([before, after], [first, second])
    assert (found.y, found.x) == (0, 0)


def test_common_histogram_is_the_mean_of_sorted_pixels():
    before, after, other = RANDOM.normal(size=(3, 40, 50)) * [[[1]], [[30]], [[2]]] + [[[0]], [[100]], [[7]]]
    expected = (np.sort(before.ravel()) + np.sort(after.ravel())) / 2
    matched = to_common_histogram(before, after, other)
    for image, result in zip((before, after, other), matched, strict=True):
        assert result.dtype == np.float32 and result.shape == image.shape
        np.testing.assert_allclose(result.ravel()[np.argsort(image.ravel())], expected, rtol=1e-5, atol=1e-5)


def test_common_histogram_of_grey_levels_is_monotone_and_that_of_the_reference():
    before = np.clip(RANDOM.normal(90, 20, (80, 80)), 0, 255).astype(np.uint8)
    after = np.clip(RANDOM.gamma(3, 20, (80, 80)), 0, 255).astype(np.uint8)
    other = RANDOM.integers(0, 256, (80, 80), dtype=np.uint8)
    reference = (np.sort(before.ravel()).astype(float) + np.sort(after.ravel())) / 2
    for image, result in zip((before, after, other), to_common_histogram(before, after, other), strict=True):
        values = [np.unique(result[image == level]) for level in np.unique(image)]
        assert all(len(level) == 1 for level in values)
        assert (np.diff(np.concatenate(values)) >= 0).all()
        assert reference.min() <= result.min() and result.max() <= reference.max()
        # scikit-image takes a value for the highest of its ranks, we for the middle one: less than a grey level apart.
        oracle = match_histograms(image.astype(float), reference.reshape(image.shape))
        assert np.abs(result - oracle).mean() < 0.7
        np.testing.assert_allclose(
            np.quantile(result, [0.1, 0.5, 0.9]), np.quantile(reference, [0.1, 0.5, 0.9]), atol=1.5
        )


def test_inverted_contrast_gives_the_inverted_histogram():
    before, after, other = RANDOM.integers(0, [[[5]], [[9]], [[7]]], (3, 30, 30)).astype(float)
    matched, inverted = to_common_histogram(before, after, other), to_common_histogram(-before, -after, -other)
    np.testing.assert_allclose(inverted, np.negative(matched), atol=1e-5)


def test_slices_of_one_histogram_keep_their_values():
    image = RANDOM.integers(0, 256, (50, 50), dtype=np.uint8)
    before, after = to_common_histogram(image, image[::-1])
    np.testing.assert_array_equal(before, image)
    np.testing.assert_array_equal(after, image[::-1])

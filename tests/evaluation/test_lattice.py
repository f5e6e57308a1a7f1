"""The lattice of transposed convolutions is told from noise, and from what is smooth."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.lattice import lattice

# The upper bounds that the docstring states.
WHITE, SMOOTH, GRADIENT = 2.0, 2.5, 1.1


def noise(seed, shape=(256, 240)):
    return np.random.default_rng(seed).normal(100, 3, shape)


def alternating(size):
    return np.where(np.arange(size) % 2, -1.0, 1.0)


def checkerboard(shape):
    return np.multiply.outer(alternating(shape[0]), alternating(shape[1]))


def scene(shape=(200, 210)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 100 + 0.37 * y + 0.2 * x + 500 * np.exp(-((y - 60) ** 2 + (x - 120) ** 2) / 900)


def test_noise_has_none():
    found = [lattice(noise(seed)) for seed in range(6)]
    assert min(found) > 0.8 and max(found) < WHITE
    assert np.mean(found) == pytest.approx(1.2, abs=0.25)


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4])
def test_smoothed_noise_has_none(sigma):
    assert max(lattice(gaussian_filter(noise(seed, (128, 128)), sigma)) for seed in range(4)) < SMOOTH


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_none_and_rounding_is_none(dtype):
    y, x = np.mgrid[:150, :170]
    for image in (0.37 * y + 0.2 * x + 1000, scene(), y + 0.001 * x**2):
        assert lattice(image.astype(dtype)) < GRADIENT
    assert lattice(np.full((40, 50), 7, np.uint8)) == 1


def test_a_checkerboard_of_a_tenth_of_the_noise_is_seen():
    for seed in range(5):
        image = noise(seed)
        assert lattice(image + 0.3 * checkerboard(image.shape)) > max(2 * WHITE, 2 * lattice(image))


def test_stripes_are_seen_in_either_direction_and_gain_and_offset_do_not_matter():
    image = noise(0)
    clean = lattice(image)
    for striped in (image + 0.4 * alternating(240), image + 0.4 * alternating(256)[:, None]):
        found = lattice(striped)
        assert found > 4 * clean
        assert lattice(3 * striped + 50) == pytest.approx(found, rel=1e-6)


def test_period_3_is_no_lattice_of_period_2():
    image = noise(0)
    assert lattice(image + 3 * np.cos(2 * np.pi / 3 * np.arange(240))) < WHITE


def test_a_transposed_convolution_with_uneven_phases_leaves_one():
    """Weights that add up to the same in the four phases are bilinear enlargement; a thousandth more in one is seen."""
    small = gaussian_filter(noise(1, (110, 120)), 2)
    kernel = np.outer([0.5, 1.0, 0.5], [0.5, 1.0, 0.5])
    texture = np.random.default_rng(5).normal(0, 0.05, (220, 240))
    for uneven, bounds in ((0.0, (0.5, WHITE)), (0.001, (50, 250)), (0.02, (10_000, 1e6))):
        weights = kernel.copy()
        weights[1, 1] += uneven
        large = np.zeros((2 * 110 + 1, 2 * 120 + 1))
        for y in range(3):
            for x in range(3):
                large[y : y + 220 : 2, x : x + 240 : 2] += weights[y, x] * small
        assert bounds[0] < lattice(large[:-1, :-1] + texture) < bounds[1]


def test_flat_regions_are_those_of_the_reference():
    """Texture of period 2 in the busy half of the truth is not counted, a lattice in the flat half is."""
    truth = np.where(np.arange(256) < 128, 0, gaussian_filter(noise(2, (256, 256)), 3) * 50)
    image = truth + noise(3, (256, 256))
    left, right = np.arange(256) < 128, np.arange(256) >= 128
    board = 3 * checkerboard((256, 256))
    assert lattice(image + board * right, truth) < WHITE
    assert lattice(image + board * left, truth) > 100


def test_regions_of_no_variation_do_not_count():
    image = noise(0, (128, 128))
    board = image + 3 * checkerboard(image.shape)
    padded = np.zeros((128, 512))
    padded[:, :128] = board
    assert lattice(padded) > 0.3 * lattice(board) > 100


def test_a_volume_is_the_mean_of_its_planes():
    planes = np.stack([noise(0, (70, 90)), noise(1, (70, 90)) + 3 * checkerboard((70, 90)), np.full((70, 90), 5.0)])
    assert lattice(planes[:1]) == lattice(planes[0])
    # The constant plane has no windows.
    assert lattice(planes) == pytest.approx(lattice(planes[1]) / 2, rel=0.05)
    assert lattice(planes, planes) == lattice(planes)


def test_every_size_from_one_window_on():
    for shape in ((32, 32), (33, 47), (32, 100)):
        assert lattice(noise(0, shape) + 3 * checkerboard(shape)) > 100
    # What the last whole step does not cover counts, too.
    image = np.zeros((32, 47))
    image[:, 33:] = checkerboard((32, 14))
    assert lattice(image) > 10
    for shape in ((31, 80), (80, 31), (200,), (2, 40, 40, 1)):
        with pytest.raises(
            InputError, match=r"lattice: found an image of shape .*, expected YX or ZYX of at least 32 x 32"
        ):
            lattice(np.zeros(shape))
    with pytest.raises(InputError, match=r"reference of shape \(40, 41\), expected \(40, 40\)"):
        lattice(np.zeros((40, 40)), np.zeros((40, 41)))

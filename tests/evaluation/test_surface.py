"""The surface through a stack is that of simulated sheets, and what lies on it is what they show."""

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.datasets.simulated import epithelium
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import gaussian
from aeanet_tf.evaluation.protocols import care_psnr
from aeanet_tf.evaluation.surface import (
    _cheapest_paths,
    along_surface,
    choose_surface,
    surface_height,
    surface_projection,
)


def sheet(shape=(14, 64, 72), noise=0.05, seed=0):
    """A textured sheet in a dome, with bright smooth debris below it; and the height and the texture."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij")
    height = 4 + 2 * (x**2 + 0.5 * y**2) + x
    texture = gaussian_filter(rng.normal(size=shape[1:]), 1)
    texture = np.clip(0.5 + 0.25 * texture / texture.std(), 0, 1)
    below = np.arange(shape[0])[:, None, None] - height
    debris = 1.5 * gaussian_filter((rng.random(shape) > 0.5).astype(float), (1, 8, 8)) / (1 + np.exp(-2 * (below - 4)))
    volume = texture * np.exp(-(below**2) / 2) + debris + rng.normal(0, noise, shape)
    return volume.astype(np.float32), height, texture


VOLUME, HEIGHT, TEXTURE = sheet()


def test_the_height_is_that_of_the_sheet():
    found = surface_height(VOLUME)
    assert found.shape == HEIGHT.shape and found.dtype == np.float32
    error = np.abs(found - HEIGHT)
    assert error.mean() < 0.3 and error.max() < 1.2
    # The brightest planes are those of the debris.
    assert np.abs(gaussian_filter(VOLUME, (0, 4, 4)).argmax(axis=0) - HEIGHT).mean() > 2


def test_it_finds_what_a_filter_does_not():
    image, height = surface_projection(VOLUME)
    np.testing.assert_array_equal(height, surface_height(VOLUME))
    best = max(care_psnr(TEXTURE, gaussian(VOLUME, sigma).max(axis=0)) for sigma in (0, 0.5, 1, 1.5))
    assert care_psnr(TEXTURE, image) > best + 3
    # As good as with the height that is known.
    assert care_psnr(TEXTURE, image) > care_psnr(TEXTURE, along_surface(VOLUME, HEIGHT)) - 1


def test_the_epithelium_of_the_tutorial():
    volume, truth = epithelium((12, 96, 96), 4)
    volume = np.random.default_rng(0).poisson(20 * volume)
    assert care_psnr(truth, surface_projection(volume).image) > care_psnr(truth, volume.max(axis=0)) + 3


def test_gain_and_offset_do_not_move_it():
    counts = (100 * np.clip(VOLUME, 0, None)).astype(np.uint16)
    np.testing.assert_allclose(surface_height(counts), surface_height(3.0 * counts + 1000), atol=1e-3)


def test_turned_volumes_have_turned_surfaces():
    # Whole cells of the grid.
    for turn in (lambda a: np.swapaxes(a, -1, -2), lambda a: a[..., ::-1]):
        np.testing.assert_allclose(surface_height(turn(VOLUME)), turn(surface_height(VOLUME)), atol=1e-4)


def test_smoothness_makes_it_flatter():
    def steps(smoothness):
        return np.abs(np.diff(surface_height(noisy, smoothness), axis=1)).sum()

    noisy = sheet(noise=0.5)[0]
    assert steps(0) > 1.5 * steps(0.2) > 1.5 * steps(1)


def test_paths_are_the_cheapest_of_all():
    cost = np.random.default_rng(0).normal(size=(3, 5, 1))
    found = _cheapest_paths(cost, 0.4, 1, False)[:, -1, 0]
    for last in range(3):
        totals = [
            cost[list(path), range(5), 0].sum() + 0.4 * np.abs(np.diff(path)).sum()
            for path in product(range(3), repeat=5)
            if path[-1] == last
        ]
        # Up to one number for all heights.
        assert found[last] - found[0] == pytest.approx(min(totals) - best_of_first(cost), abs=1e-12)


def best_of_first(cost):
    return min(
        cost[list(path), range(5), 0].sum() + 0.4 * np.abs(np.diff(path)).sum()
        for path in product(range(3), repeat=5)
        if path[-1] == 0
    )


def test_weights_are_those_of_the_distance():
    volume = np.random.default_rng(0).random((5, 4, 6))
    weights = np.exp(-((np.arange(5) - 1.3) ** 2) / (2 * 0.7**2))
    expected = np.tensordot(weights / weights.sum(), volume, 1)
    np.testing.assert_allclose(along_surface(volume, np.full((4, 6), 1.3), 0.7), expected, rtol=1e-6)


def test_a_volume_without_contrast_has_its_middle():
    found = surface_projection(np.full((6, 9, 11), 7, np.uint8))
    assert (found.height == 2.5).all() and (found.image == 7).all()


def test_planes_are_read_one_at_a_time():
    class Stored:
        shape = VOLUME.shape

        def __len__(self):
            return len(VOLUME)

        def __getitem__(self, z):
            assert isinstance(z, int)
            return VOLUME[z]

    np.testing.assert_array_equal(surface_projection(Stored()).image, surface_projection(VOLUME).image)


def test_parameters_are_the_best_of_all():
    pairs = [(VOLUME, TEXTURE), (VOLUME, np.ones_like(TEXTURE)), sheet(noise=0.2, seed=1)[::2]]
    options = [(thickness, sigma) for thickness in (0.5, 1.5) for sigma in (0, 1)]
    found = choose_surface(pairs, thicknesses=(0.5, 1.5), sigmas=(0, 1))
    scores = [
        np.mean([care_psnr(t, surface_projection(v, thickness=a, sigma=b).image) for v, t in (pairs[0], pairs[2])])
        for a, b in options
    ]
    assert (found.thickness, found.sigma) == options[int(np.argmax(scores))]
    assert found.score == pytest.approx(max(scores))
    expected = surface_projection(VOLUME, thickness=found.thickness, sigma=found.sigma).image
    np.testing.assert_array_equal(found(VOLUME), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: surface_projection(np.zeros((4, 5))), r"volume to project: found shape \(4, 5\), expected"),
        (lambda: surface_height(np.full((2, 4, 4), np.nan)), "a value that is not finite in plane 0"),
        (lambda: surface_height(VOLUME, -1), "smoothness: found -1, expected 0 or more"),
        (lambda: surface_projection(VOLUME, sigma=np.nan), "sigma: found nan, expected 0 pixels or more"),
        (lambda: along_surface(VOLUME, HEIGHT, 0), "thickness: found 0, expected 0.1 planes or more"),
        (lambda: along_surface(VOLUME, HEIGHT[:-1]), r"height: found shape \(63, 72\), expected \(64, 72\)"),
        (lambda: choose_surface([(VOLUME, np.ones((64, 72)))]), "pairs: found none with a truth"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

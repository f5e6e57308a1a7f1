"""Images that are made as coarse along X as volumes are along Z, and the pairs that networks learn from."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from aeanet_tf.datasets.anisotropic import Distortion, check_psf, default_sigma, known_factor, lateral_pairs
from aeanet_tf.errors import InputError
from aeanet_tf.io.image import Image

IMAGE = np.random.default_rng(0).uniform(50, 200, (12, 30, 2)).astype("float32")


@pytest.mark.parametrize("factor", [4, 2.5])
def test_an_image_is_blurred_sampled_and_interpolated(factor):
    x, y = Distortion(factor, 1.3).apply(IMAGE, None)
    blurred = gaussian_filter1d(IMAGE.astype(float), 1.3, axis=1)
    kept = np.arange(0, 29.0001, factor)
    pixels = np.arange(30)
    for row in (0, 7):
        sampled = np.interp(kept, pixels, blurred[row, :, 1])
        expected = np.interp(np.arange(x.shape[1]), kept, sampled)
        np.testing.assert_allclose(x[row, :, 1], expected, rtol=1e-5)
    assert x.shape == y.shape and x.shape[1] == int(kept[-1]) + 1
    np.testing.assert_array_equal(y, IMAGE[:, : x.shape[1]])


def test_a_psf_that_is_a_gaussian_along_x_blurs_as_its_sigma():
    psf = np.zeros((3, 21))
    psf[1, 10] = 5
    psf = gaussian_filter1d(psf, 1.5, axis=1)
    np.testing.assert_allclose(
        Distortion(3, 0, psf).apply(IMAGE, None)[0], Distortion(3, 1.5).apply(IMAGE, None)[0], rtol=1e-4
    )
    across = Distortion(3, 0, np.ones((3, 1))).apply(IMAGE, None)[0]
    np.testing.assert_allclose(across[1:-1, 0], (IMAGE[:-2, 0] + IMAGE[1:-1, 0] + IMAGE[2:, 0]) / 3, rtol=1e-5)


def test_noise_is_of_the_blurred_image():
    flat, rng = np.full((200, 201, 1), 100, "float32"), np.random.default_rng(1)
    noisy = Distortion(4, 2, noise=3).apply(flat, rng)[0][:, ::4]
    assert abs(noisy.std() - 3) < 0.1 and abs(noisy.mean() - 100) < 0.1
    photons = Distortion(4, 2, poisson=True).apply(flat, rng)[0][:, ::4]
    assert abs(photons.var() - 100) < 4 and (photons == photons.round()).all()


def test_planes_are_coarse_along_x_and_along_y_and_their_columns_are_what_is_coarse():
    volume = np.random.default_rng(2).normal(size=(3, 21, 33, 1)).astype("float32")
    pairs = list(lateral_pairs(volume, Distortion(4, 1), None))
    assert len(pairs) == 6
    for plane, (along_x, along_y) in zip(volume, zip(pairs[::2], pairs[1::2], strict=True), strict=True):
        np.testing.assert_array_equal(along_x[1], plane)
        np.testing.assert_array_equal(along_y[1], plane.transpose(1, 0, 2))
        for x, _ in (along_x, along_y):
            # Straight between the planes.
            np.testing.assert_allclose(np.diff(x[:, :9, 0], 2)[:, [0, 1, 2, 4, 5, 6]], 0, atol=1e-6)
            assert np.abs(np.diff(x[..., 0], axis=0)).max() > 0.5


def test_what_the_volume_says():
    assert (
        known_factor(Image(IMAGE, "YXC", {"Z": 2.0, "X": 0.5})) == 4
        and known_factor(Image(IMAGE, "YXC", {"Z": 2.0})) is None
    )
    blur = gaussian_filter1d(np.eye(1, 201, 100)[0], default_sigma(12))
    half = np.flatnonzero(blur >= blur.max() / 2)
    assert half[-1] - half[0] in (11, 12)


@pytest.mark.parametrize("psf", [np.zeros((3, 3)), -np.eye(3), np.ones((3, 3, 3)), np.full((2, 2), np.nan)])
def test_what_is_no_psf_is_refused(psf):
    with pytest.raises(InputError, match=r"^psf.tif: shape|^psf.tif: found"):
        check_psf("psf.tif", psf)

"""Interpolations along Z and a Wiener filter, against independent ones."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.interpolation_baselines import UPSAMPLINGS, sharpened

ROWS = np.random.default_rng(0).normal(size=(9, 4, 3))


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_rows_stay_and_constants_stay(name):
    function = UPSAMPLINGS[name]
    result = function(ROWS, 4)
    assert result.shape == (33, 4, 3) and result.dtype == np.float32
    np.testing.assert_allclose(result[::4], ROWS, atol=1e-6)
    np.testing.assert_allclose(function(np.full((5, 2), 7.0), 2.5), 7, rtol=1e-6)
    np.testing.assert_allclose(function(ROWS[:1], 4), ROWS[:1], rtol=1e-6)


def test_each_interpolates_as_it_is_called():
    places = np.arange(33) / 4
    linear = [np.interp(places, np.arange(9), column) for column in ROWS[:, 0].T]
    np.testing.assert_allclose(UPSAMPLINGS["linear"](ROWS, 4)[:, 0].T, linear, atol=1e-6)
    np.testing.assert_allclose(UPSAMPLINGS["cubic"](ROWS, 4), CubicSpline(np.arange(9), ROWS)(places), atol=1e-5)
    # A wave of few oscillations a row: Lanczos is nearer to it than linear.
    wave = np.cos(0.4 * np.pi * np.arange(40))
    truth = np.cos(0.1 * np.pi * np.arange(157))
    errors = {name: np.abs(function(wave, 4) - truth)[20:-20].max() for name, function in UPSAMPLINGS.items()}
    assert errors["Lanczos"] < 0.05 < errors["linear"]


def test_a_wiener_filter_undoes_a_blur():
    image = np.cumsum(np.random.default_rng(1).normal(size=(80, 5)), axis=0)
    blurred = gaussian_filter1d(image, 1.7, axis=0)

    def error(result):
        return np.mean((result - image) ** 2)

    assert error(sharpened(blurred, 1.7, 0.01)) < 0.7 * error(blurred)
    np.testing.assert_allclose(sharpened(np.full((10, 2), 3.0), 2, 0.1), 3, rtol=1e-5)
    with pytest.raises(InputError, match="strength: found 0, expected a positive number"):
        sharpened(image, 1.7, 0)

"""Errors of equivariance: none for what treats all pixels alike, those worked out by hand for what does not."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.equivariance import TRANSFORMATIONS, equivariance_errors

NAMES = ["Rot. 90", "Rot. 180", "Rot. 270", "Transpose"]


def image(shape, seed=0):
    return np.random.default_rng(seed).random(shape)


@pytest.mark.parametrize("shape", [(6, 6), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("function", [np.sqrt, lambda x: x - x.mean(), lambda x: x.max(axis=0) if x.ndim > 2 else x])
def test_what_treats_all_pixels_alike_has_none(function, shape):
    errors = equivariance_errors(function, image(shape))
    assert list(errors) == NAMES
    assert list(errors.values()) == pytest.approx([0] * 4, abs=1e-12)


def test_a_shift_does_not_commute():
    # Not with any turn of 90 degrees; but a shift along y is one along x after transposing.
    errors = equivariance_errors(lambda x: np.roll(x, 1, axis=-1), image((6, 6)))
    assert min(errors.values()) > 0.1
    errors = equivariance_errors(lambda x: np.roll(x, (1, 1), axis=(-2, -1)), image((6, 6)))
    assert errors["Transpose"] == 0 and errors["Rot. 180"] > 0.1


def test_errors_by_hand():
    """Only the upper left pixel is raised by 1: turned, two of four pixels are wrong by 1, or none."""

    def predict(x):
        y = x.copy()
        y[0, 0] += 1
        return y

    assert equivariance_errors(predict, np.zeros((2, 2))) == dict(zip(NAMES, [0.5, 0.5, 0.5, 0], strict=True))


def test_rotations_are_in_the_last_two_axes():
    x = image((3, 4, 5))
    for number, name in enumerate(NAMES[:3], start=1):
        expected = np.stack([np.rot90(plane, number) for plane in x])
        np.testing.assert_array_equal(TRANSFORMATIONS[name](x), expected)
    np.testing.assert_array_equal(TRANSFORMATIONS["Transpose"](x), x.transpose(0, 2, 1))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match=r"shape \(5,\), expected at least the two axes YX"):
        equivariance_errors(np.sqrt, np.ones(5))
    with pytest.raises(InputError, match=r"Rot\. 90: the prediction has shape \(3, 4\), expected \(4, 3\)"):
        equivariance_errors(lambda x: np.zeros((3, 4)), np.ones((3, 4)))

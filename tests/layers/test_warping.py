"""Local convolution against loops, warping against SciPy; borders, channels, gradients."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates

from aeanet_tf.errors import InputError
from aeanet_tf.layers import LocalConvolution, OneNeighbour, Warp
from tests.layers.oracle import images, relative_error


def convolved_by_hand(image, kernels, size):
    (height, width, _), reach = image.shape, size // 2
    padded = np.pad(image.astype("float64"), [(reach, reach), (reach, reach), (0, 0)], mode="edge")
    identity = np.eye(size)[reach]
    y = np.zeros(image.shape)
    for p in range(height):
        for q in range(width):
            vertical, horizontal = kernels[p, q, :size] + identity, kernels[p, q, size:] + identity
            for i in range(size):
                for j in range(size):
                    y[p, q] += vertical[i] * horizontal[j] * padded[p + i, q + j]
    return y


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_convolution_by_hand(size):
    """Of images that are smaller than the kernel along an axis, too."""
    x, kernels = images(2, 3, 6, 2), images(2, 3, 6, 2 * size, seed=2)
    expected = [convolved_by_hand(*each, size) for each in zip(x, kernels, strict=True)]
    layer = LocalConvolution(size)
    assert relative_error(layer([x, kernels]), expected) < 1e-6
    np.testing.assert_array_equal(layer([x, 0 * kernels]), x)


def test_kernels_are_odd():
    with pytest.raises(InputError, match="size: found 4, expected an odd number"):
        LocalConvolution(4)


def test_warping_is_scipys():
    """Within the image, between pixels, and out of it; every image of the batch by its own flow."""
    x = images(2, 9, 12, 2)
    flow = np.random.default_rng(0).uniform(-7, 7, (2, 9, 12, 2)).astype("float32")
    places = np.indices((9, 12)) + np.moveaxis(np.clip(flow, -5, 5), -1, 1)
    expected = [
        np.stack([map_coordinates(x[n, ..., c], places[n], order=1, mode="nearest") for c in range(2)], -1)
        for n in range(2)
    ]
    assert relative_error(Warp(5)([x, flow]), expected) < 1e-5
    np.testing.assert_array_equal(Warp(5)([x, 0 * flow]), x)


def test_a_flow_learns_by_the_slope_between_pixels():
    """Of a ramp of 3 grey levels a row and 2 a column, whatever the flow."""
    ramp = (3 * np.arange(8)[:, None] + 2 * np.arange(9)).astype("float32")[None, ..., None]
    flow = tf.constant(np.random.default_rng(0).uniform(-1.5, 1.5, (1, 8, 9, 2)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(flow)
        y = Warp(2)([ramp, flow])
    inside = np.asarray(tape.gradient(y, flow))[0, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, np.broadcast_to([3, 2], inside.shape), rtol=1e-5)


def test_one_neighbour_has_all_its_channels():
    x = images(1, 3, 4, 6)
    np.testing.assert_array_equal(OneNeighbour(0)(x), x[..., :3])
    np.testing.assert_array_equal(OneNeighbour(1)(x), x[..., 3:])

"""ResidualDenseBlock against SciPy's correlation, and the blending of slices."""

import numpy as np

from aeanet_tf.layers import MaskBlend, ResidualDenseBlock, SwapNeighbours
from tests.layers.oracle import images, randomised, relative_error
from tests.layers.test_residual import convolved, preactivated


def block_by_hand(block, x):
    dense = x
    for layer, activation in zip(block.convolutions, block.activations, strict=True):
        new = preactivated(convolved(dense, layer.kernel) + np.asarray(layer.bias), activation)
        dense = np.concatenate([dense, new], -1)
    return x + dense @ np.asarray(block.fusion.kernel, "float64")[0, 0] + np.asarray(block.fusion.bias)


def test_each_convolution_sees_all_before_it():
    for batch_norm in (False, True):
        x = images(1, 6, 8, 4)
        block = randomised(ResidualDenseBlock(3, 5, batch_norm), x)
        for activation in block.activations:
            if activation.norm is not None:
                activation.norm.moving_variance.assign(np.arange(1, 6))
        assert relative_error(np.asarray(block(x))[0], block_by_hand(block, x[0])) < 1e-5


def test_blending_by_hand():
    a, b, logits = images(2, 5, 7, 2), images(2, 5, 7, 2, seed=2), images(2, 5, 7, 1, seed=3)
    mask = 1 / (1 + np.exp(-logits.astype("float64")))
    assert relative_error(MaskBlend()([a, b, logits]), mask * a + (1 - mask) * b) < 1e-6


def test_neighbours_change_places_with_all_their_channels():
    x = images(1, 3, 4, 6)
    np.testing.assert_array_equal(SwapNeighbours()(x), x[..., [3, 4, 5, 0, 1, 2]])

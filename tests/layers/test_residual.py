"""PreActivation and ResidualBlock against SciPy's correlation."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import correlate

from aeanet_tf.layers import PreActivation, ResidualBlock
from tests.layers.oracle import images, randomised, relative_error


def convolved(x, kernel, strides=1):
    """A ``same`` convolution of one image (*spatial, c) with zeros outside, TensorFlow's padding of even sizes."""
    kernel = np.asarray(kernel, "float64")
    size = kernel.shape[0]
    # Stride 2 on an even size pads behind only: the kernel's first tap lies on the position itself.
    shift = 1 if strides == 2 and size == 3 else 0
    y = np.zeros((*x.shape[:-1], kernel.shape[-1]))
    for i in range(kernel.shape[-2]):
        for o in range(kernel.shape[-1]):
            y[..., o] += correlate(x[..., i].astype("float64"), kernel[..., i, o], mode="constant", origin=-shift)
    return y[(slice(None, None, strides),) * (x.ndim - 1)]


def preactivated(x, layer):
    if layer.norm is not None:
        gamma, beta, mean, variance = (np.asarray(w, "float64") for w in layer.norm.weights)
        x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    return np.clip(x, 0, 6)


def residual_block(block, x):
    h = preactivated(x, block.batch_norm_1)
    shortcut = x
    if block.projection_shortcut is not None:
        shortcut = convolved(h, block.projection_shortcut.kernel, block.strides)
    h = convolved(h, block.convolution_1.kernel, block.strides)
    return shortcut + convolved(preactivated(h, block.batch_norm_2), block.convolution_2.kernel)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("filters", [3, 5])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("spatial", [(4, 6), (4, 2, 6)])
def test_residual_block(spatial, strides, filters, batch_norm):
    x = 3 * images(2, *spatial, 3)
    block = ResidualBlock(filters, strides, batch_norm=batch_norm)
    randomised(block, x)
    for layer in (block.batch_norm_1.norm, block.batch_norm_2.norm) if batch_norm else ():
        layer.moving_variance.assign(np.linspace(0.5, 3, layer.moving_variance.shape[0]))
    y = block(x)
    assert y.shape == block.compute_output_shape(x.shape)
    assert relative_error(y, np.stack([residual_block(block, image) for image in x])) < 1e-5
    # The shortcut is the input itself wherever it can be, and no convolution has a bias.
    assert (block.projection_shortcut is None) == (strides == 1 and filters == 3)
    assert not [w.path for w in block.weights if "bias" in w.path]


def test_the_gradient_of_a_strided_shortcut():
    """TensorFlow's own, of a strided 1x1 convolution of few channels, corrupts memory on a CPU."""
    x = images(2, 6, 8, 3)
    block = ResidualBlock(5, 2, batch_norm=False)
    randomised(block, x)
    # What lies beside the shortcut adds nothing.
    block.convolution_2.kernel.assign(np.zeros(block.convolution_2.kernel.shape))
    with tf.GradientTape() as tape:
        y = block(x)
        loss = tf.reduce_sum(y * y)
    h = np.clip(x, 0, 6)[:, ::2, ::2]
    expected = np.einsum("nyxi,nyxo->io", h, 2 * (h @ np.asarray(block.projection_shortcut.kernel)[0, 0]))
    found = tape.gradient(loss, block.projection_shortcut.kernel.value)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)


def test_preactivation_in_training_uses_and_updates_batch_statistics():
    x = 3 * images(4, 5, 6, 2) + 1
    layer = PreActivation(momentum=0.9)
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    assert relative_error(y, np.clip((x - mean) / np.sqrt(variance + 1e-5), 0, 6)) < 1e-5
    np.testing.assert_allclose(layer.norm.moving_mean, 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.norm.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)


def test_preactivation_without_batch_norm_has_no_weights():
    x = 10 * images(1, 3, 3, 2)
    layer = PreActivation(batch_norm=False)
    np.testing.assert_array_equal(layer(x, training=True), np.clip(x, 0, 6))
    assert layer.weights == []

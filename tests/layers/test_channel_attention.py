"""Layers of the networks from the literature against their definitions in NumPy and SciPy."""

import keras
import numpy as np
import pytest
from scipy.signal import correlate

from aeanet_tf.layers import BinomialFilter, ChannelAttention, DilatedConvolution, GlobalFeatures
from tests.layers.oracle import images, relative_error


def projected(layer, mean):
    """The two projections of a layer, with a ReLU between."""
    (a, b), (c, d) = ([np.asarray(w) for w in one.weights] for one in layer.projections)
    return np.maximum(0, mean @ a + b) @ c + d


def weights_drawn(layer, x):
    layer.build(x.shape)
    rng = np.random.default_rng(0)
    for w in layer.weights:
        # Biases with which the ReLU between projections lets through what the mean says.
        w.assign(rng.normal(2 * (w.name == "bias"), 0.5, w.shape))
    return layer


@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (2, 3, 5, 4, 6)])
def test_channels_are_scaled_by_the_mean_of_the_image(shape):
    x = images(*shape)
    layer = weights_drawn(ChannelAttention(3), x)
    assert layer.projections[0].filters == 2
    mean = x.reshape(2, -1, 6).mean(1)
    share = 1 / (1 + np.exp(-projected(layer, mean)))
    expected = x * share.reshape(2, *(1,) * (len(shape) - 2), 6)
    assert relative_error(layer(x), expected) < 1e-5


def test_global_features_are_those_of_the_image_at_every_position():
    x = images(2, 5, 7, 6)
    layer = weights_drawn(GlobalFeatures(4), x)
    expected = np.maximum(0, projected(layer, x.mean((1, 2))))[:, None, None]
    assert expected.max() > 0
    assert relative_error(layer(x), np.broadcast_to(expected, (2, 5, 7, 4))) < 1e-5


@pytest.mark.parametrize("make", [lambda: ChannelAttention(2), lambda: GlobalFeatures(4)])
def test_a_context_takes_the_place_of_what_is_given(make):
    """Half an image with the mean of the whole gives half of what the whole gives."""
    x = images(1, 8, 6, 4)
    layer = weights_drawn(make(), x)
    context = layer.context_moments(x)
    assert float(context.weight[0]) == 48 and context.second.shape == (1, 4, 4)
    found = np.asarray(layer(x[:, 4:], context=context))
    assert relative_error(found, np.asarray(layer(x))[:, 4:]) < 1e-6
    assert relative_error(layer(x[:, 4:]), found) > 1e-3


@pytest.mark.parametrize(("rank", "rate"), [(2, 3), (3, 2)])
def test_a_dilated_convolution_skips_positions(rank, rate):
    x = images(1, *(7, 5, 6)[:rank], 2)
    layer = weights_drawn(DilatedConvolution(3, rate), x)
    kernel = np.asarray(layer.kernel)
    spread = np.zeros((*(2 * rate + 1,) * rank, 2, 3))
    spread[(slice(None, None, rate),) * rank] = kernel
    padded = np.pad(x[0], [(rate, rate)] * rank + [(0, 0)])
    sums = [sum(correlate(padded[..., i], spread[..., i, o], "valid") for i in range(2)) for o in range(3)]
    expected = np.stack(sums, -1) + np.asarray(layer.bias)
    assert relative_error(layer(x)[0], expected) < 1e-5


@pytest.mark.parametrize("size", [(4, 5), (2, 3, 4)])
def test_repeated_and_filtered_features_are_interpolated(size):
    x = images(1, *size, 2)
    repeated, expected = x, x

    def doubled(line):
        places = (np.arange(2 * len(line)) + 0.5) / 2 - 0.5
        return np.interp(places, np.arange(len(line)), line)

    for axis in range(1, len(size) + 1):
        repeated = np.repeat(repeated, 2, axis)
        expected = np.apply_along_axis(doubled, axis, expected)
    assert relative_error(BinomialFilter()(repeated), expected) < 1e-6


@pytest.mark.parametrize("layer", [ChannelAttention(2), GlobalFeatures(4), DilatedConvolution(4, 2), BinomialFilter()])
def test_a_layer_is_made_again_from_its_configuration(layer):
    x = images(1, 6, 5, 4)
    expected = layer(x)
    again = type(layer).from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), expected)
    assert again.compute_output_shape(x.shape) == tuple(expected.shape)
    assert tuple(again.receptive_steps(-1)) == tuple(layer.receptive_steps(-1))


def test_half_precision_takes_the_mean_in_float32():
    x = keras.ops.cast(images(1, 64, 64, 4) + 100, "bfloat16")
    layer = weights_drawn(ChannelAttention(2, dtype="mixed_bfloat16"), x)
    exact = np.asarray(keras.ops.cast(x, "float32")).mean((1, 2))
    np.testing.assert_allclose(layer.context_moments(x).mean, exact, rtol=1e-5)
    assert layer(x).dtype == "bfloat16"

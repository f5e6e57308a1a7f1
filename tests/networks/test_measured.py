"""Networks of layers that no preset has: those that are known are exact, of others it is measured how far they see."""

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks import NetworkGraph, build_network
from aeanet_tf.networks.layer_steps import unknown_layers
from aeanet_tf.networks.measured import MeasuredGraph, graph_of, measured_reach

layers = keras.layers


def network(*chain, shape=(None, None, 1)):
    """A network of layers one behind the other, which gives as many channels as the last one does."""
    x = image = keras.Input(shape)
    for layer in chain:
        x = layer(x)
    return keras.Model(image, x)


def same(layer, *arguments, **options):
    return layer(*arguments, padding="same", **options)


KNOWN = {
    "dilated": [same(layers.Conv2D, 2, 3, dilation_rate=3)],
    "depthwise": [same(layers.Conv2D, 2, 3), same(layers.DepthwiseConv2D, 5, strides=2), layers.UpSampling2D(2)],
    "separable": [same(layers.SeparableConv2D, 2, 3, dilation_rate=2)],
    "average": [same(layers.AveragePooling2D, 3, 2), same(layers.Conv2D, 2, 3), layers.UpSampling2D(2)],
    "bilinear": [layers.MaxPooling2D(2), same(layers.Conv2D, 2, 3), layers.UpSampling2D(2, interpolation="bilinear")],
    "bilinear by 3": [layers.AveragePooling2D(3), layers.UpSampling2D(3, interpolation="bilinear")],
    "transposed": [layers.Conv2D(4, 2, strides=2), layers.Conv2DTranspose(2, 2, strides=2), layers.Conv2D(2, 1)],
    "finer than the image": [layers.UpSampling2D(2), same(layers.Conv2D, 1, 3), layers.MaxPooling2D(2)],
    "finer by 3": [layers.UpSampling2D(3), same(layers.Conv2D, 1, 9), layers.AveragePooling2D(3)],
    "activations": [
        same(layers.Conv2D, 2, 3),
        layers.LeakyReLU(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.LayerNormalization(),
        layers.Softmax(),
        layers.Identity(),
        layers.SpatialDropout2D(0.5),
    ],
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_layers_see_what_is_measured(name):
    """Measured by responses, which know nothing of the layers."""
    found = network(*KNOWN[name])
    assert unknown_layers(found) == []
    graph = NetworkGraph(found)
    measured = [measured_reach(found, graph.divisor(), axis) for axis in (0, 1)]
    assert measured == [(radius, False) for radius in graph.radius([graph.output], [graph.image])]


def test_merges_are_known_where_sizes_agree():
    image = keras.Input((None, None, 2))
    merged = [layer([image, image]) for layer in (layers.Multiply(), layers.Average(), layers.Maximum())]
    assert unknown_layers(keras.Model(image, layers.Minimum()(merged))) == []
    one = layers.GlobalAveragePooling2D(keepdims=True)(image)
    assert unknown_layers(keras.Model(image, layers.Multiply()([image, one]))) == ["GlobalAveragePooling2D", "Multiply"]


UNKNOWN = {
    "without padding": ([layers.ZeroPadding2D(2), layers.Conv2D(1, 5)], ["ZeroPadding2D", "Conv2D"], 2),
    "cropped": ([layers.ZeroPadding2D(3), layers.Conv2D(1, 5), layers.Cropping2D(1)], ["ZeroPadding2D"], 2),
    "a network": ([network(*KNOWN["dilated"])], ["Functional"], 3),
    "turned": ([layers.Permute((2, 1, 3)), same(layers.Conv2D, 1, (3, 5)), layers.Permute((2, 1, 3))], [], 2),
}


@pytest.mark.parametrize("name", ["without padding", "cropped", "a network"])
def test_others_are_measured(name):
    chain, unknown, radius = UNKNOWN[name]
    graph = graph_of(network(*chain))
    assert isinstance(graph, MeasuredGraph) and set(unknown) <= set(graph.unknown)
    assert graph.radius([], []) == (radius, radius) and not graph.global_


def test_axes_are_measured_apart():
    chain, _, _ = UNKNOWN["turned"]
    assert graph_of(network(*chain)).radius([], []) == (2, 1)


class Gate(layers.Layer):
    """Multiplies each channel with a value of the whole image."""

    def call(self, x):
        return x * keras.ops.sigmoid(keras.ops.mean(x, axis=(1, 2), keepdims=True))


def test_what_depends_on_the_whole_image_is_found(caplog):
    found = network(same(layers.Conv2D, 4, 3), Gate(), same(layers.Conv2D, 1, 3))
    kept = found.get_weights()
    graph = graph_of(found)
    graph.tell_of_tiles()
    graph.tell_of_tiles()
    assert graph.radius([], []) == (2, 2) and graph.global_
    (message,) = caplog.messages
    assert message.startswith("tiling: exact tiling does not know Gate: tiles overlap by 2 x 2 pixels, as measured;")
    assert "every pixel changes the whole output" in message
    # The weights are the network's again.
    assert all(np.array_equal(one, other) for one, other in zip(kept, found.get_weights(), strict=True))


def test_the_grid_of_a_network_is_found():
    pooled = [layers.Lambda(keras.ops.abs), layers.MaxPooling2D((2, 3)), same(layers.Conv2D, 1, 3)]
    assert graph_of(network(*pooled, layers.UpSampling2D((2, 3)))).divisor() == (2, 3)
    with pytest.raises(InputError, match=r"an output of size \(32, 21\) for an image of \(64, 64\)"):
        graph_of(network(*pooled))


def test_a_preset_is_known():
    assert isinstance(graph_of(build_network("aeanet-mri")), NetworkGraph)
    assert unknown_layers(build_network("unet-flywing")) == []

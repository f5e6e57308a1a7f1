"""Transposed convolutions start without a lattice."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers.convolution import TRANSPOSED, convolution, start_phases_alike
from aeanet_tf.networks import build_network, presets
from aeanet_tf.networks.keras_internals import flattened_layers


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_constant_features_stay_constant_and_as_large(rank, size):
    layer = convolution(rank, 32, size, strides=2, transposed=True)
    x = np.broadcast_to(np.random.default_rng(0).normal(size=48), (1, *[6] * rank, 48)).astype("float32")
    inner = (0, *[slice(4, -4)] * rank)
    keras.utils.set_random_seed(0)
    layer.build(x.shape)
    drawn = np.asarray(keras.ops.convert_to_tensor(layer(x)))[inner].reshape(-1, 32)
    start_phases_alike(layer)
    alike = np.asarray(keras.ops.convert_to_tensor(layer(x)))[inner].reshape(-1, 32)
    assert np.abs(alike - alike[0]).max() < 1e-5 * np.abs(alike).max()
    if size > 2 or rank > 1:
        assert np.abs(drawn - drawn[0]).max() > 0.1
    assert 0.5 < alike.std() / drawn.std() < 2


def test_others_are_left_alone():
    layer = convolution(2, 4, 3, strides=1, transposed=True)
    layer.build((1, 8, 8, 4))
    before = np.asarray(keras.ops.convert_to_tensor(layer.kernel)).copy()
    start_phases_alike(layer)
    np.testing.assert_array_equal(keras.ops.convert_to_tensor(layer.kernel), before)


@pytest.mark.parametrize("name", ["unet-care", "aeanet-care", "aeanet-em"])
def test_networks_start_without_a_lattice(name):
    """All their transposed convolutions, those within attention too: the middle of a flat image stays flat."""
    keras.utils.set_random_seed(1)
    network = build_network(presets[name].replace(dimension=2, first_filters=8))
    found = [layer for layer in flattened_layers(network) if isinstance(layer, TRANSPOSED)]
    assert len(found) == 2
    y = np.asarray(keras.ops.convert_to_tensor(network(np.ones((1, 96, 96, 1), "float32"))))[0, 40:56, 40:56, 0]
    assert np.ptp(y) < 1e-4 * max(1, np.abs(y).max())

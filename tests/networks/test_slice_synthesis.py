"""Slices made by local kernels and along a flow: where they begin, how far they see, that everything learns."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.networks import NetworkGraph, build_network, presets, receptive_radius
from tests.interop.example_models import randomise
from tests.layers.oracle import images, relative_error
from tests.prediction.exact import predict_exact

NAMES = ("sepconv", "flow-interpolation")
SMALL = {"filters": 4, "resolutions": 2, "kernel_size": 5, "flow_step": 3}
BOTH_ORDERS = {"siamese": True, "symmetric": True}


def made(name, **changes):
    return build_network(presets[name].replace(**SMALL, **changes))


def trained(name, **changes):
    """A network of which nothing is where it started."""
    model = made(name, **changes)
    randomise(model)
    return model


@pytest.mark.parametrize("changes", [{}, BOTH_ORDERS, {"siamese": True}])
@pytest.mark.parametrize("name", NAMES)
def test_untrained_it_gives_the_mean_of_the_neighbours(name, changes):
    x = images(2, 12, 20, 2)
    np.testing.assert_allclose(made(name, **changes)(x)[..., 0], x.mean(-1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_networks_give_the_same_slice_for_neighbours_swapped(name):
    x = images(1, 12, 20, 2)
    for changes, symmetric in ((BOTH_ORDERS, True), ({}, False)):
        model = trained(name, **changes)
        assert (relative_error(model(x[..., ::-1]), np.asarray(model(x))) < 1e-5) == symmetric


def test_kernels_are_the_mean_of_both_convolved():
    model = trained("sepconv", in_channels=4, out_channels=2)
    x = images(1, 12, 20, 4)
    names = [f"convolved_{i}" for i in range(2)]
    nodes = {node.layer.name: node for node in NetworkGraph(model).nodes}
    one, two = (np.asarray(t) for t in keras.Model(model.input, [nodes[name].output for name in names])(x))
    assert relative_error(model(x), (one + two) / 2) < 1e-5 and one.shape == (1, 12, 20, 2)
    assert np.abs(one - two).max() > 0.1


@pytest.mark.parametrize("direction", [1, -1])
def test_a_flow_stays_within_its_bound_and_reaches_it(direction):
    """3 at the coarser of two resolutions, doubled, and 3 at the finer, where features ask for as much as can be."""
    model = trained("flow-interpolation")
    for layer in model.layers:
        if re.fullmatch(r"flow_\d_\d", layer.name):
            layer.bias.assign(0 * layer.bias + 1000 * direction)
    nodes = {node.layer.name: node for node in NetworkGraph(model).nodes}
    assert nodes["warped_0"].layer.reach == nodes["warped_1"].layer.reach == 9
    flows = keras.Model(model.input, [nodes[f"warped_{i}"].inputs[1] for i in range(2)])
    for flow in flows(images(1, 12, 20, 2)):
        np.testing.assert_allclose(flow, 9 * direction, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_tiles_equal_the_whole(name):
    model = trained(name)
    x = images(1, 96, 64, 2)[0]
    whole = np.asarray(model(x[None]))[0]
    assert min(receptive_radius(model)) < 32
    assert relative_error(predict_exact(model, presets[name].replace(**SMALL), x, (3, 2)), whole) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_everything_learns(name):
    model = trained(name)
    x = images(2, 12, 20, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True)[..., 0] - x[..., 0] ** 2) ** 2)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None and np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path

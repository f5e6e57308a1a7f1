"""The slice interpolation network: its weights counted by hand, both orders, and how it is put together."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from aeanet_tf.networks import NetworkGraph, SSANSpec, build_network, presets
from tests.interop.example_models import randomise
from tests.layers.oracle import images, relative_error
from tests.networks.test_build import small

VARIANTS = {
    "sparse": {},
    "aea": {"attention": "aea"},
    "none": {"attention": "none"},
    "batch norm": {"batch_norm": True},
}


def made(**changes):
    model = build_network(small(presets["ssan"], **changes))
    randomise(model)
    return model


def convolution(size, channels, filters, bias=True):
    return size * size * channels * filters + bias * filters


def test_parameters_by_hand():
    """Both orders share every weight: two shallow convolutions, three blocks, fusion, attention, slice and mask."""
    block = sum(convolution(3, 64 + 16 * i, 16) for i in range(3)) + convolution(1, 64 + 48, 64)
    features = convolution(3, 2, 64) + convolution(3, 64, 64)
    fusion = convolution(1, 3 * 64, 64) + convolution(3, 64, 64)
    outputs = convolution(3, 64, 1) + convolution(3, 64, 1, bias=False)
    attention = 15_696 + 3
    assert build_network("ssan").count_params() == features + 3 * block + fusion + attention + outputs


@pytest.mark.parametrize("name", VARIANTS)
def test_neighbours_swapped_give_the_same_slice(name):
    model = made(**VARIANTS[name])
    x = images(2, 13, 18, 2)
    y = np.asarray(model(x))
    assert relative_error(model(x[..., ::-1]), y) < 1e-6
    other = np.concatenate([x[..., :1], x[..., :1]], -1)
    assert relative_error(model(other), y) > 1e-2, "the second neighbour does not matter"


def test_without_symmetry_they_do_not():
    model = made(symmetric=False)
    x = images(2, 13, 18, 2)
    assert relative_error(model(x[..., ::-1]), np.asarray(model(x))) > 1e-2


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_slice_lies_between_the_warped_slices(symmetric):
    """``m a + (1 - m) b`` with m between 0 and 1, a and b from the features of one order each."""
    model = made(symmetric=symmetric)
    x = images(1, 12, 12, 2)
    blend = next(node for node in NetworkGraph(model).nodes if node.layer.name == "blended")
    a, b, logits = (np.asarray(t) for t in keras.Model(model.input, list(blend.inputs))(x))
    mask = 1 / (1 + np.exp(-logits))
    assert relative_error(model(x), mask * a + (1 - mask) * b) < 1e-5
    assert np.abs(a - b).max() > 1e-3 and mask.std() > 1e-3


def test_channels_of_a_slice():
    model = build_network(SSANSpec(in_channels=6, out_channels=3, filters=8, blocks=1))
    assert model(images(1, 9, 9, 6)).shape == (1, 9, 9, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"in_channels": 1}, r"in_channels: found 1, expected 2"),
        ({"filters": 12}, r"filters: found 12, expected a multiple of 8"),
        ({"attention": "aea", "filters": 9}, r"aea.num_heads: found 2, expected a divisor of filters = 9"),
        ({"aea": {"query": "learned"}}, r"aea.query: found 'learned'"),
        ({"blocks": 0}, "blocks"),
        ({"dimension": 3}, "dimension"),
    ],
)
def test_specs_that_do_not_fit(fields, message):
    with pytest.raises(ValidationError, match=message):
        SSANSpec(**fields)

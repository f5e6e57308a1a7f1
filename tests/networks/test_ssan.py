"""The slice interpolation network: its weights counted by hand, both orders, and how it is put together."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from aeanet_tf.networks import NetworkGraph, SSANSpec, build_network, presets, receptive_radius
from tests.interop.example_models import randomise
from tests.layers.oracle import images, relative_error
from tests.networks.test_build import small

VARIANTS = {
    "sparse": {},
    "aea": {"attention": "aea"},
    "none": {"attention": "none"},
    "batch norm": {"batch_norm": True},
    "one level": {"attention": "interlaced"},
    "long": {"attention": "long"},
    "short": {"attention": "short"},
    "dense": {"attention": "dense"},
    "unet": {"extractor": "unet", "batch_norm": True},
}
ONE_ORDER = {"siamese": False, "symmetric": False}


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
    x = images(2, *((12, 20) if name == "unet" else (13, 18)), 2)
    y = np.asarray(model(x))
    assert relative_error(model(x[..., ::-1]), y) < 1e-6
    other = np.concatenate([x[..., :1], x[..., :1]], -1)
    assert relative_error(model(other), y) > 1e-2, "the second neighbour does not matter"


def two_convolutions(channels, filters):
    return convolution(3, channels, filters) + convolution(3, filters, filters)


def test_parameters_of_the_other_extractors_by_hand():
    """Of one order: two convolutions to warped slices, and one to the mask; a U-Net of 8, 16 and 32 channels."""
    outputs = 3 * convolution(3, 8, 1)
    attention = 3 * (2 * convolution(1, 8, 1) + convolution(1, 8, 4) + convolution(1, 4, 8) + 1)
    down = two_convolutions(2, 8) + two_convolutions(8, 16) + two_convolutions(16, 32)
    up = convolution(2, 32, 16) + two_convolutions(32, 16) + convolution(2, 16, 8) + two_convolutions(16, 8)
    unet = build_network(small(presets["ssan"], extractor="unet", **ONE_ORDER))
    assert unet.count_params() == down + up + attention + outputs
    both = build_network(small(presets["ssan"], extractor="unet"))
    assert both.count_params() == unet.count_params() - convolution(3, 8, 1) - 1
    block = sum(convolution(3, 8 + 4 * i, 4) for i in range(2)) + convolution(1, 8 + 8, 8)
    shallow, fusion = two_convolutions(2, 8), convolution(1, 8, 8) + convolution(3, 8, 8)
    rdn = build_network(small(presets["ssan"], **ONE_ORDER))
    assert rdn.count_params() == shallow + block + fusion + attention + outputs


def test_of_one_order_features_are_extracted_once():
    spec = small(presets["ssan"], **ONE_ORDER)
    names = [node.layer.name for node in NetworkGraph(build_network(spec)).nodes]
    assert names.count("attention") == spec.n_attention == 1 and "swapped" not in names
    assert small(presets["ssan"], extractor="unet", resolutions=4).divisor == (8, 8)


def test_how_far_a_unet_sees():
    """Convolutions add their reach at their own stride; pooling adds what it joins."""
    model = build_network(small(presets["ssan"], extractor="unet", resolutions=2, attention="none"))
    for w in model.weights:
        # Nothing is lost to a ReLU, and nothing cancels.
        w.assign(np.full(w.shape, 0.1 if w.name == "kernel" else 0.0))
    (radius, _), x = receptive_radius(model), np.zeros((1, 32, 32, 2), "float32")
    warp = keras.Model(model.input, next(n for n in NetworkGraph(model).nodes if n.layer.name == "warp").output)
    reached = []
    for column in (14, 15, 16, 17):
        x[:] = 0
        x[0, :, column, 0] = 1
        found = np.flatnonzero(np.abs(np.asarray(warp(x)))[0].max(axis=(0, 2)))
        reached.append(max(abs(found - column)))
    assert max(reached) == radius


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
        ({"siamese": False}, "symmetric: found True, expected False without siamese"),
        ({"attention": "dense", "filters": 12}, "filters: found 12, expected a multiple of 8 for dense attention"),
        ({"dimension": 3}, "dimension"),
        ({"synthesis": "kernels", "kernel_size": 4}, "kernel_size: found 4, expected an odd number"),
        ({"synthesis": "flow"}, "extractor: found 'residual_dense', expected 'unet' for a flow"),
        ({"synthesis": "flows"}, "synthesis"),
    ],
)
def test_specs_that_do_not_fit(fields, message):
    with pytest.raises(ValidationError, match=message):
        SSANSpec(**fields)

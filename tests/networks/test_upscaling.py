"""Networks whose output is larger than their input: what is up-sampled, how, and that tiles equal the whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from aeanet_tf.cubic import at_size, cubic_enlarged, times_larger
from aeanet_tf.errors import InputError
from aeanet_tf.layers import CubicUpSampling, DepthToSpace
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.networks import NetworkGraph, as_spec, build_network, presets
from aeanet_tf.networks.measured import measured_reach
from aeanet_tf.networks.size import kernel_weights
from tests.interop.example_models import randomise
from tests.networks.literature import SMALL, small


@pytest.mark.parametrize("factor", [2, 4])
def test_channels_become_places_as_in_tensorflow(factor):
    x = np.random.default_rng(0).random((2, 3, 5, 3 * factor**2)).astype("float32")
    np.testing.assert_array_equal(DepthToSpace(factor)(x), tf.nn.depth_to_space(x, factor))


def test_channels_become_places_in_volumes():
    x = np.zeros((1, 1, 1, 1, 8), "float32")
    x[..., :] = np.arange(8)
    np.testing.assert_array_equal(np.asarray(DepthToSpace(2)(x))[0, ..., 0], np.arange(8).reshape(2, 2, 2))


@pytest.mark.parametrize("factor", [2, 4])
def test_cubic_interpolation_is_pillows_but_at_the_borders(factor):
    image = np.random.default_rng(0).random((9, 13)).astype("float32")
    found = np.asarray(CubicUpSampling(factor)(image[None, ..., None]))[0, ..., 0]
    expected = np.asarray(Image.fromarray(image).resize((13 * factor, 9 * factor), Image.BICUBIC))
    # Pillow weights fewer pixels at a border.
    inner = (slice(2 * factor, -2 * factor),) * 2
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-6)
    np.testing.assert_allclose(found, cubic_enlarged(image, factor), atol=1e-6)


def test_what_is_beyond_a_border_is_what_lies_at_it():
    np.testing.assert_allclose(cubic_enlarged(np.full((3, 2, 4), 7.0), 2), np.full((6, 4, 8), 7), atol=1e-6)
    assert times_larger((3, 4), (6, 8)) == 2
    assert times_larger((3, 4), (6, 12)) is times_larger((3, 4), (3,)) is times_larger((4, 4), (2, 2)) is None
    assert at_size(np.zeros((3, 4)), (6, 12)).shape == (3, 4)


SPECS = {
    **{name: small(name, upscale=2) for name in SMALL},
    "edsr by 4, volumes": small("edsr", upscale=4, dimension=3),
    "vdsr, volumes": small("vdsr", upscale=2, dimension=3),
    "aeanet-care": presets["aeanet-care"].replace(first_filters=4, upscale=2, probabilistic=True),
    "aeanet-em by 4": presets["aeanet-em"].replace(first_filters=4, upscale=4),
    "fnet": presets["fnet-labelfree"].replace(first_filters=4, depth=2, dimension=2, upscale=2),
}


DEFAULT = ("rcan", "rsgu-net", "vdsr, volumes", "aeanet-care", "fnet")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in DEFAULT else pytest.mark.slow) for n in SPECS])
def test_an_output_is_larger(name):
    spec = SPECS[name]
    network = build_network(spec)
    graph, factor = NetworkGraph(network), spec.upscale
    assert graph.divisor() == spec.divisor or spec.kind == "super_resolution"
    assert [1 / s for s in graph.strides(graph.output)] == [factor] * spec.dimension
    assert network.compute_output_shape((1, *(16,) * spec.dimension, 1))[1:-1] == (16 * factor,) * spec.dimension
    # The matrices of attention and of pooling are kernels, too.
    kernels = sum(int(np.prod(w.shape)) for w in network.weights if len(w.shape) > 1)
    assert kernels == kernel_weights(spec)


def test_an_untrained_network_has_no_lattice():
    network = build_network(small("edsr", upscale=4))
    y = np.asarray(network(np.ones((1, 24, 24, 1), "float32")))[0, 40:56, 40:56, 0]
    assert np.ptp(y) < 1e-5 * np.abs(y).max()


def test_the_offset_is_the_interpolated_input():
    network = build_network(presets["unet-care"].replace(dimension=2, first_filters=4, upscale=2))
    network.get_layer("out_conv").kernel.assign(np.zeros((1, 1, 4, 1)))
    image = np.random.default_rng(0).random((8, 12)).astype("float32")
    np.testing.assert_allclose(network(image[None, ..., None])[0, ..., 0], cubic_enlarged(image, 2), atol=1e-6)


@pytest.mark.parametrize("name", ["edsr", "vdsr"])
def test_the_receptive_field_is_what_is_measured(name):
    """By responses of a network that takes all positions of the output that one of the input becomes together."""
    network = build_network(small(name, upscale=2, output_offset=False))
    graph = NetworkGraph(network)
    pooled = keras.Model(network.inputs, keras.layers.MaxPooling2D(2)(network.outputs[0]))
    assert measured_reach(pooled, (1, 1), 1)[0] == graph.radius([graph.output], [graph.image])[1]


@pytest.mark.parametrize(
    ("name", "axes", "size", "tiles", "upscale"),
    [
        ("rcan", "YX", (13, 50), (1, 4), 2),
        ("aeanet-em", "YX", (17, 101), (1, 3), 4),
        ("rcan", "ZYX", (6, 5, 44), (1, 1, 3), 2),
    ],
)
def test_tiles_equal_the_whole(name, axes, size, tiles, upscale):
    network = {**SMALL.get(name, {"first_filters": 4, "output_offset": True}), "upscale": upscale}
    model = AEANet(AEANetConfig(axes, preset=name, network=network, train_seed=0), name, None)
    randomise(model.keras_model)
    image = (np.random.default_rng(1).random(size) + np.linspace(0, 2, size[-1])).astype("float32")
    whole = model.predict(image, axes, normalizer=None, tiling="whole")
    assert whole.shape == tuple(upscale * n for n in size)
    found = model.predict(image, axes, normalizer=None, n_tiles=tiles)
    assert np.abs(found - whole).max() < 1e-5 * np.ptp(whole)
    if name == "rcan":
        overlap = model.predict(image, axes, normalizer=None, n_tiles=tiles, tiling="overlap")
        assert np.abs(overlap - whole).max() > 1e-4 * np.ptp(whole)


@pytest.mark.parametrize(
    ("preset", "changes", "reason"),
    [
        ("aeanet-em", {"upscale": 3}, "upscale"),
        (
            "aeanet-flywing",
            {"restoration": {"upscale": 2}},
            "restoration.upscale: found 2, expected 1 after a projection",
        ),
        (
            "unet-mri",
            {"upscale": 2, "last_activation": "softmax"},
            "upscale: found 2, expected 1 where last_activation",
        ),
        ("ssan", {"upscale": 2}, "upscale"),
    ],
)
def test_what_cannot_be_larger_is_refused(preset, changes, reason):
    spec = presets[preset].model_dump()
    inner = changes.pop("restoration", None)
    spec |= changes | ({"restoration": spec["restoration"] | inner} if inner else {})
    with pytest.raises(InputError, match=reason):
        as_spec(spec)

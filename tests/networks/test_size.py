"""The weights of a network are counted without building it."""

import math

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks import CARESpec, as_spec, build_network, presets
from aeanet_tf.networks.attention_spec import INITIALIZERS
from aeanet_tf.networks.size import kernel_weights
from tests.networks.literature import SMALL, small

EM = presets["aeanet-em"].replace(first_filters=8)
SSAN = presets["ssan"].replace(filters=8, blocks=2, growth=4)
FLYWING = presets["gvtnet-flywing"].replace(restoration={"first_filters": 4})
SPECS = {
    "em": EM,
    "volume": presets["gvtnet-care"].replace(first_filters=4),
    "label-free": presets["gvtnet-labelfree"].replace(first_filters=4),
    "learned query": presets["learned-query-em"].replace(first_filters=8),
    "every operator": EM.replace(
        encoding_blocks=(0, 2, 1),
        decoding_blocks=(0, 2),
        downsampling=("attention_v1", "residual"),
        upsampling=("attention_v1", "attention"),
        upsampling_heads=4,
        attention={"value_filters": 16},
    ),
    "probabilistic": EM.replace(
        probabilistic=True, bottom=("residual", "attention"), skip="add", first_shortcut="convolution"
    ),
    "projection": FLYWING,
    "projection without attention": FLYWING.replace(operators="residual", levels=1),
    "fnet": presets["fnet-labelfree"].replace(dimension=2, depth=3, first_filters=4),
    **{attention: SSAN.replace(attention=attention) for attention in ("sparse", "interlaced", "long", "dense", "aea")},
    "ssan of a U-Net": SSAN.replace(extractor="unet", attention="none"),
    "ssan of one order": SSAN.replace(symmetric=False, siamese=False),
    "ssan of two orders": SSAN.replace(symmetric=False),
    "kernels": presets["sepconv"].replace(filters=8, kernel_size=5),
    "kernels of both orders": SSAN.replace(synthesis="kernels"),
    "flow": presets["flow-interpolation"].replace(filters=4, in_channels=4, out_channels=2),
    "flow of both orders": presets["flow-interpolation"].replace(filters=4, siamese=True, symmetric=True),
    **{name: small(name, dimension=2 + i % 2) for i, name in enumerate(SMALL)},
    "nested, interpolated and probabilistic": small(
        "unet-plusplus", depth=4, upsampling="linear", probabilistic=True, bottom="global"
    ),
    "care": CARESpec(n_first=4, n_depth=3, probabilistic=True),
    "projecting care": CARESpec(
        dimension=3, in_channels=2, out_channels=2, n_first=4, projection={"n_conv_per_depth": 2, "kern": (1, 3, 5)}
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_as_many_as_the_built_network_has(name):
    network = build_network(SPECS[name])
    # Biases and norms have one axis.
    built = sum(math.prod(v.shape) for v in network.weights if len(v.shape) > 1)
    assert kernel_weights(SPECS[name]) == built > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 60},
        {"depth": 10**12},
        {"encoding_blocks": [10**7, 1, 0]},
        {"encoding_blocks": [1] * 10**5},
        {"bottom": ["attention"] * 1000},
        {"first_filters": 2**40},
        {"input_size": [10**9, 10**9]},
        {"epsilon": float("inf")},
        {"kernel_initializer": "glorot_unifrom"},
        {"kernel_initializer": "identity"},
    ],
)
def test_what_no_machine_can_build_is_refused(fields):
    with pytest.raises(InputError) as caught:
        as_spec({**EM.model_dump(), **fields})
    assert next(iter(fields)) in str(caught.value) and len(str(caught.value)) < 900


def test_initialisers_are_those_of_keras():
    import keras

    for name in INITIALIZERS:
        assert keras.initializers.get(name)((3, 3, 2, 4)).shape == (3, 3, 2, 4)
        camel = name.title().replace("_", "")
        assert as_spec({**EM.model_dump(), "kernel_initializer": camel}).kernel_initializer == camel

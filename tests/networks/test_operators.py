"""Operators chosen one by one: kinds of each level, versions of residual paths, widths of keys and values, ReLU."""

import numpy as np
import pytest

from aeanet_tf.layers import PreActivation
from aeanet_tf.networks import build_network, presets
from aeanet_tf.networks.keras_internals import flattened_layers
from tests.interop.tf1 import network
from tests.layers.oracle import images, relative_error
from tests.networks import by_hand

CARE = presets["gvtnet-care"].replace(dimension=2, first_filters=4)
WIDTHS = {"key_filters": 6, "value_filters": 10}
V1_DOWN_V2_UP = {"downsampling": ("attention_v1",) * 2, "upsampling": ("attention_v2",) * 2}
NETWORKS = {
    "v1 down, v2 up": (V1_DOWN_V2_UP, {}),
    "each level its own": (
        {"downsampling": ("convolution", "attention_v1"), "upsampling": ("attention_v2", "attention_v1")},
        {},
    ),
    "others beside attention": (
        {"downsampling": ("attention_v2", "residual"), "upsampling": ("transposed_convolution", "attention_v1")},
        {},
    ),
    "widths": (V1_DOWN_V2_UP, {"attention": WIDTHS}),
    # Attention multiplies three features, which a ReLU does not bound: after several the output would be out of range.
    "ReLU": (
        {"downsampling": ("convolution", "residual"), "upsampling": ("transposed_convolution", "attention_v1")},
        {"activation": "relu"},
    ),
}
# Bright enough for features above 6.
IMAGE = 6 * images(8, 12, 1)


@pytest.mark.parametrize("case", NETWORKS)
def test_the_network_is_the_one_written_out(case):
    operators, changes = NETWORKS[case]
    model, variables = network(CARE.replace(**operators, **changes))
    found = np.asarray(model(IMAGE[None]))[0]
    largest = np.inf if changes.get("activation") == "relu" else 6
    assert relative_error(found, by_hand.unet(variables, IMAGE, **operators, largest=largest)) < 1e-5
    # The output without the network, and with the other activation, are far away: what is compared can fail.
    assert relative_error(found, IMAGE) > 1e-2
    other = 6 if largest > 6 else np.inf
    assert relative_error(found, by_hand.unet(variables, IMAGE, **operators, largest=other)) > 1e-2


def test_widths_are_those_of_the_weights():
    variables = network(CARE.replace(**V1_DOWN_V2_UP, attention=WIDTHS))[1]
    shapes = {name: value.shape for name, value in variables.items()}
    for block, channels, filters in (
        ("encoding_block_2/downsampling", 4, 8),
        ("bottom_block/block_0", 16, 16),
        # The query of v2 is added to the output: it has its channels, and the key those of the query.
        ("decoding_block_1/upsampling", 8, 4),
    ):
        keys = filters if block.startswith("decoding") else 6
        assert shapes[f"{block}/attention/k_transform/kernel"] == (1, 1, channels, keys)
        assert shapes[f"{block}/attention/q_transform/bias"] == (keys,)
        assert shapes[f"{block}/attention/v_transform/kernel"] == (1, 1, channels, 10)
        assert shapes[f"{block}/attention/out_transform/kernel"] == (1, 1, 10, filters)


def activations(model):
    """Those of every pre-activation of a network."""
    return {layer.activation for layer in flattened_layers(model) if isinstance(layer, PreActivation)}


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("aeanet-flywing", {"filters": 4, "restoration": {"first_filters": 4, "activation": "relu"}}),
        ("unet-labelfree", {"first_filters": 4}),
        ("ssan", {"filters": 8, "attention": "aea"}),
    ],
)
def test_relu_is_everywhere(preset, changes):
    assert activations(build_network(presets[preset].replace(**changes, activation="relu"))) == {"relu"}
    changes = {"filters": 4} if preset.endswith("flywing") else changes
    assert activations(build_network(presets[preset].replace(**changes))) == {"relu6"}

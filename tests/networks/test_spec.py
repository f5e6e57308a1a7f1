"""Validation of specs: what is wrong is named by its field."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from aeanet_tf.errors import InputError
from aeanet_tf.layers import AttentionAwareLayer, TakesContext
from aeanet_tf.networks import NetworkGraph, as_spec, build_network, presets
from tests.networks.literature import SMALL

EM, CARE, FLYWING = (presets[f"gvtnet-{name}"] for name in ("em", "care", "flywing"))
LEARNED = presets["learned-query-em"]

# Changed fields of a spec, and what the message must say: the field, what was found, what was expected.
WRONG = {
    "encoding blocks": (EM, {"encoding_blocks": (1, 1)}, "encoding_blocks: found 2 entries, expected 3"),
    "decoding blocks": (EM, {"decoding_blocks": (1, 1, 1)}, "decoding_blocks: found 3 entries, expected 2"),
    "depth alone": (EM, {"depth": 4}, "encoding_blocks: found 3 entries, expected 4"),
    "heads at the bottom": (EM, {"attention__num_heads": 3}, r"num_heads: found 3, .* 128 filters at level 3"),
    "heads at a finer level": (
        CARE,
        {"attention__num_heads": 64},
        r"attention.num_heads: found 64, .* 32 filters at level 1",
    ),
    "heads when going down": (
        EM,
        {"downsampling": "attention", "attention__num_heads": 128},
        r"attention.num_heads: found 128, .* 64 filters at level 2",
    ),
    "down-samplings": (EM, {"downsampling": ("convolution",)}, "downsampling: found 1 entries, expected 2"),
    "one down-sampling": (
        EM,
        {"downsampling": ("convolution", "pool")},
        r"downsampling\.(each\.)?1(.|\n)*'attention_v1'",
    ),
    "heads of one down-sampling": (
        EM,
        {"downsampling": ("convolution", "attention_v1"), "bottom": (), "attention__num_heads": 3},
        r"attention.num_heads: found 3, .* 128 filters at level 3",
    ),
    "heads of keys": (EM, {"attention__key_filters": 5}, r"num_heads: found 2, expected a divisor of key_filters = 5"),
    "heads of values": (FLYWING, {"attention__value_filters": 5}, "num_heads: found 2, .* value_filters = 5"),
    "keys without effect": (
        CARE,
        {"attention__key_filters": 16, "bottom": ("residual",)},
        r"attention.key_filters: found 16, expected none where every operator adds its query",
    ),
    "activation": (EM, {"activation": "elu"}, r"activation(.|\n)*'relu6' or 'relu'"),
    "operator": (
        EM,
        {"downsampling": "pooling"},
        r"downsampling(.|\n)*('attention'(.|\n)*pooling|pooling.*'attention')",
    ),
    "block": (EM, {"bottom": ("attention", "dense")}, r"bottom.1(.|\n)*('residual'(.|\n)*dense|dense.*'residual')"),
    "normalization": (EM, {"attention__normalization": "size"}, r"attention.normalization(.|\n)*size"),
    "negative": (EM, {"encoding_blocks": (1, -1, 0)}, r"encoding_blocks.1(.|\n)*(greater|at least 0)"),
    "dimension": (EM, {"dimension": 4}, r"dimension(.|\n)*(2 or 3(.|\n)*4|4, expected 2 or 3)"),
    "offset": (CARE, {"out_channels": 2}, r"output_offset: .*in_channels \(1\).*out_channels \(2\)"),
    "query without size": (EM, {"attention__query": "learned"}, "input_size: found none, .*attention.query"),
    "size not divisible": (LEARNED, {"input_size": (256, 250)}, "input_size: found 250, expected a multiple of 4"),
    "size of another rank": (LEARNED, {"dimension": 3}, "input_size: found 2 entries, expected one for each of 3"),
    "restoration in 3D": (FLYWING, {"restoration__dimension": 3}, "restoration.dimension: found 3, expected 2"),
    "restoration's channels": (FLYWING, {"in_channels": 2}, "restoration.in_channels: found 1, .* in_channels = 2"),
    "projection's heads": (FLYWING, {"filters": 9}, "attention.num_heads: found 2, expected a divisor of filters = 9"),
    "projection's query": (FLYWING, {"attention__query": "learned"}, "query: found 'learned', expected 'input'"),
    "restoration's blocks": (
        FLYWING,
        {"restoration__encoding_blocks": (1,)},
        "encoding_blocks: found 1 entries, expected 3",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_replace_names_the_field(case):
    spec, changes, message = WRONG[case]
    with pytest.raises(ValidationError, match=message):
        spec.replace(**changes)


@pytest.mark.parametrize("case", WRONG)
def test_as_spec_names_the_field_in_one_line(case):
    """The same through a dict, as a JSON file gives it."""
    spec, changes, message = WRONG[case]
    data = json.loads(spec.model_dump_json())
    for key, value in changes.items():
        *path, last = key.split("__")
        inner = data
        for part in path:
            inner = inner[part]
        inner[last] = value
    with pytest.raises(InputError, match=message) as caught:
        as_spec(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"filter": 3}, {"attention__heads": 3}, {"attention": {"heads": 3}}, {"filter__x": 3}],
)
def test_replace_refuses_an_unknown_field(changes):
    name = "filter" if "filter" in next(iter(changes)) else "attention.heads"
    with pytest.raises(ValidationError, match=rf"{name}\n.*not permitted"):
        EM.replace(**changes)


def test_replace_inside_a_number():
    with pytest.raises(ValidationError, match=r"depth\n.*integer"):
        EM.replace(depth__x=3)


def test_as_spec_refuses_what_is_no_spec():
    with pytest.raises(InputError, match=r"preset: found 'aeanet-me', expected one of .*aeanet-em"):
        as_spec("aeanet-me")
    with pytest.raises(InputError, match="depht: unknown key"):
        as_spec({**EM.model_dump(), "depht": 3})
    with pytest.raises(InputError, match="network: kind: found 'vnet'"):
        as_spec({**EM.model_dump(), "kind": "vnet"})
    for wrong in ({}, 3, None):
        with pytest.raises(InputError, match="network"):
            as_spec(wrong)


def test_replace_leaves_the_original_and_the_other_nested_fields():
    changed = presets["aeanet-em"].replace(attention={"num_heads": 4}, first_filters=16)
    assert (changed.attention.num_heads, changed.attention.shared_references) == (4, 64)
    assert (presets["aeanet-em"].attention.num_heads, presets["aeanet-em"].first_filters) == (2, 32)
    with pytest.raises(ValidationError):
        changed.depth = 4


@pytest.mark.parametrize("name", presets)
def test_json_round_trip(name):
    spec = presets[name]
    assert as_spec(json.loads(json.dumps(spec.model_dump()))) == spec
    assert as_spec(json.loads(spec.model_dump_json())) == spec
    assert as_spec(name) == as_spec(spec) == spec


def test_a_network_from_its_dict_has_the_same_weights():
    spec = CARE.replace(first_filters=2)
    shapes = [[(w.path, w.shape) for w in build_network(s).weights] for s in (spec, spec.model_dump())]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "depth", "encoding", "decoding"),
    [
        ("gvtnet-em", 2, (1, 0), (1,)),
        ("gvtnet-em", 3, (1, 1, 0), (1, 1)),
        ("gvtnet-em", 5, (1, 1, 1, 1, 0), (1, 1, 1, 1)),
        ("gvtnet-labelfree", 3, (1, 0, 0), (1, 1)),
        ("gvtnet-labelfree", 5, (1, 0, 0, 0, 0), (1, 1, 1, 1)),
    ],
)
def test_with_depth(name, depth, encoding, decoding):
    spec = presets[name].with_depth(depth)
    assert (spec.depth, spec.encoding_blocks, spec.decoding_blocks) == (depth, encoding, decoding)
    assert spec.divisor == (2 ** (depth - 1),) * spec.dimension
    model = build_network(spec.replace(first_filters=2, dimension=2))
    side = spec.divisor[0]
    assert model(np.zeros((1, side, 2 * side, 1), "float32")).shape == (1, side, 2 * side, 1)


def test_depth_repeats_operators_of_each_level():
    spec = CARE.replace(downsampling=("convolution", "attention_v1"), upsampling=("attention_v2", "attention_v1"))
    deeper = spec.with_depth(5)
    assert deeper.downsampling == ("convolution",) * 3 + ("attention_v1",)
    assert deeper.upsampling == ("attention_v2",) * 3 + ("attention_v1",)
    assert spec.with_depth(2).downsampling == ("attention_v1",)


@pytest.mark.parametrize("name", presets)
def test_number_of_attention_operators(name):
    spec = presets[name]
    tiny = {
        "projection": {"filters": 2, "restoration__first_filters": 2},
        "ssan": {"filters": 8},
        "unet": {"first_filters": 2},
        "fnet": {"first_filters": 2},
    }
    nodes = NetworkGraph(build_network(spec.replace(**(SMALL.get(name) or tiny[spec.kind])))).nodes
    found = sum(isinstance(node.layer, (TakesContext, AttentionAwareLayer)) for node in nodes)
    assert found == spec.replace(**SMALL.get(name, {})).n_attention

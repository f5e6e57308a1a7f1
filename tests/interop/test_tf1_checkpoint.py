"""Checkpoints of the original programs become the networks they are of, with every variable accounted for."""

import logging
import re

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.tf1_checkpoint import identify, import_checkpoint, match_variables, read_checkpoint
from aeanet_tf.models.folder import load_model
from aeanet_tf.networks import presets
from tests.interop.tf1 import network, with_slots, write_checkpoint
from tests.layers.oracle import relative_error
from tests.models import contents
from tests.networks import by_hand


def small(name, **changes):
    """A published network with few channels and references."""
    spec = presets[name]
    references = {"attention__shared_references": 3} if spec.attention.shared_references else {}
    if spec.kind == "projection":
        inner = {f"restoration__{key}": value for key, value in {"first_filters": 4, **references, **changes}.items()}
        return spec.replace(filters=4, **references, **inner)
    return spec.replace(**{"first_filters": 4, **references, **changes})


CARE = {"preset": "gvtnet-care", "overrides": ["first_filters=4"]}
VALUES = {"value_filters": 10}
TINY = {"depth": 2, "encoding_blocks": (1, 0), "decoding_blocks": (1,)}

NETWORKS = {
    "em": ("aeanet-em", {}),
    "em 3D": ("aeanet-em", {"dimension": 3, "attention__batch_aware": False}),
    "em 17 references": ("aeanet-em", {"attention__shared_references": 17}),
    "em channels": ("aeanet-em", {"in_channels": 2, "out_channels": 3, "first_filters": 6}),
    "em sigma": ("aeanet-em", {"probabilistic": True}),
    "em deeper": (
        "aeanet-em",
        {"depth": 4, "encoding_blocks": (1, 0, 2, 1), "decoding_blocks": (0, 2, 1), "bottom": ("attention",) * 2},
    ),
    "em added": ("aeanet-em", {"skip": "add"}),
    "em without decoding blocks": ("aeanet-em", {"decoding_blocks": (0, 0)}),
    "em added without decoding blocks": ("aeanet-em", {"skip": "add", "decoding_blocks": (0, 0)}),
    "gvtnet-em": ("gvtnet-em", {}),
    "unet-em": ("unet-em", {}),
    "care": ("gvtnet-care", {}),
    "care sigma": ("gvtnet-care", {"probabilistic": True}),
    "care 2D": ("gvtnet-care", {"dimension": 2, "probabilistic": True}),
    "care channels": ("gvtnet-care", {"in_channels": 3, "output_offset": False}),
    "care without decoding blocks": ("gvtnet-care", {"decoding_blocks": (0, 0), "skip": "add"}),
    "care references": ("aeanet-care", {}),
    "unet-care": ("unet-care", {}),
    "down v1": ("gvtnet-care", {"downsampling": "attention", "attention__residual": "v1"}),
    "down v2": ("gvtnet-care", {"downsampling": "attention"}),
    "up v1": ("gvtnet-care", {"attention__residual": "v1"}),
    "down v1, up v2": ("gvtnet-care", {"downsampling": "attention_v1", "upsampling": "attention_v2"}),
    "operators of each level": (
        "gvtnet-care",
        {"downsampling": ("convolution", "attention_v1"), "upsampling": ("attention_v2", "transposed_convolution")},
    ),
    "convolutions of both kinds": ("unet-care", {"downsampling": ("residual", "convolution")}),
    "widths": (
        "aeanet-care",
        {"downsampling": "attention_v1", "upsampling": "attention_v2", "attention": {"key_filters": 6, **VALUES}},
    ),
    "keys": ("gvtnet-care", {"attention": {"residual": "v1", "key_filters": 8}}),
    "values": ("gvtnet-flywing", {"attention": VALUES}),
    "labelfree": ("gvtnet-labelfree", {}),
    "labelfree references": ("aeanet-labelfree", {}),
    "flywing": ("gvtnet-flywing", {}),
    "flywing references": ("aeanet-flywing", {}),
    "unet-flywing": ("unet-flywing", {}),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_the_network_is_told_from_names_and_shapes(case):
    name, changes = NETWORKS[case]
    spec = small(name, **changes)
    model, variables = network(spec)
    assert identify(variables) == (name, spec)
    pairs, problems = match_variables(model, variables)
    assert not problems and len(pairs) == len(variables)


@pytest.mark.parametrize("case", ["em", "em 3D", "care 2D", "down v1", "labelfree", "flywing references", "unet-em"])
def test_the_imported_model_is_the_network(case, tmp_path):
    name, changes = NETWORKS[case]
    spec = small(name, **changes)
    model, variables = network(spec)
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", with_slots(variables))
    folder = import_checkpoint(prefix, tmp_path / "models" / "m")
    assert sorted(contents(tmp_path / "models")) == ["m/config.json", "m/normalization.json", "m/weights_best.h5"]
    loaded = load_model(folder)
    assert loaded.config.preset == name and loaded.spec == spec
    x = np.random.default_rng(1).random((1, *[16] * spec.dimension, 1)).astype("float32")
    assert relative_error(loaded.keras_model(x), model(x)) < 1e-6
    for ours, theirs in zip(loaded.keras_model.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)


@pytest.fixture(scope="module")
def em():
    return network(small("aeanet-em", **TINY))[1]


def _batch_norm(name, channels):
    return {f"{name}/{part}": (channels,) for part in ("beta", "gamma", "moving_mean", "moving_variance")}


def _residual_block(name, channels, filters):
    shortcut = {f"{name}/projection_shortcut/kernel": (1, 1, channels, filters)} if channels != filters else {}
    return {
        **_batch_norm(f"{name}/batch_norm_1", channels),
        **_batch_norm(f"{name}/batch_norm_2", filters),
        f"{name}/convolution_1/kernel": (3, 3, channels, filters),
        f"{name}/convolution_2/kernel": (3, 3, filters, filters),
        **shortcut,
    }


def test_names_and_shapes_of_the_original_program(em):
    """Written out as the programs make them, not by the mapping."""
    expected = {
        "first_convolution/kernel": (3, 3, 1, 4),
        **_residual_block("encoding_block_1/res_0", 4, 4),
        "encoding_block_2/downsampling/convolution/kernel": (3, 3, 4, 8),
        **_batch_norm("bottom_block/block_0/batch_norm", 8),
        "bottom_block/block_0/attention/nl_library": (1, 3, 8),
        "decoding_block_1/upsampling/transposed_convolution/kernel": (4, 4, 4, 8),
        **_residual_block("decoding_block_1/res_0", 8, 4),
        **_batch_norm("batch_normalization", 4),
        "out_conv/kernel": (1, 1, 4, 1),
    }
    for part in "q", "k", "v", "out":
        expected[f"bottom_block/block_0/attention/{part}_transform/kernel"] = (1, 1, 8, 8)
        expected[f"bottom_block/block_0/attention/{part}_transform/bias"] = (8,)
    assert {name: value.shape for name, value in em.items()} == expected


def test_gvtnet_names_of_the_output():
    variables = network(small("gvtnet-labelfree"))[1]
    outputs = {name.rpartition("/")[0] for name in variables if not re.match(r"first|(en|de)coding|bottom", name)}
    assert outputs == {"batch_norm_output", "output_convolution"}


def test_the_optimisers_variables_are_listed_and_left_out(em, tmp_path, caplog):
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", with_slots(em))
    variables, slots = read_checkpoint(prefix)
    assert variables.keys() == em.keys()
    assert set(slots) == with_slots(em).keys() - em.keys() and len(slots) > 20
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        import_checkpoint(prefix, tmp_path / "m")
    (line,) = [m for m in caplog.messages if m.startswith("not imported, ")]
    assert all(slot in line for slot in slots)
    total = sum(value.size for value in em.values())
    assert f"imported {len(em)} variables with {total} values" in caplog.messages


def test_what_is_not_shown_is_said_and_can_be_set(em, tmp_path, caplog):
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", em)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        folder = import_checkpoint(prefix, tmp_path / "m", overrides=["attention.num_heads=4", "output_offset=true"])
    spec = load_model(folder).spec
    assert spec.attention.num_heads == 4 and spec.output_offset
    (line,) = [m for m in caplog.messages if m.startswith("not shown")]
    assert "attention.normalization = key_length" in line and "epsilon" in line and "num_heads" not in line


def test_what_has_no_effect_is_not_said(tmp_path, caplog):
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", network(small("unet-care"))[1])
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        import_checkpoint(prefix, tmp_path / "m")
    assert caplog.messages[-2].endswith(
        "changes them): activation = relu6, output_offset = True, last_activation = linear"
    )


def test_a_preset_decides_what_is_not_shown():
    """Batch-aware attention is off in 3D unless the preset says so; sigma and references are the checkpoint's."""
    changes = {"dimension": 3, "probabilistic": True, "attention__shared_references": 5}
    variables = network(small("aeanet-em", **changes))[1]
    for preset, batch_aware in ((None, False), ("aeanet-em", True)):
        expected = small("aeanet-em", **changes, attention__batch_aware=batch_aware)
        assert identify(variables, preset, ["first_filters=4"]) == ("aeanet-em", expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"downsampling": "attention"},
        {"attention__residual": "v1"},
        {"downsampling": ("convolution", "attention_v1"), "upsampling": "attention_v2"},
        {"attention": {"key_filters": 6, **VALUES}},
    ],
)
def test_gvtos_of_the_checkpoint_stand_beside_a_preset(changes):
    spec = small("gvtnet-care", **changes)
    assert identify(network(spec)[1], **CARE) == ("gvtnet-care", spec)


ATTENTION = "bottom_block/block_0/attention"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_convolution/kernel": None}, r"first_convolution/kernel: missing, expected shape \(3, 3, 1, 4\)"),
        ({f"{ATTENTION}/q_transform/bias": None}, r"attention/q_transform/bias: missing, expected shape \(8,\)"),
        ({f"{ATTENTION}/nl_library": None}, r"nl_library: missing.*--set attention.shared_references=0"),
        ({"batch_normalization/gamma": None}, r"batch_normalization/gamma: missing, expected shape \(4,\)"),
        ({"out_conv/kernel": None}, r"out_conv/kernel: missing"),
        ({"encoding_block_2/downsampling/convolution/kernel": None}, "downsampling/convolution/kernel: missing"),
        ({"first_convolution/kernel": (3, 3, 1, 8)}, r"first_convolution/kernel: shape \(3, 3, 1, 8\), expected"),
        ({"first_convolution/kernel": (3, 3, 4)}, r"first_convolution/kernel: shape \(3, 3, 4\), expected"),
        ({"out_conv/kernel": (1, 1, 5, 1)}, r"out_conv/kernel: shape \(1, 1, 5, 1\), expected \(1, 1, 4, 1\)"),
        ({"decoding_block_1/res_0/convolution_1/kernel": (3, 3, 7, 4)}, r"convolution_1/kernel: shape \(3, 3, 7, 4\)"),
        ({f"{ATTENTION}/v_transform/kernel": (8, 8)}, r"v_transform/kernel: shape \(8, 8\), expected \(1, 1, 8, 8\)"),
        ({f"{ATTENTION}/extra/kernel": (3,)}, r"attention/extra/kernel: not in this network, shape \(3,\)"),
        ({"vgg/conv1/kernel": (3, 3, 3, 64)}, r"vgg/conv1/kernel: not in this network"),
        ({"output_convolution/kernel": (1, 1, 4, 1)}, r"output_convolution/kernel: not in this network"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(em, tmp_path, change, message):
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", changed(em, change))
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(prefix, tmp_path / "m")
    # Nothing else is complained of.
    assert len(re.findall(r": missing|: shape|: not in this", str(error.value))) == 1, error.value
    assert not (tmp_path / "m").exists()


def changed(variables, change):
    """The variables with some left out (None) or zeros of another shape."""
    variables = {name: value for name, value in variables.items() if name not in change}
    return {**variables, **{name: np.zeros(shape, "float32") for name, shape in change.items() if shape}}


@pytest.mark.parametrize(
    ("changes", "change", "arguments", "message"),
    [
        # With a preset the number of references, 0 too, is no longer a guess.
        ({}, {}, {"preset": "aeanet-care", "overrides": ["first_filters=4"]}, "nl_library: missing, expected shape"),
        ({}, {"first_convolution/kernel": None}, CARE, r"first_convolution/kernel: missing"),
        ({}, {}, {"preset": "gvtnet-care"}, r"looks like gvtnet-care \(first_filters = 4, not 32\)"),
        (
            {},
            {},
            {"preset": "gvtnet-em"},
            r"looks like gvtnet-care \(first_filters = 4, not 32, batch_norm = False, not True\)",
        ),
        ({}, {}, {"preset": "gvtnet-flywing"}, r"projection/Conv_down_0/kernel: missing.*kind = unet, not projection"),
        ({"skip": "add"}, {}, CARE, r"convolution_1/kernel: shape .*skip = add, not concat"),
        ({}, {}, {"preset": "gvtnet-care-2"}, "preset: found 'gvtnet-care-2', expected one of .*gvtnet-care"),
        ({}, {}, {"overrides": ["attention.heads=1"]}, "attention.heads: unknown key"),
        ({}, {}, {"overrides": ["attention.num_heads=3"]}, "found 3, expected a divisor"),
        ({}, {}, {"overrides": ["attention.num_heads"]}, "--set: found 'attention.num_heads', expected key=value"),
        ({}, {}, {"axes": "YX"}, "axes: found 'YX', expected 3 different letters of TZYX"),
    ],
)
def test_what_does_not_fit_the_choice_is_one_line(tmp_path, changes, change, arguments, message):
    variables = changed(network(small("gvtnet-care", **changes))[1], change)
    prefix = write_checkpoint(tmp_path / "model.ckpt-1", variables)
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(prefix, tmp_path / "m", **arguments)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "m").exists()


def test_a_network_of_both_versions_computes_what_its_checkpoint_says(tmp_path, caplog):
    """Down-sampling v1 beside up-sampling v2, against the operators written out in NumPy."""
    operators = {"downsampling": ("attention_v1",) * 2, "upsampling": ("attention_v2",) * 2}
    spec = small("gvtnet-care", dimension=2, **operators, attention={"key_filters": 6, **VALUES})
    variables = network(spec)[1]
    prefix = write_checkpoint(tmp_path / "model.ckpt-1", with_slots(variables))
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        model = load_model(import_checkpoint(prefix, tmp_path / "m"))
    assert "downsampling = attention_v1, upsampling = attention_v2, " in caplog.messages[0]
    image = np.random.default_rng(2).random((8, 12, 1)).astype("float32")
    expected = by_hand.unet(variables, image, **operators)
    assert relative_error(model.keras_model(image[None])[0], expected) < 1e-4
    assert relative_error(image, expected) > 1e-2


def test_variables_of_another_program_and_of_no_number(em, tmp_path):
    with pytest.raises(InputError, match="no variables of a network of AEANet or GVTNet, found vgg/kernel"):
        identify({"vgg/kernel": np.zeros((3, 3, 1, 4))})
    broken = {**em, "out_conv/kernel": np.full((1, 1, 4, 1), np.nan, "float32")}
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", broken)
    with pytest.raises(InputError, match="out_conv/kernel: holds values that are not finite"):
        import_checkpoint(prefix, tmp_path / "m")

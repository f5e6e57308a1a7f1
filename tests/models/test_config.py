"""Configurations: presets in CSBDeep's clothes."""

import json

import pytest
from csbdeep.models import Config, ProjectionConfig

from aeanet_tf.errors import InputError
from aeanet_tf.models import (
    AEANetConfig,
    ProjectionAEANetConfig,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
)
from aeanet_tf.networks import presets


def reloaded(config):
    return type(config)(**json.loads(json.dumps(vars(config))))


def test_defaults_name_the_published_networks():
    assert AEANetConfig("YX").spec == presets["aeanet-care"].replace(dimension=2)
    assert not AEANetConfig("YX").spec.batch_norm and AEANetConfig("YX").spec.output_offset
    assert AEANetConfig("YX", preset="aeanet-em").spec == presets["aeanet-em"]
    assert AEANetConfig("ZYX").spec == presets["aeanet-care"]
    assert ProjectionAEANetConfig("ZYX").spec == presets["aeanet-flywing"]


def test_axes_decide_the_dimension_of_any_preset():
    spec = AEANetConfig("YX", preset="gvtnet-labelfree", n_channel_in=2, n_channel_out=3).spec
    assert spec == presets["gvtnet-labelfree"].replace(dimension=2, in_channels=2, out_channels=3)
    assert AEANetConfig("YX", n_channel_in=2, preset="gvtnet-care").spec.output_offset is False


@pytest.mark.parametrize(
    "config",
    [  # one a line
        AEANetConfig("ZYX", probabilistic=True, unet_n_depth=3, unet_n_first=16, train_batch_size=3),
        AEANetConfig("YX", train_devices=["GPU:0", "GPU:1"]),
        AEANetConfig("YX", network={"skip": "add"}, train_learning_rate_decay={"rate": 0.5, "steps": 9}),
        ProjectionAEANetConfig("ZYX", preset="gvtnet-flywing", network={"filters": 4}, unet_n_first=8),
    ],
)  # fmt: skip
def test_a_configuration_survives_its_json(config):
    again = reloaded(config)
    assert again.is_valid()
    plain = lambda c: json.loads(json.dumps(vars(c)))  # noqa: E731  tuples become lists either way
    assert plain(again) == plain(config)
    assert again.spec == config.spec


def test_network_fields_and_unet_attributes_change_the_spec():
    config = AEANetConfig("YX", network={"attention": {"shared_references": 16}}, unet_n_first=8, unet_residual=True)
    expected = presets["aeanet-care"].replace(
        dimension=2, first_filters=8, output_offset=True, attention={"shared_references": 16}
    )
    assert config.spec == expected
    # What CARE's code reads says the same.
    assert (config.unet_n_first, config.unet_residual, config.unet_n_depth) == (8, True, 2)


def test_depth_repeats_or_drops_inner_levels():
    blocks = {d: AEANetConfig("YX", unet_n_depth=d).spec for d in (1, 2, 4)}
    assert [(s.depth, s.encoding_blocks, s.decoding_blocks) for s in blocks.values()] == [
        (2, (1, 0), (1,)),
        (3, (1, 1, 0), (1, 1)),
        (5, (1, 1, 1, 1, 0), (1, 1, 1, 1)),
    ]


def test_depth_fills_in_what_is_not_given():
    assert AEANetConfig("YX", network={"depth": 4}).spec == AEANetConfig("YX", unet_n_depth=3).spec
    given = AEANetConfig("YX", network={"depth": 4, "encoding_blocks": [2, 1, 1, 0]}).spec
    assert given.encoding_blocks == (2, 1, 1, 0) and given.decoding_blocks == (1, 1, 1)
    flywing = ProjectionAEANetConfig("ZYX", network={"restoration": {"depth": 2, "first_filters": 8}}).spec
    assert flywing.restoration.encoding_blocks == (1, 0) and flywing.restoration.first_filters == 8
    with pytest.raises(InputError, match=r"network: depth: found 1, expected at least 2"):
        AEANetConfig("YX", network={"depth": 1})
    with pytest.raises(InputError, match="encoding_blocks: found 2 entries, expected 4"):
        AEANetConfig("YX", network={"depth": 4, "encoding_blocks": [1, 0]})


def test_restoration_is_trained_as_measured_unless_a_schedule_is_given():
    ours, care = AEANetConfig("YX"), Config("YX")
    assert (ours.train_learning_rate, ours.train_clip_norm, ours.train_reduce_lr) == (2e-3, 0.3, None)
    assert ours.train_learning_rate_cosine == {"warmup": 0.1, "final": 0.0}
    assert AEANetConfig("YX", train_learning_rate=1e-4).train_learning_rate == 1e-4
    others = [
        AEANetConfig.from_csbdeep(care),
        AEANetConfig("YX", train_reduce_lr=care.train_reduce_lr),
        AEANetConfig("YX", train_learning_rate_decay={"rate": 0.5, "steps": 9}),
        SegmentationAEANetConfig("YX"),
        SliceInterpolationConfig(),
    ]
    for config in others:
        assert config.train_learning_rate == care.train_learning_rate
        assert config.train_learning_rate_cosine is None and config.train_clip_norm is None
    assert [config.train_reduce_lr for config in others[3:]] == [care.train_reduce_lr] * 2
    # A folder of before has a schedule in its configuration, and keeps it.
    kept = {key: value for key, value in vars(others[0]).items() if key not in ("train_clip_norm", "train_average")}
    assert AEANetConfig(**kept).train_reduce_lr == care.train_reduce_lr


def test_a_care_script_is_trained_as_care_trains():
    """Whoever changes the class of the model alone gets what CSBDeep's configuration says, and what CARE does."""
    care = Config("YX")
    taken = vars(AEANetConfig.from_csbdeep(care))
    shared = {key: value for key, value in vars(care).items() if key.startswith("train_")}
    assert {key: taken[key] for key in shared} == shared and shared["train_tensorboard"]
    assert (taken["train_augment"], taken["train_seed"]) == (False, None)
    ours = AEANetConfig("YX")
    assert (ours.train_augment, ours.train_seed, ours.train_tensorboard) == (True, 0, False)


def test_a_care_configuration_is_taken_over():
    care = Config("ZYX", 2, 2, probabilistic=True, unet_n_depth=3, unet_n_first=16, train_batch_size=4, train_epochs=7)
    config = AEANetConfig.from_csbdeep(care)
    assert config.is_valid()
    assert config.spec == presets["aeanet-care"].with_depth(4).replace(
        in_channels=2, out_channels=2, first_filters=16, probabilistic=True, output_offset=True
    )
    assert (config.train_batch_size, config.train_epochs, config.train_loss) == (4, 7, "laplace")
    projection = ProjectionAEANetConfig.from_csbdeep(ProjectionConfig("ZYX", unet_n_first=8))
    assert projection.spec.restoration.first_filters == 8 and projection.proj_pool == [1, 4, 4]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AEANetConfig("YX", preset="aeanet"), "preset: found 'aeanet', expected one of aeanet-care"),
        (lambda: AEANetConfig("YX", network={"attention": {"num_heads": 3}}), "attention.num_heads: found 3"),
        (lambda: AEANetConfig("YX", network={"dept": 3}), r"network: dept: unknown key, did you mean depth\?"),
        (
            lambda: AEANetConfig("YX", network={"attention": {"shared_reference": 3}}),
            r"network: attention\.shared_reference: unknown key, did you mean shared_references\?",
        ),
        (lambda: AEANetConfig("YX", train_patchsize=64), r"train_patchsize: .*, did you mean train_patch_size\?"),
        (lambda: AEANetConfig("YX", patch_size=64), r"AEANetConfig: patch_size: .*did you mean train_patch_size\?"),
        (
            lambda: AEANetConfig("ZYX", train_patch_size=64),
            r"train_patch_size: found 64, expected a list .*axes ZYX, such as \[64, 64, 64\]",
        ),
        (lambda: AEANetConfig("ZYX", preset="aeanet-flywing"), "projects 3D to 2D"),
        (lambda: ProjectionAEANetConfig("ZYX", preset="aeanet-care"), "does not project"),
        (lambda: ProjectionAEANetConfig("YZX"), "do not begin with the projected axis"),
    ],
)
def test_wrong_fields_are_named(make, message):
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train_beta_1", 1.0),
        ("train_learning_rate_decay", {"rate": 0.5}),
        ("train_patch_size", (8,)),
        ("train_seed", -1),
        ("train_devices", ["GPU"]),
        ("train_batch_norm_batches", 1.5),
        ("train_loss", "laplace"),
        ("train_loss", "pixel"),
        ("train_learning_rate_cosine", {"warmup": 1}),
        ("train_clip_norm", 0),
        ("train_weight_decay", -1),
        ("train_average", 1),
        ("train_early_stopping", {"patience": 0}),
        ("train_early_stopping", {"min_delta": 1}),
        ("train_match_targets", "yes"),
        ("train_baselines", None),
    ],
)
def test_invalid_training_values_are_found(field, value):
    config = AEANetConfig("YX", **{field: value})
    assert config.is_valid(return_invalid=True) == (False, (field,))


def test_staircase_and_plateau_exclude_each_other():
    decay = {"rate": 0.5, "steps": 10}
    assert AEANetConfig("YX", train_learning_rate_decay=decay).train_reduce_lr is None
    both = AEANetConfig("YX", train_learning_rate_decay=decay, train_reduce_lr={"patience": 3})
    assert both.is_valid(return_invalid=True) == (False, ("train_reduce_lr",))
    cosine = AEANetConfig("YX", train_learning_rate_cosine={"warmup": 0.2})
    assert cosine.is_valid() and cosine.train_reduce_lr is None
    cosine.train_learning_rate_decay = decay
    assert not cosine.is_valid()

"""Run configurations say what is wrong with them: the file, the field, what was found."""

import json

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks import presets
from aeanet_tf.runs.config import RunConfig, TrainingSection, load_run_config
from aeanet_tf.runs.data_sections import DATA_SECTIONS
from aeanet_tf.runs.shipped import shipped_configs
from tests.models import NETWORK, write_config


@pytest.fixture
def path(tmp_path):
    return write_config(tmp_path / "run.json")


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_give_valid_models(name):
    from aeanet_tf.runs.train import model_config

    config = load_run_config(name)
    assert config.model.preset in presets
    made = model_config(config)
    assert made.is_valid() and made.train_seed == config.training.seed
    assert made.n_channel_in == made.spec.in_channels and made.n_channel_out == made.spec.out_channels


@pytest.mark.parametrize(
    ("name", "preset", "loss", "epochs", "patches", "steps"),
    [
        ("planaria", "aeanet-care", "laplace", 80, 17_005, 85_025),
        ("flywing", "aeanet-flywing", "mae", 80, 16_891, 84_455),
        ("tribolium", "aeanet-care", "laplace", 50, 14_725, 46_016),
        ("planaria_gvtnet", "gvtnet-care", "laplace", 50, 17_005, 53_141),
        ("tribolium_gvtnet", "gvtnet-care", "laplace", 50, 14_725, 46_016),
        ("flywing_gvtnet", "gvtnet-flywing", "mae", 50, 16_891, 52_785),
    ],
)
def test_care_runs_are_trained_as_in_the_papers(name, preset, loss, epochs, patches, steps):
    """The training settings of the papers, and the numbers of patches that they state."""
    from aeanet_tf.runs.train import model_config

    config = load_run_config(name)
    made, length = model_config(config, patches), config.training.of_data(patches)
    assert (made.preset, made.train_loss, made.probabilistic) == (preset, loss, loss == "laplace")
    assert (config.training.epochs, length.steps) == (epochs, steps)
    assert (made.train_epochs, made.train_steps_per_epoch) == (epochs, -(-patches // 16)), "validated after each pass"
    assert (made.train_batch_size, made.train_learning_rate, made.train_beta_1) == (16, 4e-4, 0.5)
    assert made.train_learning_rate_decay == {"rate": 0.7, "steps": 10_000}
    assert made.train_reduce_lr is None
    assert made.train_patch_size is None, "the patches are given"
    assert config.data.kind == "npz"


def test_paired_em_is_trained_as_in_the_paper():
    """The settings of the AEANet paper, appendix V, and the rows of its table VI."""
    from aeanet_tf.runs.train import model_config

    attention = {}
    for name in (name for name in shipped_configs() if name.startswith("paired_em")):
        config = load_run_config(name)
        made = model_config(config)
        assert (made.train_loss, made.train_learning_rate, made.train_beta_1) == ("mae", 4e-4, 0.9)
        assert made.train_epochs * made.train_steps_per_epoch == 120_000
        assert (made.train_batch_size, made.train_patch_size) == (8, (256, 256))
        assert made.train_learning_rate_decay == {"rate": 0.5, "steps": 10_000}
        assert config.data.kind == "paired_em"
        assert config.data.normalization.model_dump() == {"kind": "range", "low": 0, "high": 255, "over": "all"}
        attends = made.spec.attention
        attention[name.removeprefix("paired_em_ablations/")] = (attends.batch_aware, attends.shared_references)
    assert attention == {
        "paired_em": (True, 64),
        "references_only": (False, 64),
        "batch_aware_only": (True, 0),
        "references_16": (True, 16),
        "references_32": (True, 32),
        "references_64": (True, 64),
    }


def test_label_free_structures_are_trained_as_in_the_paper():
    """The settings of the GVTNet paper, section 4.5.1; pixels resized to 0.29 micrometres."""
    from aeanet_tf.datasets.label_free import STRUCTURES
    from aeanet_tf.runs.train import model_config

    pixels = {"membrane_caax_63x": 0.086, "dic_lamin_b1": 0.172}
    for structure in STRUCTURES:
        config = load_run_config(f"label_free/{structure}")
        made = model_config(config)
        assert (made.train_loss, made.train_learning_rate, made.train_beta_1) == ("mse", 1e-3, 0.5)
        assert made.train_epochs * made.train_steps_per_epoch == 100_000 and not made.train_learning_rate_decay
        assert (made.train_batch_size, made.train_patch_size, config.model.axes) == (16, (32, 64, 64), "ZYX")
        data = config.data
        assert (data.kind, data.structure, data.normalization.kind) == ("label_free", structure, "standard")
        factor = pixels.get(structure, 0.108) / 0.29
        assert data.resize == pytest.approx((1, factor, factor), rel=1e-3)
    assert sum(name.startswith("label_free/") for name in shipped_configs()) == len(STRUCTURES) == 13


@pytest.mark.parametrize("file", ["paired_em.json", "planaria.json", "flywing.json", "label_free/dna.json"])
def test_one_override_chooses_unet_gvtnet_or_aeanet(file):
    from aeanet_tf.runs.train import model_config

    network = load_run_config(file).model.preset.split("-", 1)[1]
    for kind in ("unet", "gvtnet", "aeanet"):
        config = load_run_config(file, [f"model.preset={kind}-{network}"])
        spec = model_config(config).spec
        attends = spec.n_attention > 0
        assert attends == (kind != "unet")
        assert (attends and spec.attention.shared_references > 0) == (kind == "aeanet")


def test_initial_weights_are_found_under_their_former_name(path):
    config = load_run_config(path, ["model.start_from=models/old"])
    assert config.training.initial_weights == "models/old"
    assert config == load_run_config(path, ["training.initial_weights=models/old"])
    # As run.json of models was written that started from none.
    assert load_run_config(path, ["model.start_from=null"]) == load_run_config(path)
    with pytest.raises(InputError, match=r"model\.start_from: found it beside training\.initial_weights, its new name"):
        load_run_config(path, ["model.start_from=a", "training.initial_weights=b"])


def test_overrides_reach_every_kind_of_field(path):
    config = load_run_config(
        path,
        [
            "training.steps=500",
            "training.patch_size=[8, 12]",
            "training.learning_rate_decay.rate=0.5",
            "training.learning_rate_decay.steps=9",
            "model.name=another=one",
            "model.network.attention.shared_references=7",
            "model.network.skip=add",
            'data.normalization={"kind": "range", "low": 0, "high": 255}',
            "data.axes=null",
            "training.augment=false",
        ],
    )
    assert config.training.steps == 500 and config.training.patch_size == (8, 12)
    assert config.training.learning_rate_decay.model_dump() == {"rate": 0.5, "steps": 9}
    assert config.model.name == "another=one"
    assert config.model.network == {**NETWORK, "attention": {"shared_references": 7}, "skip": "add"}
    assert config.data.normalization.high == 255 and config.data.axes is None
    assert config.training.augment is False
    assert config.training.batch_size == 2, "what is not overridden stays"


def test_configurations_as_windows_editors_save_them(tmp_path):
    text = '{"model": {"name": "Größe"}, "data": {"kind": "npz"}}'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "c.json").write_text(text, encoding=encoding)
        assert load_run_config(tmp_path / "c.json").model.name == "Größe"


@pytest.mark.parametrize("text", ["2024", "007", "1.10", "1e3", "true", "[1]", '{"a": 1}', "NaN", "null2", "a=b"])
def test_a_value_is_a_text_where_the_field_is_one(path, text):
    config = load_run_config(path, [f"model.name={text}", f"data.low={text}", "training.steps=7"])
    assert (config.model.name, config.data.low, config.training.steps) == (text, text, 7)


def test_texts_can_be_quoted_and_messages_say_so(path):
    assert load_run_config(path, ['model.name="null"', "data.axes=null"]).model.name == "null"
    with pytest.raises(InputError, match=r"model\.name: found None, expected a text, in quotes"):
        load_run_config(path, ["model.name=null"])


def test_a_later_override_wins_and_sections_may_be_missing(tmp_path):
    (tmp_path / "c.json").write_text('{"model": {"name": "m"}}')
    config = load_run_config(tmp_path / "c.json", ["data.kind=sample", "data.kind=npz"])
    assert config.data.kind == "npz"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.step=5", r"training\.step: unknown key, did you mean steps\?"),
        ("training.patchsize=64", r"training\.patchsize: unknown key, did you mean patch_size\?"),
        ("trainings.steps=5", r"trainings: unknown key, did you mean training\?"),
        ("patch_size=64", r"patch_size: unknown key, did you mean training\.patch_size\?"),
        ("data.validation_spilt=0.2", r"data\.validation_spilt: unknown key, did you mean validation_split\?"),
        ("data.normalization.hihg=99", r"data\.normalization\.hihg: unknown key, did you mean high\?"),
        ("training.qwertz=1", r"training\.qwertz: unknown key$"),
        ('training.seed={"a": 1}', r"training\.seed: found \{'a': 1\}, expected a whole number"),
        ("data.series=some", r"data\.series: found 'some', expected a whole number or 'all'"),
        ("training.augment=maybe", r"training\.augment: found 'maybe', expected true or false"),
        ("training.steps=many", r"training\.steps: found 'many', expected a whole number"),
        ("training.steps=0", r"training\.steps: found 0, expected more than 0"),
        ("training.steps=1.5", r"training\.steps"),
        ('training={"steps": 5, "epochs": 2}', "steps, epochs: found 5 and 2, expected one of the two"),
        ("training.epochs=0", r"training\.epochs: found 0, expected more than 0"),
        ("training.learning_rate_decay.epochs=3", r"training\.learning_rate_decay\.rate: missing"),
        ('training={"steps": 5, "learning_rate_decay": {"rate": 0.5, "epochs": 3}}',
         r"learning_rate_decay\.epochs: found beside steps, expected steps there, too"),
        ("training.learning_rate=NaN", r"training\.learning_rate"),
        ("training.learning_rate=Infinity", r"training\.learning_rate"),
        ("training.beta_1=1", r"training\.beta_1"),
        ("training.seed=4294967296", r"training\.seed"),
        ("training.patch_size=16", r"training\.patch_size: found 16, expected a list, such as \[16, 16\]"),
        ("training.patch_size=[16]", r"training\.patch_size: \[16\], expected one number for each of the axes YX"),
        ("training.loss=ssim", r"training\.loss: found 'ssim', expected 'mae', 'mse', 'charbonnier', 'lap"),
        ("training.devices=0", r"training\.devices: found 0, expected a number of GPUs from 1, or a list"),
        ("training.devices=GPU:0", r"training\.devices: found 'GPU:0', expected"),
        ("training.devices=3", r"training\.devices: found 3 devices, expected a number that divides the batch size 2"),
        ("training.learning_rate_decay=0.5", r"training\.learning_rate_decay"),
        ('training.reduce_learning_rate={"patence": 3}', r"training\.reduce_learning_rate: .*patence: unknown key"),
        ('training.reduce_learning_rate={"factor": 2}', r"training\.reduce_learning_rate: .*factor"),
        ("training.reduce_learning_rate.monitor=5", r"training\.reduce_learning_rate: .*monitor: found 5, expected"),
        ('training={"accumulate": 3, "batch_size": 4, "patch_size": [16, 16]}',
         r"training\.accumulate: found 3, expected a divisor of batch_size"),
        ('training={"accumulate": 2, "batch_size": 4, "patch_size": [16, 16], "devices": 1}',
         r"training\.accumulate: found 2, expected 1 with devices"),
        ('training={"accumulate": 2, "batch_size": 4, "patch_size": [16, 16], "adversarial": {}}',
         r"training\.accumulate: found 2, expected 1 with adversarial"),
        ("training.adversarial.wieght=1", r"training\.adversarial\.wieght: unknown key, did you mean weight\?"),
        ("training.adversarial.depth=0", r"training\.adversarial\.depth: found 0, expected at least 1"),
        ("training.adversarial=yes", r"training\.adversarial: found 'yes', expected fields in braces"),
        ('training={"adversarial": {}, "patch_size": [16, 16], "devices": 1}',
         r"training\.adversarial: found one, expected null: devices is 1"),
        ('training={"adversarial": {}, "patch_size": [16, 16], "target": "noise2noise"}',
         r"training\.adversarial: found one, expected null: with target 'noise2noise' the noise"),
        ('training={"adversarial": {}, "patch_size": [16, 16]} model.probabilistic=true',
         r"training\.adversarial: found one, expected null: the mean and scale"),
        ('training={"adversarial": {}, "patch_size": [16, 16]} data={"kind":"isotropic","volumes":"v"}',
         r"training\.adversarial: found one, expected null: planes of two views"),
        ('training={"adversarial": {}, "patch_size": [16, 16]} data.kind=labels',
         r"training\.adversarial: found one, expected null: labels have no textures"),
        (f"training.batch_size={10**30}", r"training\.batch_size: found 10.*, expected less than"),
        ("training.devices=1000000000", r"training\.devices: found 1000000000, expected"),
        ("model.axes=TX", r"model\.axes: 'TX', expected 2 or 3 different letters of TZYX with Y and X"),
        ("model.name=../evil", r"model\.name: .*found '\.\./evil', expected a name inside"),
        ("model.name=/tmp/evil", r"model\.name: .*expected a name inside"),
        ("model.name=a/../../evil", r"model\.name: .*expected a name inside"),
        ("model.name=\0", r"model\.name: .*NUL"),
        (f"data.low={'x' * 300}", r"data\.low: .*a name of 300 bytes"),
        ("model.name=", r"model\.name"),
        ("model.name=null", r"model\.name"),
        ("model.axes=QX", r"model\.axes: 'QX', expected 2 or 3 different letters of TZYX with Y and X"),
        ("model.axes=TZYX", r"model\.axes"),
        ("model.axes=CYX", r"model\.axes"),
        ("model.network=big", r"model\.network"),
        ("model.n_channel_in=0", r"model\.n_channel_in"),
        ("data.kind=folder", r"data\.kind: found 'folder', expected one of 'folders', 'npz', 'sample'"),
        ("data.kind=null", r"data\.kind: found 'None', expected one of 'folders'"),
        ("data=folders", r"data: found 'folders', expected fields in braces"),
        ("data.validation_split=1", r"data\.validation_split"),
        ("data.kind=label_free", "data: structure: missing; kind 'label_free' needs it"),
        ('data={"kind": "label_free", "structure": "dna", "resize": [1, 0, 1]}', r"data\.resize\.1: "),
        ('data={"kind": "label_free", "structure": "dna", "resize": [0.5, 0.5]}', r"data\.resize\.2: "),
        ('data={"kind": "paired_em", "prepared": ""}', r"data\.prepared: "),
        ('data={"kind": "npz", "npz": 5}', r"data\.npz: found 5, expected a text"),
        ('data={"kind": "slices", "stack": "s.tif", "train_slices": "0-2", "validation_slices": 7, '
         '"triplets": {"window": 20}}', r"data\.triplets: window: found 20, expected at least 30 pixels"),
        ('data.triplets={"window": 20}', r"data: triplets: found \{'window': 20\}, expected none with kind 'folders'"),
        ("data.resize=[1, 0, 1]", r"data: resize: found \[1, 0, 1\], expected none with kind 'folders'"),
        ("data.structure=dna", "data: structure: found 'dna', expected none with kind 'folders'"),
        ("data.prepared=", "data: prepared: found '', expected none with kind 'folders'"),
        ("data.npz=p.npz", "data: npz: found 'p.npz', expected none with kind 'folders'"),
        ("data.paths=x", r"data\.paths: unknown key"),
        ("training.patch_size=null", r"training\.patch_size: missing; whole images are trained on in random crops"),
        ("data.validation_low=val/low", "validation_low, validation_GT: give both or none"),
        ("data.normalization.low=99.9", "low: 99.9 is not below high = 99.8"),
        ("data.normalization.high=101", "101.0 are not percentiles"),
        ("data.normalization.over=brain", r"data\.normalization\.over: found 'brain', expected 'all' or 'nonzero'"),
        ("data.normalization.over=nonzero", "over: 'nonzero' does not fit kind 'percentile', only 'standard' knows it"),
        ("training.loss=laplace", r"training\.loss: 'laplace' does not fit model\.probabilistic = False"),
        ('training={"loss": "mse", "patch_size": [16, 16]} model.probabilistic=true',
         r"training\.loss: 'mse' does not fit model\.probabilistic = True"),
        ('training={"learning_rate_decay": {"rate": 0.5, "steps": 9}, "reduce_learning_rate": {"patience": 3}}',
         "learning_rate_decay, reduce_learning_rate: give at most one"),
    ],
)  # fmt: skip
def test_wrong_values_name_file_and_field(path, override, message):
    with pytest.raises(InputError, match=r"run\.json: .*" + message) as caught:
        load_run_config(path, override.rsplit(" ", 1) if "} " in override else [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps", "--set: found 'training.steps', expected key=value"),
        ("=5", "--set: found '=5'"),
        ("training.steps.of=5", "'training.steps.of' goes through 'steps', which is a value"),
    ],
)
def test_overrides_that_are_none(path, override, message):
    with pytest.raises(InputError, match=message):
        load_run_config(path, [override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model": {"name": "m"},\n "data": {\n  "kind": "npz",,\n}}', "not valid JSON, line 3"),
        (b"", "not valid JSON, line 1"),
        (b"[1, 2]", "found list, expected an object with model, data and training"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"{}", "model: missing"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json: " + message) as caught:
        load_run_config(tmp_path / "run.json")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: no such configuration file"):
        load_run_config(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_run_config(tmp_path)


def test_all_mistakes_are_told_at_once(path):
    told = r"model\.nme: unknown key, did you mean name\?; training\.step: unknown key, did you mean steps\?"
    with pytest.raises(InputError, match=told):
        load_run_config(path, ["training.step=5", "model.nme=x"])


def test_steps_make_whole_epochs(path):
    for steps, epochs in ((1, 1), (2, 1), (3, 2), (4, 2)):
        assert load_run_config(path, [f"training.steps={steps}"]).training.validations == epochs


@pytest.mark.parametrize(
    ("given", "steps", "between"),
    [
        # 2 * 10 / 3 = 6.7: the seventh step begins a third pass. A pass is longer than a tenth of that.
        ({"epochs": 2}, 7, 1),
        ({"epochs": 2, "steps_per_epoch": 5}, 7, 5),
        ({"epochs": 0.5}, 2, 1),
        ({"epochs": 30}, 100, 4),
        ({"epochs": 1e-3}, 1, 1),
        # A hundredth of 30 epochs is 0.3, whatever its last digit: one step, not two.
        ({"epochs": 0.01 * 30}, 1, 1),
        ({"steps": 500}, 500, 250),
        ({}, 40_000, 400),
    ],
)
def test_epochs_are_passes_over_the_data(given, steps, between):
    training = TrainingSection(batch_size=3, **given).of_data(10)
    assert (training.steps, training.steps_per_epoch, training.epochs) == (steps, between, None)
    assert training.validations == -(-steps // between)


def test_a_decay_may_count_epochs():
    """The SSAN paper's: a tenth of the rate after 30 epochs of 50, of 2,191 triplets in batches of 3."""
    training = TrainingSection(epochs=50, batch_size=3, learning_rate_decay={"rate": 0.1, "epochs": 30})
    assert TrainingSection.model_validate(json.loads(training.model_dump_json())) == training
    length = training.of_data(2191)
    assert (length.steps, length.learning_rate_decay.model_dump()) == (36_517, {"rate": 0.1, "steps": 21_910})


def test_the_length_that_is_given_last_counts(path, tmp_path):
    (tmp_path / "e.json").write_text('{"model": {"name": "m"}, "data": {"kind": "npz"}, "training": {"epochs": 3}}')
    for file, changes, expected in (
        (path, ["training.epochs=5"], (None, 5)),
        (path, ["training.epochs=5", "training.steps=8"], (8, None)),
        (path, ["training.epochs=null"], (4, None)),
        (tmp_path / "e.json", [], (None, 3)),
        (tmp_path / "e.json", ["training.steps=500"], (500, None)),
    ):
        training = load_run_config(file, changes).training
        assert (training.steps, training.epochs) == expected


def test_pairs_of_an_epoch_are_all_that_the_data_have_to_train_on():
    """With those of a share that is held out, as the papers count; without those that are for validation anyway."""
    from aeanet_tf.runs.image_data import TrainingImages, pairs_of_epoch

    images = TrainingImages([None] * 9, [None] * 9, ([None] * 2, [None] * 2))
    for fields, pairs in (
        ({"kind": "npz"}, 11),
        ({"kind": "folders"}, 11),
        ({"kind": "folders", "validation_low": "a", "validation_GT": "b"}, 9),
        ({"kind": "labels"}, 11),
        ({"kind": "labels", "stack": "s", "label_stack": "t", "train_slices": "0", "validation_slices": "1"}, 9),
        ({"kind": "slices", "stack": "s", "train_slices": "0-2", "validation_slices": "3-5"}, 9),
        ({"kind": "iseg", "train_subjects": "1", "validation_subjects": "2"}, 9),
    ):
        config = RunConfig.model_validate({"model": {"name": "m"}, "data": fields, "training": {"patch_size": [8, 8]}})
        assert pairs_of_epoch(config.data, images) == pairs, fields


def test_a_configuration_survives_json(path):
    config = load_run_config(path, ["training.learning_rate_decay.rate=0.7", "training.learning_rate_decay.steps=3"])
    assert RunConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_the_network_of_no_preset_is_one_everywhere():
    from aeanet_tf.models import AEANetConfig

    defaults = {AEANetConfig(axes).preset for axes in ("YX", "ZYX")}
    assert defaults == {RunConfig.model_validate({"model": {"name": "m", "axes": "ZYX"}, "data": {"kind": "sample"},
                                                  "training": {"patch_size": [8, 8, 8]}}).model.preset}  # fmt: skip


# The fields of the section as every configuration had them whatever its kind.
EARLIER = {
    "root": ".",
    "download": None,
    "low": "train/low",
    "GT": "train/GT",
    "validation_low": None,
    "validation_GT": None,
    "validation_split": 0.1,
    "npz": "train_data/*.npz",
    "axes": None,
    "prepared": "prepared",
    "pair": None,
    "structure": None,
    "resize": None,
    "channels": None,
    "stack": None,
    "label_stack": None,
    "dataset": None,
    "train_slices": None,
    "validation_slices": None,
    "train_subjects": None,
    "validation_subjects": None,
    "triplets": {
        "window": 512,
        "max_shift": 32,
        "match_histograms": True,
        "min_correlation": 0.2,
        "max_blur_ratio": 1.5,
        "max_flat": 0.03,
    },
    "normalization": {"kind": "percentile", "low": 2.0, "high": 99.8, "over": "all"},
    "match_targets": False,
}
GIVEN = {
    "folders": {"low": "a", "normalization": {"kind": "none"}, "match_targets": True},
    "npz": {"npz": "p.npz", "validation_split": 0.2},
    "sample": {"normalization": {"kind": "range", "low": 0, "high": 255}},
    "paired_em": {"pair": "a", "prepared": "there"},
    "label_free": {"structure": "dna", "resize": [1, 0.5, 0.5]},
    "isotropic": {"volumes": "v.tif", "factor": 4, "sigma": 1.5, "noise": 2},
    "slices": {"stack": "s.tif", "train_slices": "0-4", "validation_slices": "5-8", "triplets": {"max_shift": 8}},
    "triplets": {"train": "a", "validation": "b"},
    "labels": {"channels": ["T1", "T2"], "validation_low": "v", "validation_GT": "w"},
    "iseg": {"train_subjects": "1-2", "validation_subjects": 3},
    "noisy": {"validation": "b"},
}
# Fields of kinds that came later.
LATER = {"volumes", "factor", "sigma", "psf", "noise", "poisson", "images", "neighbours"}
LATER |= {"train", "validation", "match_histograms", "series", "allow_missing", "slices", "match", "validation_images"}


@pytest.mark.parametrize("section", DATA_SECTIONS, ids=lambda section: section.__name__)
def test_a_run_that_has_the_fields_of_all_kinds_is_read_as_one_that_has_its_own(section, path):
    from aeanet_tf.runs.train import LOADERS

    kind = section.model_fields["kind"].default
    target = ["training.target=noise2void"] if kind == "noisy" else []
    config, *earlier = (
        load_run_config(path, [f"data={json.dumps(fields)}", *target])
        for fields in (
            {"kind": kind, **GIVEN[kind]},
            {**EARLIER, "kind": kind, **GIVEN[kind]},
            # Some were left at null, or written in part.
            {**dict.fromkeys(EARLIER.keys() - section.model_fields), "kind": kind, **GIVEN[kind]},
            {"triplets": {"window": 512}, "kind": kind, **GIVEN[kind]},
        )
    )
    assert type(config.data) is section and kind in LOADERS and all(one == config for one in earlier)
    assert (
        json.loads(config.model_dump_json())["data"].keys() == section.model_fields.keys() <= {"kind", *EARLIER, *LATER}
    )
    for name in EARLIER.keys() - section.model_fields.keys():
        with pytest.raises(InputError, match=f"data: {name}: found 'x', expected none with kind '{kind}'"):
            load_run_config(path, [f"data={json.dumps({'kind': kind, **GIVEN[kind], name: 'x'})}", *target])


LABELS = {"kind": "labels", "root": "data"}
SLICES = {"kind": "slices", "stack": "s.tif", "train_slices": "0-9", "validation_slices": "10-19"}


@pytest.mark.parametrize(
    ("config_type", "axes", "model", "data"),
    [
        ("AEANetConfig", "YX", {}, {}),
        ("AEANetConfig", "ZYX", {}, {}),
        ("AEANetConfig", "YX", {"probabilistic": True}, {}),
        ("AEANetConfig", "YX", {"preset": "aeanet-em"}, {}),
        ("ProjectionAEANetConfig", "ZYX", {"preset": "aeanet-flywing"}, {}),
        ("SegmentationAEANetConfig", "YX", {"n_channel_out": 3}, LABELS),
        ("SliceInterpolationConfig", "YX", {"n_channel_in": 2}, SLICES),
    ],
)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"learning_rate": 1e-3},
        {"learning_rate_decay": None},
        {"reduce_learning_rate": {"patience": 3}},
        {"early_stopping": {"patience": 5}, "clip_norm": 1.0},
    ],
    ids=lambda given: next(iter(given), "nothing"),
)
def test_command_line_and_python_have_one_set_of_defaults(config_type, axes, model, data, given):
    """Field by field: what a run that names the least gives its model is what a model is configured with that does."""
    from aeanet_tf import models
    from aeanet_tf.models.training_settings import attribute
    from aeanet_tf.runs.train import model_config

    size = [16] * len(axes)
    fields = {"model": {"name": "m", "axes": axes, **model}, "training": {"patch_size": size, **given}}
    run = RunConfig.model_validate({**fields, "data": data} if data else fields)
    attributes = {attribute(name): value for name, value in given.items()}
    own = getattr(models, config_type)(axes, train_patch_size=size, **model, **attributes)
    as_json = [json.loads(json.dumps(vars(made))) for made in (model_config(run), own)]
    if "early_stopping" in given:
        assert as_json[0]["train_early_stopping"].pop("min_delta") == 0
    assert as_json[0] == as_json[1]
    assert own.is_valid()
    # What is written beside the model says it all: later defaults change nothing.
    again = RunConfig.model_validate_json(run.model_dump_json())
    assert again == run and json.loads(json.dumps(vars(model_config(again)))) == json.loads(
        json.dumps(vars(model_config(run)))
    )


def test_settings_of_a_training_have_one_definition():
    """What a run configuration trains with is what the configurations of models know, under CSBDeep's names."""
    from aeanet_tf.models import AEANetConfig, SegmentationAEANetConfig, SliceInterpolationConfig

    training = TrainingSection(steps=5, steps_per_epoch=2, patch_size=(8, 8), reduce_learning_rate={"patience": 3})
    for config_type, own in (
        (AEANetConfig, set()),
        (SegmentationAEANetConfig, {"train_class_weights"}),
        (SliceInterpolationConfig, {"train_vgg_weights"}),
    ):
        arguments = training.arguments(config_type.settings)
        known = {name for name in vars(config_type()) if name.startswith("train_")}
        # Those of the data, of the kind of model, and CSBDeep's names of files.
        others = {"train_match_targets", "train_baselines", "train_report"}
        assert {name for name in known - arguments.keys() if "checkpoint" not in name} == others
        assert arguments.keys() <= known and own <= known
        assert (arguments["train_epochs"], arguments["train_reduce_lr"]) == (3, {"patience": 3})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.preset=aeanet", "preset: found 'aeanet', expected one of .*aeanet-em"),
        ("model.network.filters=4", r"network: .*filters: unknown key"),
        ("model.network.out_channels=2", r"network\.out_channels: 2, expected 1 as n_channel_out says"),
        ("model.network.probabilistic=true", r"network\.probabilistic: True, expected False"),
        ("model.network.dimension=3", r"network\.dimension: 3, expected 2 as n_dim says"),
        ("model.network.attention.heads=4", r"network: .*attention\.heads: unknown key"),
        ("model.network.attention.num_heads=3", "found 3, expected a divisor"),
        ("model.preset=aeanet-flywing model.network={}", "axes: 'YX' are 2 spatial axes, expected 3"),
    ],
)
def test_what_only_the_network_knows_is_checked_before_anything_is_built(path, override, message):
    from aeanet_tf.runs.train import model_config

    config = load_run_config(path, override.split(" ") if "{}" in override else [override])
    with pytest.raises(InputError, match=message) as caught:
        model_config(config)
    assert "\n" not in str(caught.value)

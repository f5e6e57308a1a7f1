"""A model folder loads as what it holds, or says what it lacks."""

import json
import re

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANet, ProjectionAEANetConfig
from aeanet_tf.models.folder import load_model, prediction_normalization, weight_files
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.models.stored import StoredModel, stored_model
from aeanet_tf.runs.config import load_run, load_run_config, save_run
from tests.models import NETWORK, write_config

PROJECTION = {"filters": 2, "restoration": NETWORK}


@pytest.fixture
def model(tmp_path):
    model = AEANet(AEANetConfig("YX", preset="aeanet-em", network=NETWORK), "m", str(tmp_path))
    model.keras_model.save_weights(str(tmp_path / "m" / "weights_best.h5"))
    return model


def test_the_folder_decides_the_class(model, tmp_path):
    made = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=PROJECTION), "p", str(tmp_path))
    made.keras_model.save_weights(str(tmp_path / "p" / "weights_best.h5"))
    loaded = load_model(tmp_path / "p")
    assert isinstance(loaded, ProjectionAEANet) and loaded.spec == made.spec
    assert type(load_model(str(tmp_path / "m"))) is AEANet
    # What is read without loading it.
    assert stored_model(tmp_path / "p") == StoredModel.of(loaded)
    assert stored_model(tmp_path / "p").axes_out == "YXC" and stored_model(tmp_path / "m") == StoredModel.of(model)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("axes", "YXQ", "config.json: axes: found 'YXQ', expected those of images"),
        ("axes", None, "config.json: axes: found None"),
        ("n_channel_in", 0, "config.json: n_channel_in: found 0, expected a number of channels"),
        ("n_channel_out", "one", "config.json: n_channel_out: found 'one'"),
    ],
)
def test_a_configuration_of_no_model_is_refused_before_it_is_loaded(tmp_path, field, value, message):
    (tmp_path / "weights_best.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    config = {"axes": "YXC", "n_channel_in": 1, "n_channel_out": 1, "network": {"kind": "unet"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert stored_model(tmp_path).axes == "YXC"
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(InputError, match=re.escape(message)):
        stored_model(tmp_path)


def test_the_folder_can_be_the_working_directory(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "m")
    for own, loaded in zip(model.keras_model.weights, load_model(".").keras_model.weights, strict=True):
        np.testing.assert_array_equal(own, loaded)


def test_the_best_weights_are_loaded_and_half_written_ones_ignored(model, tmp_path):
    best = model.keras_model.get_weights()
    model.keras_model.set_weights([w + 1 for w in best])
    model.keras_model.save_weights(str(tmp_path / "m" / "weights_last.h5"))
    (tmp_path / "m" / ".partial-weights_best.h5").write_bytes(b"a killed run was writing this")
    assert [path.name for path in weight_files(tmp_path / "m")] == ["weights_best.h5", "weights_last.h5"]
    for own, loaded in zip(best, load_model(tmp_path / "m").keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, loaded)


def test_the_last_weights_are_loaded_where_they_are_asked_for(model, tmp_path):
    with pytest.raises(InputError, match=r"found the weights weights_best\.h5, expected some that are called 'last'"):
        load_model(tmp_path / "m", "last")
    best = model.keras_model.get_weights()
    model.keras_model.set_weights([w + 1 for w in best])
    model.keras_model.save_weights(str(tmp_path / "m" / "weights_last.h5"))
    for own, loaded in zip(best, load_model(tmp_path / "m", "last").keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(own + 1, loaded)


def test_weights_in_keras_own_format_are_loaded(model, tmp_path):
    (tmp_path / "m" / "weights_best.h5").unlink()
    model.keras_model.compile("adam", "mse")
    model.keras_model.optimizer.build(model.keras_model.trainable_variables)
    model.keras_model.save_weights(str(tmp_path / "m" / "weights_best.weights.h5"))
    for own, loaded in zip(model.keras_model.weights, load_model(tmp_path / "m").keras_model.weights, strict=True):
        np.testing.assert_array_equal(own, loaded)


def test_a_model_made_in_python_is_as_careful(model, tmp_path):
    """`AEANet` loads folders by itself, too, as CARE's scripts do."""
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        AEANet(None, "none", str(tmp_path))
    with pytest.raises(InputError, match=r"weights_last\.h5: found no such file"):
        model.load_weights("weights_last.h5")
    for name in ("../evil", "/tmp/evil", "a/../../evil"):
        with pytest.raises(InputError, match=r"^name: found"):
            AEANet(model.config, name, str(tmp_path))
    with pytest.raises(InputError, match=r"network: .* weights take .* GB, expected at most"):
        AEANet(AEANetConfig("YX", network={"first_filters": 20_000}), "huge", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def _without_weights(folder):
    (folder / "weights_best.h5").unlink()


def _only_half_written_weights(folder):
    (folder / "weights_best.h5").rename(folder / ".partial-weights_best.h5")


def _damaged_weights(folder):
    (folder / "weights_best.h5").write_bytes((folder / "weights_best.h5").read_bytes()[:999])


def _weights_of_another_network(folder):
    other = AEANet(AEANetConfig("YX", network={**NETWORK, "first_filters": 6}), basedir=None)
    other.keras_model.save_weights(str(folder / "weights_best.h5"))


def _without_configuration(folder):
    (folder / "config.json").unlink()


def _configuration_of_care(folder):
    (folder / "config.json").write_text('{"n_dim": 2, "axes": "YXC", "unet_n_depth": 2}')


def _no_json(folder):
    (folder / "config.json").write_text("name: model")


def _wrong_field(folder):
    config = json.loads((folder / "config.json").read_text())
    config["network"]["depht"] = 3
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_weights, r"m: the model folder has no weights \(\*\.h5\)"),
        (_only_half_written_weights, r"m: the model folder has no weights \(\*\.h5\)"),
        (_damaged_weights, "m: the model cannot be loaded"),
        (_weights_of_another_network, "m: the model cannot be loaded .*not the weights of this network"),
        (_without_configuration, r"m: the model folder has no config\.json"),
        (_configuration_of_care, r"config\.json: not the configuration of an AEANet"),
        (_no_json, r"config\.json: not valid JSON, line 1"),
        (_wrong_field, r"config\.json: network: depht: unknown key"),
    ],
)
def test_folders_that_hold_no_model(model, tmp_path, spoil, message):
    spoil(tmp_path / "m")
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="none: no such model folder"):
        load_model(tmp_path / "none")


def test_prediction_normalises_as_training_did(tmp_path):
    assert prediction_normalization(tmp_path) == NormalizationSection(), "models trained from Python: CSBDeep's"
    config = load_run_config(
        write_config(tmp_path / "c.json"), ['data.normalization={"kind": "range", "low": 0, "high": 255}']
    )
    save_run(tmp_path, config)
    assert load_run(tmp_path) == config
    assert prediction_normalization(tmp_path) == config.data.normalization
    # Ready-made patches are normalised already, by what is not said for the images.
    run = json.loads((tmp_path / "run.json").read_text())
    run["data"]["kind"] = "npz"
    (tmp_path / "run.json").write_text(json.dumps(run))
    found = prediction_normalization(tmp_path)
    assert (found.kind, found.low, found.high) == ("percentile", 2, 99.8)

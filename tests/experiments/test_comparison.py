"""One budget of time for all methods, and CSBDeep's CARE among them."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from csbdeep.models import CARE as CSBDeepCARE
from csbdeep.models import Config, ProjectionCARE, ProjectionConfig

from aeanet_tf.errors import InputError
from aeanet_tf.experiments import care_rival, step_times
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.care_methods import CARE_STEPS, own_care
from aeanet_tf.experiments.care_rival import EPOCHS, CareRival
from aeanet_tf.experiments.comparison import Comparison
from aeanet_tf.experiments.laboratory import Laboratory, Method
from aeanet_tf.experiments.step_times import random_batch, seconds_per_call, seconds_per_step, steps_in
from aeanet_tf.models.folder import weight_files
from aeanet_tf.runs.train import count_parameters

CARE = CareRival("CARE", "care", matched=False, patch_size=(16, 16), per_image=3, batch_size=2)
UNET, AEANET = Method("U-Net", "unet", "unet-care"), Method("AEANet", "aeanet", "aeanet-care")
SECONDS = {"care": 0.5, "unet": 0.25, "aeanet": 0.125}


class Sleeper:
    """A network whose steps take a known time."""

    def __init__(self, seconds):
        self.seconds, self.steps = seconds, 0

    def train_on_batch(self, x, y):
        self.steps += 1
        time.sleep(self.seconds)


def laboratory(folder, budget="full", minutes=None):
    configs = folder / "configs"
    configs.mkdir(exist_ok=True)
    training = {"steps": 400, "steps_per_epoch": 100, "batch_size": 8, "patch_size": [32, 32]}
    config = {"model": {"name": "any"}, "training": training}
    (configs / "small.json").write_text(json.dumps(config))
    return Laboratory(folder, folder / "out", parse_budget(budget), (0, 1), configs, minutes=minutes)


def pairs(count=2, shape=(24, 24)):
    """Truths, and inputs half as bright on a pedestal, with a little noise."""
    rng = np.random.default_rng(0)
    truths = [rng.random(shape).astype("float32") for _ in range(count)]
    return [(0.5 * truth + 3 + 0.01 * rng.normal(size=shape), truth) for truth in truths]


def test_steps_fit_into_the_time():
    assert (steps_in(1, 0.5), steps_in(0.01, 0.25), steps_in(1e-6, 5)) == (120, 2, 1)


def test_steps_are_timed_once(tmp_path):
    networks = {"slow": Sleeper(0.02), "fast": Sleeper(0.005), "later": Sleeper(0.005)}
    candidates = {key: lambda key=key: (networks[key], None, None) for key in ("slow", "fast")}
    found = seconds_per_step(tmp_path / "times.json", candidates)
    assert list(found) == ["slow", "fast"] and 0.02 <= found["slow"] < 0.2 and found["fast"] < found["slow"]
    steps = networks["slow"].steps
    assert steps == networks["fast"].steps == step_times.WARM + step_times.ROUNDS * step_times.TIMED
    candidates["later"] = lambda: (networks["later"], None, None)
    again = seconds_per_step(tmp_path / "times.json", candidates)
    assert {key: again[key] for key in found} == found and "later" in again
    assert networks["slow"].steps == steps
    assert json.loads((tmp_path / "times.json").read_text()) == again


def test_predictions_are_timed_once(tmp_path):
    calls = []

    def predict():
        calls.append(1)
        # The first one compiles.
        time.sleep(0.3 if len(calls) == 1 else 0.02)

    found = seconds_per_call(tmp_path / "times.json", {"a": lambda: predict})
    assert 0.02 <= found["a"] < 0.2 and len(calls) == 1 + step_times.TIMED
    assert seconds_per_call(tmp_path / "times.json", {"a": lambda: predict}) == found
    assert len(calls) == 1 + step_times.TIMED


def test_random_batches():
    x, y = random_batch(3, (8, 4, 6), (1, 2))
    assert (x.shape, y.shape, x.dtype) == ((3, 8, 4, 6, 1), (3, 8, 4, 6, 2), "float32")


def test_minutes_give_the_steps_of_the_measured_times(tmp_path):
    lab = laboratory(tmp_path, minutes=1)
    lab.output.mkdir()
    (lab.output / "small_step_times.json").write_text(json.dumps(SECONDS))
    comparison = Comparison(lab, "small", (CARE, UNET, AEANET))
    assert {method.key: comparison.steps(method) for method in comparison.methods} == {
        key: steps_in(1, seconds) for key, seconds in SECONDS.items()
    }
    training = comparison.config(AEANET, 1).training
    # As many validations as the file says, of fewer or more steps.
    assert (training.steps, training.steps_per_epoch, training.validations, training.seed) == (480, 120, 4, 1)
    names = {label: [config.model.name for config in runs] for label, runs in comparison.runs().items()}
    assert names == {method.label: [f"small-{method.key}-seed{seed}" for seed in (0, 1)] for method in (UNET, AEANET)}
    assert "1 minutes" in comparison.notes()[0]


def test_without_minutes_all_have_the_steps_of_the_file(tmp_path):
    comparison = Comparison(laboratory(tmp_path), "small", (CARE, UNET))
    assert comparison.steps(CARE) == comparison.config(UNET, 0).training.steps == 400
    assert comparison.notes() == []
    in_epochs = replace(laboratory(tmp_path), overrides=("training.epochs=3",))
    with pytest.raises(InputError, match=r"training\.epochs: found 3, expected training\.steps"):
        Comparison(in_epochs, "small", (CARE, UNET)).steps(CARE)
    comparison = Comparison(laboratory(tmp_path, "0.01"), "small", (CARE, UNET))
    assert comparison.steps(CARE) == comparison.steps(UNET) == 4


def test_configuration_of_care(tmp_path):
    volumes = CareRival("CARE", "care3d", matched=False, axes="ZYX", patch_size=(16, 64, 64), batch_size=4)
    for rival, kernel in ((CARE, 5), (volumes, 3)):
        config, default = rival.config(127), Config(rival.axes)
        for name in ("unet_kern_size", "unet_n_depth", "unet_n_first", "train_learning_rate", "train_loss"):
            assert getattr(config, name) == getattr(default, name)
        assert config.unet_kern_size == kernel and config.train_batch_size == rival.batch_size
        assert (config.train_epochs, config.train_steps_per_epoch) == (EPOCHS, 12)
        assert rival.steps(127) == 120
    assert (CARE.config(3).train_epochs, CARE.config(3).train_steps_per_epoch) == (3, 1)
    assert CARE.name(laboratory(tmp_path), 4) == "care-seed4"
    assert CARE.name(laboratory(tmp_path, "tiny"), 4) == "care-seed4-tiny"


def test_tables_of_care_have_its_defaults():
    """The full training of tables II and III is that of CSBDeep's ``Config``, field by field."""
    for care, default in ((own_care("planaria"), Config("ZYX")), (own_care("flywing"), ProjectionConfig("ZYX"))):
        default.train_tensorboard = False
        # ProjectionCARE adds to its configuration what it was built by.
        assert vars(care.config(CARE_STEPS)) == vars(default)
        assert care.steps(CARE_STEPS) == 100 * 400 and care.steps(2) == 2 and care.steps(850) == 800
    assert own_care("flywing").model_class is ProjectionCARE and own_care("tribolium").model_class is CSBDeepCARE
    assert own_care("planaria", 2).config().train_batch_size == 2


def test_parameters_of_care():
    assert count_parameters(own_care("planaria").untrained()) == 996_769


@pytest.mark.parametrize("shape", [(24, 24), (12, 24, 20)])
def test_patches_of_care(shape):
    axes, size = ("YX", (16, 16)) if len(shape) == 2 else ("ZYX", (8, 16, 16))
    for matched in (False, True):
        rival = CareRival("CARE", "care", axes, 2, matched, size, 3)
        X, Y = rival._patches(pairs(shape=shape), 3)
        assert X.shape == Y.shape == (6, *size, 1)
        gain, offset = np.polyfit(Y.ravel(), X.ravel(), 1)
        # Targets that are matched have the intensities of their inputs.
        assert np.corrcoef(X.ravel(), Y.ravel())[0, 1] > 0.99
        if matched:
            assert (gain, offset) == (pytest.approx(1, abs=0.02), pytest.approx(0, abs=0.02))


class FakeCARE:
    """Writes what CARE does, at once; raises in training where it is told to."""

    trained, stops = [], False

    def __init__(self, config, name, basedir):
        self.config, self.folder = config, basedir and f"{basedir}/{name}"
        self.logdir = Path(self.folder)
        self.logdir.mkdir(parents=True, exist_ok=True)

    def train(self, X, Y, validation_data):
        assert len(X) == 6 and len(validation_data[0]) == 2
        if FakeCARE.stops:
            raise KeyboardInterrupt
        FakeCARE.trained.append(self.config.train_epochs * self.config.train_steps_per_epoch)
        (self.logdir / "weights_best.h5").write_text("")
        (self.logdir / "config.json").write_text(json.dumps(vars(self.config)))


def test_a_finished_training_is_read_and_a_stopped_one_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(care_rival, "CARE", FakeCARE)
    monkeypatch.setattr(FakeCARE, "trained", [])
    lab, models = laboratory(tmp_path), tmp_path / "out" / "models"
    monkeypatch.setattr(FakeCARE, "stops", True)
    with pytest.raises(KeyboardInterrupt):
        CARE.trained(lab, 0, 40, pairs, pairs)
    assert [path.name for path in models.iterdir()] == [".partial-care-seed0"]
    (models / ".partial-care-seed0" / "left").write_text("")
    monkeypatch.setattr(FakeCARE, "stops", False)
    model = CARE.trained(lab, 0, 40, pairs, pairs)
    assert model.logdir == models / "care-seed0" and FakeCARE.trained == [40]
    assert [path.name for path in weight_files(model.logdir)] == ["weights_best.h5"]
    assert not (model.logdir / "left").exists()

    def never():
        raise AssertionError("read again")

    CARE.trained(lab, 0, 40, never, never)
    assert FakeCARE.trained == [40]
    CARE.trained(lab, 1, 40, pairs, pairs)
    assert sorted(path.name for path in models.iterdir()) == ["care-seed0", "care-seed1"]
    # As many equal epochs of both.
    assert CARE.is_trained(models / "care-seed1", 47) and not CARE.is_trained(models / "none", 40)
    with pytest.raises(InputError, match="care-seed1: holds another model, expected a CARE of 50 steps of 2; remove"):
        CARE.trained(lab, 1, 50, never, never)
    (models / "care-seed1" / "config.json").unlink()
    with pytest.raises(InputError, match="care-seed1: holds another model"):
        CARE.trained(lab, 1, 40, never, never)

"""A training that diverged has failed: exit code 1, the last good weights kept, nothing called best that never was."""

import json
import logging
import platform
import shutil

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.errors import DivergedError, InputError
from aeanet_tf.models.folder import load_model
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import train_run
from aeanet_tf.training import CSVHistory, ReestimateBatchNorm, read_history
from aeanet_tf.training.divergence import not_finite
from tests.models import EAGER, assert_same_weights, contents, eager_tensorflow, write_config, write_pairs

pytestmark = EAGER


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_pairs(folder / "train" / "low", folder / "train" / "GT")
    return folder


@pytest.fixture
def workplace(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A constant rate, which does not depend on the length.
    write_config(tmp_path / "run.json", data={"root": str(data)}, training={"steps": 6, "learning_rate_decay": None})
    return tmp_path


def train(*overrides, **kwargs):
    return train_run(load_run_config("run.json", overrides), verbose=0, **kwargs)


def spoiled(monkeypatch, epoch, what):
    """Trainings go wrong in an epoch, counted from 1: the weights before its first step, or its validation alone."""

    def begin(self, index, logs=None):
        if index + 1 == epoch and what != "validation":
            kernel = self.model.trainable_variables[-1 if what == "last" else 0]
            kernel.assign(np.full(kernel.shape, np.nan if what != "inf" else np.inf))

    def validate(self, logs=None):
        if self.epoch + 1 == epoch and what == "validation":
            kernel = self.model.trainable_variables[0]
            kernel.assign(np.full(kernel.shape, 3e38))

    def note(self, index, logs=None):
        self.epoch = index
        begin(self, index)

    monkeypatch.setattr(ReestimateBatchNorm, "on_epoch_begin", note)
    monkeypatch.setattr(ReestimateBatchNorm, "on_test_begin", validate)


@pytest.mark.parametrize("what", ["first", "last", "inf", "validation"])
def test_the_weights_before_are_the_model(workplace, monkeypatch, what):
    """A run that diverges in its third epoch leaves what the first two gave."""
    folder = workplace / "models" / "m"
    with monkeypatch.context() as patch:
        spoiled(patch, 99, what)
        train("training.steps=4")
        shutil.copytree(folder, workplace / "two")
        shutil.rmtree(folder)
        spoiled(patch, 3, what)
        with pytest.raises(DivergedError) as error:
            train()
    assert str(error.value).startswith("models/m: training diverged in epoch 3 of 3 (")
    assert "the weights of epoch 2 are kept" in str(error.value) and "\n" not in str(error.value)
    for name in ("weights_last.h5", "weights_best.h5"):
        assert_same_weights(workplace / "two" / name, folder / name)
    assert np.isfinite(load_model(folder).predict(np.ones((8, 8), "float32"), "YX")).all()
    rows = read_history(folder / "history.csv")
    assert len(rows) == 3
    assert not np.isfinite([rows[2]["loss"], rows[2]["val_loss"]]).all() and np.isfinite(rows[1]["val_loss"])
    assert json.loads((folder / "diverged.json").read_text())["epoch"] == 3
    assert not (folder / "resume").exists() and not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_the_same_command_says_it_again_and_another_begins_anew(workplace, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        spoiled(patch, 2, "first")
        assert main(["train", "--config", "run.json"]) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("aeanet: error: models/m: training diverged in epoch 2 of 3 (loss is nan)")
    before = contents(workplace)
    assert main(["train", "--config", "run.json"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == line and contents(workplace) == before
    with pytest.raises(InputError, match="holds a trained model; --overwrite"):
        train("training.learning_rate=0.001")
    train("training.learning_rate=0.001", overwrite=True)
    assert not (workplace / "models" / "m" / "diverged.json").exists()
    with pytest.raises(InputError, match="holds a trained model"):
        train("training.learning_rate=0.001")


def test_nothing_is_called_best_where_nothing_was_learned(workplace, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        spoiled(patch, 1, "first")
        for _ in range(2):
            assert main(["train", "--config", "run.json"]) == 1
            assert "diverged in epoch 1 of 3 (loss is nan); nothing was learned before" in capfd.readouterr().err
            files = set(contents(workplace / "models" / "m"))
            assert files == {"config.json", "run.json", "training_images.json", "history.csv", "diverged.json"}
    assert main(["predict", "--model", "models/m", "--input", "run.json", "--output", "out"]) == 2
    assert "has no weights" in capfd.readouterr().err
    # With another learning rate the folder is free: nothing is lost.
    train("training.learning_rate=0.001")
    assert set(contents(workplace / "models" / "m")) >= {"weights_best.h5", "weights_last.h5"}


def test_a_learning_rate_that_is_too_high(workplace, capfd):
    assert main(["train", "--config", "run.json", "--set", "training.learning_rate=1e30"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert "diverged in epoch 1" in error and "a lower training.learning_rate" in error


def test_killed_between_telling_and_cleaning_up(workplace, monkeypatch, capfd):
    """The state is still there, or half of it: the same command removes it, and says what it said before."""
    folder = workplace / "models" / "m"
    for half in (False, True):
        shutil.rmtree(folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            spoiled(patch, 2, "first")
            patch.setattr("aeanet_tf.training.ResumableState.clear", lambda self: None)
            assert main(["train", "--config", "run.json"]) == 1
        line = capfd.readouterr().err.splitlines()[-1]
        if half:
            (folder / "resume" / "state.json").unlink()
        assert (folder / "resume").is_dir()
        assert main(["train", "--config", "run.json"]) == 1
        assert capfd.readouterr().err.splitlines()[-1] == line and not (folder / "resume").exists()


def test_killed_in_the_last_operations(workplace, caplog, capfd):
    """While the state of a finished training is removed: the same command removes the rest and reports success."""
    folder = workplace / "models" / "m"
    train()
    whole = contents(folder)
    caplog.set_level(logging.INFO, "aeanet_tf")
    for left in ([], ["state-0002-0a1b2c3d.npz"], ["state-0001-0a1b2c3d.weights.h5", ".partial-state-0002-aa.npz"]):
        (folder / "resume").mkdir()
        for name in left:
            (folder / "resume" / name).write_bytes(b"state")
        assert main(["train", "--config", "run.json"]) == 0
        assert "trained model in " in capfd.readouterr().out
        assert "was finished, and stopped while it cleaned up" in caplog.text
        assert contents(folder) == whole and not (folder / "resume").exists()
    # What else is in the way is no reason to go on.
    (folder / "resume").mkdir()
    (folder / "resume" / "mine.txt").write_text("mine")
    assert main(["train", "--config", "run.json"]) == 2
    (folder / "resume" / "mine.txt").unlink()
    with pytest.raises(InputError, match="holds a trained model"):
        train("training.learning_rate=0.001")


def test_killed_before_the_last_weights_were_loaded(workplace, monkeypatch):
    """All epochs are done and saved, the last weights written or not: the same command ends it, equally."""
    folder = workplace / "models" / "m"
    train()
    whole = contents(folder)
    shutil.copytree(folder, workplace / "whole")
    for name in ("weights_last.h5", None):
        shutil.rmtree(folder)
        with monkeypatch.context() as patch:
            patch.setattr("aeanet_tf.training.ResumableState.clear", lambda self: None)
            train()
        if name:
            (folder / name).unlink()
        train()
        assert contents(folder) == whole and not (folder / "resume").exists()
        for weights in ("weights_last.h5", "weights_best.h5"):
            assert_same_weights(folder / weights, workplace / "whole" / weights, 0)


def test_what_is_not_finite():
    assert not_finite(None, {"loss": 1.0, "val_loss": 2.0, "mse": np.nan}) is None
    assert not_finite(None, {"loss": np.nan}) == "loss is nan"
    assert not_finite(None, {"loss": 1.0, "val_loss": np.inf}) == "val_loss is inf"
    assert not_finite(None, None) is None


def test_a_stopped_run_is_still_one_that_goes_on(workplace, monkeypatch):
    def stop(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train()
    assert not (workplace / "models" / "m" / ".training.lock").exists()
    train()
    assert len(read_history("models/m/history.csv")) == 3


def test_killed_after_the_last_operation(workplace, capfd):
    """All is done, but the lock is still there: success was never reported."""
    train()
    whole = contents(workplace)
    lock = workplace / "models" / "m" / ".training.lock"
    lock.write_text(json.dumps({"process": 2**22 + 1, "host": platform.node(), "begun": 0.0, "since": "yesterday"}))
    assert main(["train", "--config", "run.json"]) == 0
    assert contents(workplace) == whole
    assert main(["train", "--config", "run.json"]) == 2
    assert "holds a trained model" in capfd.readouterr().err

"""``aeanet train --continue``: more steps for a training that has ended, or has not."""

import shutil

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.runs.config import load_run
from aeanet_tf.training import CSVHistory, read_history, warmup_cosine
from tests.models import EAGER, assert_same_weights, contents, eager_tensorflow, weights, write_config, write_pairs

pytestmark = EAGER
# The rate does not tell how long the training is: what goes on is what would have been.
CONSTANT = {"learning_rate_decay": None}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data and trainings of 4 steps, of 8 steps, and of 4 steps with a cosine."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_pairs(folder / "data" / "train" / "low", folder / "data" / "train" / "GT")
        write_config(folder / "run.json", training=CONSTANT)
        write_config(folder / "cosine.json", model={"name": "cosine"})
        assert train() == train("training.steps=8", "model.name=whole") == train(config="cosine.json") == 0
    return folder


@pytest.fixture
def workplace(trained, tmp_path, monkeypatch):
    """The same in a folder of its own; the training of 8 steps is ``whole`` beside ``models``."""
    for name in ("data", "models"):
        shutil.copytree(trained / name, tmp_path / name)
    for name in ("run.json", "cosine.json"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "models" / "whole").rename(tmp_path / "whole")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*overrides, config="run.json", more=()):
    return main(["train", "--config", config, *more, *(word for pair in overrides for word in ("--set", pair))])


def check(folder, whole):
    for name in ("weights_best.h5", "weights_last.h5"):
        assert_same_weights(whole / name, folder / name, 1e-6)
    rows, expected = (read_history(place / "history.csv") for place in (folder, whole))
    assert len(rows) == len(expected) == 4
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    assert not (folder / "resume").exists() and load_run(folder).training.steps == 8


def test_a_finished_training_goes_on_as_if_it_had_been_longer(workplace, caplog, capfd):
    folder = workplace / "models" / "m"
    assert train(more=["--continue", "8"]) == 0
    check(folder, workplace / "whole")
    assert "resuming after epoch 2 of 4" in caplog.messages
    # The number is that of all steps: once more, it is there already.
    before = contents(folder)
    assert train(more=["--continue", "8"]) == train("training.steps=8", more=["--continue"]) == 0
    assert contents(folder) == before and "models/m: has the steps that are asked for" in caplog.messages
    assert "trained model in models/m" in capfd.readouterr().out


def test_killed_on_the_way_it_loses_an_epoch_at_most(workplace, monkeypatch):
    folder, steps = workplace / "models" / "m", []

    def stop(self, batch, logs=None):
        steps.append(int(self.model.optimizer.iterations))
        if steps[-1] == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", stop)
        assert train(more=["--continue", "8"]) == 130
    assert steps == [5, 6, 7] and (folder / "resume" / "state.json").is_file()
    # The model of before is there, and the configuration of now: without --continue the same command goes on, too.
    assert train("training.steps=8") == 0
    check(folder, workplace / "whole")


def test_an_interrupted_training_gets_more_steps(workplace, monkeypatch, capfd):
    shutil.rmtree(workplace / "models" / "m")

    def stop(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", stop)
        assert train() == 130
    assert train("training.steps=8") == 2
    assert "holds an unfinished training of another length; --continue goes on" in capfd.readouterr().err
    assert train(more=["--continue", "8"]) == 0
    check(workplace / "models" / "m", workplace / "whole")


def test_the_rate_is_that_of_a_training_of_the_new_length(workplace):
    folder = workplace / "models" / "cosine"
    assert train(config="cosine.json", more=["--continue", "8"]) == 0
    rates = [row["learning_rate"] for row in read_history(folder / "history.csv")]
    first, whole = (warmup_cosine(0.01, steps) for steps in (4, 8))
    # Where the first length ended there was nothing left of it.
    assert rates == pytest.approx([float(first(2)), float(first(4)), float(whole(6)), float(whole(8))], abs=1e-8)
    assert rates[1] < 1e-8 < rates[2]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in _pairs(folder, workplace / "whole"))


def _pairs(one, other):
    one, other = weights(one / "weights_last.h5"), weights(other / "weights_last.h5")
    return [(one[name], other[name]) for name in one]


@pytest.mark.parametrize(
    ("overrides", "steps", "message"),
    [
        (["training.learning_rate=0.5"], "8", r"another configuration (training.learning_rate); --continue"),
        (["data.validation_split=0.5", "training.seed=2"], "8", "(data.validation_split, training.seed)"),
        ([], "3", "training.steps: 3, expected more than the 4 that models/m has"),
        ([], "many", "training.steps: "),
        (["model.name=none"], "8", "models/none: holds no training to continue; without --continue one begins"),
    ],
)
def test_what_cannot_go_on_is_left_alone(workplace, capfd, overrides, steps, message):
    before = contents(workplace)
    assert train(*overrides, more=["--continue", steps]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert contents(workplace) == before


def test_a_model_of_an_earlier_version_has_no_state(workplace, capfd):
    state = workplace / "models" / "m" / "training_state.zip"
    state.unlink()
    assert train(more=["--continue", "8"]) == 2
    assert "not the state of its training (training_state.zip)" in capfd.readouterr().err
    assert train() == 2
    assert "--continue" not in capfd.readouterr().err
    state.write_bytes(b"garbage")
    assert train(more=["--continue", "8"]) == 2
    assert "training_state.zip: found no state of a training" in capfd.readouterr().err.splitlines()[-1]

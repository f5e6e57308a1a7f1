"""A model folder of November 2026, of a training stopped in its second epoch, is read and goes on.

It was written by version 0.1.0 before its modules were rearranged, from `write_pairs` and `write_config` with matched
targets, and a `KeyboardInterrupt` after the third step.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from aeanet_tf.models.folder import load_model
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import train_run
from aeanet_tf.training import read_history
from tests.models import EAGER, eager_tensorflow, write_pairs

EARLIER = Path(__file__).parent / "earlier"

pytestmark = EAGER


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    shutil.copytree(EARLIER / "m", tmp_path / "models" / "m")
    shutil.copy(EARLIER / "run.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(model):
    return model.predict(np.random.default_rng(1).random((24, 20)).astype("float32"), "YX")


def test_an_earlier_model_predicts_the_same(workplace):
    with np.load(EARLIER / "predictions.npz") as expected:
        np.testing.assert_allclose(predicted(load_model("models/m")), expected["epoch1"], atol=1e-4)


def test_an_earlier_training_goes_on(workplace):
    write_pairs(workplace / "data" / "train" / "low", workplace / "data" / "train" / "GT")
    (first,) = read_history("models/m/history.csv")
    # Its configuration names no schedule, which was a constant rate then and is a cosine now.
    assert load_run_config("run.json").training.learning_rate_cosine is not None
    train_run(load_run_config("run.json", ["data.root=data"]), verbose=0)
    assert read_history("models/m/history.csv")[0] == first
    assert load_run_config("models/m/run.json").training.learning_rate_cosine is None
    model = load_model("models/m")
    model.load_weights("weights_last.h5")
    with np.load(EARLIER / "predictions.npz") as expected:
        np.testing.assert_allclose(predicted(model), expected["finished"], atol=1e-3)
        assert np.abs(expected["finished"] - expected["epoch1"]).max() > 1

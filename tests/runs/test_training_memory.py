"""Training within the memory there is: validation in tiles, an estimate before the first step, one line if it fails."""

import json
import os
import sys

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, training_memory
from aeanet_tf.models.tiled_validation import TiledValidation
from aeanet_tf.training import read_history
from tests.models import EAGER, eager_tensorflow
from tests.runs.processes import Processes

pytestmark = EAGER
NETWORK = {"first_filters": 4, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}


def volumes(count, size, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((*size, 1), "float32") for _ in range(count)]


def trained(monkeypatch, tiled, **settings):
    """The history of a training that has memory for tiles of its validation images, or for all of them."""
    if tiled:
        monkeypatch.setattr(training_memory, "validation_bytes", lambda model, validation: 1e12)
        monkeypatch.setattr(training_memory, "check_memory", lambda model, sampler: 4.3e6)
        monkeypatch.setattr("aeanet_tf.models.training_run.check_memory", lambda model, sampler: 4.3e6)
    facts = {"network": NETWORK, "train_epochs": 2, "train_steps_per_epoch": 2, "train_batch_size": 2, "train_seed": 1}
    config = AEANetConfig("YX", **{"preset": "aeanet-care", "train_patch_size": (16, 16), **facts, **settings})
    model = AEANet(config, "m", basedir=None)
    X, V = volumes(2, (40, 40)), volumes(2, (120, 90), 1)
    with eager_tensorflow():
        history = model.train(X, X, validation_data=(V, [v / 2 for v in V]), verbose=0).history
    return model, history


@pytest.mark.parametrize(
    "settings",
    [
        {"probabilistic": True, "train_loss": "laplace"},
        pytest.param({"train_average": 0.5}, marks=pytest.mark.slow),
        pytest.param({"preset": "aeanet-em"}, marks=pytest.mark.slow),
    ],
    ids=["offset, probabilistic", "averaged", "batch norm"],
)
def test_validation_in_tiles_is_that_of_the_whole_images(monkeypatch, caplog, settings):
    caplog.set_level("INFO", "aeanet_tf")
    _, expected = trained(monkeypatch, False, **settings)
    assert "validation: " not in caplog.text
    _, found = trained(monkeypatch, True, **settings)
    line = next(message for message in caplog.messages if message.startswith("validation: "))
    assert " tiles, about" in line and "validation, care protocol" in caplog.text
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, err_msg=name)


def test_losses_of_pieces_are_those_of_the_whole(monkeypatch):
    """By hand, with pieces of two rows, the last of one."""
    monkeypatch.setattr("aeanet_tf.models.tiled_validation._PIECE", 20)
    y, predicted = volumes(2, (7, 10))
    losses = {"loss": lambda a, b: np.abs(a - b).mean(-1), "mse": lambda a, b: ((a - b) ** 2).mean(-1)}
    validation = object.__new__(TiledValidation)
    validation._losses = losses
    found = validation._means(y, predicted)
    assert found["loss"] == pytest.approx(np.abs(y - predicted).mean(), rel=1e-6)
    assert found["mse"] == pytest.approx(((y - predicted) ** 2).mean(), rel=1e-6)


def test_what_cannot_be_tiled_is_cropped(monkeypatch, caplog):
    def fail(*_):
        raise InputError("max_memory: nothing fits")

    monkeypatch.setattr(training_memory, "TiledValidation", fail)
    _, history = trained(monkeypatch, True)
    assert "cropped to 16 x 16 about their centre" in caplog.text and len(history["val_loss"]) == 2


def test_memory_that_cannot_suffice_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setattr(training_memory, "available_bytes", lambda: 1_000_000)
    seen = []
    monkeypatch.setattr("aeanet_tf.models.training_run.run_callbacks", lambda *_: seen.append(1))
    with pytest.raises(MemoryError) as error:
        trained(monkeypatch, False, train_patch_size=(40, 40), train_batch_size=64)
    assert not seen
    text = str(error.value)
    assert text.startswith("training takes about ") and "\n" not in text
    for field in ("training.accumulate", "training.patch_size", "training.batch_size", "network.first_filters"):
        assert field in text


def test_the_estimate_grows_with_what_takes_memory(monkeypatch):
    def estimate(**settings):
        facts = {"network": NETWORK, "train_batch_size": 2, "train_patch_size": (16, 16), **settings}
        config = AEANetConfig("YX", preset="aeanet-care", **facts)
        model = AEANet(config, "m", basedir=None)
        X = volumes(2, (64, 64))
        return training_memory.training_bytes(model, model.prepared_data(config, X, X, (X, X))[0])

    base = estimate()
    assert estimate(train_batch_size=4) > 1.5 * base
    assert estimate(train_patch_size=(32, 32)) > 2 * base
    assert estimate(network={**NETWORK, "first_filters": 8}) > 1.8 * base


@pytest.fixture(scope="module")
def processes():
    if not sys.platform.startswith("linux"):
        pytest.skip("limits address space as Linux does")
    with Processes() as running:
        yield running


def run_files(folder, patch, batch, filters, size):
    for name, shape in (("low", patch), ("GT", patch), ("vlow", size), ("vGT", size)):
        pixels = np.random.default_rng(0).poisson(100, shape).astype("uint16")
        write_image(folder / "data" / name / "a.tif", pixels, "ZYX")
    network = {"first_filters": filters}
    folders = {"root": "data", "low": "low", "GT": "GT", "validation_low": "vlow", "validation_GT": "vGT"}
    training = {"steps": 2, "steps_per_epoch": 1, "batch_size": batch, "patch_size": patch, "batch_norm_batches": 0}
    run = {
        "model": {"name": "m", "preset": "aeanet-care", "axes": "ZYX", "network": network},
        "data": folders,
        "training": training,
    }
    (folder / "run.json").write_text(json.dumps(run))


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1.2e9, 2.2e9])
def test_a_validation_volume_larger_than_memory(processes, tmp_path, memory):
    """Patches fit; the volume whole does not; the lesser memory does not suffice for TensorFlow's threads either."""
    run_files(tmp_path, (16, 64, 64), 1, 16, (32, 384, 384))
    status, text = processes.run(tmp_path, ["train", "--config", "run.json"], memory=int(memory))
    if memory < 2e9:
        assert status == 2 and text.splitlines()[-1].startswith("aeanet: error: training takes about "), text
        return
    assert status == 0, text
    assert " tiles, about" in text, text
    rows = read_history(tmp_path / "models" / "m" / "history.csv")
    assert len(rows) == 2 and all(np.isfinite(row["val_loss"]) for row in rows)


@pytest.mark.slow
def test_running_out_of_memory_is_one_line(processes, tmp_path, monkeypatch):
    """More than there is, though not clearly by the estimate: TensorFlow finds out."""
    run_files(tmp_path, (32, 128, 128), 4, 32, (32, 128, 128))
    environment = {"memory": 900_000_000}
    status, text = processes.run(tmp_path, ["train", "--config", "run.json"], **environment)
    assert status == 2, text
    line = text.splitlines()[-1]
    assert line.startswith("aeanet: error: ") and "training.patch_size" in line, text
    assert "Traceback" not in text and not list((tmp_path / "models").rglob("*.h5"))
    assert os.path.isdir(tmp_path / "models") is False or not list((tmp_path / "models").rglob(".*"))

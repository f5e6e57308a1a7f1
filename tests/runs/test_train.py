"""A run depends on its configuration and data alone: repeated, or killed and resumed, it gives the same weights."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import imageio.v3 as imageio
import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.datasets.registration import Registration
from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import load_model, prediction_normalization
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.data_sections import FoldersSection
from aeanet_tf.runs.predict_files import predict_files
from aeanet_tf.runs.train import load_data, model_config, train_run
from aeanet_tf.training import CSVHistory, read_history
from tests.datasets.published import write_label_free
from tests.models import EAGER, assert_same_weights, contents, eager_tensorflow, write_config, write_pairs

pytestmark = EAGER


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with data, a configuration and the model trained from it."""
    folder = tmp_path_factory.mktemp("finished")
    write_pairs(folder / "data" / "train" / "low", folder / "data" / "train" / "GT")
    write_config(folder / "run.json")
    train(folder)
    return folder


@pytest.fixture
def workplace(finished, tmp_path, monkeypatch):
    """The same data and configuration in a new working directory, nothing trained."""
    shutil.copytree(finished / "data", tmp_path / "data")
    shutil.copy(finished / "run.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder, *overrides, **kwargs):
    overrides = [f"model.basedir={folder / 'models'}", f"data.root={folder / 'data'}", *overrides]
    return train_run(load_run_config(folder / "run.json", overrides), verbose=0, **kwargs)


@contextlib.contextmanager
def interrupted(step, error):
    """A training that is stopped by ``error`` after ``step`` optimiser steps."""

    def stop(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == step:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", stop)
        yield


def test_one_seed_fixes_a_run(finished, workplace):
    np.random.default_rng().random()
    train(workplace)
    for name in ("weights_last.h5", "weights_best.h5"):
        assert_same_weights(finished / "models" / "m" / name, workplace / "models" / "m" / name)
    train(workplace, "model.name=other", "training.seed=1")
    with pytest.raises(AssertionError):
        assert_same_weights(*(workplace / "models" / name / "weights_last.h5" for name in ("m", "other")))


def test_epochs_become_steps_when_the_data_are_there(workplace, caplog):
    """3 pairs in batches of 2, those held out counted: 2 epochs are 3 steps, not 4 because they are validated by 2."""
    caplog.set_level("INFO", "aeanet_tf")
    train(workplace, "training.steps=3", "model.name=steps")
    with interrupted(3, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train(workplace, "training.epochs=2")
    model = train(workplace, "training.epochs=2")
    assert int(model.trained_network.optimizer.iterations) == 3
    assert "2 epochs of 3 pairs: 3 steps of 2, validated every 2" in caplog.messages
    assert "3 steps of 2 patches, 2 validations, one every 2 steps, the last one after 1" in caplog.messages
    assert any(message.startswith("computing on processor (") for message in caplog.messages)
    assert any(message.startswith("augmentation: flips along every axis") for message in caplog.messages)
    assert_same_weights(*(workplace / "models" / name / "weights_last.h5" for name in ("steps", "m")), 1e-5)
    folder = workplace / "models" / "m"
    network, training = load_model(folder).config, load_run_config(folder / "run.json").training
    assert (network.train_epochs, network.train_steps_per_epoch, training.epochs, training.steps) == (2, 2, 2, None)


def test_no_epoch_is_longer_than_the_training(workplace):
    model = train(workplace, "training.steps=1", "training.steps_per_epoch=400")
    assert int(model.trained_network.optimizer.iterations) == 1
    assert [row["epoch"] for row in read_history(workplace / "models" / "m" / "history.csv")] == [0]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the power failed")])
def test_a_run_stopped_in_its_second_epoch_goes_on_after_the_first(finished, workplace, error):
    with interrupted(3, error), pytest.raises(type(error)):
        train(workplace)
    folder = workplace / "models" / "m"
    assert (folder / "resume" / "state.json").is_file() and not (folder / "weights_last.h5").exists()
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", lambda self, batch, logs=None: seen.append(batch))
        train(workplace)
    assert len(seen) == 2, "one epoch of two steps was left"
    for name in ("weights_last.h5", "weights_best.h5"):
        assert_same_weights(finished / "models" / "m" / name, folder / name, 1e-5)
    rows, expected = (read_history(place / "history.csv") for place in (folder, finished / "models" / "m"))
    assert [row["epoch"] for row in rows] == [0, 1]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    assert not (folder / "resume").exists()


def test_a_run_stopped_in_its_first_epoch_begins_again(finished, workplace):
    with interrupted(1, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train(workplace)
    # As if the process had been killed while it wrote its first weights.
    (workplace / "models" / "m" / ".partial-weights_best.h5").write_bytes(b"half")
    train(workplace)
    assert_same_weights(*(place / "models" / "m" / "weights_last.h5" for place in (finished, workplace)))
    assert set(contents(workplace / "models" / "m")) == set(contents(finished / "models" / "m"))


def test_training_starts_from_a_trained_model(finished, workplace, caplog):
    """With a rate of almost nothing the weights stay what they were: those of the model that is named, where it has
    them. Normalisation is not of the network, and what differs is said."""
    caplog.set_level(logging.INFO, "aeanet_tf")
    start = f"training.initial_weights={finished / 'models' / 'm'}"
    little = ("training.learning_rate=1e-12", "training.seed=3")
    train(workplace, start, *little)
    trained, model = (load_model(place / "models" / "m").keras_model for place in (finished, workplace))
    for weight, expected in zip(model.trainable_weights, trained.trainable_weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert not [record for record in caplog.records if "normalised by" in record.message]
    references = "model.network.attention.shared_references=3"
    train(workplace, start, *little, references, "data.normalization.kind=standard", "model.name=part")
    expected = {weight.path: weight for weight in trained.trainable_weights}
    for weight in load_model(workplace / "models" / "part").keras_model.trainable_weights:
        if not weight.path.endswith("nl_library"):
            np.testing.assert_allclose(weight, expected[weight.path], atol=1e-6)
    for said in (
        "network.attention.shared_references is 4 there, 3 here",
        "left as drawn: bottom_block.block_0/attention/nl_library (shape (1, 4, 8) there, (1, 3, 8) here)",
        "images were normalised by kind='percentile'",
    ):
        assert said in caplog.text
    before = contents(workplace)
    with pytest.raises(InputError, match=r"training.initial_weights: .*m: found no kernel .* \(3, 3, 1, 8\) here"):
        train(workplace, start, "model.network.first_filters=8", "model.name=other")
    with pytest.raises(InputError, match=r"training.initial_weights: none: no such model folder"):
        train(workplace, "training.initial_weights=none", "model.name=other")
    assert contents(workplace) == before


def test_an_unfinished_run_of_another_configuration_is_kept(workplace):
    with interrupted(3, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train(workplace)
    before = contents(workplace)
    with pytest.raises(InputError, match=r"m: holds an unfinished training of another configuration; --overwrite"):
        train(workplace, "training.learning_rate=0.002")
    assert contents(workplace) == before
    train(workplace, "training.learning_rate=0.002", overwrite=True)
    assert load_run_config(workplace / "models" / "m" / "run.json").training.learning_rate == 0.002


def test_a_trained_model_is_only_replaced_on_demand(finished, workplace):
    shutil.copytree(finished / "models", workplace / "models")
    before = contents(workplace)
    with pytest.raises(InputError, match=r"m: holds a trained model; --overwrite replaces it"):
        train(workplace)
    with pytest.raises(InputError, match="no such file or folder"):
        train(workplace, "data.low=none", overwrite=True)
    assert contents(workplace) == before, "a mistake in the new run costs nothing of the old one"
    with interrupted(1, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train(workplace, "training.seed=1", overwrite=True)
    # The old weights beside the new configuration would pass for a trained model.
    assert set(contents(workplace / "models" / "m")) == {"config.json", "run.json", "training_images.json"}
    train(workplace, "training.seed=1")
    assert len(read_history(workplace / "models" / "m" / "history.csv")) == 2


@pytest.mark.parametrize("name", ["basedir", "name"])
def test_a_file_where_the_model_folder_should_be(workplace, name):
    (workplace / "models").mkdir()
    (workplace / "models" / "taken").write_text("mine")
    overrides = {"basedir": f"model.basedir={workplace / 'models' / 'taken'}", "name": "model.name=taken"}
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"taken.*: cannot be written"):
            train(workplace, overrides[name], overwrite=overwrite)
    assert (workplace / "models" / "taken").read_text() == "mine"


def test_validation_folders_and_split(workplace):
    write_pairs(workplace / "data" / "val" / "low", workplace / "data" / "val" / "GT", "de", seed=1)

    def load(*overrides):
        config = load_run_config("run.json", [f"data.root={workplace / 'data'}", *overrides])
        return load_data(config.data, model_config(config))[:3]

    X, Y, (X_val, Y_val) = load()
    assert (len(X), len(Y), len(X_val), len(Y_val)) == (2, 2, 1, 1)
    assert X[0].shape == (24, 20, 1)
    # Each image by its own percentiles: half as bright makes no difference.
    np.testing.assert_allclose(X[0], Y[0], atol=1e-5)
    X, Y, (X_val, Y_val) = load(
        "data.validation_low=val/low", "data.validation_GT=val/GT", "data.normalization.kind=none"
    )
    assert (len(X), len(X_val)) == (3, 2)
    np.testing.assert_array_equal(Y_val[1], X_val[1] / 2)
    # A tenth of three is none, but one is held out.
    X, _, (X_val, _) = load("data.validation_split=0.1")
    assert (len(X), len(X_val)) == (2, 1)


def test_channels_go_last_and_each_is_normalised(workplace):
    image = np.random.default_rng(0).random((2, 24, 20)).astype("float32") * np.array([1, 50], "float32")[:, None, None]
    for name in "abc":
        write_image(workplace / "data" / "train" / "low" / f"{name}.tif", image, "CYX")
        write_image(workplace / "data" / "train" / "GT" / f"{name}.tif", image, "CYX")
    config = load_run_config(
        "run.json", [f"data.root={workplace / 'data'}", "model.n_channel_in=2", "model.n_channel_out=2"]
    )
    X = load_data(config.data, model_config(config)).X
    low, high = np.percentile(image, (2, 99.8), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(X[0], np.moveaxis((image - low) / (high - low), 0, -1), atol=1e-5)


def test_paired_em_is_prepared_once_and_pooled_or_by_pair(workplace, monkeypatch):
    root, registered = workplace / "em", []
    root.mkdir()
    for i, name in enumerate("ab"):
        for magnification in (10000, 20000):
            image = np.random.default_rng([i, magnification]).integers(0, 256, (60, 80)).astype(np.uint8)
            imageio.imwrite(root / f"{name}_{magnification}.bmp", image)

    def register(fixed, moving, **_):
        registered.append(fixed)
        return Registration(np.array([[0.5, 0, 20], [0, 0.5, 15], [0, 0, 1]]), 40, 50, 0.1)

    monkeypatch.setattr("aeanet_tf.datasets.paired_em.register", register)

    def load(*overrides):
        chosen = ["data.kind=paired_em", "data.normalization.kind=range", "data.normalization.low=0"]
        chosen += ["data.normalization.high=255", f"data.root={root}", "data.validation_split=0.2", *overrides]
        config = load_run_config("run.json", chosen)
        return load_data(config.data, model_config(config))[:3]

    X, Y, (X_val, Y_val) = load("data.pair=b")
    assert (len(X), len(Y), len(X_val), len(Y_val)) == (7, 7, 2, 2) and len(registered) == 1
    published = imageio.imread(root / "b_20000.bmp")
    np.testing.assert_allclose(Y[0][..., 0], published[:20, :20] / 255, rtol=1e-6)
    X, Y, (X_val, Y_val) = load()
    assert (len(X), len(X_val)) == (14, 4) and len(registered) == 2
    # Sub-images of both pairs are held out.
    corners = [imageio.imread(root / f"{name}_20000.bmp")[:20, 40:60] / 255 for name in "ab"]
    assert [any(np.allclose(y[..., 0], corner) for y in Y_val) for corner in corners] == [True, True]
    assert all(x.shape == y.shape == (20, 20, 1) for x, y in zip(X, Y, strict=True))
    assert (root / "prepared" / "registration.csv").is_file()
    load(f"data.prepared={workplace / 'elsewhere'}")
    assert (workplace / "elsewhere" / "train" / "GT").is_dir() and len(registered) == 4
    with pytest.raises(InputError, match="pair: 'c' is not in"):
        load("data.pair=c")


LABEL_FREE = (
    "data.kind=label_free",
    "data.structure=dna",
    'data.normalization={"kind": "standard"}',
    "model.preset=aeanet-labelfree",
    "model.axes=ZYX",
    'model.network={"first_filters": 4, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}',
    "training.patch_size=[4, 8, 8]",
    "training.loss=mse",
)


def test_label_free_images_are_standardised_and_predictions_stay_so(workplace):
    written = write_label_free(workplace / "cells", ("dna",), train=3, test=1, size=(6, 24, 32))
    overrides = (*LABEL_FREE, f"data.root={workplace / 'cells'}")
    config = load_run_config("run.json", [*overrides, "data.resize=[1, 0.5, 0.5]"])
    X, Y, (X_val, _) = load_data(config.data, model_config(config))[:3]
    assert (len(X), len(X_val)) == (2, 1) and X[0].shape == Y[0].shape == (6, 12, 16, 1)
    for image in (*X, *Y):
        assert abs(image.mean()) < 1e-5 and image.std() == pytest.approx(1, rel=1e-4)
    train(workplace, *overrides)
    folder = workplace / "models" / "m"
    assert prediction_normalization(folder).kind == "standard"
    model, signal = load_model(folder), written["dna", "test"][0][0]
    write_image(workplace / "signal.tif", signal, "ZYX")
    (path,) = predict_files(model, workplace / "signal.tif", workplace / "out", prediction_normalization(folder))
    predicted = read_image(path).array
    normal = (signal - signal.mean(dtype=float)) / signal.std(dtype=float)
    expected = model.predict(normal.astype("float32"), "ZYX", normalizer=None)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_data_root_is_looked_for_where_people_keep_data(tmp_path, monkeypatch):
    here = tmp_path / "work" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("AEANET_DATA", os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "disk")]))
    with pytest.raises(InputError, match=r"data\.root: no folder set; looked in .*here, .*none, .*disk, .*data$"):
        FoldersSection(root="set").folder()
    # From the last place to the first, each found before those that came before.
    for place in (here / "data", tmp_path / "disk", tmp_path / "none", here):
        (place / "set").mkdir(parents=True)
        assert FoldersSection(root="set").folder().resolve() == place / "set"
    assert FoldersSection(root=str(tmp_path / "disk" / "set")).folder() == tmp_path / "disk" / "set"
    with pytest.raises(InputError, match=r"data\.root: no folder /none/such"):
        FoldersSection(root="/none/such").folder()
    monkeypatch.delenv("AEANET_DATA")
    assert FoldersSection(root="set").folder().resolve() == here / "set"


@pytest.mark.slow
def test_a_killed_process_resumes(finished, workplace):
    """A real SIGKILL; all processes run as users run them, with compiled graphs."""
    command = [sys.executable, "-m", "aeanet_tf.cli.main", "train", "--config", "run.json", "--set"]
    (workplace / "whole").mkdir()
    subprocess.run([*command, "model.basedir=whole"], check=True, capture_output=True)
    process = subprocess.Popen([*command, "model.basedir=models"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = workplace / "models" / "m" / "resume" / "state.json"
    deadline = time.monotonic() + 300
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert state.exists()
    done = subprocess.run([*command, "model.basedir=models"], check=True, capture_output=True, text=True)
    assert "resuming after epoch 1 of 2" in done.stderr
    assert_same_weights("whole/m/weights_last.h5", "models/m/weights_last.h5", 1e-5)
    assert set(contents(workplace / "models" / "m")) == set(contents(workplace / "whole" / "m"))


def test_an_interruption_has_its_own_exit_code(workplace, capfd):
    arguments = ["train", "--config", "run.json", "--data", str(workplace / "data")]
    with interrupted(3, KeyboardInterrupt()):
        assert main(arguments) == 130
    assert capfd.readouterr().err.splitlines()[-1] == "aeanet: interrupted"
    assert main(arguments) == 0
    assert not (workplace / "models" / "m" / "resume").exists()


def other_pixels(path):
    write_image(path, np.random.default_rng(9).random((24, 20)).astype("float32"), "YX")


def test_images_that_changed_are_not_gone_on_with(finished, workplace):
    with interrupted(3, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train(workplace)
    image = workplace / "data" / "train" / "low" / "b.tif"
    kept = image.read_bytes()
    other_pixels(image)
    before = contents(workplace)
    with pytest.raises(InputError, match=r"holds an unfinished training of other images: train/low/b\.tif has changed"):
        train(workplace)
    assert contents(workplace) == before
    # The old pixels, at another time.
    image.write_bytes(kept)
    train(workplace)
    assert_same_weights(*(place / "models" / "m" / "weights_last.h5" for place in (finished, workplace)), 1e-5)
    other_pixels(image)
    with pytest.raises(InputError, match=r"a trained model of other images \(train/low/b\.tif has changed\); --ov"):
        train(workplace)
    train(workplace, overwrite=True)
    with pytest.raises(InputError, match=r"holds a trained model; --overwrite"):
        train(workplace)


def test_a_sparse_image_is_named_and_trained_on(workplace, caplog):
    for name, value in (("a", 0), ("c", 9)):
        constant = np.full((24, 20), value, "uint16")
        write_image(workplace / "data" / "train" / "low" / f"{name}.tif", constant, "YX")
    image = np.zeros((60, 50), "uint16")
    image[30, 20:24] = 4000
    for side in ("low", "GT"):
        write_image(workplace / "data" / "train" / side / "b.tif", image, "YX")
    config = load_run_config("run.json", [f"data.root={workplace / 'data'}"])
    images = load_data(config.data, model_config(config))
    np.testing.assert_allclose(images.X[1][..., 0], image / 4000, atol=1e-6)
    assert not images.X[0].any() and not images.validation[0][0].any()
    for name, what in (("low/a", "constant, 0"), ("low/b", "coincide"), ("GT/b", "coincide"), ("low/c", "constant, 9")):
        assert any(f"{name}.tif: " in message and what in message for message in caplog.messages), name
    model = train(workplace)
    assert all(np.isfinite(weights).all() for weights in model.keras_model.get_weights())


@pytest.mark.parametrize(
    ("shape", "changed", "expected"),
    [
        ((10, 40), {}, r"low/b\.tif: patch_size: found \(16, 16\), expected at most \(10, 40\), its size"),
        ((1, 40), {"validation": True}, r"low/d\.tif: found size \(1, 40\), expected at least \(2, 2\) to validate on"),
    ],
)
def test_an_image_that_is_too_small_is_named(workplace, shape, changed, expected):
    overrides = []
    if changed:
        write_pairs(workplace / "data" / "val" / "low", workplace / "data" / "val" / "GT", "de", seed=1)
        overrides = ["data.validation_low=val/low", "data.validation_GT=val/GT"]
    for side in ("low", "GT"):
        path = workplace / "data" / ("val" if changed else "train") / side / ("d.tif" if changed else "b.tif")
        imageio.imwrite(path, np.random.default_rng(0).random(shape).astype("float32"))
    before = contents(workplace)
    with pytest.raises(InputError, match=expected):
        train(workplace, "data.axes=YX", *overrides)
    assert contents(workplace) == before

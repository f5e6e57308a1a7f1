"""The makers of configurations, model folders, checkpoints and names, through the borders in this process."""

import argparse
import functools
from pathlib import Path

import keras
import pytest

from aeanet_tf.cli import import_tf1
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import read_filters
from aeanet_tf.files import folder_made, read_json, write_text
from aeanet_tf.interop.tf1_checkpoint import import_checkpoint
from aeanet_tf.io.read import find_images, open_image
from aeanet_tf.models.folder import load_model, model_kind, prediction_normalization
from aeanet_tf.models.initial_weights import source_model
from aeanet_tf.models.network_size import check_size
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks import build_network
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.image_data import load_npz
from aeanet_tf.runs.train import model_config
from aeanet_tf.training import BestWeights, ResumableState
from aeanet_tf.training.devices import find_devices
from tests.hostile import makers_checkpoints, makers_configurations, makers_model_folders, makers_names

# What takes seconds and is made once.
MADE = {}


def cases(makers):
    """Parametrised by the cases of a module."""
    return pytest.mark.parametrize(
        ("make", "expected"), [pytest.param(make, expected, id=ascii(name)) for name, make, expected in makers.CASES]
    )


def check(function, words, expected):
    """Call a function: it ends well, or with one short line, as expected; whatever else is raised goes on."""
    try:
        function(words)
        found = "right"
    except InputError as error:
        message = str(error)
        assert message and message.isprintable() and len(message) < 1000
        found = "refused"
    assert found == expected or expected == "either"


def configured(words):
    """What `aeanet train` does before it builds a network."""
    if words[0] == "configs":
        read_json(words[-1])
        return
    config = load_run_config(words[2], words[4::2])
    network = model_config(config)
    check_size(network.spec)
    if config.training.initial_weights is not None:
        source_model(config.training.initial_weights)
    find_devices(config.training.devices, config.training.batch_size, "training.")
    images = load_npz(config.data, network)
    training_data(network, images.X, images.Y, images.validation)
    with folder_made(f"{config.model.basedir}/{config.model.name}"):
        pass


@cases(makers_configurations)
def test_configurations(make, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(configured, make(tmp_path), expected)


@pytest.fixture
def quick(monkeypatch, tmp_path_factory):
    """Models to copy that are made in this process, and each network built once."""
    if not MADE:
        folder = tmp_path_factory.mktemp("models")
        monkeypatch.setattr("sys.argv", ["", str(folder)])
        exec(makers_model_folders.SAVE, {})
        exec(makers_checkpoints.SAVE, {})
        build = functools.cache(lambda text: build_network(MADE["specs"][text]))
        MADE.update(models=folder, build=build, specs={})
    monkeypatch.setattr(makers_model_folders, "models", lambda: MADE["models"])
    monkeypatch.setattr(makers_checkpoints, "checkpoints", lambda: MADE["models"])
    monkeypatch.setattr("aeanet_tf.models.aeanet.build_network", _built)
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


def _built(spec):
    text = spec.model_dump_json()
    MADE["specs"][text] = spec
    return MADE["build"](text)


def loaded(words):
    """What commands do with a model folder before they read images."""
    command, options = words[0], dict(zip(words[1::2], words[2::2], strict=False))
    if command == "evaluate":
        read_filters(options["--baselines"])
    elif command == "train" and "--set" in words:
        source_model(words[words.index("--set") + 1].partition("=")[2])
    elif command == "train":
        config = load_run_config(options["--config"])
        folder = Path(config.model.basedir) / config.model.name
        state = ResumableState(folder / "resume")
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        network.compile("adam", "mse")
        state.restore(network, [BestWeights(folder / "w.weights.h5"), state])
    else:
        load_model(options["--model"])
        prediction_normalization(options["--model"])


@cases(makers_model_folders)
def test_model_folders(make, expected, tmp_path, quick, capsys):
    check(loaded, make(tmp_path), expected)


def imported(words):
    """What `aeanet import-tf1` does."""
    parser = argparse.ArgumentParser()
    import_tf1.add_arguments(parser)
    args = parser.parse_args(words[1:])
    normalization = import_tf1.parse_normalization(args.normalization)
    import_checkpoint(args.checkpoint, args.output, args.preset, args.axes, args.set, normalization)


@cases(makers_checkpoints)
def test_checkpoints(make, expected, tmp_path, quick):
    check(imported, make(tmp_path), expected)


def named(words):
    """What commands do with names before they compute."""
    if words[0] == "train":
        configured(words)
        return
    model, given, output = (word.partition("=")[2] for word in words[1:])
    model_kind(model)
    prediction_normalization(model)
    images = find_images(given)
    with folder_made(output):
        for image in images:
            assert open_image(image).array.shape == (24, 20)
            target = Path(output) / image.name
            assert target.resolve() != image.resolve() or _refuse(target)
            write_text(target, "written")


def _refuse(path):
    raise InputError(f"{path}: would be replaced")


@cases(makers_names)
def test_names(make, expected, tmp_path, quick):
    check(named, make(tmp_path), expected)

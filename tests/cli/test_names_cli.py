"""Whatever a folder or a file is called, the commands take it by its name."""

import json
import os

import numpy as np
import pytest
import tifffile

from aeanet_tf.cli.main import main
from aeanet_tf.models import AEANet, AEANetConfig
from tests.models import EAGER, eager_tensorflow

NAMES = [
    "plate [1]",
    "a*b?",
    "-#1 50% Größe \U0001f52c",
    "n" * 250,
    "two\nlines",
    "latin-\udcfc",
    "~nosuchuser {name} '\"$HOME",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config = AEANetConfig("YX", network={"first_filters": 4, "depth": 2})
    model = AEANet(config, "m", str(tmp_path_factory.mktemp("models")))
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_predict_from_and_to_and_with_a_folder_of_any_name(model, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkdir(name)
    pixels = np.random.default_rng(0).poisson(100, (24, 20)).astype("uint16")
    for image in (f"{name[:240]}.tif", "a.tif"):
        tifffile.imwrite(os.path.join(name, image), pixels)
    os.symlink(model.logdir, f"m{name}"[:255])
    folder, out = f"./{name}", f"./{f'out{name}'[:255]}"
    assert main(["predict", "--model", f"m{name}"[:255], "--input", folder, "--output", out]) == 0
    assert sorted(os.listdir(out)) == sorted({f"{name[:240]}.tif", "a.tif"})
    given = [f"{folder}/*.tif", f"{folder}/a.tif"]
    assert main(["predict", "--model", str(model.logdir), "--input", *given, "--output", "again"]) == 0
    for image in os.listdir("again"):
        np.testing.assert_array_equal(tifffile.imread(f"again/{image}"), tifffile.imread(os.path.join(out, image)))
    assert len(os.listdir("again")) == 2
    assert capsys.readouterr().err.count("error") == 0


@EAGER
@pytest.mark.parametrize("name", ["-Größe #*[1]\n\U0001f52c", "n" * 250], ids=ascii)
def test_train_in_a_folder_of_any_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir(name)
    pixels = np.random.default_rng(0).random((8, 1, 16, 16)).astype("float32")
    np.savez(os.path.join(name, "p [1].npz"), X=pixels, Y=pixels, axes="SCYX")
    run = {
        "model": {"name": name, "basedir": name, "network": {"first_filters": 4, "depth": 2}},
        "data": {"kind": "npz", "root": name, "npz": "p [1].npz", "validation_split": 0.25},
        "training": {"steps": 2, "steps_per_epoch": 2, "batch_size": 2},
    }
    with open(os.path.join(name, "run [1].json"), "w", encoding="utf-8-sig") as file:
        json.dump(run, file)
    with eager_tensorflow():
        assert main(["train", f"--config=./{name}/run [1].json"]) == 0
    assert os.path.isfile(os.path.join(name, name, "weights_best.h5"))
    tifffile.imwrite("a.tif", pixels[0, 0])
    assert main(["predict", f"--model=./{name}/{name}", "--input", "a.tif", "--output", "out"]) == 0


def test_names_that_no_file_can_have_are_told_in_one_line(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", np.ones((16, 16), "uint8") + np.eye(16, dtype="uint8"))
    good = {"--model": str(model.logdir), "--input": "a.tif", "--output": "out"}
    for option in good:
        for name in ("x" * 256, f"d/{'y' * 300}/z", "a\0b", "z/" * 3000):
            given = {**good, option: name}
            try:
                code = main(["predict", *(word for pair in given.items() for word in pair)])
            except SystemExit as left:
                code = left.code
            lines = capsys.readouterr().err.strip().splitlines()
            assert code == 2 and lines[-1].startswith("aeanet: error: ") and len(lines[-1]) < 1000, (option, name[:9])
    assert os.listdir(tmp_path) == ["a.tif"]


def test_mistakes_in_a_command_line_are_one_line(capsys):
    for words in (["predict"], ["nonsense"], ["predict", "--model"], ["train", "--config", "a", "b\nc"], []):
        with pytest.raises(SystemExit) as left:
            main(words)
        (line,) = capsys.readouterr().err.splitlines()
        assert left.value.code == 2 and line.startswith("aeanet: error: ")


def test_one_bad_image_of_a_folder(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkdir("images")
    for name, shape in (("a", (40, 50)), ("b", (2, 40, 50)), ("c", (40, 50))):
        options = {"imagej": True, "metadata": {"axes": "CYX"}} if len(shape) == 3 else {}
        pixels = np.random.default_rng(0).poisson(100, shape).astype("uint16")
        tifffile.imwrite(f"images/{name}.tif", pixels, **options)
    command = ["predict", "--model", str(model.logdir), "--input", "images", "--output", "out"]
    assert main(command) == 2 and not os.path.exists("out")
    assert "images/b.tif: " in capsys.readouterr().err
    assert main([*command, "--skip-bad"]) == 3
    assert sorted(os.listdir("out")) == ["a.tif", "c.tif"]
    assert capsys.readouterr().err.splitlines()[-1] == "aeanet: error: 1 of 3 images were left out: b.tif"

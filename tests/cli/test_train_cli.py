"""``aeanet train`` from images on disk to a model folder, or one line on what is wrong and no folder."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from csbdeep.io import save_training_data

from aeanet_tf.cli.main import main, make_parser
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.training import read_history
from tests.models import EAGER, NETWORK, contents, eager_tensorflow, write_config, write_pairs

pytestmark = EAGER
MODEL = {
    "config.json",
    "run.json",
    "training_images.json",
    "weights_best.h5",
    "weights_last.h5",
    "history.csv",
    "filters.json",
    "training_state.zip",
}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory with a configuration and pairs of images."""
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "data" / "train" / "low", tmp_path / "data" / "train" / "GT")
    write_config(tmp_path / "run.json")
    return tmp_path


def train(*arguments):
    return main(["train", "--config", "run.json", *arguments])


def overrides(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def check_model(folder, *expected):
    """The folder of a finished training of 2 epochs, from which the run can be repeated."""
    files = set(contents(folder))
    # Of a projection no filter could do the same.
    there = MODEL if "model.preset=aeanet-flywing" not in expected else MODEL - {"filters.json"}
    assert {name for name in files if not name.startswith("logs")} == there
    rows = read_history(folder / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert all(
        np.isfinite(list(row.values())).all() and {"loss", "val_loss", "learning_rate"} <= set(row) for row in rows
    )
    assert load_run_config(folder / "run.json") == load_run_config("run.json", expected)


def test_folders_with_validation_folders(workplace, capfd, caplog):
    write_pairs(workplace / "data" / "val" / "low", workplace / "data" / "val" / "GT", "de", shape=(21, 30))
    changed = ["data.validation_low=val/low", "data.validation_GT=val/GT", "training.learning_rate=0.004"]
    assert train(*overrides(*changed)) == 0
    check_model(Path("models/m"), *changed)
    assert "training on 3 images in patches of 16 x 16, validating on 2 of 20 x 30, seed 0" in caplog.messages
    *_, trained, predict, export = capfd.readouterr().out.splitlines()
    assert trained == "trained model in models/m"
    # What is said to come next is a command, but for the names of the user's.
    for line in (predict, export):
        words = shlex.split(line.removeprefix("next: "))
        assert words[0] == "aeanet" and make_parser().parse_args(words[1:]).model in ("models/m", ["models/m"])
    assert train(*overrides(*changed)) == 2
    assert "--overwrite" in capfd.readouterr().err


def test_a_split_and_the_script(workplace, monkeypatch, caplog):
    (workplace / "data").rename(workplace / "2024")
    # A folder whose name reads like a number stays a name.
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", "run.json", "--data", "2024"])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(Path(__file__).parents[2] / "train.py"), run_name="__main__")
    assert exit.value.code == 0
    check_model(Path("models/m"), 'data.root="2024"')
    assert any(message.startswith("training on 2 images") for message in caplog.messages)


def test_patches_of_csbdeep(workplace, caplog):
    """A probabilistic model with everything that writes: TensorBoard too."""
    rng = np.random.default_rng(0)
    X = rng.random((10, 1, 16, 16)).astype("float32")
    (workplace / "set" / "train_data").mkdir(parents=True)
    save_training_data(str(workplace / "set" / "train_data" / "p.npz"), X, X / 2, "SCYX")
    changed = [
        "data.kind=npz",
        "data.root=set",
        "data.validation_split=0.2",
        "training.patch_size=null",
        "training.loss=laplace",
        "model.probabilistic=true",
        "training.tensorboard=true",
        'training.learning_rate_decay={"rate": 0.5, "steps": 2}',
    ]
    assert train(*overrides(*changed)) == 0
    check_model(Path("models/m"), *changed)
    assert "training on 8 images in patches of 16 x 16, validating on 2 of 16 x 16, seed 0" in caplog.messages
    assert any(name.startswith("logs") for name in contents(Path("models/m")))
    rates = [row["learning_rate"] for row in read_history("models/m/history.csv")]
    assert rates[1] < rates[0]
    write_image("image.tif", X[0, 0], "YX")
    arguments = ["predict", "--model", "models/m", "--input", "image.tif", "--output", "out", "--scale"]
    assert main(arguments) == 0
    assert sorted(contents(Path("out"))) == ["image.tif", "image_scale.tif"]


def test_a_projection_from_patches(workplace, caplog):
    rng = np.random.default_rng(0)
    X = rng.random((6, 1, 3, 16, 16)).astype("float32")
    (workplace / "set").mkdir()
    save_training_data(str(workplace / "set" / "p.npz"), X, X.max(2, keepdims=True), "SCZYX")
    network = json.dumps({"filters": 2, "restoration": NETWORK})
    changed = [
        "model.preset=aeanet-flywing",
        "model.axes=ZYX",
        f"model.network={network}",
        "data.kind=npz",
        "data.root=set",
        "data.npz=*.npz",
        "training.patch_size=null",
    ]
    # The file's network is that of a U-Net: replaced, not merged.
    assert train(*overrides(*changed)) == 0
    check_model(Path("models/m"), *changed)
    assert "training on 4 images in patches of 3 x 16 x 16, validating on 2 of 3 x 16 x 16, seed 0" in caplog.messages
    write_image("stack.tif", X[0, 0], "ZYX")
    assert main(["predict", "--model", "models/m", "--input", "stack.tif", "--output", "out"]) == 0
    assert tifffile.imread("out/stack.tif").shape == (16, 16)


def _missing_folder(data):
    (data / "train" / "low").rename(data / "train" / "high")


def _garbage(data):
    (data / "train" / "low" / "b.tif").write_bytes(b"II*\0" + b"garbage" * 99)


def _truncated(data):
    path = data / "train" / "GT" / "b.tif"
    path.write_bytes(path.read_bytes()[:1000])


def _unpaired(data):
    (data / "train" / "GT" / "b.tif").unlink()


def _renamed(data):
    (data / "train" / "GT" / "b.tif").rename(data / "train" / "GT" / "x 2.tif")


def _other_shape(data):
    write_image(data / "train" / "GT" / "b.tif", np.zeros((24, 21), np.float32), "YX")


def _volumes(data):
    write_pairs(data / "train" / "low", data / "train" / "GT", shape=(4, 24, 20), axes="ZYX")


def _colours(data):
    write_pairs(data / "train" / "low", data / "train" / "GT", shape=(2, 24, 20), axes="CYX")


def _nan(data):
    image = np.zeros((24, 20), np.float32)
    image[3, 4] = np.nan
    tifffile.imwrite(data / "train" / "low" / "c.tif", image)


def _empty(data):
    for path in (data / "train" / "low").iterdir():
        path.unlink()


def _nothing(data):
    pass


def _npz(**changes):
    def write(data):
        X = np.zeros((10, 1, 16, 16), np.float32)
        content = {"X": X, "Y": X, "axes": "SCYX", **changes}
        np.savez(data / "p.npz", **{key: value for key, value in content.items() if value is not None})

    return write


def _no_zip(data):
    (data / "p.npz").write_bytes(b"garbage" * 99)


NPZ = ["data.kind=npz", "data.npz=*.npz", "training.patch_size=null"]


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (_missing_folder, [], "data/train/low: no such file or folder"),
        (_nothing, ["data.root=none"], r"data\.root: no folder none"),
        (_garbage, [], r"low/b\.tif: not a readable TIFF"),
        (_truncated, [], r"GT/b\.tif: .*(truncated|not a readable)"),
        (_unpaired, [], r"low: 1 of 3 images have no partner of the same name in .*GT: b\.tif"),
        (_other_shape, [], r"GT/b\.tif: shape \(24, 21\) \(YX\), but .*low/b\.tif has \(24, 20\)"),
        (_volumes, ["data.axes=YX"], r"low/a\.tif: shape \(\d+, 24, 20\) does not fit axes YX"),
        (_nothing, ["data.axes=QX"], "axes: found 'QX'"),
        (_nan, [], r"low/c\.tif: the image holds NaN"),
        (_empty, [], "low: the folder is empty"),
        (_colours, [], r"low/a\.tif: found 2 channels, expected 1"),
        (_nothing, ["model.n_channel_in=2"], r"low/a\.tif: found 1 channels, expected 2"),
        (_nothing, ["training.patch_size=[64, 64]"], r"patch_size: found \(64, 64\), expected at most \(24, 20\)"),
        (_nothing, ["training.patch_size=[15, 16]"], "15 along Y, expected a multiple of 2"),
        (_nothing, ["training.patch_size=null"], r"training\.patch_size: missing"),
        (_nothing, ["data.validation_low=val/low", "data.validation_GT=val/GT"], "val/low: no such file or folder"),
        (_nothing, ['data.validation_images=["d"]'], r"validation_images: found 'd', expected the name of an image"),
        (_nothing, ['data.validation_images=["*"]'], r"data\.validation_images: found all 3 images, expected some"),
        (_renamed, [], r'b\.tif; data\.match "order" pairs them in the order of their names, a\.tif with a\.tif'),
        (_nothing, ["data.GT=train/low"], r"low/a\.tif: found as image and as its own ground truth"),
        (_nothing, ["training.step=5"], r"run\.json: training\.step: unknown key"),
        (_nothing, ["training.steps=many"], r"run\.json: training\.steps: .*'many'"),
        (_nothing, ["training.devices=64", "training.batch_size=64"], r"training\.devices: found .*GPU:63, .*expected"),
        (_nothing, ["model.preset=unet"], "preset: found 'unet'"),
        (_nothing, ["model.network.width=3"], "network: .*width: unknown key"),
        (_nothing, ["model.preset=aeanet-care", "training.reduce_learning_rate.x=3"], "reduce_learning_rate: .*x"),
        (_nothing, NPZ, r"data\.npz: .*\*\.npz matches 0 files, expected one"),
        (_npz(Y=None), NPZ, r"p\.npz: lacks Y; it has X, axes"),
        (_npz(axes=None), NPZ, r"p\.npz: lacks axes"),
        (_npz(Y=np.zeros((10, 1, 16, 15))), NPZ, r"p\.npz: Y has shape"),
        (_npz(axes="SCZX"), NPZ, r"p\.npz|axes"),
        (_npz(X=np.zeros((10, 2, 16, 16))), NPZ, r"p\.npz: X has 2 channels, the model is configured for 1"),
        (_npz(X=np.zeros((10, 1, 16, 15)), Y=np.zeros((10, 1, 16, 15))), NPZ, "15 along X, expected a multiple of 2"),
        (_npz(X=np.full((10, 1, 16, 16), np.nan)), NPZ, r"p\.npz: X holds NaN"),
        (_npz(), [*NPZ, "model.axes=ZYX"], r"p\.npz: axes SYXC, expected SZYXC"),
        (_no_zip, NPZ, r"p\.npz: not a readable \.npz"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(workplace, capfd, caplog, recwarn, spoil, changes, message):
    spoil(workplace / "data")
    before = contents(workplace)
    assert train(*overrides(*changes)) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert not caplog.records and not recwarn.list
    assert contents(workplace) == before and not (workplace / "models").exists()

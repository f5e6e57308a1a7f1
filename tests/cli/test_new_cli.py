"""``aeanet new`` sees what data are and writes a configuration that trains, or says in one line what is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from aeanet_tf.cli import new
from aeanet_tf.cli.main import main
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.shipped import SCHEMA
from tests.models import EAGER, eager_tensorflow

pytestmark = EAGER


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A terminal's questions would be answered by nobody.
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("aeanet_tf.runs.training_proposal.gpu_there", lambda: False)


def scene(*shape, seed=0):
    """A smooth image with structure, of values from 100 to 1,100."""
    coarse = np.random.default_rng(seed).random([-(-n // 4) for n in shape])
    for axis in range(len(shape)):
        coarse = np.repeat(coarse, 4, axis)
    return 100 + 1000 * coarse[tuple(slice(n) for n in shape)]


def noisy(image):
    return np.random.default_rng(9).poisson(image / 10).astype("uint16") * 10


def two_folders(low="noisy", gt="clean", shape=(40, 48), axes="YX", truth=lambda x: 2 * x, n=3):
    for i in range(n):
        image = scene(*shape, seed=i)
        write_image(Path("data", low, f"f{i}.tif"), noisy(image), axes, {"X": 0.1, "Y": 0.1}, "um")
        clean = truth(image).astype("uint16")
        write_image(Path("data", gt, f"f{i}.tif"), clean, axes if clean.ndim == len(shape) else axes.replace("Z", ""))


def one_folder():
    for i in range(3):
        image = scene(40, 48, seed=i)
        write_image(Path("data", f"f{i}_low.tif"), noisy(image), "YX")
        write_image(Path("data", f"f{i}_gt.tif"), image.astype("uint16"), "YX")


def label_images():
    two_folders("images", "masks", truth=lambda x: (x > 600) * 255)


def projections():
    two_folders("train/raw", "train/target", (6, 48, 40), "ZYX", truth=lambda x: x.max(0))


def volumes_without_axes():
    for side in ("low", "GT"):
        Path("data", side).mkdir(parents=True)
        for i in range(2):
            tifffile.imwrite(Path("data", side, f"v{i}.tif"), noisy(scene(8, 24, 24, seed=i)))


def stack():
    write_image(Path("data", "sections.tif"), noisy(scene(8, 40, 44)), "ZYX")


def label_stack():
    image = scene(8, 40, 44)
    write_image(Path("data", "slices.tif"), noisy(image), "ZYX")
    write_image(Path("data", "membranes.tif"), (image > 600).astype("uint8"), "ZYX")


def patches():
    Path("data").mkdir()
    X = np.random.default_rng(0).random((12, 1, 16, 16)).astype(np.float32)
    np.savez("data/p.npz", X=X, Y=X / 2, axes="SCYX")


def run(*arguments, code=0):
    assert main(["new", "trial", *arguments]) == code


UNET = 'model.network={"first_filters": 4, "depth": 2}'


@pytest.mark.parametrize(
    ("make", "arguments", "network", "expected"),
    [
        (two_folders, [], UNET, {"kind": "folders", "low": "noisy", "GT": "clean", "match_targets": True}),
        (one_folder, [], UNET, {"kind": "folders", "low": "*_low.tif", "GT": "*_gt.tif", "match_targets": True}),
        (label_images, [], UNET, {"kind": "labels", "low": "images", "GT": "masks"}),
        (projections, [], 'model.network={"filters": 4, "restoration": {"first_filters": 4, "depth": 2}}',
         {"kind": "folders", "low": "train/raw", "GT": "train/target"}),
        (volumes_without_axes, ["--axes", "zyx"], UNET, {"kind": "folders", "axes": "ZYX"}),
        (stack, [], 'model.network={"filters": 8, "blocks": 1, "attention": "none"}',
         {"kind": "slices", "stack": "sections.tif", "train_slices": "0-4", "validation_slices": "5-7"}),
        (label_stack, [], UNET, {"kind": "labels", "stack": "slices.tif", "label_stack": "membranes.tif"}),
        (patches, [], UNET, {"kind": "npz", "npz": "p.npz"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_each_form_of_data_gives_a_configuration_that_trains(make, arguments, network, expected, capsys):
    make()
    run("--data", "data", *arguments)
    said = capsys.readouterr().out
    assert "next: aeanet train --config trial.json\nnext: aeanet " in said
    fields = json.loads(Path("trial.json").read_text())
    assert fields["data"].items() >= {"root": "data", **expected}.items()
    assert fields["$schema"] == SCHEMA.as_uri() and fields["description"].startswith("By aeanet new: ")
    # As it was proposed, but for length and size of the network.
    short = ["training.steps=2", "training.steps_per_epoch=2", "training.batch_size=1", network]
    with eager_tensorflow():
        assert main(["train", "--config", "trial.json", *(word for one in short for word in ("--set", one))]) == 0
    assert Path("models", "trial", "weights_best.h5").is_file()


def test_what_was_seen_is_said(capsys):
    two_folders(n=12)
    run("--data", "data", "--steps", "300")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "12 pairs in data: noisy with clean, such as f0.tif with f0.tif"
    assert said[1].startswith("input: 12 images, 40 x 48 (YX), uint16, intensities ")
    assert said[1].endswith("(percentiles 2 and 99.8), pixel 0.1 x 0.1 um (YX)")
    assert said[3] == "validation: 1 of 12 pairs, the last by name (f9.tif)"
    assert said[4].startswith("note: structures of the input are 0.5 times as bright as those of the ground truth")
    assert said[5] == "trial.json: restoration with aeanet-care, patches of 40 x 48, 300 steps of 8"
    assert said[7] == "next: aeanet predict --model models/trial --input data/noisy --output restored"
    low = np.concatenate([tifffile.imread(f"data/noisy/f{i}.tif").ravel() for i in (0, 10, 5, 9)])
    assert f"intensities {np.percentile(low, 2):,.0f} to " in said[1]


def test_everything_is_a_flag():
    two_folders("a", "b")
    run("--low", "data/a", "--gt", "data/b", "--preset", "unet-care", "--steps", "50", "--patch-size", "16", "24",
        "--batch-size", "3", "--name", "mine", "--set", "training.seed=4", "--task", "restoration")  # fmt: skip
    config = load_run_config("trial.json")
    assert (config.model.name, config.model.preset, config.model.network) == ("mine", "unet-care", {})
    training = config.training
    assert (training.steps, training.patch_size, training.batch_size, training.seed) == (50, (16, 24), 3, 4)
    assert (config.data.low, config.data.GT) == ("data/a", "data/b")


def test_a_ground_truth_is_named_beside_the_inputs_or_among_them(capsys):
    two_folders("a", "b")
    run("--data", "data/a", "--gt", "data/b")
    assert load_run_config("trial.json").data.GT == "data/b"
    run("--data", "data", "--gt", "a", "--overwrite")
    data = load_run_config("trial.json").data
    assert (data.root, data.low, data.GT) == ("data", "b", "a")
    run("--gt", "data/b", "--overwrite", code=2)
    assert "--data" in capsys.readouterr().err


def test_folders_to_validate_and_to_test_on_are_found(capsys):
    two_folders("train/low", "train/GT")
    two_folders("val/low", "val/GT", n=2)
    two_folders("test/low", "test/GT", n=1)
    run("--data", "data")
    assert "--input data/test/low --output restored" in capsys.readouterr().out
    data = load_run_config("trial.json").data
    assert (data.low, data.validation_low, data.validation_GT) == ("train/low", "val/low", "val/GT")


def test_small_images_get_fewer_resolutions_and_patches_that_fit():
    two_folders("low", "gt", (3, 20, 37), "ZYX")
    run("--data", "data")
    config = load_run_config("trial.json")
    assert (config.training.patch_size, config.model.network["depth"]) == ((2, 20, 36), 2)
    # Of a single image half of the longer side, since its end is validated on.
    for name in ("f1.tif", "f2.tif"):
        for side in ("low", "gt"):
            Path("data", side, name).unlink()
    run("--data", "data", "--overwrite")
    assert load_run_config("trial.json").training.patch_size == (2, 20, 18)


def _names_in_another_order():
    two_folders("low", "gt")
    for i, path in enumerate(sorted(Path("data/gt").iterdir())):
        path.rename(path.with_name(f"m0{i}.tif"))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: two_folders("a", "b"), ["--data", "data"], "found the folders a, b, expected --low and --gt"),
        (volumes_without_axes, ["--data", "data"], r"does not name its axes (such as YX or ZYX): give --axes"),
        (lambda: two_folders(truth=lambda x: x > 600), ["--data", "data"],
         "has only the values 0, 1: is it of images or of labels? Task (restoration or segmentation): give --task"),
        (lambda: two_folders("raw", "masks"), ["--data", "data"], "masks: found more than 16 different values"),
        (lambda: two_folders(truth=lambda x: np.kron(x, np.ones((2, 2)))), ["--data", "data"], "(ratio 2); expected"),
        (_names_in_another_order, ["--data", "data"], "--match order pairs f0.tif with m00.tif and so on"),
        (lambda: write_image(Path("data/x/a.tif"), scene(20, 20), "YX"), ["--data", "data"],
         "data/x: 1 images and no ground truth; training needs pairs: the same fields of view with a better exposure"),
        (lambda: Path("data").mkdir(), ["--data", "data"], "--data: found no images in data"),
        (two_folders, ["--data", "data", "--preset", "aeanet-cre"], "--preset: found 'aeanet-cre', did you mean aean"),
        (two_folders, ["--data", "data", "--preset", "ssan"], "--preset: found 'ssan', expected a network for"),
        (two_folders, ["--data", "data", "--patch-size", "64", "64"], "found 64 along Y, expected at most 40"),
        (two_folders, ["--data", "data", "--set", "training.stps=3"], "training.stps: unknown key, did you mean"),
        (lambda: None, ["--data", "nowhere"], "--data: found no file or folder nowhere"),
        (lambda: None, [], "Folder of the images: give --data"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_one_line_and_nothing_is_written(make, arguments, message, capsys):
    make()
    run(*arguments, code=2)
    said = capsys.readouterr().err
    assert message in said and said.startswith("aeanet: error: ") and said.count("\n") == 1
    assert not Path("trial.json").exists()


def test_a_file_is_kept_unless_it_may_be_replaced(capsys):
    two_folders()
    Path("trial.json").write_text("mine")
    run("--data", "data", code=2)
    assert Path("trial.json").read_text() == "mine" and "--overwrite to replace it" in capsys.readouterr().err
    run("--data", "data", "--overwrite")
    assert load_run_config("trial.json").model.name == "trial"


def test_a_terminal_is_asked(monkeypatch, capsys):
    class Terminal:
        def isatty(self):
            return True

    volumes_without_axes()
    answers, asked = iter(["", "ZYX"]), []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or next(answers))
    run("--data", "data")
    assert len(asked) == 2 and "does not name its axes (such as YX or ZYX): " in asked[0]
    assert load_run_config("trial.json").data.axes == "ZYX"
    answers = iter(["pixels", "segmentation"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert new.ask("Task", "--task", ("restoration", "segmentation")) == "segmentation"


def test_nothing_heavy_is_imported():
    two_folders()
    code = (
        "import sys; from aeanet_tf.cli.main import main; assert main(['new', 'trial', '--data', 'data']) == 0; "
        "assert not {'tensorflow', 'keras', 'csbdeep'} & sys.modules.keys()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdin=subprocess.DEVNULL)

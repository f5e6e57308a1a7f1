"""Membranes are tested on slices that no training sees."""

import csv

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.membranes import held_out_slices, membrane_scores
from aeanet_tf.experiments.scores import read_scores
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import load_model
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.runs.data_sections import LabelsSection
from tests.experiments.test_experiments import experiment
from tests.models import EAGER, eager_tensorflow, small_settings

FIELDS = {"stack": "slices.tif", "label_stack": "membranes.tif", "train_slices": "0-20", "validation_slices": "21-23"}
SMALL = small_settings(
    "training.patch_size=[32,32]",
    "training.steps_per_epoch=2",
    "training.batch_size=4",
    "data.validation_slices=21-21",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Cells about points that wander from slice to slice, and dark membranes between them."""
    folder, rng = tmp_path_factory.mktemp("isbi"), np.random.default_rng(0)
    grid = np.moveaxis(np.indices((64, 64)), 0, -1)[..., None, :]
    points = rng.uniform(0, 64, (12, 2))
    membranes = []
    for _ in range(30):
        points += rng.normal(0, 0.7, points.shape)
        nearest = np.sort(np.linalg.norm(grid - points, axis=-1), axis=-1)
        membranes.append(np.where(nearest[..., 1] - nearest[..., 0] < 3, 0, 255))
    membranes = np.uint8(membranes)
    slices = 60 + gaussian_filter(membranes.astype("float32"), (0, 1, 1)) / 2 + rng.normal(0, 15, membranes.shape)
    write_image(folder / "slices.tif", slices.clip(0, 255).astype("uint8"), "ZYX")
    write_image(folder / "membranes.tif", membranes, "ZYX")
    return folder


def section(root, **changes):
    return LabelsSection(root=str(root), **{**FIELDS, **changes})


def test_tested_slices_are_those_at_the_end(data):
    cases = held_out_slices(section(data))
    assert [case.name for case in cases] == [f"slice-{n}" for n in range(24, 30)]
    for number in (0, 5):
        image, truth = cases[number].read()
        np.testing.assert_array_equal(image, tifffile.imread(data / "slices.tif")[24 + number])
        np.testing.assert_array_equal(truth, tifffile.imread(data / "membranes.tif")[24 + number])
    assert [path.name for path in cases[0].files] == ["slices.tif", "membranes.tif"]


def test_stacks_are_checked_before_the_training(data, tmp_path):
    with pytest.raises(InputError, match="slice 25 is among them, expected none of 24 to 29, which are tested"):
        held_out_slices(section(data, validation_slices="21-22,25"))
    membranes = tifffile.imread(data / "membranes.tif")
    one_class, other = membranes.copy(), membranes.copy()
    one_class[27] = 255
    other[28, 0, 0] = 7
    for name, stack, message in (
        (
            "short.tif",
            membranes[:-1],
            r"short\.tif: found 29 slices of \(64, 64\), expected 30 of \(64, 64\) as .*slices\.tif",
        ),
        ("one.tif", one_class, r"one\.tif, slice 27: has one class only"),
        ("other.tif", other, r"other\.tif, slice 28: has the value 7, expected labels \[0, 255\]"),
    ):
        write_image(tmp_path / name, stack, "ZYX")
        with pytest.raises(InputError, match=message):
            held_out_slices(section(data, label_stack=str(tmp_path / name)))
    short = {name: str(tmp_path / "short.tif") for name in ("stack", "label_stack")}
    with pytest.raises(InputError, match=r"short\.tif: there is no slice 29"):
        held_out_slices(section(data, **short))


def test_scores_of_membranes():
    gt, image = np.uint8([[0, 0, 255, 255]]), np.uint8([[0, 255, 255, 255]])
    assert membrane_scores(gt, image, None) == pytest.approx(
        {"dice_0": 2 / 3, "dice_255": 4 / 5, "dice_mean": 11 / 15, "accuracy": 3 / 4}
    )


@pytest.mark.slow
@EAGER
def test_membranes(data, tmp_path):
    with eager_tensorflow():
        text, _ = experiment("membranes", data, tmp_path, *SMALL)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
        assert len(before) >= 2 and "seed 0" in text
        text, rows = experiment("membranes", data, tmp_path, "--seeds", "2", *SMALL)
        assert before == {path: path.stat().st_mtime_ns for path in before}
        model = load_model(tmp_path / "models" / "isbi2012_membranes-aeanet-seed1-tiny")
        found = model.predict(tifffile.imread(data / "slices.tif")[25], "YX", normalizer=own_normalizer(model))
    assert float(rows["all inside"]["Dice of membranes"]) == 0 < float(rows["all inside"]["pixel accuracy"])
    assert list(rows) == ["all inside", "AEANet", "U-Net", "AEANet − U-Net"] and "95 % interval" in text
    truth = tifffile.imread(data / "membranes.tif")[25]
    scores = [
        read_scores(tmp_path / "scores" / f"isbi2012_membranes-{key}-seed{seed}-tiny.csv")
        for key in ("aeanet", "unet")
        for seed in (0, 1)
    ]
    assert scores[1][1]["image"] == "slice-25" and scores[1][1]["accuracy"] == pytest.approx(np.mean(found == truth))
    dice = 2 * ((found == 0) & (truth == 0)).sum() / ((found == 0).sum() + (truth == 0).sum())
    assert scores[1][1]["dice_0"] == pytest.approx(dice)
    means = [np.mean([row["dice_0"] for row in run]) for run in scores]
    assert float(rows["AEANet"]["Dice of membranes"]) == pytest.approx(np.mean(means[:2]))
    difference = float(rows["AEANet − U-Net"]["Dice of membranes"])
    assert difference == pytest.approx(np.mean(means[:2]) - np.mean(means[2:]))
    with open(tmp_path / "membranes_2.csv", newline="") as file:
        single = {row["method"]: row for row in csv.DictReader(file)}
    assert float(single["U-Net, seed 1"]["Dice of membranes"]) == pytest.approx(means[3])
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "membranes_curves.png",
        "membranes_slice-24.png",
        "membranes_slice-25.png",
    }

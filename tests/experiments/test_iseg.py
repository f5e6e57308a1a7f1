"""Each subject of iSeg-2017 is left out in turn, and what is scored is what the networks of its fold make of it."""

import csv
import re
from functools import partial

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from aeanet_tf.datasets.iseg import read_subject
from aeanet_tf.errors import InputError
from aeanet_tf.experiments import iseg, published
from aeanet_tf.experiments.iseg import labelled_subjects, leave_one_out, subject_case, tissue_scores
from aeanet_tf.experiments.scores import read_scores
from aeanet_tf.models.folder import load_model
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.runs.config import load_run
from tests.datasets.published import write_iseg
from tests.experiments.test_experiments import experiment
from tests.models import EAGER, eager_tensorflow, small_settings

nibabel = pytest.importorskip("nibabel")

SUBJECTS = range(1, 11)
SMALL = small_settings(
    "model.network.upsampling=transposed_convolution",
    "training.patch_size=[8,12,8]",
    "training.steps_per_epoch=2",
    "training.batch_size=8",
)
LABELS = {"CSF": 10, "GM": 150, "WM": 250}


def test_a_fold_for_each_subject():
    folds = leave_one_out([1, 2, 3, 7])
    assert folds == [(1, 2, (3, 7)), (2, 3, (1, 7)), (3, 7, (1, 2)), (7, 1, (2, 3))]
    assert folds[3].fields == {"train_subjects": "2,3", "validation_subjects": "1"}


def test_subjects_are_checked_before_the_training(tmp_path):
    write_iseg(tmp_path, (1, 2, 3, 12), size=(8, 9, 10), unlabelled=(12,))
    assert labelled_subjects(tmp_path) == [1, 2, 3]
    with pytest.raises(InputError, match=r"brain of subject 1 has a box of \(\d, \d, \d\) voxels, .* \(4, 4, 10\)"):
        labelled_subjects(tmp_path, (4, 4, 10))
    nibabel.AnalyzeImage(np.zeros((10, 9, 7), "int16"), None).to_filename(tmp_path / "subject-3-T2.hdr")
    with pytest.raises(InputError, match=r"subject-3-T2\.hdr: found shape \(7, 9, 10\)"):
        labelled_subjects(tmp_path)
    (tmp_path / "subject-2-label.hdr").unlink()
    (tmp_path / "subject-2-label.img").unlink()
    with pytest.raises(InputError, match="has 2 subjects with labels, expected at least 3: one to test"):
        labelled_subjects(tmp_path)


def test_scores_are_kept_for_as_long_as_the_files_are_the_same(tmp_path):
    write_iseg(tmp_path, (1, 10), size=(8, 9, 10))
    keys = [subject_case(tmp_path, 1).key]
    for name in ("T1", "T2", "label"):
        path = tmp_path / f"subject-1-{name}.img"
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        keys.append(subject_case(tmp_path, 1).key)
    assert len(set(keys)) == 4
    # Subject 10 is another one.
    (tmp_path / "subject-10-T1.img").write_bytes(b"")
    assert subject_case(tmp_path, 1).key == keys[-1]


def scores_by_hand(gt, image):
    """Of the definitions: Dice of sets, and distances of all lines along each axis."""
    found = {}
    for label in LABELS.values():
        a, b = gt == label, image == label
        found[f"dice_{label}"] = 2 * (a & b).sum() / (a.sum() + b.sum())
        along = []
        for axis in range(3):
            lines = [np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis]).astype(float) for mask in (a, b)]
            distances = cdist(*lines)
            along.append(max(distances.min(axis).mean() for axis in (0, 1)))
        found[f"mhd_{label}"] = np.mean(along)
    for name in ("dice", "mhd"):
        found[f"{name}_mean"] = np.mean([found[f"{name}_{label}"] for label in LABELS.values()])
    return found


def test_scores_of_tissues():
    rng = np.random.default_rng(0)
    gt, image = (rng.choice(np.uint8([0, 10, 150, 250]), (6, 8, 7)) for _ in range(2))
    assert tissue_scores(gt, image, None) == pytest.approx(scores_by_hand(gt, image))
    # A tissue that is absent does not count, whether it is found or not.
    lacking = np.where(gt == 10, 150, gt)
    for found in (image, np.where(image == 10, 0, image)):
        scores = tissue_scores(lacking, found, None)
        assert np.isnan([scores["dice_10"], scores["mhd_10"]]).all()
        assert scores["dice_mean"] == pytest.approx((scores["dice_150"] + scores["dice_250"]) / 2)
        assert scores["mhd_mean"] == pytest.approx((scores["mhd_150"] + scores["mhd_250"]) / 2)


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".h5", ".png", ".csv")}


@EAGER
def test_table4(tmp_path, monkeypatch):
    # What Non-local U-Net has of its own are settings; its row has the published figures alone then.
    monkeypatch.setattr(iseg, "METHODS", iseg.METHODS[1:])
    monkeypatch.setattr(iseg, "PICTURED", 1)
    made, once = [], iseg.predict_subject
    monkeypatch.setattr(iseg, "predict_subject", lambda *args: made.append(1) or once(*args))
    data, output = tmp_path / "data", tmp_path / "results"
    write_iseg(data, SUBJECTS, size=(18, 22, 20))
    # A subject without fluid.
    labels = np.asarray(nibabel.load(data / "subject-2-label.hdr").dataobj)
    nibabel.AnalyzeImage(np.where(labels == 10, 150, labels), None).to_filename(data / "subject-2-label.hdr")
    run = partial(experiment, "table4", data, output, *SMALL)
    with eager_tensorflow():
        text, rows = run()
        before = written(output / "models") | written(output / "scores")
        pictures = written(output)
        assert run() == (text, rows)
        assert written(output / "models") | written(output / "scores") == before
        # Neither the pictures nor the second run predict anything again.
        assert len(made) == 4
        by_hand = scores_by_hand(*predicted(data, output / "models" / "iseg2017-aeanet-subject1-seed0-tiny"))
    kept = read_scores(output / "scores" / "iseg2017-aeanet-subject1-seed0-tiny.csv")
    assert kept[0]["image"] == "subject-1"
    assert {name: kept[0][name] for name in by_hand} == pytest.approx(by_hand, rel=1e-5)
    check_tables(text, rows, output)
    assert {path.name for path in pictures if path.suffix == ".png" and path.parent == output} == {
        "table4_curves.png",
        "table4_subject-1.png",
    }


def predicted(data, folder):
    """Ground truth and prediction of subject 1, which the model must not have seen."""
    fields = load_run(folder).data
    assert (fields.train_subjects, fields.validation_subjects) == ("3,4,5,6,7,8,9,10", "2")
    subject, model = read_subject(data, 1), load_model(folder)
    brain = np.argwhere(subject.images.max(-1) > 0)
    box = tuple(map(slice, brain.min(0), brain.max(0) + 1))
    image = np.zeros(subject.labels.shape)
    image[box] = model.predict(
        subject.images[box], "ZYXC", normalizer=own_normalizer(model), tiling="patches", patch_size=(8, 12, 8), step=8
    )
    return np.array([0, 10, 150, 250])[subject.labels], image


def check_tables(text, rows, output):
    assert list(rows) == ["CC-3D-FCN", "Non-local U-Net", "AEANet", "U-Net"]
    assert [float(rows["CC-3D-FCN"][f"{c} published"]) for c in ("CSF", "Avg.")] == [0.9250, 0.9087]
    assert rows["CC-3D-FCN"]["GM"] == rows["U-Net"]["GM published"] == ""
    assert "[0.9556 ± 0.0062]" in text
    for name, column in published.TABLE4["AEANet"].items():
        assert (float(rows["AEANet"][f"{name} published"]), float(rows["AEANet"][f"{name} published ±"])) == column
    assert "CSF is absent from the labels of subject 2, which its means leave out." in text
    assert "trained on 8 others" in text and re.search(r"AAAI 2020\) could not be verified", text)
    keys = {"AEANet": "aeanet", "U-Net": "unet"}
    tables = [table(output / f"table4{number}.csv") for number in ("", "_2", "_3")]
    assert list(tables[1]) == list(keys) and "CSF published" not in tables[1]["AEANet"]
    assert [float(row["weights chosen on"]) for row in tables[2].values()] == [2, 3]
    for method, key in keys.items():
        files = [output / "scores" / f"iseg2017-{key}-subject{k}-seed0-tiny.csv" for k in (1, 2)]
        one, two = (row for file in files for row in read_scores(file))
        for score, found in zip(("dice", "mhd"), tables, strict=False):
            for column, name in (("WM", "250"), ("Avg.", "mean")):
                expected = (one[f"{score}_{name}"] + two[f"{score}_{name}"]) / 2
                assert float(found[method][column]) == pytest.approx(expected)
            assert float(found[method]["CSF"]) == one[f"{score}_10"] and np.isnan(two[f"{score}_10"])
        assert [float(tables[2][f"subject {k}"][method]) for k in (1, 2)] == [one["dice_mean"], two["dice_mean"]]


def table(path):
    with open(path, newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_table4_with_the_published_networks(tmp_path):
    write_iseg(tmp_path / "data", SUBJECTS, size=(52, 56, 50))
    text, rows = experiment("table4", tmp_path / "data", tmp_path / "results")
    assert all(0 <= float(rows[m]["Avg."]) <= 1 for m in ("Non-local U-Net", "AEANet", "U-Net"))
    assert len(list((tmp_path / "results" / "models").iterdir())) == 6
    assert "absent" not in text

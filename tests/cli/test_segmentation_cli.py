"""Brains are segmented from the command line: train, predict and evaluate on real anatomy; mistakes are one line."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.folder import load_model
from tests.datasets.published import write_mni_subject
from tests.models import EAGER, contents, eager_tensorflow
from tests.runs.test_label_data import NETWORK

pytestmark = EAGER
TISSUES = (10, 150, 250)
CONFIG = {
    "model": {
        "name": "brain",
        "preset": "aeanet-mri",
        "axes": "ZYX",
        "n_channel_in": 2,
        "n_channel_out": 4,
        "labels": [0, 10, 150, 250],
        "network": {**NETWORK, "output_dropout": 0},
    },
    "data": {
        "kind": "iseg",
        "root": "data",
        "train_subjects": "1-2",
        "validation_subjects": "3",
        "normalization": {"kind": "standard", "over": "nonzero"},
    },
    "training": {
        "steps": 10,
        "steps_per_epoch": 10,
        "batch_size": 8,
        "patch_size": [16, 16, 16],
        "loss": "cross_entropy_dice",
        "learning_rate": 0.03,
        "augment": False,
        "batch_norm_batches": 2,
    },
}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """A folder with three subjects of real anatomy with noise of their own, and a model trained on two of them."""
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path_factory.mktemp("brains")
    if write_mni_subject(folder / "data", 1, step=6) is None:
        pytest.skip("nilearn is not installed, which has the template")
    rng = np.random.default_rng(0)
    for number in (2, 3):
        for name in ("T1", "T2", "label"):
            path = folder / "data" / f"subject-{number}-{name}.nii.gz"
            shutil.copy(folder / "data" / f"subject-1-{name}.nii.gz", path)
            if name != "label":
                image = nibabel.load(path)
                array = np.asarray(image.dataobj)
                noisy = np.where(array > 0, np.maximum(1, array * 1.1 + rng.normal(0, 8, array.shape)), 0)
                nibabel.Nifti1Image(noisy.astype(np.int16), image.affine).to_filename(path)
    (folder / "run.json").write_text(json.dumps(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "--config", "run.json"]) == 0
    return folder


def test_brains_are_segmented_in_their_place_and_scored(brains, monkeypatch, capsys):
    import nibabel

    monkeypatch.chdir(brains)
    arguments = ["--model", "models/brain", "--input", "data/subject-3-*", "--output", "out", "--channels", "T1", "T2"]
    assert main(["predict", *arguments, "--tiling", "patches", "--step", "12", "--probabilities"]) == 0
    assert sorted(contents(brains / "out")) == ["subject-3-T1.nii.gz", "subject-3-T1_probabilities.nii.gz"]
    scan, gt = (nibabel.load(brains / "data" / f"subject-3-{name}.nii.gz") for name in ("T1", "label"))
    found, probabilities = (
        nibabel.load(brains / "out" / f"subject-3-T1{end}.nii.gz") for end in ("", "_probabilities")
    )
    for image in (found, probabilities):
        np.testing.assert_array_equal(image.affine, scan.affine)
    labels, truth, likely = (np.asarray(image.dataobj) for image in (found, gt, probabilities))
    assert labels.dtype == np.uint8 and labels.shape == truth.shape and set(np.unique(labels)) <= {0, 10, 150, 250}
    np.testing.assert_array_equal(labels, np.array([0, 10, 150, 250])[likely.argmax(-1)])
    np.testing.assert_allclose(likely.sum(-1), 1, atol=1e-5)
    # As the array is segmented by Python.
    t1, t2 = (np.asarray(nibabel.load(brains / "data" / f"subject-3-{n}.nii.gz").dataobj) for n in ("T1", "T2"))
    x = np.stack([t1.T, t2.T], -1).astype(np.float64)
    brain = (x > 0).any(-1)
    x = (x - x[brain].mean(0)) / x[brain].std(0)
    model = load_model(brains / "models" / "brain")
    assert isinstance(model, SegmentationAEANet)
    expected = model.predict_probabilities(x, "ZYXC", None, tiling="patches", step=12)
    np.testing.assert_allclose(likely.transpose(2, 1, 0, 3), expected, atol=1e-4)

    shutil.copytree(brains / "data", brains / "gt", ignore=shutil.ignore_patterns("*-T?.*"), dirs_exist_ok=True)
    (brains / "gt" / "subject-3-label.nii.gz").rename(brains / "gt" / "subject-3-T1.nii.gz")
    scored = ["--prediction", "out/*T1.nii.gz", "--gt", "gt/*T1.nii.gz", "--protocol", "segmentation"]
    capsys.readouterr()
    assert main(["evaluate", *scored, "--output", "scores.csv"]) == 0
    printed = capsys.readouterr().out
    with open("scores.csv", newline="") as file:
        (scores,) = csv.DictReader(file)
    ratios = dice(truth, labels)
    for value, ratio in ratios.items():
        assert float(scores[f"dice_{value}"]) == pytest.approx(ratio, abs=1e-9)
        assert re.search(rf"\| {value} +\| .* \| {ratio:.4f} +\|", printed), printed
    assert float(scores["dice_mean"]) == pytest.approx(mean_of(ratios), abs=1e-9)
    # Ten steps of training know more than where the brain is, whatever tissue one calls all of it.
    best = max(mean_of(dice(truth, np.where(brain.T, value, 0))) for value in TISSUES)
    assert mean_of(ratios) > 1.3 * best


def dice(truth, labels):
    return {
        value: 2 * ((labels == value) & (truth == value)).sum() / ((labels == value).sum() + (truth == value).sum())
        for value in (0, *TISSUES)
    }


def mean_of(ratios):
    return np.mean([ratios[value] for value in TISSUES])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models as training leaves them: one segments planes, one restores them."""
    folder = tmp_path_factory.mktemp("models")
    segments = SegmentationAEANetConfig(network=NETWORK, labels=[0, 255], train_patch_size=(16, 16), train_seed=0)
    for kind, config, name in (
        (SegmentationAEANet, segments, "segments"),
        (AEANet, AEANetConfig("YX", network=NETWORK, train_seed=0), "restores"),
    ):
        model = kind(config, name, str(folder))
        model.keras_model.save_weights(str(folder / name / "weights_best.h5"))
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a-T1", "a-T2", "b-T1"):
        write_image(f"in/{name}.tif", np.random.default_rng(0).random((24, 20)).astype(np.float32), "YX")
    return tmp_path


def predict(model, *arguments, source="in/a-T1.tif"):
    return main(["predict", "--model", str(model), "--input", source, "--output", "out", *arguments])


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("segments", ["--step", "4"], "step: 4, expected None with tiling 'exact'; it is for 'patches'"),
        ("segments", ["--patch-size", "8", "8"], r"patch_size: \[8, 8\], expected None with tiling 'exact'"),
        ("restores", ["--step", "4"], "step: 4, expected None: the model does not segment"),
        ("restores", ["--probabilities"], "--probabilities: the model does not segment, it has no classes"),
        ("restores", ["--tiling", "patches"], "tiling: 'patches', expected exact, overlap or whole: the model"),
        (
            "segments",
            ["--tiling", "patches", "--patch-size", "15", "16"],
            r"patch_size: \[15, 16\], expected multiples of \[2, 2\] for this network",
        ),
        ("segments", ["--tiling", "patches", "--patch-size", "16"], r"patch_size: \[16\], expected a number"),
        ("segments", ["--tiling", "patches", "--step", "0"], r"step: .*, expected a number of at least 1 for each"),
        ("segments", ["--tiling", "patches", "--step", "4", "4", "4"], r"step: \[4, 4, 4\], expected a number"),
        ("segments", ["--tiling", "patches", "--n-tiles", "2", "2"], r"n_tiles: \[2, 2\], expected None with patches"),
        ("segments", ["--tiling", "patches", "--context", "group"], "context: 'group', expected 'image' with patches"),
        ("segments", ["--tiling", "patches", "--max-memory", "100MB"], r"max_memory: 0\.10 GB, expected more than"),
        ("segments", ["--scale"], "--scale: the model is not probabilistic"),
        ("segments", ["--channels", "T1", "T2"], "a-T1.tif: found 2 channels, expected 1"),
        ("segments", ["--channels", "T1", "T3"], r"a-T3\.tif: no such file, expected channel 'T3' beside a-T1\.tif"),
        ("segments", ["--channels", "F1", "F2"], r"found no first channel among .*, expected 'F1'"),
        ("segments", ["--channels", "T1", "T1"], r"channels: found \['T1', 'T1'\], expected a list of different words"),
    ],
)
def test_options_that_do_not_fit_are_one_line(folders, workplace, capfd, model, arguments, message):
    before = contents(workplace)
    capfd.readouterr()
    assert predict(folders / model, *arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert contents(workplace) == before and not (workplace / "out").exists()


def test_channels_that_one_of_many_images_lacks_are_named_before_any_is_predicted(folders, workplace, capfd):
    assert predict(folders / "segments", "--channels", "T1", "T2", source="in") == 2
    assert re.search(r"b-T2\.tif: no such file", capfd.readouterr().err) and not (workplace / "out").exists()


def test_planes_are_segmented_without_a_warning(folders, workplace, caplog, recwarn):
    recwarn.clear()
    assert predict(folders / "segments") == 0
    assert list(contents(workplace / "out")) == ["a-T1.tif"] and caplog.messages == ["1 images written to out"]
    found, image = (read_image(f"{folder}/a-T1.tif").array for folder in ("out", "in"))
    np.testing.assert_array_equal(found, load_model(folders / "segments").predict(image, "YX"))
    assert found.dtype == np.uint8 and not recwarn.list

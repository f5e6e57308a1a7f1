"""Pairs of different magnification: trained, predicted and scored by the commands; pixel sizes say what pixels are."""

import csv
import json

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.cubic import cubic_enlarged
from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.zoomed import RepeatedArray
from aeanet_tf.models import AEANetConfig
from aeanet_tf.models.folder import load_model
from aeanet_tf.training import PatchSampler, ValidationSet
from aeanet_tf.training.pairs import PairError, binned, match_target
from tests.runs.test_large_files import as_zarr

RNG = np.random.default_rng(0)


def scene(size):
    """A smooth image with edges, from 0 to 1."""
    y, x = np.meshgrid(*map(np.arange, size), indexing="ij")
    waves = sum(np.sin(RNG.uniform(0.05, 0.4) * x + RNG.uniform(0.05, 0.4) * y + RNG.uniform(0, 6)) for _ in range(4))
    return (100 + 400 * (waves > 0.3)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs of 24 x 32 and 48 x 64 pixels, and a model that is trained on them."""
    folder = tmp_path_factory.mktemp("upscaling")
    for i in range(4):
        truth = scene((48, 64))
        for side, image, size in (("GT", truth, 0.1), ("low", binned(truth, 2, 2), 0.2)):
            (folder / side).mkdir(exist_ok=True)
            write_image(folder / side / f"{i}.tif", image, "YX", {"Y": size, "X": size}, "um")
    network = {"first_filters": 4, "depth": 2, "upscale": 2}
    config = {
        "model": {
            "name": "twice",
            "preset": "aeanet-care",
            "axes": "YX",
            "network": network,
            "basedir": str(folder / "models"),
        },
        "data": {"kind": "folders", "root": str(folder), "low": "low", "GT": "GT", "match_targets": True},
        "training": {"steps": 4, "steps_per_epoch": 2, "batch_size": 2, "patch_size": [16, 16], "augment": True},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AEANET_REPORT", "1")
        assert main(["train", "--config", str(folder / "config.json")]) == 0
    return folder


def test_a_training_says_what_it_reached_beside_filters(folder):
    twice = folder / "models" / "twice"
    assert (twice / "report.html").is_file() and json.loads((twice / "filters.json").read_text())["sigma"] > 0
    assert json.loads((twice / "config.json").read_text())["network"]["upscale"] == 2


@pytest.mark.parametrize(
    "options",
    [[], *(pytest.param(o, marks=pytest.mark.slow) for o in (["--n-tiles", "1", "3"], ["--ensemble", "flips"]))],
)
def test_files_have_twice_the_pixels_of_half_the_size(options, folder, tmp_path):
    model = ["--model", str(folder / "models" / "twice")]
    arguments = ["--input", str(folder / "low" / "0.tif"), "--output", str(tmp_path), "--preview", *options]
    assert main(["predict", *model, *arguments]) == 0
    found, image = read_image(tmp_path / "0.tif"), read_image(folder / "low" / "0.tif")
    assert found.array.shape == (48, 64) and found.unit == "um"
    assert found.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})
    loaded = load_model(folder / "models" / "twice")
    expected = loaded.predict(image.array, "YX", ensemble="flips" if "--ensemble" in options else None)
    np.testing.assert_allclose(found.array, expected, rtol=0, atol=1e-4 * np.ptp(expected))
    assert (tmp_path / "0_preview.png").is_file()


def test_a_zarr_of_frames_is_written_piece_by_piece(folder, tmp_path):
    stack = np.stack([read_image(folder / "low" / f"{i}.tif").array for i in range(2)])[:, :21, :30]
    as_zarr(tmp_path / "a.zarr", stack, "TYX")
    step = open_image(tmp_path / "a.zarr").pixel_size["X"]
    arguments = ["--input", str(tmp_path / "a.zarr"), "--output", str(tmp_path / "out"), "--n-tiles", "1", "2", "2"]
    assert main(["predict", "--model", str(folder / "models" / "twice"), *arguments]) == 0
    found = open_image(tmp_path / "out" / "a.zarr")
    assert found.array.shape == (2, 42, 60) and found.pixel_size["X"] == pytest.approx(step / 2)
    expected = load_model(folder / "models" / "twice").predict(stack, "TYX")
    np.testing.assert_allclose(found.array[:, :, :], expected, rtol=0, atol=1e-4 * np.ptp(expected))


def test_inputs_and_filters_are_scored_at_the_size_of_the_truth(folder, tmp_path, capsys):
    for i in range(4):
        image = read_image(folder / "low" / f"{i}.tif").array
        write_image(tmp_path / f"{i}.tif", cubic_enlarged(image, 2), "YX")
    folders = ["--prediction", str(tmp_path), "--gt", str(folder / "GT"), "--input", str(folder / "low")]
    assert main(["evaluate", *folders, "--baselines", "--output", str(tmp_path / "scores.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    # The predictions are the inputs by the interpolation that these are scored by.
    scores = [name for name in rows[0] if f"input_{name}" in rows[0]]
    assert scores and all(float(row[s]) == pytest.approx(float(row[f"input_{s}"])) for row in rows for s in scores)
    assert "Gaussian" in capsys.readouterr().out
    assert main(["evaluate", "--prediction", str(folder / "low"), "--gt", str(folder / "GT")]) == 2


def test_pairs_of_other_sizes_are_refused(folder, capsys):
    for upscale in (1, 4):
        config = json.loads((folder / "config.json").read_text())
        config["model"]["network"]["upscale"] = upscale
        config["model"]["basedir"] = str(folder / "other")
        (folder / "other.json").write_text(json.dumps(config))
        assert main(["train", "--config", str(folder / "other.json")]) == 2
        assert "; network.upscale 2 is for pairs of these sizes" in capsys.readouterr().err
        assert not (folder / "other").exists()
    X, Y = np.zeros((2, 8, 8, 1)), np.zeros((2, 16, 12, 1))
    with pytest.raises(PairError, match=r"expected \(16, 16, 1\) to go with X\[0\] .* 2 times its size"):
        PatchSampler(X, Y, 1, 1, upscale=2)


def test_patches_are_of_the_same_place_turned_alike():
    truth = RNG.random((2, 24, 32, 1)).astype("float32")
    X = np.stack([binned(image, 2) for image in truth])
    sampler = PatchSampler(list(X), list(truth), 4, 1, patch_size=(8, 8), upscale=2, seed=1)
    for number in range(4):
        x, y = sampler[number]
        assert y.shape == (4, 16, 16, 1)
        np.testing.assert_allclose(np.stack([binned(image, 2) for image in y]), x, atol=1e-6)
    x, y = ValidationSet(list(X), list(truth), 5, upscale=2)[0]
    np.testing.assert_allclose(binned(y[0], 2), x[0], atol=1e-6)


def test_targets_are_matched_by_the_means_of_their_pixels():
    y = RNG.random((12, 8, 1))
    match = match_target(3 * binned(y, 2) + 5, y, upscale=2)
    assert match.gain == pytest.approx(3) and match.offset == pytest.approx(5)


def test_noisy_images_cannot_stand_for_larger_ones():
    with pytest.raises(InputError, match=r"with network\.upscale 2"):
        AEANetConfig("YX", network={"upscale": 2, "first_filters": 4}, train_target="noise2noise")


def test_repeated_pixels_are_read_in_parts():
    array = RNG.random((2, 3, 4))
    found, whole = RepeatedArray(array, (1, 2, 3)), array.repeat(2, 1).repeat(3, 2)
    assert found.shape == whole.shape
    np.testing.assert_array_equal(found[0:1, 1:6, 4:11], whole[0:1, 1:6, 4:11])

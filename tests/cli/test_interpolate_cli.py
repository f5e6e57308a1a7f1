"""``aeanet interpolate`` repairs stacks as the model interpolates slices, or says in one line why not."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from skimage.io import imread, imsave

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import as_dtype
from aeanet_tf.models import (
    AEANet,
    AEANetConfig,
    SegmentationAEANet,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
    SliceInterpolationNet,
)
from aeanet_tf.sections.baselines import average, registered, smoothed_average
from tests.models import NETWORK, contents

SIZE = {"Z": 40.0, "Y": 4.0, "X": 4.0}
# Larger than shifts of 8 pixels, the test's largest, on every side.
VALUES = np.random.default_rng(0).integers(20, 230, (7, 40, 44)).astype(np.uint8)
TINY = {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders as training leaves them: one that interpolates, one that restores, one that segments."""
    folder = tmp_path_factory.mktemp("models")
    config = SliceInterpolationConfig(axes="YX", preset="ssan", network=TINY, train_seed=0)
    slices = SliceInterpolationNet(config, "slices", str(folder))
    plain = AEANet(AEANetConfig("YX", network=NETWORK, train_seed=0), "plain", str(folder))
    config = SegmentationAEANetConfig("YX", preset="aeanet-em", network=NETWORK, train_seed=0)
    labels = SegmentationAEANet(config, "labels", str(folder))
    for model in (slices, plain, labels):
        model.keras_model.save_weights(str(folder / model.name / "weights_best.h5"))
    return folder, slices


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("in/stack.tif", VALUES, "ZYX", SIZE, "nm")
    return tmp_path


@pytest.fixture
def traced(models, monkeypatch):
    """Spare a test to trace the network anew."""
    folder, model = models
    monkeypatch.setattr("aeanet_tf.models.folder.load_model", {str(folder / "slices"): model}.__getitem__)


def interpolate(models, *arguments, input="in/stack.tif", output="out", model="slices"):
    options = [] if "--max-shift" in arguments else ["--max-shift", "8"]
    folders = ["--model", str(models[0] / model), "--input", input, "--output", output]
    return main(["interpolate", *folders, *arguments, *options])


def test_missing_slices_are_those_of_the_model(models, workplace, caplog):
    assert interpolate(models, "--missing", "2, 4-5") == 0
    found = read_image("out/stack.tif")
    assert (found.array.dtype, found.axes, found.unit) == (np.uint8, "ZYX", "nm")
    assert found.pixel_size == pytest.approx(SIZE)
    known = [0, 1, 3, 6]
    np.testing.assert_array_equal(found.array[known], VALUES[known])
    assert any(line.startswith("slices 4-5: 2 missing in a row") for line in caplog.messages)
    # once, not for each slice
    assert sum(line.startswith("prediction: ") for line in caplog.messages) == 1
    expected = as_dtype(models[1].interpolate(VALUES[1], VALUES[3], max_shift=8), "uint8")
    assert np.abs(found.array[2].astype(int) - expected).max() <= 1
    assert list(contents(workplace / "out")) == ["stack.tif"]


def test_sampling_is_doubled_into_a_zarr(models, traced, workplace):
    assert interpolate(models, "--upsample", "2", "--missing", "3", output="out/double.zarr") == 0
    found = read_image("out/double.zarr")
    assert found.array.shape == (13, 40, 44) and found.pixel_size == pytest.approx(SIZE | {"Z": 20.0})
    known = [0, 1, 2, 4, 5, 6]
    np.testing.assert_array_equal(found.array[::2][known], VALUES[known])


def test_options_reach_the_model(models, traced, workplace, monkeypatch):
    seen = []

    def noted(self, before, after, **options):
        seen.append(options)
        return before

    monkeypatch.setattr(SliceInterpolationNet, "interpolate", noted)
    options = ["--no-histogram-matching", "--n-tiles", "2", "3", "--tiling", "overlap", "--max-memory", "4GB"]
    assert interpolate(models, "--missing", "3", "--max-shift", "5", *options) == 0
    folders = ["--model", str(models[0] / "slices"), "--input", "in/stack.tif", "--output", "out"]
    assert main(["interpolate", *folders, "--missing", "3"]) == 0
    names = ("max_shift", "match_histograms", "n_tiles", "tiling", "max_memory")
    assert [tuple(one[name] for name in names) for one in seen] == [
        (5, False, [2, 3], "overlap", "4GB"),
        (None, None, None, "exact", None),
    ]


def test_a_folder_of_pictures_and_axes_given(models, traced, workplace):
    for number in (0, 1, 2, 10):
        imsave(f"s_{number}.png", VALUES[number % 7], check_contrast=False)
    assert interpolate(models, "--missing", "1", "--axes", "TYX", input="s_*.png", output="out/a.tif") == 0
    found = read_image("out/a.tif")
    assert found.axes == "TYX"
    np.testing.assert_array_equal(found.array[[0, 2, 3]], VALUES[[0, 2, 3]])


def test_known_slices_are_left_out_and_scored(models, traced, workplace, capsys):
    plain = ["--max-shift", "0", "--no-histogram-matching"]
    assert interpolate(models, "--test", "2-3", *plain) == 0
    names = ["scores.csv", "slice_2.png", "slice_2.tif", "slice_3.png", "slice_3.tif"]
    assert sorted(contents(workplace / "out")) == names
    with open("out/scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["slice"], row["method"]) for row in rows] == [
        (n, name) for n in "23" for name in ("model", "registered", "smoothed", "average")
    ]
    others = {"registered": registered, "smoothed": smoothed_average, "average": average}
    for row in rows:
        number = int(row["slice"])
        found = read_image(f"out/slice_{number}.tif")
        assert found.array.shape == (40, 44) and found.pixel_size == pytest.approx({"Y": 4.0, "X": 4.0})
        image = found.array
        if row["method"] in others:
            image = as_dtype(others[row["method"]](VALUES[number - 1], VALUES[number + 1]), "uint8")
        error = np.sqrt(np.mean((image.astype(float) - VALUES[number]) ** 2))
        assert float(row["ie"]) == pytest.approx(error)
    printed = capsys.readouterr().out
    assert "protocol interpolation: " in printed and "slices 2, 3 left out one at a time" in printed
    means = {
        name: np.mean([float(row["psnr"]) for row in rows if row["method"] == name]) for name in ("model", *others)
    }
    for name, mean in means.items():
        assert re.search(rf"\| {name} +\| 2 \| {mean:.2f} ± ", printed)
    assert imread("out/slice_2.png").shape[1] > 1000


def test_by_default_they_are_aligned_and_matched_as_in_training(models, traced, workplace, monkeypatch):
    given = {}

    def noted(stack, slices, load):
        given["methods"], given["options"] = load()
        return []

    monkeypatch.setattr("aeanet_tf.runs.repair_stack.leave_out", noted)
    monkeypatch.setattr("aeanet_tf.evaluation.slice_report.score_table", lambda scores: "")
    assert main(["interpolate", "--model", str(models[0] / "slices"), *"--input in/stack.tif --output out".split(),
                 "--test", "2"]) == 0  # fmt: skip
    # A quarter of the smaller side, which is less than 32.
    assert (given["options"].max_shift, given["options"].match_histograms) == (10, True)
    own = given["methods"]["model"].keywords
    assert own["max_shift"] == 0 and own["match_histograms"] is False


def test_other_pixels_are_scored_on_the_range_of_the_slice(models, traced, workplace, capsys):
    tifffile.imwrite("in/signed.tif", VALUES.astype(np.int16) * 100 - 9000)
    assert interpolate(models, "--test", "2", "--axes", "ZYX", input="in/signed.tif") == 0
    assert read_image("out/slice_2.tif").array.dtype == np.float32
    assert "pixels are int16: mapped linearly so that each true slice's minimum and maximum are 0 and 255" in (
        capsys.readouterr().out
    )


def _nothing():
    pass


def _sizes():
    for number in range(4):
        imsave(f"in/s_{number}.png", VALUES[number, : 40 - number], check_contrast=False)


def _signed():
    tifffile.imwrite("in/signed.tif", VALUES.astype(np.int32))


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_nothing, [], "--missing, --upsample, --test: none given"),
        (_nothing, ["--missing", "7"], r"--missing: there is no slice 7, expected 0 to 6"),
        (_nothing, ["--missing", "0,3"], "--missing: slice 0 is the first of the stack"),
        (_nothing, ["--missing", "4-6"], "--missing: slice 6 is the last of the stack"),
        (_nothing, ["--missing", "all"], "--missing: found 'all'"),
        (_nothing, ["--test", "6"], "--test: slice 6 is the last of the stack"),
        (_nothing, ["--test", "3", "--missing", "4"], "--test: given with --missing"),
        (_nothing, ["--test", "3", "--upsample", "2"], "--test: given with --upsample"),
        (_nothing, ["--test", "3", "--output", "a.tif"], r"--output: a\.tif, expected a folder"),
        (_nothing, ["--test", "3", "--output", "in/stack.tif"], r"--output: in/stack\.tif, expected a folder"),
        (_nothing, ["--missing", "3", "--output", "in"], r"in/stack\.tif is the input"),
        (_nothing, ["--missing", "3", "--output", "in/../in/stack.tif"], r"stack\.tif is the input"),
        (_nothing, ["--missing", "3", "--output", "out/a.png"], r"--output: out/a\.png, expected a folder or a name"),
        (_nothing, ["--missing", "3", "--input", "none.tif"], r"none\.tif: no such file"),
        (_nothing, ["--missing", "3", "--axes", "ZYXQ"], "axes: found 'ZYXQ'"),
        (_nothing, ["--missing", "3", "--dataset", "raw"], r"in/stack\.tif: dataset 'raw' was given"),
        (_sizes, ["--missing", "1", "--input", "in/*.png"], r"s_1\.png: found shape \(39, 44\).*expected .*\(40, 44\)"),
        (_sizes, ["--test", "1", "--input", "in/s_[012].png"], r"in/s_1\.png: found shape"),
        (
            _signed,
            ["--missing", "3", "--input", "in/signed.tif", "--axes", "ZYX"],
            r"out/signed\.tif: the pixels of in/signed\.tif are int32, .*: --output out/signed\.zarr",
        ),
        (_nothing, ["--missing", "3", "--max-shift", "-1"], "--max-shift: -1, expected at least 0"),
        (_nothing, ["--missing", "3", "--n-tiles", "0", "2"], r"n_tiles: \[0, 2\], expected numbers of at least 1"),
        (_nothing, ["--missing", "3", "--n-tiles", "99", "1"], "n_tiles: 99 along Y, expected at most 40"),
        (_nothing, ["--missing", "3", "--max-memory", "some"], "max_memory: 'some'"),
        (_nothing, ["--missing", "3", "--model", "none"], "none: no such model folder"),
    ],
)
def test_bad_input_is_one_line_and_no_file(models, workplace, capfd, spoil, arguments, message):
    spoil()
    before = contents(workplace)
    assert interpolate(models, *arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert contents(workplace) == before and not (workplace / "out").exists()


@pytest.mark.parametrize(("model", "does"), [("plain", "restores"), ("labels", "segments")])
def test_a_model_that_does_something_else_is_refused(models, workplace, capfd, model, does):
    assert interpolate(models, "--missing", "3", model=model) == 2
    error = capfd.readouterr().err
    assert re.search(f"{model}: a model that {does} images, expected one that interpolates slices\n$", error), error
    assert not (workplace / "out").exists()


def test_an_error_in_the_midst_of_a_test_leaves_nothing(models, traced, workplace, capfd):
    values = VALUES.astype(np.uint16)
    values[4] = 7
    write_image("in/flat.tif", values, "ZYX")
    assert interpolate(models, "--test", "3-4", input="in/flat.tif") == 2
    assert "in/flat.tif, slice 4: is constant (" in capfd.readouterr().err
    assert sorted(path.name for path in workplace.iterdir()) == ["in"]


def test_mistakes_are_told_and_help_is_given_without_tensorflow(workplace):
    heavy = "{'tensorflow', 'keras', 'csbdeep', 'scipy', 'matplotlib'} & set(sys.modules)"
    wrong = ["interpolate", "--model", "m", "--input", "in/stack.tif", "--output", "out", "--missing", "9"]
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\n"
        "try: main(['interpolate', '--help'])\nexcept SystemExit: pass\n"
        f"assert 'numpy' not in sys.modules\nprint(main({wrong}), {heavy})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "2 set()", done.stdout + done.stderr
    assert "counted from 0" in done.stdout


def test_predict_sends_slices_to_interpolate(models, workplace, capfd):
    write_image("in/pair.tif", VALUES[:2], "CYX")
    assert main(["predict", "--model", str(models[0] / "slices"), "--input", "in/pair.tif", "--output", "out"]) == 2
    assert "a model that interpolates slices; use aeanet interpolate" in capfd.readouterr().err
    assert not (workplace / "out").exists()

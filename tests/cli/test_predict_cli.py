"""``aeanet predict`` restores files as ``model.predict`` restores arrays, or says in one line why not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from csbdeep.data import PercentileNormalizer

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.normalizers import RangeNormalizer
from aeanet_tf.runs.config import load_run_config, save_run
from aeanet_tf.runs.previews import draw_preview
from tests.models import NETWORK, contents, write_config

IMAGE = np.random.default_rng(0).uniform(100, 200, (20, 18)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders as training leaves them: 2D, and 3D with a scale."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "plain": AEANetConfig("YX", network=NETWORK, train_seed=0),
        "volume": AEANetConfig("ZYX", network=NETWORK, train_seed=0, probabilistic=True),
    }
    for name, config in made.items():
        made[name] = AEANet(config, name, str(folder))
        made[name].keras_model.save_weights(str(folder / name / "weights_best.h5"))
    return folder, made


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("in/a.tif", IMAGE, "YX", {"Y": 0.1, "X": 0.1}, "um")
    return tmp_path


def predict(model, *arguments, input="in", output="out"):
    return main(["predict", "--model", str(model), "--input", input, "--output", output, *arguments])


def test_pictures_keep_name_axes_and_pixel_size(models, workplace, caplog):
    folder, made = models
    tifffile.imwrite("in/b.tif", (2 * IMAGE).astype(np.uint16))
    assert predict(folder / "plain", input="in/*.tif") == 0
    assert sorted(contents(workplace / "out")) == ["a.tif", "b.tif"]
    found = read_image("out/a.tif")
    assert found.axes == "YX" and found.unit == "um" and found.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})
    np.testing.assert_allclose(found.array, made["plain"].predict(IMAGE, "YX"), rtol=1e-5)
    expected = made["plain"].predict((2 * IMAGE).astype(np.uint16), "YX")
    np.testing.assert_allclose(tifffile.imread("out/b.tif"), expected, rtol=1e-5)
    assert "2 images written to out" in caplog.messages


def test_a_command_imports_what_it_uses(models, workplace):
    """And computes the same; what Keras was kept from is there for others."""
    folder, made = models
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\nassert main() == 0\n"
        "heavy = {'IPython', 'dask', 'matplotlib', 'pandas', 'scipy', 'skimage', 'sklearn', 'tensorboard', 'zarr'}\n"
        "print(heavy & set(sys.modules), {name for name, module in sys.modules.items() if module is None})"
    )
    words = ["predict", "--model", folder / "plain", "--input", "in", "--output", "out"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "set() set()", done.stdout + done.stderr
    np.testing.assert_array_equal(tifffile.imread("out/a.tif"), made["plain"].predict(IMAGE, "YX"))


def test_last_weights_are_those_at_the_end_of_training(models, workplace, capsys):
    folder, made = models
    shutil.copytree(folder / "plain", "last")
    assert predict("last", "--weights", "last") == 2
    assert "found the weights weights_best.h5, expected some that are called 'last'" in capsys.readouterr().err
    assert not (workplace / "out").exists()
    model = AEANet(None, "last", ".")
    model.keras_model.set_weights([0.9 * w for w in model.keras_model.get_weights()])
    model.keras_model.save_weights("last/weights_last.h5")
    assert predict("last", "--weights", "last") == 0
    found = read_image("out/a.tif").array
    np.testing.assert_allclose(found, model.predict(IMAGE, "YX"), rtol=1e-5)
    assert not np.allclose(found, made["plain"].predict(IMAGE, "YX"), rtol=1e-5)


def test_volumes_in_tiles_with_their_scale(models, workplace):
    folder, made = models
    volume = np.random.default_rng(0).random((6, 20, 18)).astype(np.float32)
    tifffile.imwrite("in/a.tif", volume)
    assert predict(folder / "volume", "--axes", "zyx", "--n-tiles", "1", "2", "1", "--scale") == 0
    expected = made["volume"].predict_probabilistic(volume, "ZYX", n_tiles=(1, 2, 1))
    np.testing.assert_allclose(tifffile.imread("out/a.tif"), expected.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tifffile.imread("out/a_scale.tif"), expected.scale(), rtol=1e-4, atol=1e-5)
    assert read_image("out/a.tif").axes == "ZYX"


def test_tiles_share_their_attention_unless_told_otherwise(models, workplace):
    folder, _ = models
    image = np.random.default_rng(0).random((64, 72)) + np.linspace(0, 2, 72)
    tifffile.imwrite("in/a.tif", image.astype("float32"))
    found = {}
    for name, options in {"whole": (), "exact": ("2", "3"), "overlap": ("2", "3", "--tiling", "overlap")}.items():
        tiles = ("--n-tiles", *options) if options else ()
        assert predict(folder / "plain", *tiles) == 0
        found[name] = tifffile.imread("out/a.tif")
    scale = np.ptp(found["whole"])
    assert np.abs(found["exact"] - found["whole"]).max() < 1e-5 * scale
    assert np.abs(found["overlap"] - found["whole"]).max() > 1e-5 * scale


def test_normalisation_follows_training_unless_percentiles_are_given(models, workplace, tmp_path):
    folder, made = models
    config = ['data.normalization={"kind": "range", "low": 0, "high": 255}']
    save_run(folder / "plain", load_run_config(write_config(tmp_path / "run.json"), config))
    try:
        assert predict(folder / "plain") == 0
        assert predict(folder / "plain", "--percentiles", "10", "90", output="other") == 0
    finally:
        (folder / "plain" / "run.json").unlink()
    for output, normalizer in (("out", RangeNormalizer(0, 255)), ("other", PercentileNormalizer(10, 90))):
        expected = made["plain"].predict(IMAGE, "YX", normalizer)
        np.testing.assert_allclose(tifffile.imread(f"{output}/a.tif"), expected, rtol=1e-5)


def _nothing(images):
    pass


def _garbage(images):
    (images / "a.tif").write_bytes(b"II*\0" + b"garbage" * 99)


def _truncated(images):
    (images / "a.tif").write_bytes((images / "a.tif").read_bytes()[:1000])


def _empty(images):
    (images / "a.tif").unlink()


def _nan(images):
    tifffile.imwrite(images / "a.tif", np.where(IMAGE > 199, np.nan, IMAGE))


def _stack(images):
    tifffile.imwrite(images / "a.tif", np.stack([IMAGE] * 5))


def _colours(images):
    write_image(images / "a.tif", np.stack([IMAGE] * 3), "CYX")


def _care_model(images):
    (images.parent / "care").mkdir()
    (images.parent / "care" / "config.json").write_text('{"n_dim": 2, "axes": "YXC"}')
    (images.parent / "care" / "weights_best.h5").write_bytes(b"")


def _untrained_model(images):
    AEANet(AEANetConfig("YX", network=NETWORK), "untrained", str(images.parent))


def _wrong_run(images):
    _untrained_model(images)
    (images.parent / "untrained" / "run.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_nothing, ["--input", "none.tif"], r"none\.tif: no such file or folder"),
        (_nothing, ["--input", "in/*.png"], r"in/\*\.png: the pattern matches no image"),
        (_empty, [], "in: the folder is empty"),
        (_garbage, [], r"in/a\.tif: not a readable TIFF"),
        (_truncated, [], r"in/a\.tif: .*(truncated|not a readable)"),
        (_nan, [], r"in/a\.tif: the image holds NaN"),
        (_stack, [], r"in/a\.tif: shape \(5, 20, 18\), but the file does not name its axes"),
        (_stack, ["--axes", "YX"], r"in/a\.tif: shape \(5, 20, 18\) does not fit axes YX"),
        (_nothing, ["--axes", "YXS"], "axes: found 'YXS'"),
        (_colours, [], r"in/a\.tif: found 3 channels, expected 1"),
        (_nothing, ["--n-tiles", "1", "2", "2"], r"n_tiles: \[1, 2, 2\], expected a number .* for each of the axes YX"),
        (_nothing, ["--n-tiles", "0", "1"], "n_tiles: .*at least 1"),
        (_nothing, ["--percentiles", "99", "1"], "--percentiles: 99.0 1.0"),
        (_nothing, ["--scale"], "--scale: the model is not probabilistic"),
        (_nothing, ["--output", "in"], r"in: a\.tif would replace an input"),
        (_nothing, ["--output", "./in/../in"], r"in: a\.tif would replace an input"),
        (_nothing, ["--output", "in/a.tif"], r"in: a\.tif would replace an input"),
        (_nothing, ["--model", "none"], "none: no such model folder"),
        (_nothing, ["--model", "in"], r"in: the model folder has no config\.json"),
        (_care_model, ["--model", "care"], r"care/config\.json: not the configuration of an AEANet"),
        (_untrained_model, ["--model", "untrained"], r"untrained: the model folder has no weights"),
        (_wrong_run, ["--model", "untrained"], r"untrained/run\.json: not valid JSON, line 1"),
    ],
)
def test_bad_input_is_one_line_and_no_file(models, workplace, capfd, caplog, recwarn, spoil, arguments, message):
    spoil(workplace / "in")
    before = contents(workplace)
    recwarn.clear()
    assert predict(models[0] / "plain", *arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert not caplog.records and not recwarn.list
    assert contents(workplace) == before and not (workplace / "out").exists()


def test_zarr_in_and_out_within_a_memory_limit(models, workplace, caplog):
    folder, made = models
    assert predict(folder / "plain", "--format", "zarr", output="zarrs") == 0
    assert predict(folder / "plain", "--max-memory", "20GB", input="zarrs/a.zarr") == 0
    found = open_image("out/a.zarr")
    assert found.axes == "YX" and found.unit == "um" and found.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})
    twice = made["plain"].predict(made["plain"].predict(IMAGE, "YX"), "YX")
    np.testing.assert_allclose(found.array[0:20, 0:18], twice, rtol=1e-3, atol=1e-3 * np.ptp(twice))


def test_a_lapse_with_one_context(models, workplace):
    folder, made = models
    frames = np.stack([IMAGE, IMAGE[::-1] ** 2])
    write_image("in/a.tif", frames, "TYX")
    assert predict(folder / "plain", "--context", "group") == 0
    expected = made["plain"].predict(frames, "TYX", context="group")
    np.testing.assert_allclose(read_image("out/a.tif").array, expected, rtol=1e-5)


def test_in_several_processes(models, workplace):
    pytest.importorskip("distributed")
    folder, made = models
    assert predict(folder / "plain", "--workers", "2", "--n-tiles", "2", "2") == 0
    np.testing.assert_allclose(read_image("out/a.tif").array, made["plain"].predict(IMAGE, "YX"), rtol=1e-4)


def _plain_zarr(folder):
    (folder / "a.tif").unlink()
    zarr.open_array(str(folder / "b.zarr"), mode="w", shape=(20, 18), chunks=(8, 8), dtype="f4")[:] = IMAGE


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_plain_zarr, [], r"in/b\.zarr: the zarr names no axes .*; give them, as --axes ZYX"),
        (
            _nothing,
            ["--n-tiles", "99", "1"],
            "n_tiles: 99 along Y, expected at most 10: .* every 2 of",
        ),
        (_nothing, ["--max-memory", "some"], "max_memory: 'some', expected bytes or a number with a unit"),
        (_nothing, ["--max-memory", "100MB"], r"max_memory: 0\.10 GB, expected more than"),
        (_nothing, ["--workers", "0"], "--workers: 0, expected at least 1"),
        (_nothing, ["--scheduler", "nonsense"], "scheduler: no answer from nonsense"),
    ],
)
def test_what_cannot_be_done_with_large_images_is_one_line(models, workplace, capfd, spoil, arguments, message):
    spoil(workplace / "in")
    before = contents(workplace)
    capfd.readouterr()
    assert predict(models[0] / "plain", *arguments) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("aeanet: error: ") and re.search(message, error), error
    assert contents(workplace) == before


def test_a_plain_zarr_is_predicted_with_axes_given(models, workplace):
    _plain_zarr(workplace / "in")
    assert predict(models[0] / "plain", "--axes", "YX") == 0
    found = open_image("out/b.zarr").array[0:20, 0:18]
    np.testing.assert_allclose(found, models[1]["plain"].predict(IMAGE, "YX"), rtol=1e-5)


def test_a_folder_that_cannot_be_written_is_one_line(models, workplace, capfd):
    (workplace / "out").write_text("a file")
    assert predict(models[0] / "plain") == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.search(r"aeanet: error: out: cannot be written \(Not a directory\)", error), error
    assert (workplace / "out").read_text() == "a file"


def positions(path, images):
    with tifffile.TiffWriter(path, ome=True) as tif:
        for image in images:
            tif.write(image, metadata={"axes": "ZYX"[-image.ndim :]})


def test_images_of_a_file_are_chosen_and_named_by_number(models, workplace, capfd):
    folder, made = models
    images = [IMAGE, 2 * IMAGE, IMAGE[::-1]]
    positions("in/p.ome.tif", images)
    assert predict(folder / "plain") == 2
    assert re.search(r"in/p\.ome\.tif: holds 3 images .*--series N", capfd.readouterr().err)
    assert predict(folder / "plain", "--series", "all") == 0
    assert sorted(contents(workplace / "out")) == ["a.tif", "p_s0.tif", "p_s1.tif", "p_s2.tif"]
    for number, image in enumerate(images):
        expected = made["plain"].predict(image, "YX")
        np.testing.assert_allclose(tifffile.imread(f"out/p_s{number}.tif"), expected, rtol=1e-5)
    assert predict(folder / "plain", "--series", "1", input="in/p.ome.tif", output="one") == 0
    assert contents(workplace / "one") == {"p_s1.tif": contents(workplace / "out")["p_s1.tif"]}
    assert predict(folder / "plain", "--series", "3", input="in/p.ome.tif", output="two") == 2
    with pytest.raises(SystemExit):
        predict(folder / "plain", "--series", "first", output="two")
    assert "expected a number from 0, or all" in capfd.readouterr().err and not (workplace / "two").exists()


def test_missing_planes_are_filled_only_when_told(models, workplace, capfd, caplog):
    folder, made = models
    pages = np.stack([IMAGE] * 2)
    tifffile.imwrite("in/a.tif", pages, compression="zlib", metadata={"axes": "TYX"}, rowsperstrip=20)
    with tifffile.TiffFile("in/a.tif", mode="r+b") as tif:
        for name in ("StripByteCounts", "StripOffsets"):
            tif.pages[1].tags[name].overwrite(0)
    assert predict(folder / "plain") == 2 and not (workplace / "out").exists()
    assert re.search(r"in/a\.tif: 1 of its 2 planes is missing \(1,.*--allow-missing", capfd.readouterr().err)
    assert predict(folder / "plain", "--allow-missing") == 0
    expected = made["plain"].predict(IMAGE, "YX")
    np.testing.assert_allclose(tifffile.imread("out/a.tif")[0], expected, rtol=1e-5)
    assert any("filled with 0" in message for message in caplog.messages)


def test_a_stack_of_one_slice_fits_models_of_volumes_and_of_images(models, workplace, caplog):
    folder, made = models
    write_image("in/a.tif", IMAGE[None], "ZYX")
    for number, axes in enumerate(([], ["--axes", "ZYX"])):
        assert predict(folder / "volume", *axes, output=f"volume{number}") == 0
        assert predict(folder / "plain", *axes, output=f"plain{number}") == 0
        found = read_image(f"volume{number}/a.tif", "ZYX").array
        np.testing.assert_allclose(found, made["volume"].predict(IMAGE[None], "ZYX"), rtol=1e-5)
        expected = made["plain"].predict(IMAGE, "YX")
        np.testing.assert_allclose(read_image(f"plain{number}/a.tif").array, expected, rtol=1e-5)
    assert any("taken with Z of size 1" in message for message in caplog.messages)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_stack_is_restored_plane_by_plane_by_a_model_of_images(models, workplace, caplog, axes):
    """What the message on a file without axes says leads to a call that works."""
    folder, made = models
    stack = np.stack([IMAGE, IMAGE[::-1], 2 * IMAGE])
    tifffile.imwrite("in/a.tif", stack)
    assert predict(folder / "plain", "--axes", axes) == 0
    found = read_image("out/a.tif")
    expected = np.stack([made["plain"].predict(plane, "YX") for plane in stack])
    assert found.axes == axes
    np.testing.assert_allclose(found.array, expected, rtol=1e-5)
    np.testing.assert_allclose(made["plain"].predict(stack, axes), expected, rtol=1e-5)
    planes = "in/a.tif: 3 planes along Z, each restored by itself: the model's axes are YXC"
    assert (planes in caplog.messages) == (axes == "ZYX")


def test_planes_of_a_lapse_of_stacks(models, workplace):
    folder, made = models
    lapse = np.random.default_rng(0).random((2, 3, 20, 18)).astype(np.float32)
    write_image("in/a.tif", lapse, "TZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5}, "um")
    assert predict(folder / "plain", "--n-tiles", "1", "1", "2", "1", "--format", "zarr") == 0
    found = open_image("out/a.zarr")
    expected = np.stack([[made["plain"].predict(plane, "YX") for plane in stack] for stack in lapse])
    assert found.axes == "TZYX" and found.array.chunks[:2] == (1, 1) and found.pixel_size["Z"] == 2
    np.testing.assert_allclose(read_image("out/a.zarr").array, expected, rtol=1e-4)
    np.testing.assert_allclose(made["plain"].predict(lapse, "TZYX", n_tiles=(1, 1, 2, 1)), expected, rtol=1e-4)
    assert predict(folder / "plain", "--n-tiles", "1", "3", "1", "1", output="no") == 2 and not Path("no").exists()


@pytest.mark.parametrize("name", ["new/one.tif", "new/one.ome.tif", "new/one.ome.zarr", "new/one.zarr"])
def test_the_output_may_be_a_file(models, workplace, capfd, name):
    folder, made = models
    assert predict(folder / "plain", output=name) == 0
    assert [path.name for path in Path("new").iterdir()] == [Path(name).name]
    np.testing.assert_allclose(read_image(name).array, made["plain"].predict(IMAGE, "YX"), rtol=1e-5)


def test_a_folder_of_that_name_stays_one_and_other_parts_are_beside_a_file(models, workplace):
    Path("old.tif").mkdir()
    assert predict(models[0] / "plain", output="old.tif") == 0 and list(contents(Path("old.tif"))) == ["a.tif"]
    write_image("in/a.tif", np.stack([IMAGE] * 4), "ZYX")
    assert predict(models[0] / "volume", "--scale", "--preview", output="new/v.tif") == 0
    assert sorted(contents(Path("new"))) == ["v.tif", "v_preview.png", "v_scale.tif"]


def test_another_models_predictions_are_not_overwritten(models, workplace, capfd):
    folder, _ = models
    other = AEANet(AEANetConfig("YX", network=NETWORK, train_seed=1), "other", str(workplace))
    other.keras_model.save_weights("other/weights_best.h5")
    shutil.copytree(folder / "plain", "moved")
    assert predict(folder / "plain") == 0
    before = contents(workplace / "out")
    assert predict("other") == 2
    assert (
        "out/a.tif: was made by the model plain, not by other; --overwrite (overwrite) replaces it, another --output "
        "keeps both" in capfd.readouterr().err
    )
    assert contents(workplace / "out") == before
    assert predict("moved", "--percentiles", "1", "99") == 0
    assert predict("other", "--overwrite") == 0
    np.testing.assert_allclose(read_image("out/a.tif").array, other.predict(IMAGE, "YX"), rtol=1e-5)
    both = ["predict", "--model", str(folder / "plain"), "other", "--input", "in", "--output", "out"]
    assert main(both) == 2
    assert "was made by the model other, not by plain + other" in capfd.readouterr().err
    shutil.copytree("in", "truth")
    assert predict("other", output="truth") == 2
    assert "truth/a.tif: is there and does not say which model made it" in capfd.readouterr().err
    # Trained anew, it is another one.
    other.keras_model.set_weights([0.9 * w for w in other.keras_model.get_weights()])
    other.keras_model.save_weights("other/weights_best.h5")
    assert predict("other") == 2
    assert "was made by other weights of the model other" in capfd.readouterr().err


def test_previews_are_beside_predictions_and_in_nobodys_way(models, workplace, capfd):
    folder, _ = models
    shutil.copytree("in", "GT")
    write_image("in/b.tif", 2 * IMAGE, "YX")
    write_image("GT/b.tif", 2 * IMAGE, "YX")
    assert predict(folder / "plain", "--preview") == 0
    names = ["a.tif", "a_preview.png", "b.tif", "b_preview.png"]
    assert sorted(contents(workplace / "out")) == names
    with PIL.Image.open("out/a_preview.png") as picture:
        assert picture.width == 1200
    model = folder / "plain"
    assert [line for line in capfd.readouterr().out.splitlines() if line.startswith("next: ")] == [
        "next: open out/a_preview.png",
        "next: aeanet evaluate --prediction out --gt GT --input in",
        f"next: aeanet export --model {model} --format fiji",
    ]
    assert main("evaluate --prediction out --gt GT --input in".split()) == 0
    assert "next: aeanet export --model MODEL --format fiji" in capfd.readouterr().out
    assert [path.name for path in find_images("out")] == [path.name for path in find_images("out/*")] == names[::2]


def test_a_preview_is_drawn_again_for_a_new_prediction_only(models, workplace):
    image, prediction = read_image("in/a.tif"), Path("out/a.tif")
    write_image(prediction, IMAGE, "YX")
    picture = draw_preview(image, prediction)
    assert picture == Path("out/a_preview.png")
    picture.write_bytes(b"as it was")
    draw_preview(image, prediction)
    assert picture.read_bytes() == b"as it was"
    os.utime(picture, (1, 1))
    draw_preview(image, prediction)
    assert picture.read_bytes() != b"as it was"
    assert sorted(contents(Path("out"))) == ["a.tif", "a_preview.png"]

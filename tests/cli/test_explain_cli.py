"""``aeanet explain`` draws what the model computes for files, normalised as in training, or says why not."""

import re

import numpy as np
import pytest
import tifffile
from skimage.io import imread

from aeanet_tf.cli.main import main
from aeanet_tf.evaluation.attention_maps import random_references, relevance_maps
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import save_normalization
from aeanet_tf.models.preparation import NormalizationSection
from tests.interop.example_models import make_model
from tests.models import contents

KINDS = ("em", "care", "variants", "unet", "labels")
IMAGES = np.random.default_rng(0).uniform(100, 200, (2, 40, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {kind: make_model(kind, folder) for kind in KINDS}
    save_normalization(folder / "em", NormalizationSection(kind="range", low=100, high=200))
    return folder, made


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, image in zip("ab", IMAGES, strict=True):
        write_image(f"in/{name}.tif", image, "YX", {"Y": 0.5, "X": 0.5}, "um")
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes longer than all else."""
    monkeypatch.setattr("aeanet_tf.runs.explain.save_figure", _touch)


def _touch(figure, path):
    path.parent.mkdir(exist_ok=True)
    path.touch()


def explain(model, *arguments, output="out"):
    return main(["explain", "--model", str(model), "--output", output, "--input", "in", *arguments])


def test_pictures_maps_and_numbers(models, workplace, capsys):
    folder, made = models
    assert explain(folder / "em", "--references", "3") == 0
    assert sorted(contents(workplace / "out")) == [
        *(f"{name}_{what}" for name in "ab" for what in ("equivariance.png", "relevance.tif")),
        "relevance.png",
    ]
    for name, image in zip("ab", IMAGES, strict=True):
        found = read_image(f"out/{name}_relevance.tif")
        assert found.axes == "CYX" and found.unit == "um" and found.pixel_size == pytest.approx({"Y": 2, "X": 2})
        expected = relevance_maps(made["em"].keras_model, ((image - 100) / 100)[None, ..., None])
        assert expected.shape == (5, 10, 8)
        np.testing.assert_allclose(found.array, expected, atol=1e-5 * np.abs(expected).max())
        assert imread(f"out/{name}_equivariance.png").shape[1] > 1000
    assert imread("out/relevance.png").shape[1] > 1000
    printed = capsys.readouterr().out
    assert "operator bottom_block.block_0: 5 shared references, a map position is 4 x 4 pixels" in printed
    assert re.search(r"mean absolute correlation between the maps: 0\.\d{3} \(as different as \d\.\d", printed)
    assert re.search(r"shown: references \d, \d, \d, mean absolute correlation 0\.\d{3}\n", printed)
    assert re.search(r"out/b_equivariance.png: .* query \d+\.\d %, attention output \d+\.\d %", printed)


def test_references_can_be_named_or_drawn(models, workplace, capsys, undrawn):
    folder, _ = models
    shown = []
    for arguments in (["2,4"], ["2,"], ["2", "--seed", "1"]):
        assert explain(folder / "em", "--input", "in/a.tif", "--references", *arguments) == 0
        shown.append(re.search(r"shown: references ([\d, ]+?)(, mean|\n)", capsys.readouterr().out)[1])
    drawn = random_references(5, 2, 1)
    assert shown == ["2, 4", "2", f"{drawn[0] + 1}, {drawn[1] + 1}"]


def test_a_model_that_segments_and_has_two_channels(models, workplace, capsys, undrawn):
    write_image("two.tif", np.random.default_rng(0).random((20, 24, 2)).astype(np.float32), "YXC")
    assert explain(models[0] / "labels", "--input", "two.tif") == 0
    assert "operator bottom_block.block_0: 5 shared references" in capsys.readouterr().out
    assert read_image("out/two_relevance.tif").array.shape == (5, 5, 6)


def test_a_volume_at_another_operator(models, workplace, capsys, undrawn):
    volume = np.random.default_rng(0).random((6, 20, 18)).astype(np.float32)
    tifffile.imwrite("v.tif", volume)
    command = ["--input", "v.tif", "--axes", "zyx", "--operator", "2"]
    assert explain(models[0] / "care", *command) == 0
    assert read_image("out/v_relevance.tif").axes == "ZCYX"
    assert read_image("out/v_relevance.tif").array.shape == (6, 5, 20, 18)
    assert "operator decoding_block_1.upsampling: 5 shared references" in capsys.readouterr().out


def test_without_references_there_is_one_kind_of_picture(models, workplace, capsys, undrawn):
    assert explain(models[0] / "variants", "--input", "in/a.tif") == 0
    assert sorted(contents(workplace / "out")) == ["a_equivariance.png"]
    assert "no shared references, so no relevance maps" in capsys.readouterr().out


def _seven(images):
    for i in range(5):
        (images / f"c{i}.tif").write_bytes((images / "a.tif").read_bytes())


def _nothing(images):
    pass


def _twins(images):
    write_image(images.parent / "more" / "a.tif", IMAGES[0], "YX")


def _lapse(images):
    write_image(images / "a.tif", IMAGES, "TYX")


@pytest.mark.parametrize(
    ("kind", "spoil", "arguments", "message"),
    [
        ("unet", _nothing, [], "operator: the model has no attention operators"),
        ("variants", _nothing, ["--references", "2"], "--references: the model has no shared references"),
        ("em", _nothing, ["--operator", "middle"], "operator: found 'middle', expected one of bottom_block.block_0"),
        ("em", _nothing, ["--references", "x"], "--references: 'x', expected a number"),
        ("em", _nothing, ["--references", "13"], "--references: 13 of them, expected 1 to 12"),
        ("em", _nothing, ["--references", "0"], "--references: 0 of them"),
        ("em", _nothing, ["--references", "6"], "--references: 6, expected a number from 1 to 5"),
        ("em", _nothing, ["--references", "1,6"], r"--references: \[1, 6\], expected numbers from 1 to 5"),
        ("em", _nothing, ["--references", "0,1"], r"--references: \[0, 1\], expected numbers from 1"),
        ("em", _nothing, ["--references", "2,2"], "--references: 2,2, expected each reference once"),
        ("em", _nothing, ["--references", "1,2", "--seed", "1"], "--seed: given with a list"),
        ("em", _nothing, ["--seed", "-1"], "--seed: -1, expected a number of at least 0"),
        ("em", _seven, [], "--input: 7 images, expected at most 6"),
        ("em", _twins, ["--input", "in", "more"], "a_relevance.tif: would be written for two images"),
        ("em", _lapse, [], r"in/a\.tif: found axes TYX, expected YX"),
        ("em", _nothing, ["--input", "none.tif"], r"none\.tif: no such file or folder"),
        ("care", _lapse, [], r"in/a\.tif: found axes .*TYX, expected ZYX"),
        ("none", _nothing, [], "none: no such model folder"),
    ],
)
def test_bad_input_is_one_line_and_no_file(models, workplace, capfd, kind, spoil, arguments, message):
    spoil(workplace / "in")
    before = contents(workplace)
    assert explain(models[0] / kind, *arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert contents(workplace) == before


def test_no_input_is_replaced(models, workplace, capfd):
    (workplace / "out").mkdir()
    write_image("out/relevance_relevance.tif", IMAGES[0], "YX")
    write_image("out/relevance.tif", IMAGES[0], "YX")
    before = contents(workplace)
    assert explain(models[0] / "em", "--input", "out") == 2
    assert "relevance_relevance.tif would replace an input" in capfd.readouterr().err
    assert contents(workplace) == before


def test_a_picture_too_large_for_the_memory_is_refused(models, workplace, capfd, monkeypatch):
    monkeypatch.setattr("aeanet_tf.prediction.machine.available_bytes", lambda: 10**6)
    monkeypatch.setattr("aeanet_tf.prediction.machine.resident_bytes", lambda: 0)
    assert explain(models[0] / "em") == 2
    assert re.search("pixels do not fit into memory in one piece|smallest tiles", capfd.readouterr().err)


def test_images_of_a_file_have_maps_of_their_own(models, workplace, undrawn):
    folder, made = models
    with tifffile.TiffWriter("in/a.tif", ome=True) as tif:
        for image in IMAGES:
            tif.write(image, metadata={"axes": "YX"})
    assert explain(folder / "em", "--series", "all", "--references", "2") == 0
    for name, image in (("a_s0", IMAGES[0]), ("a_s1", IMAGES[1]), ("b", IMAGES[1])):
        expected = relevance_maps(made["em"].keras_model, ((image - 100) / 100)[None, ..., None])
        found = read_image(f"out/{name}_relevance.tif").array
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())

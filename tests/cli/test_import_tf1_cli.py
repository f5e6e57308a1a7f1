"""``aeanet import-tf1`` makes a model folder that predicts, or says in one line why not."""

import re

import numpy as np
import pytest
import tifffile

from aeanet_tf.cli.main import main
from aeanet_tf.interop.tf1_checkpoint import published_normalization
from aeanet_tf.models import AEANet
from aeanet_tf.models.folder import prediction_normalization
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.networks import presets
from tests.interop.tf1 import data_file, network, with_slots, write_checkpoint
from tests.layers.oracle import relative_error
from tests.models import contents

SPEC = presets["gvtnet-em"].replace(first_filters=4, depth=2, encoding_blocks=(1, 0), decoding_blocks=(1,))


@pytest.fixture(scope="module")
def original():
    return network(SPEC)


@pytest.fixture
def workplace(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "run" / "model.ckpt-7", with_slots(original[1]))
    return tmp_path


def import_tf1(*arguments):
    return main(["import-tf1", "--checkpoint", "run/model.ckpt-7", "--output", "models/m", *arguments])


def test_the_folder_is_a_model(original, workplace, caplog, capsys):
    assert import_tf1("--set", "output_offset=true") == 0
    assert sorted(contents(workplace / "models")) == ["m/config.json", "m/normalization.json", "m/weights_best.h5"]
    told, following = capsys.readouterr().out.splitlines()
    assert told == "imported model in models/m"
    assert following == "next: aeanet predict --model models/m --input IMAGES --output FOLDER --preview"
    assert caplog.messages[0].startswith("run/model.ckpt-7: gvtnet-em with depth = 2")
    image = np.random.default_rng(0).random((16, 20)).astype("float32")
    model = AEANet(None, "m", "models")
    expected = image + np.asarray(original[0](image[None, ..., None]))[0, ..., 0]
    assert relative_error(model.predict(image, "YX", normalizer=None), expected) < 1e-5


def test_the_imported_model_predicts_files(workplace):
    assert import_tf1("--preset", "gvtnet-em", *SMALLER, "--axes", "xy") == 0
    image = np.random.default_rng(0).random((16, 20)).astype("float32")
    tifffile.imwrite("a.tif", image)
    assert main(["predict", "--model", "models/m", "--input", "a.tif", "--output", "out"]) == 0
    assert tifffile.imread("out/a.tif").shape == image.shape
    assert AEANet(None, "m", "models").config.axes == "XYC"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("range", 0, 255)),  # Published for paired EM.
        (["--normalization", "percentile", "1", "99.5"], ("percentile", 1, 99.5)),
        (["--normalization", "range", "-5", "1e3"], ("range", -5, 1000)),
        (["--normalization", "none"], ("none", 2, 99.8)),
        (["--normalization", "standard"], ("standard", 2, 99.8)),
    ],
)
def test_prediction_uses_the_normalisation_of_the_import(arguments, expected, workplace):
    assert import_tf1(*arguments) == 0
    found = prediction_normalization("models/m")
    assert (found.kind, found.low, found.high) == expected
    image = np.random.default_rng(0).uniform(0, 250, (16, 20)).astype("float32")
    tifffile.imwrite("a.tif", image)
    assert main(["predict", "--model", "models/m", "--input", "a.tif", "--output", "out"]) == 0
    model = AEANet(None, "m", "models")
    restored = model.predict(image, "YX", normalizer=make_normalizer(found))
    assert relative_error(tifffile.imread("out/a.tif"), restored) < 1e-6


def test_networks_are_imported_with_their_own_normalisation():
    assert published_normalization("gvtnet-care").kind == "percentile"
    assert published_normalization("gvtnet-labelfree").kind == "standard"
    assert published_normalization("aeanet-em").high == 255


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["range", "5"], "'range 5', expected KIND LOW HIGH"),
        (["none", "1", "2"], "'none 1 2', expected KIND LOW HIGH"),
        (["minmax", "0", "1"], "kind: found 'minmax', expected 'percentile', 'range', 'standard' or 'none'"),
        (["range", "9", "3"], "low: 9.0 is not below high = 3.0"),
        (["percentile", "a", "b"], "low: found 'a', expected a number"),
    ],
)
def test_a_wrong_normalisation_is_one_line(words, message, workplace, capsys):
    assert import_tf1("--normalization", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("aeanet: error: --normalization") and message in line
    assert not (workplace / "models").exists()


SMALLER = [
    text
    for field in ("first_filters=4", "depth=2", "encoding_blocks=[1, 0]", "decoding_blocks=[1]")
    for text in ("--set", field)
]


def _nothing(folder):
    pass


def _in_use(folder):
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "models" / "m" / "config.json").write_text("{}")


def _a_file(folder):
    (folder / "models").mkdir()
    (folder / "models" / "m").write_text("")


def _truncated(folder):
    file = data_file(folder / "run" / "model.ckpt-7")
    file.write_bytes(file.read_bytes()[:-1])


def _no_folder_possible(folder):
    (folder / "models").write_text("")


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_nothing, ["--checkpoint", "run/model.ckpt-9"], r"run/model\.ckpt-9\.index: no such file"),
        (_nothing, ["--preset", "aeanet-em", *SMALLER], r"run/model\.ckpt-7: .*fit aeanet-em: .*nl_library: missing"),
        (_nothing, ["--preset", "none"], "preset: found 'none'"),
        (_nothing, ["--axes", "ZYX"], "axes: found 'ZYX', expected 2 different letters"),
        (_nothing, ["--set", "depth=x"], "depth: "),
        (_truncated, [], "truncated or damaged"),
        (_in_use, [], "models/m: the folder is not empty"),
        (_a_file, [], "models/m: is a file"),
        (_no_folder_possible, [], "models/m: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_no_file(workplace, capfd, caplog, spoil, arguments, message):
    spoil(workplace)
    before = contents(workplace)
    assert import_tf1(*arguments) == 2
    error = capfd.readouterr().err
    assert error.startswith("aeanet: error: ") and len(error.splitlines()) == 1, error
    assert re.search(message, error), error
    assert not caplog.records
    assert contents(workplace) == before


def test_an_empty_folder_is_taken_and_a_killed_imports_remains_are_replaced(workplace):
    (workplace / "models" / "m").mkdir(parents=True)
    (workplace / "models" / ".partial-m").mkdir()
    (workplace / "models" / ".partial-m" / "junk").write_text("")
    assert import_tf1() == 0
    assert sorted(contents(workplace / "models")) == ["m/config.json", "m/normalization.json", "m/weights_best.h5"]

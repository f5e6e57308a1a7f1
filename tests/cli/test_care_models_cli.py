"""The commands take the folder of a model that CSBDeep trained as they take one of ours."""

import json
import shutil

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from tests.interop.care_folders import CARE_FOLDERS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CARE_FOLDERS["tf2_volume"], "care")
    with np.load("care/prediction.npz") as file:
        write_image("in/a.tif", file["x"], "ZYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}, "um")
    return tmp_path / "care"


def test_a_file_is_restored_as_csbdeep_restored_its_array(folder, caplog):
    assert main(["predict", "--model", "care", "--input", "in", "--output", "out", "--n-tiles", "1", "2", "1"]) == 0
    assert "1 x 2 x 1 tiles, about" in caplog.text
    found = read_image("out/a.tif")
    assert found.axes == "ZYX" and found.pixel_size["Z"] == pytest.approx(0.5)
    with np.load("care/prediction.npz") as file:
        np.testing.assert_allclose(found.array, file["y"], rtol=0, atol=1e-5 * np.abs(file["y"]).max())


def test_fijis_zip_is_written_into_the_folder(folder):
    assert main(["export", "--model", "care", "--format", "fiji"]) == 0
    assert (folder / "TF_SavedModel.zip").is_file()


def test_a_wrong_configuration_ends_with_one_line(folder, capsys, caplog):
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "unet_kern_size": "3"}))
    assert main(["predict", "--model", "care", "--input", "in", "--output", "out"]) == 2
    assert not (folder.parent / "out").exists()
    assert "kern_size" in (capsys.readouterr().err + caplog.text)

"""The script of CSBDeep's documentation runs with the class name changed, in 2D and 3D."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from tifffile import TiffFile, imread, imwrite

from tests.models import EAGER, eager_tensorflow

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "care_script.py"


@EAGER
@pytest.mark.parametrize(("axes", "shape"), [("YX", (97, 130)), ("ZYX", (11, 50, 61))])
def test_care_script_with_the_class_name_changed(tmp_path, monkeypatch, axes, shape):
    rng = np.random.default_rng(0)
    for i in range(2):
        gt = rng.random(shape).cumsum(-1).cumsum(-2)
        gt = np.sin(gt / 50) + 1
        for name, image in (("GT", gt), ("low", gt + rng.normal(0, 0.3, shape))):
            (tmp_path / name).mkdir(exist_ok=True)
            imwrite(tmp_path / name / f"{i}.tif", image.astype(np.float32))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path), axes, "1", "2"])
    with eager_tensorflow():
        runpy.run_path(str(SCRIPT), run_name="__main__")
    restored = tmp_path / "my_model_0.tif"
    assert imread(restored).shape == shape
    with TiffFile(restored) as tif:
        assert tif.is_imagej
    files = {p.name for p in (tmp_path / "models" / "my_model").iterdir()}
    assert {"config.json", "weights_best.h5", "weights_last.h5"} <= files

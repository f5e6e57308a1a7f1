import subprocess
import sys

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.saved_model import export_saved_model
from tests.interop.example_models import images, make_model, predictions, relative_error

ELSEWHERE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("aeanet_tf", "csbdeep"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
signature = loaded.signatures["serving_default"]
with np.load(sys.argv[2]) as file:
    inputs = [tf.constant(file[key]) for key in file.files]
np.savez(sys.argv[3], *[signature(input=x)["output"] for x in inputs], *[loaded.serve(x) for x in inputs])
assert "aeanet_tf" not in sys.modules
"""


@pytest.mark.parametrize("kind", ["care", "flywing", pytest.param("slices", marks=pytest.mark.slow)])
def test_a_process_without_the_package_gets_the_same_result(kind, tmp_path):
    model = make_model(kind)
    inputs = images(model)
    path = export_saved_model(model, tmp_path / "saved")
    np.savez(tmp_path / "in.npz", *[x[None] for x in inputs])
    command = [sys.executable, "-c", ELSEWHERE, str(path), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as file:
        found = [file[key][0] for key in file.files]
    for y, expected in zip(found, 2 * predictions(model, inputs), strict=True):
        assert relative_error(y, expected) < 1e-5


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path):
    model = make_model("unet")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no SavedModel"):
        export_saved_model(model, folder)
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "notes.txt"]
    (folder / "notes.txt").unlink()
    export_saved_model(model, folder)
    (folder / "assets" / "old").write_text("of the first")
    export_saved_model(model, folder)
    assert (folder / "saved_model.pb").is_file() and not (folder / "assets" / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

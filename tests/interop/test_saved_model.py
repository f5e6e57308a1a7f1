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
for kind in sys.argv[1:]:
    loaded = tf.saved_model.load(kind)
    signature = loaded.signatures["serving_default"]
    with np.load(kind + "_in.npz") as file:
        inputs = [tf.constant(file[key]) for key in file.files]
    np.savez(kind + "_out.npz", *[signature(input=x)["output"] for x in inputs], *[loaded.serve(x) for x in inputs])
assert "aeanet_tf" not in sys.modules
"""


@pytest.mark.parametrize(
    "kinds", [["care", "flywing"], pytest.param(["slices", "kernels", "flow"], marks=pytest.mark.slow)]
)
def test_a_process_without_the_package_gets_the_same_result(kinds, tmp_path):
    """One process for all: to start it takes longer than to predict."""
    models = {kind: make_model(kind) for kind in kinds}
    for kind, model in models.items():
        export_saved_model(model, tmp_path / kind)
        np.savez(tmp_path / f"{kind}_in.npz", *[x[None] for x in images(model)])
    command = [sys.executable, "-c", ELSEWHERE, *kinds]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for kind, model in models.items():
        with np.load(tmp_path / f"{kind}_out.npz") as file:
            found = [file[key][0] for key in file.files]
        for y, expected in zip(found, 2 * predictions(model, images(model)), strict=True):
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

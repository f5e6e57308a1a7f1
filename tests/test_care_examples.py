"""CSBDeep's notebooks as scripts, with the class swapped, on data in the form that they download."""

import ast
import runpy
from pathlib import Path

import csbdeep.data
import csbdeep.models
import csbdeep.utils
import matplotlib
import pytest
from tifffile import TiffFile

import aeanet_tf.models
from tests.care_downloads import RETINA, TRIBOLIUM, download
from tests.models import EAGER, eager_tensorflow

SCRIPTS = Path(__file__).resolve().parents[1] / "examples" / "care"
# CSBDeep's class of each of ours.
SWAPPED = {"AEANet": "CARE", "AEANetConfig": "Config"} | {
    f"{kind}AEANet{part}": f"{kind}{'Config' if part else 'CARE'}"
    for kind in ("Projection", "Upsampling", "Isotropic")
    for part in ("", "Config")
}
HISTORY = {"loss", "val_loss", "mse", "val_mse", "mae", "val_mae"}
# What a script restores, the shape of it, and the pictures that it makes beside those of all.
CASES = {
    "denoising2D": ("my_model_img_0010.tif", (184, 136), {"patches", "restored", "profile"}),
    "denoising2D_probabilistic": (
        "my_model_validation_image.tif",
        (64, 72),
        {"patches", "mean_and_scale", "variance_and_entropy", "samples", "profile"},
    ),
    "denoising3D": (f"my_model_{TRIBOLIUM['test']}", (17, 70, 68), {"patches", "restored"}),
    "projection": ("my_model_denoising+projection_example.tif", (136, 144), {"patches", "restored"}),
    "upsampling3D": ("my_model_restored_stack_low_sub_4_03.tif", (96, 40, 44), {"patches", "input", "restored"}),
    # As many slices as CSBDeep's: 10.2 times 11, rounded.
    "isotropic_reconstruction": (f"my_model_{RETINA}", (112, 2, 132, 136), {"patches", "input", "restored"}),
}
CHEAP = ("denoising2D", "denoising2D_probabilistic")


def _small(monkeypatch):
    """Few patches, small ones, and two steps of a small network."""
    monkeypatch.setattr(csbdeep.utils, "download_and_extract_zip_file", download)
    for name in ("create_patches", "create_patches_reduced_target"):
        monkeypatch.setattr(csbdeep.data, name, _fewer(getattr(csbdeep.data, name)))
    fields = {"train_epochs": 1, "train_steps_per_epoch": 2, "train_batch_size": 2, "unet_n_first": 4}
    for name in ("AEANetConfig", "ProjectionAEANetConfig"):
        original = getattr(aeanet_tf.models, name)
        monkeypatch.setattr(
            aeanet_tf.models, name, lambda *args, original=original, **kwargs: original(*args, **{**kwargs, **fields})
        )


def _fewer(function):
    def create(*args, patch_size, n_patches_per_image, **kwargs):
        smaller = tuple(size if size is None else min(size, 32) for size in patch_size)
        return function(*args, patch_size=smaller, n_patches_per_image=10, **kwargs)

    return create


@EAGER
@pytest.mark.parametrize(
    "name", [name if name in CHEAP else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_the_script_runs_on_what_its_notebooks_download(name, tmp_path, monkeypatch, capsys):
    script = SCRIPTS / f"{name}.py"
    for ours in _imported(script):
        if not hasattr(aeanet_tf.models, ours):
            pytest.skip(f"aeanet_tf.models has no {ours}")
    _small(monkeypatch)
    monkeypatch.chdir(tmp_path)
    # They set matplotlib up, as their notebooks do.
    with eager_tensorflow(), matplotlib.rc_context():
        names = runpy.run_path(str(script), run_name="__main__")
    file, shape, pictures = CASES[name]
    with TiffFile(tmp_path / "results" / file) as tif:
        assert tif.is_imagej and tif.series[0].shape == shape
    assert names["history"].history.keys() >= HISTORY
    found = {path.stem for path in (tmp_path / "results").glob("*.png")}
    assert found == pictures | {"history", "validation"}
    folder = tmp_path / "models" / "my_model"
    assert {"config.json", "weights_best.h5", "weights_last.h5", "TF_SavedModel.zip"} <= {
        path.name for path in folder.iterdir()
    }


def _imported(script, module="aeanet_tf.models"):
    nodes = ast.walk(ast.parse(script.read_text(encoding="utf-8")))
    return [n.name for node in nodes if isinstance(node, ast.ImportFrom) and node.module == module for n in node.names]


def test_there_is_a_script_for_each_folder_of_notebooks():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(CASES)
    text = (SCRIPTS.parents[1] / "docs" / "from_care.md").read_text(encoding="utf-8")
    for name in CASES:
        assert f"`{name}`" in text and f"`examples/care/{name}.py`" in text, name


@pytest.mark.parametrize("name", CASES)
def test_nothing_but_the_class_is_swapped(name):
    script = SCRIPTS / f"{name}.py"
    imported = _imported(script)
    assert len(imported) == 2 and all(hasattr(csbdeep.models, SWAPPED[ours]) for ours in imported)
    # All else comes from where the notebooks have it; plots are shown where there is a screen.
    assert _imported(script, "aeanet_tf") == ["plot_history"]
    (model,) = (SWAPPED[ours] for ours in imported if not ours.endswith("Config"))
    tree = ast.parse(script.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _name(node) == "model"}
    # What an object has beside its class.
    assert used - {"keras_model", "name"} <= set(dir(getattr(csbdeep.models, model)))


def _name(node):
    return node.value.id if isinstance(node.value, ast.Name) else None

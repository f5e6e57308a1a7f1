"""The plugin as napari finds it."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import aeanet_tf
from aeanet_tf.napari.backend import load_beside_opengl

pytest.importorskip("npe2", reason="napari is not installed")
FILE = Path(aeanet_tf.__file__).parent / "napari" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    from npe2 import PluginManifest

    return PluginManifest.from_file(FILE)


def test_the_manifest_is_valid_and_names_what_there_is(manifest, application):
    manifest.validate_imports()
    commands = {command.id for command in manifest.contributions.commands}
    used = [part.command for part in (*manifest.contributions.widgets, *manifest.contributions.sample_data)]
    assert commands == set(used) and len(used) == 5
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["Predict", "Train", "Export"]


def test_the_package_has_the_manifest_and_its_name(manifest):
    project = (Path(aeanet_tf.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points."napari.manifest"]\n{manifest.name} = "aeanet_tf.napari:napari.yaml"' in project
    assert '"aeanet_tf.napari" = ["napari.yaml"]' in project and f'name = "{manifest.name}"' in project


def test_sample_data_are_layers(manifest):
    from napari.layers import Layer

    for command in manifest.contributions.commands:
        if "sample" in command.id:
            module, name = command.python_name.split(":")
            low, truth = getattr(import_module(module), name)()
            assert low[0].shape == truth[0].shape == Layer.create(*low).data.shape
            # Counts of a camera, 100 without light; noise is in one of them alone.
            assert np.min(truth[0]) > 95 and np.std(np.diff(low[0])) > 2 * np.std(np.diff(truth[0]))


def test_the_forms_open_without_tensorflow(application):
    code = """
import sys
from napari.qt import get_qapp
from napari.components import ViewerModel
application, viewer = get_qapp(), ViewerModel()
from aeanet_tf.napari.predict_widget import PredictWidget
from aeanet_tf.napari.train_widget import TrainWidget
from aeanet_tf.napari.export_widget import ExportWidget
parts = PredictWidget(viewer), TrainWidget(viewer), ExportWidget()
assert not {"tensorflow", "keras", "csbdeep"} & set(sys.modules), "something heavy"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "RTLD_DEEPBIND"), reason="for glibc")
def test_libraries_of_tensorflow_look_at_home_first(monkeypatch):
    before, during = sys.getdlopenflags(), []
    monkeypatch.setattr("aeanet_tf.startup.load_backend", lambda: during.append(sys.getdlopenflags()))
    load_beside_opengl()
    assert during == [before | os.RTLD_DEEPBIND] and sys.getdlopenflags() == before


@pytest.mark.slow
def test_tensorflow_loads_beside_another_llvm():
    """As Mesa brings it into a process that draws: without care TensorFlow ends the process."""
    from ctypes.util import find_library

    names = [name for number in range(13, 25) if (name := find_library(f"LLVM-{number}"))]
    if not names:
        pytest.skip("no LLVM of the system")
    code = f"""
import ctypes
ctypes.CDLL({names[0]!r}, ctypes.RTLD_GLOBAL)
from aeanet_tf.napari.backend import load_beside_opengl
load_beside_opengl()
import keras
assert float(keras.ops.sum(keras.ops.ones((3, 4)))) == 12
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

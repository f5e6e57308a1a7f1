"""Models that CSBDeep trained, exported in all formats: each gives what CSBDeep's own ``predict`` gave."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.interop.bioimageio import export_bioimageio
from aeanet_tf.interop.fiji import export_fiji, run_saved_model
from aeanet_tf.interop.onnx import export_onnx
from aeanet_tf.interop.portable import export_keras
from aeanet_tf.interop.saved_model import export_saved_model
from aeanet_tf.models.folder import load_model, prediction_normalization
from tests.interop.care_folders import CARE_FOLDERS, mapped_back, stored
from tests.interop.example_models import relative_error


def in_fiji(model, folder, x):
    """For both runtimes, whose operations are checked on the way."""
    export_fiji(model, folder / "old.zip", "tf1.12")
    with zipfile.ZipFile(export_fiji(model, folder / "m.zip")) as archive:
        archive.extractall(folder / "m")
    return run_saved_model(folder / "m", [x])[0]


def in_keras(model, folder, x):
    return keras.models.load_model(export_keras(model, folder / "m.keras"))(x)


def in_tensorflow(model, folder, x):
    loaded = tf.saved_model.load(str(export_saved_model(model, folder / "m")))
    return loaded.serve(x)


def in_onnx(model, folder, x):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    session = runtime.InferenceSession(str(export_onnx(model, folder / "m.onnx")), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


@pytest.fixture(scope="module")
def models():
    return {name: load_model(path) for name, path in CARE_FOLDERS.items()}


@pytest.mark.parametrize(
    ("name", "program"),
    [
        *((name, in_fiji) for name in CARE_FOLDERS),
        ("tf1_projection", in_keras),
        ("tf1_probabilistic", in_keras),
        ("tf1_projection", in_onnx),
        ("tf1_probabilistic", in_tensorflow),
    ],
)
def test_a_program_predicts_what_csbdeep_did(name, program, models, tmp_path):
    model = models[name]
    x, expected, back = stored(model)
    (found,) = np.asarray(program(model, tmp_path, x[None]))
    assert relative_error(mapped_back(model, found, back), expected) < 1e-5


def test_the_package_of_the_zoo_says_whose_network_it_is(models, tmp_path):
    pytest.importorskip("bioimageio.spec")
    folder = CARE_FOLDERS["tf1_projection"]
    facts = {"authors": ["A"], "license": "MIT", "normalization": prediction_normalization(folder)}
    path = export_bioimageio(models["tf1_projection"], tmp_path / "m.zip", **facts)
    with zipfile.ZipFile(path) as archive:
        text = archive.read("README.md").decode()
    assert "A network of CSBDeep (CARE) that projects 3D stacks to 2D" in text
    assert "Weigert" in text and "attention" not in text.replace("Content-aware", "")

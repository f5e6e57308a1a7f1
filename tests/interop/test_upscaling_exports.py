"""Exports of models whose output is larger than their input, and the one that there is no place for in Fiji."""

import zipfile

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.bioimageio import export_bioimageio
from aeanet_tf.interop.fiji import export_fiji, export_graph, run_saved_model
from aeanet_tf.interop.onnx import export_onnx
from aeanet_tf.interop.portable import portable_network
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.next_commands import commands_after_training
from aeanet_tf.models.preparation import NormalizationSection
from tests.interop.example_models import randomise
from tests.networks.literature import SMALL


def made(name, axes="YX", basedir=None, upscale=2):
    network = {**SMALL.get(name, {"first_filters": 4}), "upscale": upscale}
    model = AEANet(AEANetConfig(axes, preset=name, network=network, train_seed=0), name, basedir)
    randomise(model.keras_model)
    return model


def image(model, *size):
    return np.random.default_rng(0).random((1, *size, 1)).astype("float32")


@pytest.mark.parametrize(("name", "axes", "size"), [("vdsr", "YX", (7, 10)), ("edsr", "ZYX", (3, 5, 4))])
def test_the_portable_form_gives_the_same(name, axes, size):
    model = made(name, axes)
    portable, x = portable_network(model.keras_model), image(model, *size)
    assert all(type(layer).__module__.startswith("keras.") for layer in portable.layers)
    np.testing.assert_allclose(portable(x), model.keras_model(x), atol=1e-5)


def test_fiji_is_refused_before_anything_is_written(tmp_path):
    model = made("edsr", basedir=str(tmp_path))
    with pytest.raises(InputError, match=r"network.upscale 2, expected 1: the CSBDeep plugin .* export onnx"):
        export_fiji(model, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    assert commands_after_training(model)[-1][-3:] == ("onnx", "--output", "edsr.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rcan", "vdsr", "aeanet-care"])
def test_exports_predict_what_python_predicts(name, tmp_path):
    model = made(name)
    x = image(model, 24, 32)
    expected = np.asarray(model.keras_model(x))
    for target in ("tf1.15", "tf1.12"):
        with zipfile.ZipFile(export_graph(model, tmp_path / f"{target}.zip", target)) as archive:
            archive.extractall(tmp_path / target)
        (found,) = run_saved_model(tmp_path / target, [x])
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    session = runtime.InferenceSession(str(export_onnx(model, tmp_path / "m.onnx")), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, atol=1e-4 * np.abs(expected).max())
    assert session.get_outputs()[0].shape[1:3] == ["y_out", "x_out"]


@pytest.mark.slow
def test_a_package_says_how_large_its_output_is(tmp_path, monkeypatch):
    # Where bioimageio.core unpacks weights.
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("bioimageio.spec")
    path = export_bioimageio(
        made("aeanet-care"),
        tmp_path / "a.zip",
        authors=["A"],
        license="CC-BY-4.0",
        normalization=NormalizationSection(),
    )
    from bioimageio.spec import load_description

    description = load_description(path)
    assert [axis.scale for axis in description.outputs[0].axes[1:3]] == [0.5, 0.5]
    core = pytest.importorskip("bioimageio.core")
    assert core.test_model(description).status == "passed"

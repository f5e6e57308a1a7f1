import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.onnx import export_onnx
from tests.interop.example_models import images, make_model, predictions, relative_error


@pytest.mark.parametrize(
    "kind",
    [
        "em",
        "probabilistic",
        "variants",
        "labelfree",
        "labels",
        "flywing",
        pytest.param("slices", marks=pytest.mark.slow),
    ],
)
def test_onnx_runtime_predicts_what_python_predicts(kind, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = make_model(kind)
    session = runtime.InferenceSession(export_onnx(model, tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    inputs = images(model)
    for x, expected in zip(inputs, predictions(model, inputs), strict=True):
        (found,) = session.run(["output"], {"input": x[None]})
        assert relative_error(found[0], expected) < 1e-5


def test_names_and_free_axes(tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = export_onnx(make_model("flywing"), tmp_path / "m.onnx")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("input", ["batch", "z", "y", "x", 1])
    assert (result.name, result.shape) == ("output", ["batch", "y", "x", 1])


def test_a_missing_converter_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match=r"tf2onnx is not installed.*aeanet-tf\[onnx\]"):
        export_onnx(make_model("unet"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())

from functools import cache

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop import onnx
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
    session = _session(runtime, export_onnx(model, tmp_path / "m.onnx"))
    inputs = images(model)
    for x, expected in zip(inputs, predictions(model, inputs), strict=True):
        (found,) = session.run(["output"], {"input": x[None]})
        assert relative_error(found[0], expected) < 1e-5


def _session(runtime, path):
    """A session that runs the graph as it is written: optimised, this failed once in CI, and nowhere else."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("faulty", ["optimised", "both"])
@pytest.mark.parametrize("spoil", [lambda y: y * np.inf, lambda y: y[:, 1:], lambda y: y * 1.01])
def test_a_fault_of_the_runtime_is_no_fault_of_the_file(tmp_path, monkeypatch, caplog, faulty, spoil):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    run = onnx._run

    def spoiled(runtime, content, level, images):
        results = run(runtime, content, level, images)
        optimised = level == runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return [spoil(y) for y in results] if optimised or faulty == "both" else results

    monkeypatch.setattr(onnx, "_run", spoiled)
    path = tmp_path / "m.onnx"
    if faulty == "both":
        with pytest.raises(RuntimeError, match="the exported graph"):
            export_onnx(_unet(), path)
        assert not path.exists()
    else:
        assert _session(runtime, export_onnx(_unet(), path))
        assert "the file is right" in caplog.text


@cache
def _unet():
    return make_model("unet")


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

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop import onnx
from aeanet_tf.interop.onnx import export_onnx
from tests.interop.example_models import images, make_model, predictions, relative_error


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Model and file of a kind, made once."""
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    folder, made = tmp_path_factory.mktemp("written"), {}

    def get(kind):
        if kind not in made:
            model = make_model(kind)
            made[kind] = model, export_onnx(model, folder / f"{kind}.onnx")
        return made[kind]

    return get


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
        pytest.param("kernels", marks=pytest.mark.slow),
        pytest.param("flow", marks=pytest.mark.slow),
    ],
)
def test_onnx_runtime_predicts_what_python_predicts(kind, written):
    runtime = pytest.importorskip("onnxruntime")
    model, path = written(kind)
    session = _session(runtime, path)
    inputs = images(model)
    for x, expected in zip(inputs, predictions(model, inputs), strict=True):
        (found,) = session.run(["output"], {"input": x[None]})
        assert relative_error(found[0], expected) < 1e-5


def _session(runtime, path):
    """A session that runs the graph as it is written: optimised, this failed once in CI, and nowhere else."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def test_the_pass_that_loses_an_axis_is_left_out(monkeypatch):
    """tf2onnx's own list of passes is private: a release that moves it must be seen here, not in one of 50."""
    pytest.importorskip("tf2onnx")
    from tf2onnx import optimizer

    used, optimize = [], optimizer.optimize_graph

    def spy(graph, catch_errors=True, optimizers=None):
        used.extend(optimizers or optimizer._get_optimizers())
        return optimize(graph, catch_errors, optimizers)

    monkeypatch.setattr(optimizer, "optimize_graph", spy)
    before = list(optimizer._get_optimizers())
    onnx.convert(make_model("unet").keras_model)
    assert used == [name for name in before if name != "reshape_optimizer"] != before
    assert list(optimizer._get_optimizers()) == before


SPOILS = [lambda y: y * np.inf, lambda y: y[:, 1:], lambda y: y * 1.01]


def _faulty(monkeypatch, spoil, levels):
    """Spoil what the runtime gives at these levels of its optimisation."""
    run = onnx._run

    def spoiled(runtime, content, level, images):
        results = run(runtime, content, level, images)
        return [spoil(y) for y in results] if level in levels else results

    monkeypatch.setattr(onnx, "_run", spoiled)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = make_model("unet")
    path = export_onnx(model, tmp_path_factory.mktemp("onnx") / "m.onnx")
    return runtime, path.read_bytes(), model.keras_model, model.spec.divisor


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_fault_of_the_optimised_graph_is_no_fault_of_the_file(exported, monkeypatch, caplog, spoil):
    _faulty(monkeypatch, spoil, [exported[0].GraphOptimizationLevel.ORT_ENABLE_ALL])
    onnx._verify(*exported)
    assert "the file is right" in caplog.text


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_fault_of_the_graph_as_written_is_one_of_the_file(exported, monkeypatch, spoil):
    levels = exported[0].GraphOptimizationLevel
    _faulty(monkeypatch, spoil, [levels.ORT_ENABLE_ALL, levels.ORT_DISABLE_ALL])
    with pytest.raises(RuntimeError, match="the exported graph"):
        onnx._verify(*exported)


def test_a_faulty_file_is_not_written(exported, tmp_path, monkeypatch):
    levels = exported[0].GraphOptimizationLevel
    _faulty(monkeypatch, SPOILS[0], [levels.ORT_ENABLE_ALL, levels.ORT_DISABLE_ALL])
    with pytest.raises(RuntimeError, match="not finite"):
        export_onnx(make_model("unet"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_names_and_free_axes(written):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(written("flywing")[1], providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("input", ["batch", "z", "y", "x", 1])
    assert (result.name, result.shape) == ("output", ["batch", "y", "x", 1])


def test_a_missing_converter_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match=r"tf2onnx is not installed.*aeanet-tf\[onnx\]"):
        export_onnx(make_model("unet"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())

"""`AEANet.predict` in tiles: the same image as whole, whatever its size, axes and normalisation."""

import inspect
import logging
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import aeanet_tf
from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models import predict_arrays as tiled
from aeanet_tf.prediction import machine
from aeanet_tf.prediction import plan as plans
from aeanet_tf.prediction.cluster import WorkerMemory
from aeanet_tf.prediction.machine import EvaluationMemory, parse_bytes
from aeanet_tf.prediction.stages import OwnAttention, Stages
from aeanet_tf.prediction.sweeps import merged
from tests.interop.example_models import make_model


@pytest.fixture(scope="module")
def model():
    return make_model("em")


@pytest.fixture
def image():
    return np.random.default_rng(0).gamma(2, 50, (93, 71)).astype("float32")


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < tolerance * np.ptp(expected)


def test_sizes_off_the_grid_and_uneven_tiles(model, image):
    whole = model.predict(image, "YX")
    assert close(model.predict(image, "YX", n_tiles=(3, 2)), whole)
    assert close(model.predict(image.T, "XY", n_tiles=(2, 3)).T, whole)
    assert close(model.predict(image, "YX", n_tiles=(3, 2), tiling="whole"), whole, 1e-7)
    assert not close(model.predict(image, "YX", n_tiles=(3, 2), tiling="overlap"), whole)


def test_a_single_number_is_for_the_longest_axis(model, image, monkeypatch):
    tried, once = [], tiled._run
    monkeypatch.setattr(tiled, "_run", lambda *args: tried.append(args[2].n_tiles) or once(*args))
    assert close(model.predict(image, "YX", n_tiles=3), model.predict(image, "YX"))
    assert tried == [(3, 1), (1, 1)]


def test_whole_prediction_is_csbdeeps(model, image):
    from csbdeep.data import PadAndCropResizer, PercentileNormalizer
    from csbdeep.models import CARE

    theirs, _ = CARE._predict_mean_and_scale(model, image, "YX", PercentileNormalizer(), PadAndCropResizer())
    assert close(model.predict(image, "YX"), theirs, 1e-6)


def test_mean_and_scale_of_channels():
    model = make_model("probabilistic-2d")
    image = np.random.default_rng(1).random((2, 60, 44)).astype("float32")
    whole = model.predict_probabilistic(image, "CYX")
    found = model.predict_probabilistic(image, "CYX", n_tiles=(1, 2, 3))
    assert found.mean().shape == image.shape
    assert close(found.mean(), whole.mean()) and close(found.scale(), whole.scale())


def test_projection_in_tiles():
    model = make_model("flywing")
    image = np.random.default_rng(1).random((5, 100, 200)).astype("float32")
    assert close(model.predict(image, "ZYX", n_tiles=(1, 2, 3)), model.predict(image, "ZYX"))
    with pytest.raises(InputError, match="n_tiles: 2 along Z, expected 1"):
        model.predict(image, "ZYX", n_tiles=(2, 1, 1))


@pytest.mark.parametrize("tiling", ["exact", "whole"])
def test_tiles_are_halved_when_memory_runs_out(model, image, monkeypatch, caplog, tiling):
    whole, tried = model.predict(image, "YX"), []
    once = tiled._run

    def short_of_memory(model, group, plan, precision):
        tried.append(plan.n_tiles)
        if np.prod(plan.n_tiles) < 4:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return once(model, group, plan, precision)

    monkeypatch.setattr(tiled, "_run", short_of_memory)
    with caplog.at_level(logging.WARNING):
        assert close(model.predict(image, "YX", tiling=tiling), whole)
    assert tried == [(1, 1), (2, 1), (2, 2)]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["out of memory, going on with 2 x 1 tiles", "out of memory, going on with 2 x 2 tiles"]


def test_memory_that_never_suffices_is_an_error(model, image, monkeypatch):
    def no_memory(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(tiled, "_run", no_memory)
    with pytest.raises(MemoryError, match=r"\[24, 18\] tiles"):
        model.predict(image, "YX")


def test_softmax_falls_back_to_overlap_and_says_so(image, caplog):
    model = AEANet(AEANetConfig("YX", unet_n_first=4, network={"attention": {"normalization": "softmax"}}), "m", None)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        found = model.predict(image, "YX", n_tiles=(2, 1))
    assert [
        m for m in caplog.messages if m == "tiling: this network's attention cannot be shared, each tile has its own"
    ]
    np.testing.assert_allclose(found, model.predict(image, "YX", n_tiles=(2, 1), tiling="overlap"), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiling": "seamless"}, "tiling: found 'seamless', expected one of exact, overlap, whole"),
        ({"n_tiles": (2,)}, r"n_tiles: \(2,\), expected a number of at least 1 for each of the axes YX"),
        ({"n_tiles": (0, 1)}, "at least 1"),
        ({"n_tiles": (1.5, 1)}, "at least 1"),
        ({"n_tiles": -4}, "at least 1"),
        ({"n_tiles": "44"}, "n_tiles: '44', expected"),
        ({"max_memory": "lots"}, "max_memory: 'lots', expected"),
        ({"max_memory": 1000}, "max_memory: 0.00 GB, expected more than"),
        ({"context": "plate"}, "context: found 'plate', expected one of image, group"),
    ],
)
def test_bad_arguments(model, image, options, message):
    with pytest.raises(InputError, match=message):
        model.predict(image, "YX", **options)


def test_of_too_many_tiles_as_many_as_there_can_be_are_taken(model, image, caplog):
    """As in CSBDeep; of lists, whose images differ in size, they are refused."""
    found = model.predict(image, "YX", n_tiles=(99, 1))
    assert "n_tiles: 99 along Y, going on with 24: the network's tiles begin every 4 pixels" in caplog.messages
    assert close(found, model.predict(image, "YX"))
    with pytest.raises(InputError, match=r"n_tiles: 99 along Y, expected at most 24: .* every 4 of the 96 pixels"):
        model.predict([image], "YX", n_tiles=(99, 1))


def test_frames_and_lists_are_predicted_one_by_one(model, image):
    """Each with its own range and attention: as by calls of their own."""
    frames = [image, 3 * image[::-1], image[:, ::-1] ** 2]
    alone = [model.predict(frame, "YX") for frame in frames]
    found = model.predict(np.stack(frames, 1), "YTX", n_tiles=(2, 1, 1))
    assert all(close(found[:, t], alone[t]) for t in range(3))
    odd = image[:50, :33]
    found = model.predict([frames[2], odd], "YX")
    assert close(found[0], alone[2]) and close(found[1], model.predict(odd, "YX"))
    with pytest.raises(InputError, match="n_tiles: 3 along T, expected 1"):
        model.predict(np.stack(frames), "TYX", n_tiles=(3, 1, 1))


def test_small_frames_are_evaluated_together(model, image, monkeypatch):
    """Each attends to itself all the same; what is not alike in a row, or does not fit, goes by itself."""
    frames = [image ** (1 + i / 4) for i in range(5)]
    frames[3] = frames[3][:50]
    alone = [model.predict(frame, "YX") for frame in frames]
    monkeypatch.setattr(plans, "MOST_TOGETHER", 2)
    together, once = [], OwnAttention.run_alike
    monkeypatch.setattr(OwnAttention, "run_alike", lambda *args: together.append(len(args[1])) or once(*args))
    found = model.predict(frames, "YX")
    assert together == [2, 1, 1, 1]
    assert all(close(one, other) for one, other in zip(found, alone, strict=True))
    monkeypatch.setattr(plans, "POSITIONS_TOGETHER", 96 * 72)
    assert close(model.predict(np.stack(frames[:3]), "TYX"), np.stack(alone[:3]))
    assert len(together) == 4


def test_images_go_one_by_one_when_memory_runs_out(model, image, monkeypatch, caplog):
    frames, tried, once = [image, image**2, image[::-1]], [], tiled._run
    expected = [model.predict(frame, "YX") for frame in frames]

    def short_of_memory(model, group, plan, precision):
        tried.append((plan.n_tiles, plan.batch))
        if plan.batch > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return once(model, group, plan, precision)

    monkeypatch.setattr(tiled, "_run", short_of_memory)
    with caplog.at_level(logging.WARNING):
        found = model.predict(frames, "YX", tiling="overlap")
    assert all(close(one, other) for one, other in zip(found, expected, strict=True))
    assert [n_tiles for n_tiles, _ in tried] == [(1, 1), (1, 1)] and tried[1][1] == 1
    assert "going on one by one" in caplog.text


def test_a_group_shares_one_context(model, image):
    """The attention of a group of two is that of one image made of both, where nothing but attention connects them."""
    other = np.random.default_rng(5).gamma(3, 20, (64, 72)).astype("float32")
    image = image[:64, :64]
    shared = model.predict([image, other], "YX", normalizer=None, context="group")
    gathered = []
    for x in (image, other):
        stages = Stages(model.keras_model)
        gathered.append(stages.run(0, [x[..., None]], [(0, n) for n in x.shape], [])[0])
    context = [merged(gathered)]
    for x, found in zip((image, other), shared, strict=True):
        expected = stages.run(1, [x[..., None]], [(0, n) for n in x.shape], context)[0][..., 0]
        assert close(found, expected)
        assert not close(found, model.predict(x, "YX", normalizer=None), 1e-4)
    tiled_group = model.predict([image, other], "YX", normalizer=None, context="group", n_tiles=(2, 2))
    assert all(close(a, b) for a, b in zip(tiled_group, shared, strict=True))


def test_frames_of_a_group(model, image):
    frames = np.stack([image[:64], image[-64:]])
    found = model.predict(frames, "TYX", context="group")
    expected = model.predict(list(frames), "YX", context="group")
    assert close(found, np.stack(expected))


def test_projected_frames():
    model = make_model("flywing")
    stack = np.random.default_rng(1).random((3, 2, 60, 72)).astype("float32")
    found = model.predict(stack, "ZTYX")
    assert found.shape == (2, 60, 72)
    assert close(found[1], model.predict(stack[:, 1], "ZYX"))


def test_less_memory_takes_more_tiles_and_gives_the_same(model, caplog, monkeypatch):
    image = np.random.default_rng(2).gamma(2, 50, (300, 410)).astype("float32")
    whole = model.predict(image, "YX", tiling="whole")
    monkeypatch.setattr(EvaluationMemory, "left", lambda self, limit, reserve: parse_bytes(limit))
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        found = model.predict(image, "YX", max_memory="20 MB")
    assert close(found, whole)
    line = caplog.messages[-1]
    assert re.match(r"prediction: \d+ x \d+ tiles, about 1[\d.]+ MB each; features .*; [\d.]+ times", line)


def test_what_is_left_of_a_limit(monkeypatch):
    for name, value in (("resident_bytes", 2e9), ("available_bytes", 10e9)):
        monkeypatch.setattr(machine, name, lambda value=value: value)
    memory = EvaluationMemory()
    memory.pool = 0.5e9
    # The pool of earlier predictions is used again.
    assert memory.left("4GB", 1e9) == pytest.approx(4e9 - 2e9 + 0.5e9 - 1e9)
    assert memory.left("40GB", 1e9) == pytest.approx(10e9 + 0.5e9 - 1e9), "more than the machine has"
    assert memory.left(None, 1e9) == pytest.approx(0.8 * 10e9 + 0.5e9 - 1e9)
    worker = WorkerMemory(available=5e9, held=0.6e9)
    assert memory.left(None, 1e9, worker) == pytest.approx(0.8 * 5e9 - 1e9)
    assert memory.left("4GB", 1e9, worker) == pytest.approx(4e9 - 0.6e9 - 1e9), "whatever this process holds"
    assert memory.left("40GB", 1e9, worker) == pytest.approx(5e9 - 1e9)
    with pytest.raises(InputError, match=r"max_memory: 2\.40 GB, expected more than 2\.50 GB: so much the program"):
        memory.left("2.4GB", 1e9)


def test_what_an_evaluation_leaves_in_the_pool(monkeypatch):
    taken = iter([2e9, 2.7e9, 2.7e9, 2.8e9])
    monkeypatch.setattr(machine, "resident_bytes", lambda: next(taken))
    memory = EvaluationMemory()
    with memory.evaluating(results=0.1e9):
        pass
    assert memory.pool == pytest.approx(0.6e9)
    with memory.evaluating(results=0.1e9):
        pass
    assert memory.pool == pytest.approx(0.6e9), "used again, not more"


def test_a_small_array_enters_eighteen_files_before_the_first_layer():
    """In this order; what happens when the package is imported and the model is made does not count."""
    model, entered = AEANet(AEANetConfig("YX", unet_n_first=4), "m", None), []
    first = inspect.unwrap(keras.Layer.__call__).__code__
    package = Path(aeanet_tf.__file__).parent

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code is first:
            sys.setprofile(None)
        elif event == "call" and path.is_relative_to(package):
            entered.append(path.relative_to(package).as_posix())

    sys.setprofile(note)
    try:
        model.predict(np.arange(256, dtype="float32").reshape(16, 16), "YX")
    finally:
        sys.setprofile(None)
    assert list(dict.fromkeys(entered)) == [
        "models/aeanet.py",
        "prediction/options.py",
        "models/predict_arrays.py",
        "models/given_images.py",
        "errors.py",
        "io/image.py",
        "models/percentiles.py",
        "models/normalizers.py",
        "io/value_range.py",
        "models/raw_values.py",
        "networks/spec.py",
        "prediction/plan.py",
        "prediction/machine.py",
        "memory.py",
        "models/evaluated.py",
        "prediction/liveness.py",
        "networks/graph.py",
        "prediction/stages.py",
    ]


def test_integers_are_predicted_without_a_normaliser_too(model, image):
    image = image.astype("uint8")
    assert close(model.predict(image, "YX", normalizer=None), model.predict(image.astype("float64"), "YX", None))

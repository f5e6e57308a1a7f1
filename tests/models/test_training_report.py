"""Reports of trainings, as they run."""

import numpy as np
import pytest

from aeanet_tf.models import (
    AEANet,
    AEANetConfig,
    ProjectionAEANet,
    ProjectionAEANetConfig,
    SegmentationAEANet,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
    SliceInterpolationNet,
    training_report,
)
from aeanet_tf.reports import page
from tests.models import EAGER, eager_tensorflow
from tests.reports import leave_out_pictures

pytestmark = EAGER

SHORT = {"train_epochs": 2, "train_steps_per_epoch": 1, "train_batch_size": 2, "train_seed": 0}
SMALL = {"network": {"first_filters": 4, "depth": 2}}
SSAN = {"network": {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}}


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


CASES = {
    "2D": (AEANet, AEANetConfig, "YX", {}, SMALL, images(4, 32, 32, 1), images(4, 32, 32, 1)),
    "3D, probabilistic": (
        AEANet,
        AEANetConfig,
        "ZYX",
        {"probabilistic": True, "train_loss": "laplace"},
        SMALL,
        images(3, 8, 16, 16, 2),
        images(3, 8, 16, 16, 1),
    ),
    "projection": (
        ProjectionAEANet,
        ProjectionAEANetConfig,
        "ZYX",
        {},
        {"unet_n_first": 4},
        images(3, 8, 32, 32, 1),
        images(3, 1, 32, 32, 1),
    ),
    "segmentation": (
        SegmentationAEANet,
        SegmentationAEANetConfig,
        "YX",
        {"labels": [0, 255]},
        {"unet_n_first": 4},
        images(3, 32, 32, 1),
        np.where(images(3, 32, 32, 1, seed=1) > 0.5, 255, 0),
    ),
    "slices": (
        SliceInterpolationNet,
        SliceInterpolationConfig,
        "YX",
        {},
        SSAN,
        images(3, 32, 32, 2),
        images(3, 32, 32, 1),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(autouse=True)
def reports(monkeypatch):
    monkeypatch.setenv("AEANET_REPORT", "1")
    leave_out_pictures(monkeypatch)


@pytest.mark.parametrize("kind", CASES)
def test_every_kind_of_training_is_reported(tmp_path, monkeypatch, kind):
    model_class, config_class, axes, options, network, X, Y = CASES[kind]
    config = config_class(
        axes, X.shape[-1], Y.shape[-1] if kind != "segmentation" else 2, **options, **network, **SHORT
    )
    model, seen = model_class(config, "m", str(tmp_path)), []
    write = training_report.write_report

    def watched(folder, facts):
        seen.append((facts, [(example.best, example.last) for example in facts.shown]))
        return write(folder, facts)

    monkeypatch.setattr(training_report, "write_report", watched)
    model.train(X, Y, (X, Y), verbose=0)
    assert {"report.html", "report.png"} <= {path.name for path in (tmp_path / "m").iterdir()}
    assert "has ended" in (tmp_path / "m" / "report.html").read_text()
    facts, shown = seen[-1]
    assert not facts.running and len(facts.history) == 2 and facts.counts == (len(X), len(X))
    # What is shown as the best is what the model that is left predicts.
    x = X[:1]
    predicted = np.asarray(model.keras_model(x))[0]
    expected = predicted.argmax(-1) if kind == "segmentation" else predicted[..., 0]
    np.testing.assert_allclose(shown[0][0], expected.reshape(facts.shown[0].truth.shape), atol=1e-6)
    assert seen[0][0].running and shown[0][1] is not None
    np.testing.assert_array_equal(facts.shown[0].input, x[0, ..., 0])
    truth = np.searchsorted([0, 255], Y[0]) if kind == "segmentation" else Y[0]
    np.testing.assert_array_equal(facts.shown[0].truth.ravel(), truth.ravel())


def test_reports_take_little_of_a_long_training(tmp_path, monkeypatch):
    config = AEANetConfig("YX", **SMALL, **{**SHORT, "train_epochs": 2})
    model, written = AEANet(config, "m", str(tmp_path)), []
    monkeypatch.setattr(training_report, "write_report", lambda folder, facts: written.append(facts.running) or [])
    # After the first report more than its share of the time is spent.
    monkeypatch.setattr(training_report, "_SHARE", 1e-9)
    X = images(4, 32, 32, 1)
    model.train(X, X, (X, X), verbose=0)
    assert written == [False]
    monkeypatch.setattr(training_report, "_SHARE", 1e9)
    model.train(X, X, (X, X), verbose=0)
    assert written == [False, True, True, False]


def test_the_last_weights_are_shown_where_the_last_epochs_were_not_looked_at(tmp_path, monkeypatch):
    config, shown = AEANetConfig("YX", **SMALL, **SHORT), []
    model = AEANet(config, "m", str(tmp_path))
    monkeypatch.setattr(training_report, "write_report", lambda folder, facts: shown.extend(facts.shown) or [])
    monkeypatch.setattr(training_report, "_SHARE", 0)
    X = images(4, 32, 32, 1)
    model.train(X, X, (X, X), verbose=0)
    model.keras_model.load_weights(tmp_path / "m" / "weights_last.h5")
    np.testing.assert_allclose(shown[0].last, model.keras_model(X[:1])[0, ..., 0], atol=1e-5)


def test_images_that_are_trained_and_validated_on_are_counted(tmp_path, monkeypatch):
    config, seen = AEANetConfig("YX", **SMALL, **SHORT), []
    monkeypatch.setattr(training_report, "write_report", lambda folder, facts: seen.append(facts) or [])
    X, Y = images(6, 32, 32, 1), images(6, 32, 32, 1, seed=1)
    # The truth of one is that of another input.
    validation = np.stack([X[0], 0.5 * X[1], 0.5 * X[2]]), np.stack([Y[0], Y[1], 0.5 * Y[2]])
    AEANet(config, "m", str(tmp_path)).train(X, Y, validation, verbose=0)
    assert seen[-1].copies == 2 and seen[-1].pixels == (6 * 32 * 32, 3 * 32 * 32)


def test_what_is_said_of_the_data_is_looked_for_once(tmp_path, monkeypatch):
    config, looked, find = AEANetConfig("YX", **SMALL, **SHORT), [], page.data_findings
    monkeypatch.setattr(page, "data_findings", lambda facts: looked.append(facts) or find(facts))
    monkeypatch.setattr(training_report, "_SHARE", 1e9)
    X = images(4, 32, 32, 1)
    AEANet(config, "m", str(tmp_path)).train(X, X, (X, X), verbose=0)
    assert len(looked) == 1 and looked[0].running


def test_none_is_written_where_none_is_wanted(tmp_path, monkeypatch):
    X = images(4, 32, 32, 1)
    for name, config in (
        ("told", AEANetConfig("YX", train_report=False, **SMALL, **SHORT)),
        ("asked", AEANetConfig("YX", **SMALL, **SHORT)),
    ):
        monkeypatch.setenv("AEANET_REPORT", "1" if name == "told" else "0")
        AEANet(config, name, str(tmp_path)).train(X, X, (X, X), verbose=0)
        assert not (tmp_path / name / "report.html").exists()


def test_no_more_is_predicted_than_training_has_memory_for(tmp_path, monkeypatch):
    shown, write = [], training_report.write_report
    monkeypatch.setattr(training_report, "write_report", lambda *args: shown.append(args[1].shown) or write(*args))
    config = AEANetConfig("YX", train_patch_size=(16, 16), **SMALL, **{**SHORT, "train_epochs": 1})
    images = list(np.random.default_rng(0).random((3, 200, 72, 1), dtype="float32"))
    AEANet(config, "m", str(tmp_path)).train(images, images, (images, images), verbose=0)
    sizes = {example.truth.shape for examples in shown for example in examples}
    # Two patches of 16 x 16 are 512 pixels.
    assert len(sizes) == 1 and 128 <= np.prod(next(iter(sizes))) <= 512

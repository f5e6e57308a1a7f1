"""Trainings of models in Python that stop early, go on, are looked at, and are told of."""

import io
import logging

import imageio.v3 as imageio
import keras
import numpy as np
import pytest

import aeanet_tf
from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.tensorboard_images import panels
from aeanet_tf.reports.facts import Example
from aeanet_tf.training import CSVHistory, read_history
from tests.models import EAGER, eager_tensorflow

pytestmark = EAGER
SETTINGS = {
    "network": {"first_filters": 4, "depth": 2},
    "train_epochs": 2,
    "train_steps_per_epoch": 3,
    "train_batch_size": 2,
    "train_reduce_lr": None,
    "train_baselines": False,
}
X = np.random.default_rng(0).random((6, 16, 16, 1), "float32")
DATA = {"X": X, "Y": X / 2, "validation_data": (X[:2], X[:2] / 2), "verbose": 0}
NEVER = {"patience": 1, "min_delta": 1e9}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def make(folder, name="m", **changes):
    return AEANet(AEANetConfig("YX", **{**SETTINGS, **changes}), name, str(folder))


def last_weights(model):
    model.load_weights("weights_last.h5")
    return model.keras_model.get_weights()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model, the history of its training with TensorBoard, and what a callback of the user's was told."""
    model, told = make(tmp_path_factory.mktemp("trained"), train_tensorboard=True), []

    class Tracker(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            told.append((epoch, dict(logs)))

    # As docs/training.md has it.
    model.prepare_for_training()
    model.callbacks.append(Tracker())
    return model, model.train(**DATA), told


def test_a_trained_model_goes_on_in_python(trained, tmp_path):
    whole = make(tmp_path, "whole")
    whole.train(**DATA, epochs=4)
    make(tmp_path).train(**DATA)
    model = AEANet(None, "m", str(tmp_path))
    history = model.train(**DATA, epochs=4, resume=True)
    assert history.epoch == [0, 1, 2, 3] and len(history.history["val_loss"]) == 4
    assert history.history["loss"] == pytest.approx([row["loss"] for row in read_history(tmp_path / "m/history.csv")])
    # All its epochs are done.
    history = model.train(**DATA, epochs=4, resume=True)
    assert history.epoch == [0, 1, 2, 3] and int(model.trained_network.optimizer.iterations) == 12
    for one, other in zip(last_weights(whole), last_weights(model), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_second_call_of_train_has_a_learning_rate(tmp_path):
    cosine = {"train_learning_rate_cosine": {"warmup": 0.1, "final": 0}, "train_learning_rate": 0.01}
    model = make(tmp_path, **cosine)
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    model.prepare_for_training()
    model.callbacks.append(Rates())
    for epochs in (1, 2):
        model.train(**DATA, epochs=epochs)
    assert int(model.trained_network.optimizer.iterations) == 9
    # It ends with each call, and is above 0 before.
    assert rates == pytest.approx([0, rates[1], 0], abs=1e-8) and rates[1] > 1e-3


def test_building_a_model_leaves_the_generators_of_a_script_alone(tmp_path):
    np.random.seed(7)  # noqa: NPY002  as scripts do
    expected = np.random.rand(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    one, other = make(tmp_path, "one"), make(tmp_path, "other")
    np.testing.assert_array_equal(np.random.rand(3), expected)  # noqa: NPY002
    for a, b in zip(one.keras_model.get_weights(), other.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_stops_early_and_says_why(tmp_path, caplog):
    caplog.set_level(logging.INFO, "aeanet_tf")
    model = make(tmp_path, train_early_stopping=NEVER)
    history = model.train(**DATA, epochs=5)
    assert history.epoch == [0, 1]
    lowest = f"the lowest was {history.history['val_loss'][0]:.4g}, in epoch 1"
    reason = f"the validation loss has not fallen by more than 1e+09 for 1 validation; {lowest}"
    assert f"stopped early: {reason}" in caplog.messages
    assert (tmp_path / "m" / "weights_best.h5").is_file()
    # It has been stopped: the same call does nothing; one of more epochs goes on, and waits anew.
    assert AEANet(None, "m", str(tmp_path)).train(**DATA, epochs=5, resume=True).epoch == [0, 1]
    assert AEANet(None, "m", str(tmp_path)).train(**DATA, epochs=6, resume=True).epoch == [0, 1, 2]


def test_what_early_stopping_has_waited_survives_a_kill(tmp_path, monkeypatch):
    patient, beginnings = {"train_early_stopping": {"patience": 2, "min_delta": 1e9}}, []

    def stop(self, epoch, logs=None):
        beginnings.append(epoch)
        if epoch == 2 and len(beginnings) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(keras.callbacks.EarlyStopping, "on_epoch_begin", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, **patient).train(**DATA, epochs=9)
    assert make(tmp_path, **patient).train(**DATA, epochs=9, resume=True).epoch == [0, 1, 2]
    assert beginnings == [0, 1, 2, 2]


def test_killed_behind_its_last_epoch_it_stays_stopped(tmp_path, monkeypatch):
    def stop(self, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CSVHistory, "on_train_end", stop)
        make(tmp_path, train_early_stopping=NEVER).train(**DATA, epochs=5)
    assert (tmp_path / "m" / "resume" / "state.json").is_file()
    history = make(tmp_path, train_early_stopping=NEVER).train(**DATA, epochs=5, resume=True)
    assert history.epoch == [0, 1] and not (tmp_path / "m" / "resume").exists()


def test_callbacks_of_trackers_are_told_of_every_epoch(trained):
    """Weights & Biases, and whatever else is a callback of Keras."""
    _, history, told = trained
    assert [epoch for epoch, _ in told] == [0, 1]
    for name in ("loss", "val_loss", "mse", "val_mse"):
        assert [logs[name] for _, logs in told] == history.history[name]


def _pictures(folder):
    """Tag and step -> picture, of all event files."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = {}
    for path in folder.iterdir():
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                # Width and height come first.
                encoded = value.tensor.string_val[2:]
                if value.metadata.plugin_data.plugin_name == "images":
                    found[value.tag, event.step] = imageio.imread(io.BytesIO(encoded[0]))
    return found


def test_tensorboard_shows_input_prediction_and_truth(trained):
    model, _, _ = trained
    found = _pictures(model.logdir / "logs" / "images")
    assert {step for _, step in found} == {0, 1}
    # One batch of validation holds both images: the first is shown.
    picture = found["input, prediction, truth/0", 1]
    assert picture.shape[:2] == (16, 3 * 16 + 2 * 4)
    picture = picture.reshape(16, 56, -1)[..., 0] / 255
    # Input and truth on one contrast: the truth is half of the input.
    low, high = np.percentile(np.concatenate([X[0].ravel(), X[0].ravel() / 2]), (1, 99.8))
    for part, image in ((picture[:, :16], X[0, ..., 0]), (picture[:, 40:], X[0, ..., 0] / 2)):
        np.testing.assert_allclose(part, np.clip((image - low) / (high - low), 0, 1), atol=0.01)


def test_volumes_and_classes_are_shown_by_their_middle_plane():
    volume = np.random.default_rng(0).random((5, 8, 9))
    shown = panels(Example("a", volume, volume, last=volume / 2))
    np.testing.assert_array_equal(shown[:, :9], shown[:, -9:])
    assert np.corrcoef(shown[:, 13:22].ravel(), volume[2].ravel())[0, 1] > 0.99
    # Of a projection the input is its maximum; classes have a scale of their own.
    shown = panels(Example("a", volume, volume.max(0), last=volume.max(0)))
    np.testing.assert_array_equal(shown[:, :9], shown[:, -9:])
    classes = np.arange(72).reshape(8, 9) % 3
    shown = panels(Example("a", 1000 * volume[0], classes, last=classes), classes=True)
    np.testing.assert_array_equal(shown[:, -9:], classes / 2)


@pytest.fixture
def figure():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    yield plt.figure()
    plt.close("all")


def _drawn(figure):
    return [{line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()} for axes in figure.axes]


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_histories_are_plotted_as_in_care_notebooks(trained, figure):
    from csbdeep.utils import plot_history, plot_some

    model, history, _ = trained
    panels = ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"]
    plot_history(history, *panels)
    expected = _drawn(figure)
    assert [list(curves) for curves in expected] == [list(panel) for panel in panels]
    figure.clear()
    aeanet_tf.plot_history(history, *panels)
    assert _drawn(figure) == expected
    figure.clear()
    # A folder does as well, on another axis, and without names it is the losses.
    aeanet_tf.plot_history(model.logdir, logy=True)
    (curves,) = _drawn(figure)
    assert list(curves) == ["loss", "val_loss"] and figure.axes[0].get_yscale() == "log"
    assert curves["val_loss"] == pytest.approx(history.history["val_loss"])
    with pytest.raises(InputError, match="plot_history: found 'psnr', expected one of loss, "):
        aeanet_tf.plot_history(history, "psnr")
    assert aeanet_tf.plot_some is plot_some
    figure.clear()
    plot_some(X[:2, ..., 0], model.keras_model(X[:2])[..., 0])
    assert len(figure.axes) == 4


def test_the_report_is_written_again(trained):
    model, _, _ = trained
    page = model.report(X, X / 2, (X[:2], X[:2] / 2))
    assert page == model.logdir / "report.html" and f'href="{page}"' in page._repr_html_()
    text = page.read_text()
    assert "The training has ended" in text and "report of 2" in text and (model.logdir / "report.png").is_file()
    page.unlink()
    with pytest.raises(InputError, match=r"found no run\.json, expected X, Y and validation_data"):
        model.report()
    with pytest.raises(InputError, match="has no folder"):
        AEANet(model.config, "m", None).report(X, X, (X, X))
    assert not page.exists()

"""Steps whose batch is computed in parts."""

import keras
import numpy as np
import pytest

from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.training_memory import training_bytes
from aeanet_tf.training.accumulation import AccumulatingModel
from tests.models import OPTIMISATION

SETTINGS = {
    "preset": "aeanet-care",
    "network": {"first_filters": 2, "depth": 2},
    "train_epochs": 2,
    "train_steps_per_epoch": 2,
    "train_batch_size": 4,
    "train_baselines": False,
    **OPTIMISATION,
}
X = np.random.default_rng(0).random((8, 16, 16, 1), "float32")
DATA = {"X": X, "Y": X / 2, "validation_data": (X[:2], X[:2] / 2), "verbose": 0}


def trained(folder, **changes):
    model = AEANet(AEANetConfig("YX", **{**SETTINGS, **changes}), "m", folder)
    return model, model.train(**DATA).history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(str(tmp_path_factory.mktemp("whole")))


def test_steps_in_parts_are_those_of_the_whole_batch(whole, tmp_path):
    model, history = whole
    parted, found = trained(str(tmp_path), train_accumulate=2)
    assert isinstance(parted.trained_network, AccumulatingModel) and parted.trained_network.parts == 2
    for name in ("loss", "val_loss", "mse"):
        np.testing.assert_allclose(found[name], history[name], rtol=1e-4)
    untrained = AEANet(AEANetConfig("YX", **SETTINGS), "m", None).keras_model.get_weights()
    moved = 0.0
    weights = (parted.keras_model.get_weights(), model.keras_model.get_weights(), untrained)
    for ours, theirs, first in zip(*weights, strict=True):
        # Adam divides by the size of a gradient, so that rounding of small ones is seen; a step is 1e-3.
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        moved = max(moved, np.abs(ours - first).max())
    # Training changes them by ten times what they may differ.
    assert moved > 2e-4
    np.testing.assert_allclose(parted.predict(X[0, ..., 0], "YX"), model.predict(X[0, ..., 0], "YX"), atol=1e-4)


def test_the_gradient_is_that_of_a_batch_and_not_of_its_last_part():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model = AccumulatingModel(network, 3)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = np.arange(6, dtype="float32")[:, None], np.zeros((6, 1), "float32")
    model.fit(x, y, batch_size=6, epochs=1, shuffle=False, verbose=0)
    # d/dw mean((w x)^2) = 2 mean(x^2), w = 1.
    assert network.get_weights()[0][0, 0] == pytest.approx(1 - 0.1 * 2 * np.mean(x**2), rel=1e-6)


def test_a_network_with_batch_norm_sees_parts(caplog):
    changes = {"preset": "aeanet-em", "train_accumulate": 2, "train_batch_norm_batches": 0}
    model = AEANet(AEANetConfig("YX", **{**SETTINGS, **changes}), "m", None)
    history = model.train(**DATA).history
    assert np.isfinite(history["loss"]).all()
    assert "batch norm with 2 patches a batch" in caplog.text


def test_it_takes_the_memory_of_a_part():
    needed = {}
    for parts in (1, 4):
        settings = {**SETTINGS, "train_accumulate": parts, "train_patch_size": (64, 64)}
        model = AEANet(AEANetConfig("YX", **settings), "m", None)
        images = [np.zeros((64, 64, 1), "float32")]
        needed[parts] = training_bytes(model, model.prepared_data(model.config, images, images, (images, images))[0])
    assert needed[1] / 4 < needed[4] < needed[1] / 2

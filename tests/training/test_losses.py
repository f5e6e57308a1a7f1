import os
import subprocess
import sys
from typing import get_args

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.loss_names import INTERPOLATION_LOSSES, RESTORATION_LOSSES, SEGMENTATION_LOSSES
from aeanet_tf.runs.config import TrainingSection
from aeanet_tf.training.losses import LOSSES, get_loss, get_segmentation_loss, laplace, mae, mse


def _data(shape, channels):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(*shape, channels)).astype("float32")
    mean = rng.normal(size=y.shape).astype("float32")
    sigma = rng.uniform(0.1, 2, size=y.shape).astype("float32")
    return y, mean, sigma


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 3, 4, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_against_numpy(shape, channels):
    y, mean, sigma = _data(shape, channels)
    both = np.concatenate([mean, sigma], -1)
    for y_pred in (mean, both):
        np.testing.assert_allclose(mae(y, y_pred), np.abs(y - mean).mean(-1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mse(y, y_pred), ((y - mean) ** 2).mean(-1), rtol=1e-5, atol=1e-6)
    expected = (np.abs(y - mean) / sigma + np.log(sigma)).mean(-1)
    np.testing.assert_allclose(laplace(y, both), expected, rtol=1e-5, atol=1e-5)


def test_against_csbdeep():
    losses = pytest.importorskip("csbdeep.internals.losses")
    y, mean, sigma = _data((2, 5, 6), 2)
    both = np.concatenate([mean, sigma], -1)
    np.testing.assert_allclose(mae(y, both), losses.loss_mae()(y, both), rtol=1e-5)
    np.testing.assert_allclose(mse(y, both), losses.loss_mse()(y, both), rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(laplace(y, both)) + np.log(2), losses.loss_laplace()(y, both), rtol=1e-4, atol=1e-5
    )


def test_half_precision_is_computed_in_float32():
    y, mean = np.zeros((1, 2, 1), "float32"), np.full((1, 2, 1), 300, "float16")
    assert np.asarray(mse(y, mean)).dtype == np.float32
    np.testing.assert_array_equal(mse(y, mean), np.full((1, 2), 90000.0))  # above float16's largest number


def test_laplace_needs_means_and_scales():
    y = np.zeros((1, 4, 4, 1), "float32")
    with pytest.raises(InputError, match=r"laplace.*found 1 output channels.*expected 2"):
        laplace(y, y)


def test_what_configurations_name_there_is():
    assert tuple(LOSSES) == RESTORATION_LOSSES
    assert [get_segmentation_loss(name).kind for name in SEGMENTATION_LOSSES] == list(SEGMENTATION_LOSSES)
    names, nothing = get_args(TrainingSection.model_fields["loss"].annotation)
    assert nothing is type(None) and get_args(names) == RESTORATION_LOSSES + INTERPOLATION_LOSSES + SEGMENTATION_LOSSES


def test_get_loss():
    assert get_loss("laplace") is laplace
    with pytest.raises(InputError, match="loss: found 'huber', expected one of 'mae', 'mse', 'charbonnier', 'laplace'"):
        get_loss("huber")


def test_a_saved_model_reloads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, activation="softplus")])
    model.compile("sgd", loss=laplace, metrics=[mae, mse])
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype("float32")
    before = model.evaluate(x, x, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").evaluate(x, x, verbose=0) == pytest.approx(before)


def test_no_tensorflow_is_imported():
    pytest.importorskip("jax")
    code = (
        "import sys, numpy as np, aeanet_tf.training.losses as l; "
        "print(float(l.laplace(np.zeros((1, 1)), np.ones((1, 2)))[0]), 'tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["1.0", "False"]

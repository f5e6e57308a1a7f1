"""Small models and small data for all tests of this folder."""

import numpy as np
import pytest

from aeanet_tf.models import AEANetConfig
from tests.models import eager_tensorflow

TINY = {"unet_n_first": 4, "train_seed": 0, "train_epochs": 2, "train_steps_per_epoch": 3, "train_batch_size": 4}


@pytest.fixture
def tiny():
    """Makes an `AEANetConfig` of a network that trains in seconds."""

    def make(axes="YX", **kwargs):
        return AEANetConfig(axes, **{**TINY, "train_tensorboard": False, **kwargs})

    return make


@pytest.fixture
def eagerly():
    """A few steps of a tiny network take less time than tracing them."""
    with eager_tensorflow():
        yield


@pytest.fixture(scope="session")
def patches():
    """Noisy and clean patches ``(48, 32, 32, 1)`` of smooth random images."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 32
    gt = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(0.2, 2, (48, 3))]
    gt = np.asarray(gt, "float32")[..., None]
    return gt + rng.normal(0, 0.3, gt.shape).astype("float32"), gt

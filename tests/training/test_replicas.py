"""Devices to train on: which are refused, and a training on two of them, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.folder import load_model
from aeanet_tf.training.devices import find_devices

CASES = Path(__file__).with_name("replicas_cases.py")


def test_on_two_devices(tmp_path):
    """TensorFlow takes the number of devices when it is first used, which in this process has long been."""
    run_cases(tmp_path / "t")
    assert len(tf.config.list_logical_devices("CPU")) == 1
    # One device is enough for the model that was trained on two.
    model = load_model(tmp_path / "t" / "runs0" / "models" / "two")
    assert model.config.train_devices == ["CPU:0", "CPU:1"]
    assert np.isfinite(model.predict(np.zeros((16, 16), "float32"), "YX")).all()


@pytest.mark.slow
def test_longer_on_two_devices(tmp_path):
    run_cases(tmp_path / "t", "-m", "slow")


def run_cases(folder, *options):
    command = [sys.executable, "-m", "pytest", str(CASES), "-q", "-p", "no:cacheprovider", "--basetemp", folder]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    result = subprocess.run([*command, *options], cwd=CASES.parents[2], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_tensorflows_own_choice():
    assert find_devices(None, 5) is None


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (64, r"found (GPU:\d+, )*GPU:63, which are not there, expected some of .*CPU:0, which this machine has"),
        (["CPU:0", "CPU:1"], "found CPU:1, which are not there, expected some of .*CPU:0"),
        (3, "found 3 devices, expected a number that divides the batch size 64"),
        (0, "found 0, expected a number of GPUs from 1, or a list of different names such as"),
        (True, "found True, expected"),
        ("GPU:0", "found 'GPU:0', expected"),
        ([], r"found \[\], expected"),
        (["TPU:0"], r"found \['TPU:0'\], expected"),
        (["GPU:0", "GPU:0"], ".*expected .* different names"),
    ],
)
def test_devices_that_are_refused(devices, message, tmp_path):
    tf.config.list_logical_devices()
    with pytest.raises(InputError, match=r"^training\.devices: " + message) as caught:
        find_devices(devices, 64, "training.")
    assert "\n" not in str(caught.value)
    config = AEANetConfig(train_devices=devices, train_batch_size=64)
    with pytest.raises(InputError, match=r"^train_devices: " + message):
        AEANet(config, "m", tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_backend(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(InputError, match=r"^train_devices: found 2, expected null: Keras runs on jax, not TensorFlow"):
        find_devices(2, 4)

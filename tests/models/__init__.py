"""Tiny runs, for the tests of runs and of the command line."""

import contextlib
import json

import h5py
import numpy as np
import pytest

from aeanet_tf.io.tiff import write_image

NETWORK = {
    "first_filters": 4,
    "depth": 2,
    "encoding_blocks": [1, 0],
    "decoding_blocks": [1],
    "attention": {"shared_references": 4},
}

SMALL_NETWORK = ("first_filters=4", "depth=2", "encoding_blocks=[1,0]", "decoding_blocks=[1]")


def small_settings(*fields):
    """Words of a command line that make the network of a configuration small, and change further fields."""
    return [f"--set={field}" for field in (*(f"model.network.{field}" for field in SMALL_NETWORK), *fields)]


OPTIMISATION = {
    "train_learning_rate_cosine": {"warmup": 0.1, "final": 0},
    "train_clip_norm": 0.1,
    "train_average": 0.8,
    "train_kernel_l2": 1e-3,
}
"""Of a model's configuration, all that changes gradients, rates and weights on the way."""

# TensorFlow remarks that what it reads data with is compiled all the same.
EAGER = pytest.mark.filterwarnings("ignore:Even though the `tf.config")


@contextlib.contextmanager
def eager_tensorflow():
    """Two steps of a tiny network take less time than tracing and compiling them."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def write_pairs(low, gt, names="abc", shape=(24, 20), axes="YX", seed=0):
    """Pairs of random images, the target half as bright."""
    rng = np.random.default_rng(seed)
    for name in names:
        image = rng.random(shape).astype(np.float32)
        write_image(low / f"{name}.tif", image, axes)
        write_image(gt / f"{name}.tif", image / 2, axes)


def write_config(path, **sections):
    """Write a run configuration of 2 epochs of 2 steps, with fields of its sections changed."""
    config = {
        "model": {"name": "m", "preset": "aeanet-em", "axes": "YX", "network": NETWORK},
        "data": {"root": "data", "validation_split": 0.34},
        "training": {
            "steps": 4,
            "steps_per_epoch": 2,
            "batch_size": 2,
            "patch_size": [16, 16],
            "learning_rate": 0.01,
            "batch_norm_batches": 2,
        },
    }
    for section, fields in sections.items():
        config[section].update(fields)
    path.write_text(json.dumps(config))
    return path


def contents(folder):
    """All files below a folder, with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def weights(path):
    """The arrays of an HDF5 weights file by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    assert found
    return found


def assert_same_weights(one, other, tolerance=1e-6):
    """Two weights files hold the same arrays."""
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)

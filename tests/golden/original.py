"""The golden vectors of the original programs: where they are, and their weights in our networks."""

import os
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors are not on this machine")


def load(name):
    with np.load(GOLDEN / f"{name}.npz") as f:
        return dict(f)


def checkpoint(prefix):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(GOLDEN / prefix))
    slots = ("Adam", "Adam_1", "global_step", "beta1_power", "beta2_power")
    names = [n for n in reader.get_variable_to_shape_map() if n.split("/")[-1] not in slots]
    return {name: reader.get_tensor(name) for name in names}


def original_names(path):
    """Names a Keras variable may have in the original programs."""
    name = path.replace(".", "/").replace("/norm/", "/")
    name = name.replace("/downsampling/kernel", "/downsampling/convolution/kernel")
    name = name.replace("/upsampling/kernel", "/upsampling/transposed_convolution/kernel")
    alternatives = {
        "output_preactivation": ("batch_normalization", "batch_norm_output"),
        "out_conv": ("out_conv", "output_convolution"),
    }
    first, _, rest = name.partition("/")
    return [f"{alternative}/{rest}" for alternative in alternatives.get(first, (first,))]


def load_original_weights(model, prefix):
    """Give every variable of ``model`` its value of the checkpoint; every value must find its place."""
    values = checkpoint(prefix)
    for variable in model.weights:
        (name,) = [n for n in original_names(variable.path) if n in values]
        value = values.pop(name)
        variable.assign(value.reshape(variable.shape) if value.ndim > len(variable.shape) else value)
    assert not values, f"left over: {sorted(values)}"


def relative_error(found, expected):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()

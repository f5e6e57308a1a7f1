"""The golden vectors of the original programs: where they are, and their weights in our networks."""

from pathlib import Path

import numpy as np
import pytest

from aeanet_tf.interop.tf1_checkpoint import match_variables, original_names
from aeanet_tf.interop.tf1_files import read_checkpoint

__all__ = ["GOLDEN", "load", "load_original_weights", "needs_golden", "original_names", "relative_error"]

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors are not on this machine")


def load(name):
    with np.load(GOLDEN / f"{name}.npz") as f:
        return dict(f)


def load_original_weights(model, prefix):
    """Give every variable of ``model`` its value of the checkpoint; every value must find its place."""
    pairs, problems = match_variables(model, read_checkpoint(GOLDEN / prefix)[0])
    assert not problems
    for variable, value in pairs:
        variable.assign(value)


def relative_error(found, expected):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()

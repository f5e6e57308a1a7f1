"""The examples in docstrings run, and give what they say."""

import doctest
import importlib

import pytest

from tests.models import EAGER, eager_tensorflow

# Modules whose docstrings have examples, each of a few seconds.
LAYERS = "attention convolution gvto moments preactivation residual residual_dense sparse_attention weightless"
MODELS = "aeanet config ensemble isotropic normalizers projection segmentation slice_interpolation"
MODULES = [
    *(f"layers.{name}" for name in LAYERS.split()),
    *("networks.build", "networks.graph", "networks.spec"),
    *(f"models.{name}" for name in MODELS.split()),
]


@EAGER
@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"aeanet_tf.{name}")
    with eager_tensorflow():
        results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.attempted and not results.failed

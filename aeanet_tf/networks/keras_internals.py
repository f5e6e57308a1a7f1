"""What this package reads of Keras beyond its public API, in one place."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path


def flattened_layers(model):
    """Every layer of ``model``, those within other layers included."""
    return model._flatten_layers(include_self=False, recursive=True)


def applied_nodes(network):
    """Every application of a layer in a functional network, in an order of evaluation, without the inputs.

    Each has ``operation``, the layer, and the Keras tensors ``input_tensors`` and ``outputs``.
    """
    by_depth = network._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


@contextmanager
def long_chains():
    """Let Keras follow a network of thousands of layers in a row, such as RCAN's: it calls itself for each."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def holds_average(callback):
    """Whether the network has the averaged weights now, of a ``keras.callbacks.SwapEMAWeights``."""
    return callback._ema_weights_in_model


def set_holds_average(callback, value):
    """Tell a ``keras.callbacks.SwapEMAWeights`` whether the network has the averaged weights."""
    callback._ema_weights_in_model = bool(value)


def keras_home():
    """Keras's folder for what it keeps: ``$KERAS_HOME``, by default ``~/.keras``."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"]).expanduser()
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")

"""What the exports of a network's graph share: the function that is traced, and the check of what was written."""

import numpy as np
import tensorflow as tf

from aeanet_tf.layers.fast_paths import portable_arithmetic


def prediction_function(network):
    """``(function, specification)``: a network's prediction for images of any size, and the ``TensorSpec`` ``input``.

    The function is a ``tf.function`` of one float32 tensor ``(batch, *spatial, channels)``.
    """
    specification = tf.TensorSpec(network.input.shape, "float32", name="input")

    def predict(x):
        with portable_arithmetic():
            return network(x, training=False)

    return tf.function(predict, input_signature=[specification], autograph=False), specification


def check_agreement(network, divisor, run):
    """Compare what was exported with the network, on two random images of different sizes where the size is free.

    Args:
        network: the Keras model.
        divisor: of its spec.
        run: from a list of images ``(1, *spatial, channels)`` to the list of results of the exported graph.

    Raises:
        RuntimeError: they differ by more than 1e-4 of the largest value, in shape, or the exported graph gives what is
            not finite. What is left of a wrong conversion would otherwise show in the other program only.
    """
    rng = np.random.default_rng(0)
    fixed = network.input.shape[1:-1]
    sizes = [[n or max(4, factor * d) for n, d in zip(fixed, divisor, strict=True)] for factor in (2, 3)]
    images = [rng.random((1, *size, network.input.shape[-1]), dtype=np.float32) for size in sizes]
    # First: within another graph, where the export may run, Keras's variables cannot be read.
    expected = [np.asarray(network(image, training=False)) for image in images]
    for result, y in zip(run(images), expected, strict=True):
        difference = _difference(result, y)
        if difference:
            raise RuntimeError(f"the exported graph {difference}; please report this")


def _difference(result, expected):
    """What is wrong with a result of an exported graph, in words; empty where it is that of the network."""
    if result.shape != expected.shape:
        return f"gives {result.shape}, the network {expected.shape}"
    broken = np.size(result) - np.count_nonzero(np.isfinite(result))
    if broken:
        return f"gives {broken} of {np.size(result)} values that are not finite"
    error = np.abs(result - expected).max() / max(np.abs(expected).max(), 1e-6)
    return "" if error < 1e-4 else f"differs from the network by {error:.1e}"

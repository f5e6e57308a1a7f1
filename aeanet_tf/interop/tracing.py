"""What the exports of a network's graph share: the function that is traced, and the check of what was written."""

import numpy as np
import tensorflow as tf

from aeanet_tf.layers.fast_paths import plain_arithmetic


def prediction_function(network):
    """``(function, specification)``: a network's prediction for images of any size, and the ``TensorSpec`` ``input``.

    The function is a ``tf.function`` of one float32 tensor ``(batch, *spatial, channels)``.
    """
    specification = tf.TensorSpec(network.input.shape, "float32", name="input")

    def predict(x):
        with plain_arithmetic():
            return network(x, training=False)

    return tf.function(predict, input_signature=[specification], autograph=False), specification


def check_agreement(network, divisor, run):
    """Compare what was exported with the network, on two random images of different sizes where the size is free.

    Args:
        network: the Keras model.
        divisor: of its spec.
        run: from a list of images ``(1, *spatial, channels)`` to the list of results of the exported graph.

    Raises:
        RuntimeError: they differ by more than 1e-4 of the largest value. What is left of a wrong conversion would
            otherwise show in the other program only.
    """
    rng = np.random.default_rng(0)
    fixed = network.input.shape[1:-1]
    sizes = [[n or max(4, factor * d) for n, d in zip(fixed, divisor, strict=True)] for factor in (2, 3)]
    images = [rng.random((1, *size, network.input.shape[-1]), dtype=np.float32) for size in sizes]
    # First: within another graph, where the export may run, Keras's variables cannot be read.
    expected = [np.asarray(network(image, training=False)) for image in images]
    for found, y in zip(run(images), expected, strict=True):
        error = np.abs(found - y).max() / max(np.abs(y).max(), 1e-6) if found.shape == y.shape else np.inf
        if not error < 1e-4:
            raise RuntimeError(f"the exported graph differs from the network by {error:.1e}; please report this")

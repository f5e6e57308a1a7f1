"""Faster ways to compute the same, of TensorFlow where it is Keras's backend, and where exports do without them."""

import os
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import keras


def batch_normalised(x, scale, offset, epsilon):
    """Batch normalisation by the statistics of the batch, in one kernel that takes a third of the time of Keras's.

    Args:
        x: features ``(batch, height, width, channels)``.
        scale, offset: float32, shape ``(channels,)``.
        epsilon: added to the variance.

    Returns:
        The normalised features, their mean and their biased variance, the latter two float32 of shape ``(channels,)``;
        ``None`` on another backend, and for a dtype that the kernel does not take.
    """
    if keras.backend.backend() != "tensorflow" or keras.backend.standardize_dtype(x.dtype) == "float64":
        return None
    import tensorflow as tf

    none = tf.zeros((0,))
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(x, out_type=tf.int64) // x.shape[-1], "float32")
    # The kernel gives the unbiased variance.
    return y, mean, variance * tf.maximum(count - 1, 1) / tf.maximum(count, 1)


def on_processor():
    """Whether TensorFlow is Keras's backend, and computes on a processor."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def onednn_vectors():
    """What oneDNN computes with for TensorFlow: ``"avx512"``, ``"avx2"``, or ``None`` where it is neither.

    It is what the processor has, unless the environment forbids it; none on other processors than x86.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or limit in ("SSE41", "AVX"):
        return None
    below = limit.startswith("AVX2")
    if "AVX512F" in _processor_features() and not below:
        return "avx512"
    return "avx2" if "AVX2" in _processor_features() else None


@cache
def _processor_features():
    """What NumPy found that the processor can do."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:
        from numpy.core._multiarray_umath import __cpu_features__ as features
    return {name for name, present in features.items() if present}


def depthwise_is_fastest():
    """Whether a depthwise convolution of one pixel, with bias and activation, is the fastest way to scale channels.

    It is where oneDNN evaluates it with AVX-512: in one pass over memory, which is what such operations take their time
    for. With AVX2 it takes as long as a multiplication or longer (docs/performance.md).
    """
    return onednn_vectors() == "avx512" and on_processor()


def phases_are_fastest():
    """Whether a transposed convolution is faster as a convolution for each phase of its output.

    It is where oneDNN has AVX2; with AVX-512 it was not measured.
    """
    return onednn_vectors() == "avx2" and on_processor()


_portable = ContextVar("portable", default=False)


@contextmanager
def portable_arithmetic():
    """Within it, layers are traced into multiplications and additions only, for programs other than this TensorFlow.

    The fastest operation for one processor and one TensorFlow is not that of another, which an exported graph is for;
    and what serves gradients only is nothing to export.
    """
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def is_portable():
    """Whether the caller is within `portable_arithmetic`."""
    return _portable.get()

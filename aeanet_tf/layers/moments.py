"""Context moments: all that length-normalised attention needs to know about the features it attends to."""

from typing import Any, NamedTuple

from keras import ops

from aeanet_tf.errors import expect
from aeanet_tf.layers.fast_paths import is_portable


class Moments(NamedTuple):
    """Moments of a set of feature vectors, one set per image of a batch; all float32.

    Attributes:
        weight: number of vectors, shape ``(batch,)``.
        mean: their mean, shape ``(batch, channels)``.
        second: the mean of their outer products ``x x^T`` (not centred), shape ``(batch, channels, channels)``.
    """

    weight: Any
    mean: Any
    second: Any


def context_moments(x):
    """Moments of the feature vectors of each image.

    Args:
        x: features, shape ``(batch, *spatial, channels)``, any number of spatial axes. Computed in float32
            whatever the dtype: a sum over a million positions does not survive half precision.

    Returns:
        `Moments` with one entry per image.

    Example:
        >>> moments = context_moments(ops.array([[[1.0], [3.0]]]))
        >>> [float(value[0]) for value in (moments.weight, moments.mean[0], moments.second[0, 0])]
        [2.0, 2.0, 5.0]
    """
    shape = ops.shape(x)
    x = ops.reshape(ops.cast(x, "float32"), (shape[0], -1, x.shape[-1]))
    n = ops.cast(ops.shape(x)[1], "float32")
    # A product, because sums over the second last axis are slow.
    mean = ops.matmul(ops.ones_like(x[:, None, :, 0]), x)[:, 0] / n
    return Moments(ops.zeros_like(mean[:, 0]) + n, mean, _products(x) / n)


def _products(x):
    """Sum of the outer products of the vectors ``(batch, n, channels)`` with themselves.

    Its gradient takes one product over the positions instead of two, by the symmetry of the result. Gradients of that
    gradient would be wrong.
    """
    if is_portable():
        return ops.einsum("bnc,bnd->bcd", x, x)
    # Not einsum, whose gradient copies the features once more.
    products = ops.matmul(ops.transpose(ops.stop_gradient(x), (0, 2, 1)), x)
    transposed = ops.transpose(products, (0, 2, 1))
    # The value is that of `products`, the gradient that of both.
    return products + (transposed - ops.stop_gradient(transposed))


def _weighted(weight, total, values):
    # Dividing the weights first keeps the products in the range of the values.
    share = weight / ops.maximum(total, 1.0)
    return ops.reshape(share, (-1,) + (1,) * (len(values.shape) - 1)) * values


def merge_moments(*moments):
    """Moments of the union of several sets: the average weighted by the number of vectors.

    The operation is associative and commutative. It is what shared references (AEANet paper, equation 4),
    batch-aware attention (equation 5) and tiled prediction have in common.

    Args:
        *moments: one or more `Moments` with the same number of channels. Batch sizes must agree or be 1, in
            which case that set is shared by all images.

    Returns:
        `Moments` of the union, image by image.

    Example:
        >>> first, second = (context_moments(value * ops.ones((1, n, 1))) for value, n in ((1, 3), (5, 1)))
        >>> merged = merge_moments(first, second)
        >>> float(merged.weight[0]), float(merged.mean[0, 0])
        (4.0, 2.0)
    """
    expect(moments, "moments", "none", "at least one set")
    total = sum(m.weight for m in moments)
    mean = sum(_weighted(m.weight, total, m.mean) for m in moments)
    second = sum(_weighted(m.weight, total, m.second) for m in moments)
    return Moments(total, mean, second)


def merge_batch(moments, mask=None):
    """Moments of all images of a batch taken as one set.

    Args:
        moments: `Moments` of a batch.
        mask: optional float32 weights of 0 or 1, shape ``(batch,)``: which images take part.

    Returns:
        `Moments` with a batch axis of length 1. A set without any vector has weight 0 and zero moments.

    Example:
        >>> merged = merge_batch(context_moments(ops.array([[[1.0]], [[3.0]]])))
        >>> float(merged.weight[0]), float(merged.mean[0, 0])
        (2.0, 2.0)
    """
    weight = moments.weight if mask is None else moments.weight * mask
    total = ops.sum(weight, axis=0, keepdims=True)
    mean = ops.sum(_weighted(weight, total, moments.mean), axis=0, keepdims=True)
    second = ops.sum(_weighted(weight, total, moments.second), axis=0, keepdims=True)
    return Moments(total, mean, second)


def select_moments(condition, if_true, if_false):
    """Image by image, ``if_true`` where the boolean ``condition`` of shape ``(batch,)`` holds, else ``if_false``."""

    def pick(a, b):
        return ops.where(ops.reshape(condition, (-1,) + (1,) * (len(a.shape) - 1)), a, b)

    return Moments(*(pick(a, b) for a, b in zip(if_true, if_false, strict=True)))

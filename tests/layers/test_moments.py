"""Context moments and their merging against NumPy."""

import gc
import itertools
import weakref

import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.layers import GlobalAttention, Moments, context_moments, merge_batch, merge_moments
from tests.layers.oracle import images, relative_error


def moments_of(vectors):
    """Weight, mean and second moment of (n, c) vectors in float64."""
    vectors = np.asarray(vectors, "float64")
    return len(vectors), vectors.sum(0) / len(vectors), sum(np.outer(v, v) for v in vectors) / len(vectors)


def assert_equal(found, expected, tolerance=2e-6):
    """``found``: `Moments` of a batch; ``expected``: a tuple of `moments_of` for each image."""
    assert len(found.weight) == len(expected)
    for name, values in zip(Moments._fields, zip(*expected, strict=True), strict=True):
        assert relative_error(getattr(found, name), np.stack(values)) < tolerance, name


@pytest.mark.parametrize("spatial", [(7,), (3, 5), (2, 3, 4)])
def test_context_moments(spatial):
    x = images(2, *spatial, 3)
    assert_equal(context_moments(x), [moments_of(image.reshape(-1, 3)) for image in x])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_features_are_summed_in_float32(dtype):
    """In half precision these sums are off by percents, and the number of positions is no float16 number."""
    from keras import ops

    x = ops.cast(images(1, 300, 301, 2) + 3, dtype)
    found = context_moments(x)
    for part in found:
        assert str(part.dtype).endswith("float32") or part.dtype == "float32"
    assert_equal(found, [moments_of(np.asarray(ops.cast(x, "float32")).reshape(-1, 2))], 1e-5)


def test_any_partition_merges_to_the_whole_in_any_order():
    x = images(2, 4, 9, 3)
    whole = [moments_of(image.reshape(-1, 3)) for image in x]
    a, b, c = (context_moments(part) for part in np.split(x, [1, 6], axis=2))
    for p, q, r in itertools.permutations((a, b, c)):
        assert_equal(merge_moments(p, q, r), whole)
        assert_equal(merge_moments(merge_moments(p, q), r), whole)
        assert_equal(merge_moments(p, merge_moments(q, r)), whole)


def test_merging_weighs_by_the_number_of_vectors():
    """The average of averages would be another number: 1 vector of 10 and 9 vectors of 0 have mean 1, not 5."""
    ten, zeros = np.full((1, 1, 1, 1), 10.0, "float32"), np.zeros((1, 3, 3, 1), "float32")
    merged = merge_moments(context_moments(ten), context_moments(zeros))
    assert [float(np.squeeze(m)) for m in merged] == pytest.approx([10, 1, 10], rel=1e-6)


@pytest.mark.parametrize("shared_first", [True, False])
def test_a_batch_of_one_is_shared_by_all_images(shared_first):
    x, references = images(3, 2, 5, 4), images(1, 7, 4, seed=2)
    both = [context_moments(x), context_moments(references)]
    merged = merge_moments(*(both[::-1] if shared_first else both))
    assert_equal(merged, [moments_of(np.concatenate([image.reshape(-1, 4), references[0]])) for image in x])


@pytest.mark.parametrize("mask", [None, (1, 1, 0), (0, 1, 0)])
def test_merge_batch(mask):
    """Images of different weights, as merged tiles have, and a mask that leaves some out."""
    parts = [images(1, n, 3, seed=n) for n in (2, 5, 11)]
    moments = Moments(*(np.concatenate(m) for m in zip(*map(context_moments, parts), strict=True)))
    taken = [p[0] for p, take in zip(parts, mask or (1, 1, 1), strict=True) if take]
    merged = merge_batch(moments, None if mask is None else np.array(mask, "float32"))
    assert_equal(merged, [moments_of(np.concatenate(taken))])


def test_an_empty_group_is_zero_and_neutral():
    moments = context_moments(images(2, 3, 4))
    empty = merge_batch(moments, np.zeros(2, "float32"))
    assert all(np.array_equal(m, np.zeros(m.shape)) for m in empty)
    for found, expected in zip(merge_moments(moments, empty), moments, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_large_weights_do_not_overflow_the_sums():
    """1e9 positions of features of 1e16: weight times second moment would be beyond float32."""
    tile = Moments(np.full(1, 1e9, "float32"), np.full((1, 1), 1e16, "float32"), np.full((1, 1, 1), 1e32, "float32"))
    merged = merge_moments(tile, tile)
    assert float(merged.second[0, 0, 0]) == pytest.approx(1e32, rel=1e-6)


def test_nothing_to_merge():
    with pytest.raises(ValueError, match="at least one"):
        merge_moments()


def test_nothing_keeps_a_traced_graph_alive():
    """What TensorFlow registers for gradients of our own would hold every graph, with the weights of its network."""
    layer = GlobalAttention(4)
    layer.build((None, None, None, 4))
    function = tf.function(lambda x: layer(x), autograph=False).get_concrete_function(tf.TensorSpec((1, 8, 8, 4)))
    graph = weakref.ref(function.graph)
    del function
    gc.collect()
    assert graph() is None

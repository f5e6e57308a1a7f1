"""``context=``: an image evaluated in tiles, each attending to the merged moments of all, equals the whole."""

import numpy as np
import pytest

from aeanet_tf.layers import GVTO, GlobalAttention, Moments, context_moments, merge_moments
from tests.layers.oracle import attention, images, randomised, relative_error


@pytest.fixture
def x():
    return images(2, 6, 4, 4)


@pytest.mark.parametrize("normalization", ["key_length", "query_length"])
@pytest.mark.parametrize("references", [0, 5])
@pytest.mark.parametrize("size", ["same", "up4"])
def test_tiles_equal_the_whole(x, size, references, normalization):
    layer = randomised(GlobalAttention(4, size, shared_references=references, normalization=normalization), x)
    tiles = np.split(x, [2], axis=1)
    context = merge_moments(*map(context_moments, tiles))
    y = np.concatenate([layer(tile, context=context) for tile in tiles], axis=1)
    assert relative_error(y, attention(layer, x)) < 1e-5
    # Each tile on its own context would be a seam.
    assert relative_error(np.concatenate([layer(tile) for tile in tiles], axis=1), y) > 1e-2


@pytest.mark.parametrize("size", ["same", "up4"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gvto_context_moments(x, size, batch_norm):
    """Moments are those of the features behind the batch norm's moving statistics and the ReLU6."""
    block = GVTO(4, size, batch_norm=batch_norm)
    randomised(block, x)
    if batch_norm:
        block.batch_norm.norm.moving_variance.assign([0.5, 2, 1, 3])
    tiles = np.split(x, [2], axis=1)
    context = merge_moments(*map(block.context_moments, tiles))
    y = np.concatenate([block(tile, context=context) for tile in tiles], axis=1)
    assert relative_error(y, block(x)) < 1e-5
    raw = merge_moments(*map(context_moments, tiles))
    assert relative_error(np.concatenate([block(tile, context=raw) for tile in tiles], axis=1), y) > 1e-2


def test_batch_aware_training_leaves_a_given_context_alone(x):
    layer = randomised(GlobalAttention(4, batch_aware=True, shared_references=5), x)
    context = context_moments(x)
    assert relative_error(layer(x, context=context, training=True), attention(layer, x)) < 1e-5


def test_context_may_be_numpy_in_float64(x):
    """As it comes back from a file or from sums over tiles on another machine."""
    layer = randomised(GlobalAttention(4), x)
    context = Moments(*(np.asarray(m, "float64") for m in context_moments(x)))
    assert relative_error(layer(x, context=context), attention(layer, x)) < 1e-5


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("make", [GlobalAttention, GVTO])
def test_context_stays_in_float32_under_mixed_precision(x, make, dtype):
    """100,000 positions are no float16 number, and 65,537 no bfloat16 one: Keras casts inputs if it is let."""
    layer = make(4, normalization="key_length", dtype=dtype)
    attention_layer = getattr(layer, "attention", layer)
    seen = []
    fold = attention_layer._fold
    attention_layer._fold = lambda moments, length: seen.append(moments) or fold(moments, length)
    context = context_moments(x)
    context = context._replace(weight=context.weight * 0 + 100_001)
    assert np.isfinite(np.asarray(layer(x, context=context), "float32")).all()
    for found, given in zip(seen[0], context, strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(given))


def test_the_direct_path_refuses_a_context(x):
    layer = GlobalAttention(4, normalization="softmax")
    with pytest.raises(ValueError, match=r"context: .*direct path"):
        layer(x, context=context_moments(x))

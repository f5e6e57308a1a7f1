"""Theorems 1 and 2 of the AEANet paper: permuting the positions of an image permutes the output, or leaves it alone."""

import numpy as np
import pytest

from aeanet_tf.layers import AEABlock, GlobalAttention
from tests.layers.oracle import images, randomised, relative_error


def permuted(x, seed=3):
    """All spatial positions of all images in the same random order."""
    flat = np.reshape(x, (len(x), -1, x.shape[-1]))
    return flat[:, np.random.default_rng(seed).permutation(flat.shape[1])].reshape(x.shape)


@pytest.mark.parametrize("spatial", [(4, 6), (2, 3, 4)])
@pytest.mark.parametrize(
    "options",
    [{}, {"shared_references": 5}, {"shared_references": 5, "normalization": "softmax"}],
    ids=["plain", "references", "softmax"],
)
def test_input_query_is_equivariant(options, spatial):
    x = images(2, *spatial, 4)
    layer = randomised(GlobalAttention(4, **options), x)
    y = layer(x)
    assert relative_error(layer(permuted(x)), permuted(y)) < 1e-5
    # Not because the output were constant: the permutation is seen.
    assert relative_error(y, permuted(y)) > 1e-1


@pytest.mark.parametrize("normalization", ["key_length", "softmax"])
@pytest.mark.parametrize("size", ["same", "down", "up"])
def test_learned_query_is_invariant(size, normalization):
    x = images(2, 4, 6, 4)
    layer = randomised(GlobalAttention(4, size, query="learned", normalization=normalization), x)
    y = layer(x)
    assert relative_error(layer(permuted(x)), y) < 1e-5
    assert relative_error(y, permuted(y)) > 1e-1


@pytest.mark.parametrize("changed", [0, 3])
def test_batch_aware_training_permutes_one_image_and_leaves_the_others(changed):
    """Image 0 is of the batch-aware group, image 3 attends to references."""
    x = images(4, 4, 6, 4)
    layer = randomised(GlobalAttention(4, shared_references=5, batch_aware=True), x)
    y = np.array(layer(x, training=True))
    x[changed] = permuted(x[changed : changed + 1])[0]
    y[changed] = permuted(y[changed : changed + 1])[0]
    assert relative_error(layer(x, training=True), y) < 1e-5


def test_aea_block_is_equivariant():
    x = images(4, 4, 6, 4)
    block = AEABlock(4, shared_references=5)
    block.build(x.shape)
    assert relative_error(block(permuted(x), training=True), permuted(block(x, training=True))) < 1e-5

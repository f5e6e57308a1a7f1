"""The residual paths of GVTO and AEABlock, and the errors of the attention layers."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers import GVTO, AEABlock, DownSamplingGVTO, GlobalAttention, SizePreservingGVTO, UpSamplingGVTO
from tests.layers.oracle import attention, images, queries, randomised, relative_error

FIXED = {"same": SizePreservingGVTO, "down": DownSamplingGVTO, "up": UpSamplingGVTO}


def preactivated(block, x):
    """ReLU6 of the batch norm's moving statistics, in NumPy."""
    norm = block.batch_norm.norm
    if norm is not None:
        gamma, beta, mean, variance = (np.asarray(w, "float64") for w in norm.weights)
        x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    return np.clip(x, 0, 6).astype("float32")


def built(block, x):
    randomised(block, x)
    if block.batch_norm.norm is not None:
        block.batch_norm.norm.moving_variance.assign([0.5, 2, 1, 3])
    return block


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_size_preserving_adds_its_input(fixed, batch_norm):
    x = 4 * images(2, 4, 6, 4)
    block = built((SizePreservingGVTO if fixed else GVTO)(4, batch_norm=batch_norm), x)
    assert relative_error(block(x), x + attention(block.attention, preactivated(block, x))) < 1e-5


@pytest.mark.parametrize("spatial", [(4, 6), (2, 4, 2)])
@pytest.mark.parametrize("size", ["down", "up", "up4"])
def test_v2_adds_the_query_before_the_scaling(size, spatial):
    x = 4 * images(2, *spatial, 4)
    make = FIXED.get(size, lambda *args, **kwargs: GVTO(*args, size=size, **kwargs))
    block = built(make(4, batch_norm=True), x)
    h = preactivated(block, x)
    expected = queries(block.attention, h) + attention(block.attention, h)
    assert relative_error(block(x), expected) < 1e-5


@pytest.mark.parametrize("spatial", [(4, 6), (2, 4, 2)])
@pytest.mark.parametrize("size", ["down", "up"])
def test_v1_adds_a_strided_convolution_of_the_preactivation(size, spatial):
    x = 4 * images(2, *spatial, 4)
    block = built(FIXED[size](6, residual="v1", batch_norm=True), x)
    h = preactivated(block, x)
    (kernel,) = block.projection_shortcut.weights
    # The query's convolution, tested against NumPy in test_attention, with the shortcut's kernel and no bias.
    twin = GlobalAttention(6, size)
    twin.build(x.shape)
    twin.q_transform.kernel.assign(kernel)
    shortcut = np.asarray(twin.compute_query(h), "float64")
    assert relative_error(block(x), shortcut + attention(block.attention, h)) < 1e-5


def test_batch_norm_before_batch_aware_attention_sees_the_whole_batch():
    x = images(4, 4, 6, 4)
    block = AEABlock(4, shared_references=5)
    randomised(block, x)
    gamma, beta = (np.asarray(w, "float64") for w in block.batch_norm.norm.trainable_weights)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    h = np.clip(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0, 6).astype("float32")
    expected = x + attention(block.attention, h, training=True)
    assert relative_error(block(x, training=True), expected) < 1e-5


def test_aea_block_has_the_papers_defaults():
    config = AEABlock(4).get_config()
    expected = {
        "shared_references": 64,
        "batch_aware": True,
        "normalization": "key_length",
        "batch_norm": True,
        "momentum": 0.997,
        "epsilon": 1e-5,
        "num_heads": 2,
    }
    assert {name: config[name] for name in expected} == expected
    assert GVTO(4).get_config()["normalization"] == "query_length"


X = images(1, 4, 4, 4)
ERRORS = {
    "size": (lambda: GlobalAttention(4, "half"), "size: found 'half', expected one of .*'up4'"),
    "normalization": (
        lambda: GlobalAttention(4, normalization="length"),
        "normalization: found 'length', .*'key_length'",
    ),
    "query": (lambda: GlobalAttention(4, query="given"), "query: found 'given', .*'learned'"),
    "computation": (lambda: GlobalAttention(4, computation="fast"), "computation: found 'fast', .*'moments'"),
    "softmax of moments": (
        lambda: GlobalAttention(4, computation="moments", normalization="softmax"),
        "computation: found 'moments'.*softmax",
    ),
    "heads": (
        lambda: GlobalAttention(6, num_heads=4),
        "num_heads: found 4, expected a number that divides key_filters=6",
    ),
    "heads of value": (
        lambda: GlobalAttention(6, num_heads=2, value_filters=5),
        "num_heads: found 2, .*value_filters=5",
    ),
    "up4 query": (lambda: GlobalAttention(8, "up4")(X), "key_filters: found 8, expected 4"),
    "learned query": (
        lambda: GlobalAttention(4, query="learned")(keras.Input((None, None, 4))),
        "query: found 'learned'.*None.*known input size",
    ),
    "residual": (lambda: GVTO(4, "down", residual="v3"), "residual: found 'v3', .*'v2'"),
    "keys of v2": (lambda: GVTO(8, "down", key_filters=4), "key_filters: found 4, expected 8, the channels .* 'v2'"),
    "activation": (lambda: GVTO(4, activation="elu"), "activation: found 'elu', expected one of 'relu6', 'relu'"),
    "up4 v1": (lambda: GVTO(4, "up4", residual="v1"), "'v1'.*up4.*'v2'"),
    "same filters": (lambda: GVTO(8)(X), "filters: found 8, expected 4"),
    "fixed size": (lambda: UpSamplingGVTO(4, size="down"), "size: .*'up', that of UpSamplingGVTO"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_was_found(case):
    call, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        call()

"""Batch-aware attention (AEANet paper, equation 5): who attends to what, in training and in prediction."""

import numpy as np
import pytest

from aeanet_tf.layers import GlobalAttention
from tests.layers.oracle import WRONG, attention, images, randomised, relative_error

tf = pytest.importorskip("tensorflow")


def batch_aware(size, x, **options):
    options = {"shared_references": 5, "batch_aware": True, **options}
    return randomised(GlobalAttention(4, size, **options), x)


# Two positions with the features 1 and 3, projected by 1: K^T V = 1 + 9. A reference of 2 adds 4 and is a third vector.
BY_HAND = {
    "key length": ("key_length", 0, 10 / 2, 10 / 2),
    "query length": ("query_length", 0, 10 / 2, 10 / 2),
    "key length, a reference": ("key_length", 1, 10 / 2, 14 / 3),
    "query length, a reference": ("query_length", 1, 10 / 2, 14 / 2),
}


@pytest.mark.parametrize("computation", ["moments", "direct"])
@pytest.mark.parametrize("case", BY_HAND)
def test_eight_equal_images_by_hand(case, computation):
    """Equation 5: four of them attend to 4 x 2 positions, which sum up to four times as much, as to their own."""
    normalization, references, in_group, alone = BY_HAND[case]
    options = {"shared_references": references, "normalization": normalization, "computation": computation}
    layer = GlobalAttention(1, num_heads=1, batch_aware=True, use_bias=False, **options)
    x = np.tile(np.array([[1], [3]], "float32"), (8, 1, 1))
    layer.build(x.shape)
    for w in layer.weights:
        w.assign(np.full(w.shape, 2 if w.name == "nl_library" else 1))
    factors = np.repeat([in_group, alone], 4)[:, None, None]
    np.testing.assert_allclose(layer(x, training=True), factors * x, rtol=1e-6)
    np.testing.assert_allclose(layer(x), alone * x, rtol=1e-6)


@pytest.mark.parametrize("normalization", ["key_length", "query_length"])
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("size", ["same", "down", "up"])
def test_first_half_attends_to_the_group_the_rest_to_references(size, batch, normalization):
    x = images(batch, 4, 6, 4)
    layer = batch_aware(size, x, normalization=normalization)
    assert relative_error(layer(x, training=True), attention(layer, x, training=True)) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "softmax"},
        {"computation": "direct"},
        {"computation": "direct", "normalization": "query_length"},
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_on_the_direct_path(batch, options):
    x = images(batch, 4, 6, 4)
    layer = batch_aware("same", x, **options)
    assert relative_error(layer(x, training=True), attention(layer, x, training=True)) < 1e-5


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_without_references(batch):
    x = images(batch, 4, 6, 4)
    layer = batch_aware("same", x, shared_references=0)
    assert relative_error(layer(x, training=True), attention(layer, x, training=True)) < 1e-5


@pytest.mark.parametrize("training", [False, None])
def test_prediction_of_an_image_does_not_depend_on_the_batch(training):
    x = images(5, 4, 6, 4)
    layer = batch_aware("same", x)
    together = layer(x, training=training)
    assert relative_error(together, attention(layer, x, training=False)) < 1e-5
    alone = np.concatenate([layer(image[None], training=training) for image in x])
    assert relative_error(together, alone) < 1e-6


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_are_noticed(wrong):
    """The oracle with a mistake made on purpose is far away: the tests above can tell."""
    x = images(4, 4, 6, 4)
    layer = batch_aware("same" if wrong != WRONG[2] else "up", x)
    y = layer(x, training=True)
    assert relative_error(y, attention(layer, x, training=True)) < 1e-5
    assert relative_error(y, attention(layer, x, training=True, wrong=wrong)) > 1e-2


@pytest.mark.parametrize("normalization", ["key_length", "query_length"])
@pytest.mark.parametrize("computation", ["moments", "direct"])
def test_in_a_graph_of_unknown_batch_and_size(computation, normalization):
    layer = batch_aware("down", images(1, 4, 4, 4), computation=computation, normalization=normalization)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4))])
    def train(x):
        return layer(x, training=True)

    for shape in [(1, 4, 4), (2, 6, 2), (5, 3, 8)]:
        x = images(*shape, 4)
        assert relative_error(train(x), attention(layer, x, training=True)) < 1e-5, shape
    assert train.experimental_get_tracing_count() == 1

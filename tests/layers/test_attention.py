"""GlobalAttention against the papers' formula, and its moment path against its direct path."""

import numpy as np
import pytest

from aeanet_tf.layers import GlobalAttention, context_moments, merge_moments
from tests.layers.oracle import WRONG, attention, images, randomised, relative_error

tf = pytest.importorskip("tensorflow")

SIZES = ("same", "down", "up", "up4")
SPATIAL = {2: (4, 6), 3: (2, 4, 2)}
CHANNELS = 4


def layer_for(size, x, **options):
    return randomised(GlobalAttention(options.pop("filters", 4), size, **options), x)


@pytest.mark.parametrize("references", [0, 5])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dimension", SPATIAL)
@pytest.mark.parametrize("size", SIZES)
def test_formula(size, dimension, heads, references):
    x = images(2, *SPATIAL[dimension], CHANNELS)
    layer = layer_for(size, x, num_heads=heads, shared_references=references)
    for normalization in ("key_length", "query_length"):
        layer.normalization = normalization
        assert relative_error(layer(x), attention(layer, x)) < 1e-5, normalization


@pytest.mark.parametrize("references", [0, 5])
@pytest.mark.parametrize("size", SIZES)
def test_softmax(size, references):
    x = images(2, *SPATIAL[2], CHANNELS)
    layer = layer_for(size, x, shared_references=references, normalization="softmax")
    assert relative_error(layer(x), attention(layer, x)) < 1e-5


@pytest.mark.parametrize("normalization", ["key_length", "softmax"])
@pytest.mark.parametrize("size", SIZES)
def test_different_channels_of_key_value_and_output(size, normalization):
    """8 channels in, keys of 8 or 4, values of 12, output of 6: a mixed-up split or scale has the wrong width."""
    x = images(2, 3, 4, 8)
    key = 8 if size == "up4" else 4
    layer = layer_for(size, x, filters=6, key_filters=key, value_filters=12, num_heads=4, normalization=normalization)
    assert relative_error(layer(x), attention(layer, x)) < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_without_biases(size):
    x = images(2, *SPATIAL[2], CHANNELS)
    layer = layer_for(size, x, use_bias=False, shared_references=3)
    assert not [w.path for w in layer.weights if "bias" in w.path]
    assert relative_error(layer(x), attention(layer, x)) < 1e-5


@pytest.mark.parametrize("size", ["same", "down", "up"])
def test_learned_query(size):
    x = images(2, *SPATIAL[2], CHANNELS)
    layer = layer_for(size, x, query="learned")
    assert layer.q_transform is None
    assert relative_error(layer(x), attention(layer, x)) < 1e-5


@pytest.mark.parametrize("size", ["down", "up"])
def test_the_query_is_the_papers_convolution(size):
    """`compute_query`, which the formula takes over: 3x3, stride 2, TensorFlow's ``same`` padding, with bias."""
    x = images(1, 4, 6, CHANNELS)
    layer = layer_for(size, x)
    kernel, bias = (np.asarray(w, "float64") for w in layer.q_transform.weights)
    if size == "down":
        # Even sizes are padded behind only: output i reads 2 i to 2 i + 2.
        padded = np.pad(x.astype("float64")[0], ((0, 1), (0, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))[::2, ::2]
        expected = np.einsum("yxcab,abck->yxk", windows, kernel) + bias
    else:
        # The transpose of that: input i writes to 2 i to 2 i + 2, what falls behind the border is lost.
        full = np.zeros((9, 13, CHANNELS))
        for a in range(3):
            for b in range(3):
                full[a : a + 8 : 2, b : b + 12 : 2] += x[0] @ kernel[a, b].T
        expected = full[:8, :12] + bias
    assert relative_error(layer.compute_query(x)[0], expected) < 1e-5


@pytest.mark.parametrize(
    ("size", "references", "wrong"),
    [(size, 3, WRONG[1]) for size in SIZES] + [(size, 0, WRONG[2]) for size in SIZES if size != "same"],
)
def test_a_wrong_length_is_noticed(size, references, wrong):
    x = images(2, *SPATIAL[2], CHANNELS)
    layer = layer_for(size, x, shared_references=references)
    assert relative_error(layer(x), attention(layer, x, wrong=wrong)) > 1e-2


@pytest.mark.parametrize("spatial", [(2, 2), (6, 3), (5, 8), (1, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_on_one_built_layer(size, spatial):
    layer = layer_for(size, images(1, 4, 4, CHANNELS), shared_references=3)
    x = images(2, *spatial, CHANNELS)
    y = layer(x)
    assert y.shape == layer.compute_output_shape(x.shape)
    assert relative_error(y, attention(layer, x)) < 1e-5


# The moment path against the direct path, values and gradients.


def twin(layer, x):
    """The same layer with the same weights on the direct path."""
    direct = GlobalAttention.from_config({**layer.get_config(), "computation": "direct", "name": "direct"})
    direct.build(x.shape)
    direct.set_weights(layer.get_weights())
    return direct


def plain(layer, x):
    return layer(x)


def in_training(layer, x):
    return layer(x, training=True)


def by_tiles(layer, x):
    """In two tiles of unequal height, each attending to the merged context; the queries are those of the image."""
    cut = 1 if x.shape[1] < 4 else 3
    tiles = [x[:, :cut], x[:, cut:]]
    context = merge_moments(*map(context_moments, tiles))
    q = layer.compute_query(x)
    q_cut = q.shape[1] * cut // x.shape[1]
    pieces = zip(tiles, [q[:, :q_cut], q[:, q_cut:]], strict=True)
    return tf.concat([layer(tile, context=context, query=query) for tile, query in pieces], axis=1)


KINDS = {
    "plain": (plain, plain, {}),
    "references": (plain, plain, {"shared_references": 5}),
    "batch-aware": (in_training, in_training, {"shared_references": 5, "batch_aware": True}),
    "context": (by_tiles, plain, {"shared_references": 5}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dimension", SPATIAL)
@pytest.mark.parametrize("size", SIZES)
def test_moment_path_equals_direct_path_with_its_gradients(size, dimension, heads, kind):
    run, run_direct, options = KINDS[kind]
    x = tf.constant(images(3, *SPATIAL[dimension], CHANNELS))
    layer = layer_for(size, x, num_heads=heads, **options)
    direct = twin(layer, x)

    def output_and_gradients(layer, run):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = run(layer, x)
            loss = tf.reduce_sum(y * images(*y.shape, seed=7))
        return y, tape.gradient(loss, [x] + [v.value for v in layer.trainable_variables])

    y, gradients = output_and_gradients(layer, run)
    expected, direct_gradients = output_and_gradients(direct, run_direct)
    assert relative_error(y, expected) < 1e-5
    names = ["input"] + [v.path for v in layer.trainable_variables]
    for name, found, wanted in zip(names, gradients, direct_gradients, strict=True):
        assert relative_error(found, wanted) < 1e-5, name


def test_moment_path_forms_no_keys():
    """Of 100 positions with 128 key and value channels each, nothing of that size is ever computed."""
    layer = layer_for("same", images(1, 2, 2, 3), filters=3, key_filters=128, value_filters=128, num_heads=2)

    def largest(layer):
        traced = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec((1, 10, 10, 3)))
        outputs = [t for op in traced.graph.get_operations() if op.type != "ReadVariableOp" for t in op.outputs]
        return max(t.shape.num_elements() for t in outputs if t.shape.rank and t.shape[1:2] == (100,))

    assert largest(layer) == 100 * 3
    layer.computation = "direct"
    assert largest(layer) >= 100 * 128

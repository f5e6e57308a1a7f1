"""Two-level sparse attention against dense attention under masks, position by position."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers import AttentionAwareLayer, attention_factors, sparse_factors
from tests.layers.oracle import images, randomised, relative_error

KINDS = ("sparse", "interlaced", "long", "short", "dense")


def attended(size, step, kind):
    """For one side: whether position i (row) attends to position j (column)."""
    p, inner, _ = attention_factors(size, kind)
    spacing, length = {"long_long": (p * inner, size), "long_short": (p, inner), "short": (1, p)}[step]
    found = np.zeros((size, size), bool)
    for i in range(size):
        comb = np.arange(i % spacing, size, spacing)
        first = i // spacing // length * length
        # A window that sticks out is moved back.
        window = comb[max(0, min(first, len(comb) - length)) :][:length]
        found[i, window] = True
    return found


def affine(x, layer):
    return x @ np.asarray(layer.kernel, "float64") + np.asarray(layer.bias, "float64")


def dense(layer, x):
    """All H W x H W weights of each step, those outside of a group zero, in float64."""
    batch, height, width, channels = x.shape
    x = x.astype("float64").reshape(batch, -1, channels)
    for unit in layer.units.values():
        allowed = np.kron(*(attended(side, unit.name, layer.kind) for side in (height, width)))
        logits = affine(x, unit.f) @ affine(x, unit.g).transpose(0, 2, 1) / np.sqrt(channels / 2)
        # Rows are what is attended to, columns who attends.
        weights = np.exp(logits) * allowed.T
        weights = weights / weights.sum(axis=1, keepdims=True)
        z = (affine(x, unit.h).transpose(0, 2, 1) @ weights).transpose(0, 2, 1)
        x = x + float(unit.gamma) * affine(z, unit.v)
    return x.reshape(batch, height, width, channels)


@pytest.mark.parametrize("size", [(8, 27), (7, 11), (13, 10), (1, 5), (2, 2), (31, 3)])
def test_equals_dense_attention_under_masks(size):
    """Sizes that the factors divide and sizes that are padded, along one axis and along both."""
    x = images(2, *size, 16)
    layer = randomised(AttentionAwareLayer(), x)
    assert relative_error(layer(x), dense(layer, x)) < 1e-5


@pytest.mark.parametrize("kind", KINDS[1:])
def test_rivals_equal_dense_attention_under_masks(kind):
    for size in ((9, 16), (7, 11), (1, 5)):
        x = images(2, *size, 16)
        layer = randomised(AttentionAwareLayer(kind=kind), x)
        assert relative_error(layer(x), dense(layer, x)) < 1e-5


def test_how_far_the_parts_reach():
    """Of 8 x 8 positions one is moved: one level and dense attention take it everywhere, parts of two do not."""
    reached = {}
    for kind in KINDS:
        layer = randomised(AttentionAwareLayer(kind=kind), images(1, 8, 8, 8))
        reached[kind] = (changed(layer, (8, 8)) > NOTHING).sum(axis=1)
    assert all((reached[kind] == 64).all() for kind in ("sparse", "interlaced", "dense"))
    # Factors of 8 are (2, 2, 2): windows of 2 x 2, and every second position along each side.
    assert (reached["short"] == 4).all() and (reached["long"] == 16).all()


@pytest.mark.parametrize("kind", ["sparse", "interlaced", "dense"])
def test_sizes_known_only_when_the_graph_runs_give_the_same(kind):
    layer = randomised(AttentionAwareLayer(kind=kind), images(1, 8, 8, 16))
    inputs = keras.Input((None, None, 16))
    model = keras.Model(inputs, layer(inputs))
    for size in ((8, 27), (7, 11), (24, 20)):
        x = images(2, *size, 16)
        assert relative_error(model.predict(x, verbose=0), dense(layer, x)) < 1e-5


def test_parameters_are_the_papers():
    layer = AttentionAwareLayer()
    layer.build((None, None, None, 64))
    units = [layer.long_long, layer.long_short, layer.short]
    assert [unit.count_params() for unit in units] == [5232 + 1] * 3
    assert sum(int(np.prod(w.shape)) for w in layer.weights if w.name != "gamma") == 15696
    assert [w.shape for w in layer.weights if w.name == "gamma"] == [()] * 3


@pytest.mark.parametrize(("kind", "millions"), [("dense", 0.0052), ("interlaced", 0.0104), ("sparse", 0.0156)])
def test_parameters_of_the_rivals_are_the_papers(kind, millions):
    """Table 2, cut to four digits."""
    layer = AttentionAwareLayer(kind=kind)
    layer.build((None, None, None, 64))
    count = sum(int(np.prod(w.shape)) for w in layer.weights if w.name != "gamma")
    assert int(count / 100) == round(millions * 1e4)


def test_untrained_it_changes_nothing():
    x = images(1, 6, 9, 16)
    np.testing.assert_array_equal(AttentionAwareLayer()(x), x)


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (11, 13)])
def test_every_output_depends_on_every_input(size):
    """With one step left out it does not."""
    layer = randomised(AttentionAwareLayer(), images(1, *size, 8))
    positions = size[0] * size[1]
    assert (changed(layer, size) > 0).sum() == positions**2
    layer.short.gamma.assign(0.0)
    assert (changed(layer, size) > 0).sum() < positions**2


# What the same position differs by in another batch, where exponentials of a vector and of its rest are not the same.
# What is reached moves by 1e-6 and more.
NOTHING = 1e-7


def changed(layer, size):
    """How much each output moves (columns) when one input is moved (rows)."""
    x = images(1, *size, 8)
    positions = size[0] * size[1]
    moved = np.repeat(x, positions, axis=0).reshape(positions, positions, 8)
    moved[np.arange(positions), np.arange(positions)] += 3.0
    # In float64, since a way through three steps of attention may carry little.
    layer64 = AttentionAwareLayer(kind=layer.kind, dtype="float64")
    layer64.build(x.shape)
    for w, value in zip(layer64.weights, layer.get_weights(), strict=True):
        w.assign(value)
    found = np.asarray(layer64(moved.reshape(positions, *size, 8).astype("float64")))
    return np.abs(found - np.asarray(layer64(x.astype("float64")))).max(-1).reshape(positions, positions)


def test_factors_of_the_paper():
    assert sparse_factors(512) == (8, 8, 8)


@pytest.mark.parametrize("size", [1, 2, 17, 100, 256, 512, 1250])
def test_factors_of_one_level_are_near_the_square_root(size):
    """The cost of a square image against that of one whose side is a square: 2 n n^2."""
    p, inner, q = attention_factors(size, "interlaced")
    assert inner == 1 and size <= p * q < size + p
    assert (p * q) ** 2 * (p**2 + q**2) <= (1.1 if size >= 100 else 4) * 2 * size**3
    assert attention_factors(size, "dense") == (1, 1, size)


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="kind: found 'full', expected one of 'sparse', 'interlaced'"):
        AttentionAwareLayer(kind="full")


@pytest.mark.parametrize("size", [1, 2, 17, 100, 130, 256, 944, 1024, 1250, 3072, 6001])
def test_factors_are_near_the_optimum(size):
    """The cost of a square image, padding counted, against that of an image whose side is a cube: 3 n^(2/3) n^2."""
    p, inner, q = sparse_factors(size)
    padded = p * inner * q
    assert padded >= size
    assert padded - p * inner < size, "a whole window is padding"
    best = 3 * size ** (2 / 3) * size**2
    assert padded**2 * (p**2 + inner**2 + q**2) < (1.35 if size > 150 else 4) * best


def test_the_cost_grows_as_the_paper_says():
    """(H W)^(4/3), not (H W)^2: from 256 to 1024 squared 40 times as many weights, not 256."""
    weights = {n: np.prod(f) ** 2 * sum(np.square(f)) for n in (256, 1024) for f in [sparse_factors(n)]}
    assert 35 < weights[1024] / weights[256] < 45


@pytest.mark.parametrize("shape", [(None, 8, 8, 8, 16), (None, 8, 8, 12)])
def test_inputs_that_do_not_fit(shape):
    with pytest.raises(
        ValueError, match=r"features: found shape|key_reduction: found 8, expected a divisor of the 12 channels"
    ):
        AttentionAwareLayer().build(shape)


def test_half_precision_keeps_the_softmax_in_float32():
    x = images(1, 7, 9, 16)
    layer = randomised(AttentionAwareLayer(), x)
    half = AttentionAwareLayer(dtype="mixed_bfloat16")
    half.build(x.shape)
    half.set_weights(layer.get_weights())
    y = half(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert relative_error(np.asarray(y, "float32"), dense(layer, x)) < 0.05

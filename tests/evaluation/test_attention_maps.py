"""Maps of attention operators are what the paper's formulas give from the weights, for every kind of network."""

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.attention_maps import (
    choose_operator,
    image_divisor,
    independent_patterns,
    map_correlations,
    map_strides,
    mean_absolute_correlation,
    most_different,
    query_and_attention,
    random_references,
    relevance_maps,
)
from aeanet_tf.evaluation.equivariance import Rotation, rotate_input
from aeanet_tf.networks import build_network, presets
from tests.interop.example_models import randomise

REFERENCES = {"shared_references": 5}
SPECS = {
    "em": presets["aeanet-em"].replace(first_filters=4, attention=REFERENCES),
    "care": presets["aeanet-care"].replace(first_filters=4, attention=REFERENCES),
    "flywing": presets["aeanet-flywing"].replace(filters=4, attention=REFERENCES),
    "gvtnet": presets["gvtnet-em"].replace(first_filters=4),
    "softmax": presets["aeanet-em"].replace(first_filters=4, attention={**REFERENCES, "normalization": "softmax"}),
    "learned": presets["learned-query-em"].replace(first_filters=4, input_size=(16, 20), attention=REFERENCES),
    "unet": presets["unet-em"].replace(first_filters=4),
    "widths": presets["aeanet-em"].replace(
        first_filters=4,
        activation="relu",
        downsampling=("convolution", "attention_v1"),
        attention={**REFERENCES, "key_filters": 6, "value_filters": 10},
    ),
}
SIZES = {"care": (6, 9, 10), "flywing": (3, 18, 20), "learned": (16, 20)}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def networks():
    made = {}

    def get(kind):
        if kind not in made:
            keras.utils.set_random_seed(0)
            made[kind] = build_network(SPECS[kind])
            randomise(made[kind])
        return made[kind]

    return get


def image(kind):
    size = SIZES.get(kind, (21, 18))
    return RNG.random((1, *size, 1)).astype("float32")


def padded(network, x):
    extra = [-n % d for n, d in zip(x.shape[1:-1], image_divisor(network), strict=True)]
    return np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in extra), (0, 0)), mode="reflect")


def preactivated(network, layer, x):
    """The operator's input after normalisation and activation, from the weights."""
    features = np.asarray(keras.Model(network.input, layer.input)(padded(network, x), training=False), "float64")
    norm = layer.batch_norm.norm
    if norm is not None:
        mean, variance, gamma, beta = (
            np.asarray(v, "float64") for v in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        features = (features - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
    return np.clip(features, 0, {"relu6": 6, "relu": None}[layer.batch_norm.activation])


@pytest.mark.parametrize("kind", ["em", "care", "flywing", "softmax", "widths"])
def test_relevance_is_the_formula_of_appendix_6(networks, kind):
    network, x = networks(kind), image(kind)
    layer = choose_operator(network)
    weights = {w.path.split("attention/")[-1]: np.asarray(w, "float64") for w in layer.attention.weights}
    h = preactivated(network, layer, x)
    query = h @ weights["q_transform/kernel"] + weights["q_transform/bias"]
    keys = weights["nl_library"][0] @ weights["k_transform/kernel"] + weights["k_transform/bias"]
    heads = layer.attention.num_heads
    assert heads == 2
    # Head by head, as attention computes it.
    expected = sum(
        q @ k.T / np.sqrt(k.shape[1])
        for q, k in zip(np.split(query, heads, axis=-1), np.split(keys, heads, axis=-1), strict=True)
    )
    expected = np.moveaxis(expected[0], -1, 0)
    found = relevance_maps(network, x)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["em", "care", "flywing", "gvtnet", "softmax"])
def test_query_and_attention_make_up_the_operators_output(networks, kind):
    """Of every operator, at its resolution; positions of the padding alone are cut off."""
    network, x = networks(kind), image(kind)
    layers = [layer for layer in network.layers if hasattr(layer, "attention")]
    assert layers
    for number, layer in enumerate(layers):
        before, after = (
            np.asarray(t)[0] for t in keras.Model(network.input, [layer.input, layer.output])(padded(network, x))
        )
        query, attention = query_and_attention(network, x, number)
        expected = after - before if layer.attention.size == "same" else after
        found = attention if layer.attention.size == "same" else query + attention
        inside = []
        strides = map_strides(network, layer.name)
        for axis in range(-len(strides), 0):
            before_pad = (-x.shape[axis - 1] % image_divisor(network)[axis]) // 2
            stop = before_pad + x.shape[axis - 1]
            inside.append(slice(before_pad // strides[axis], -(-stop // strides[axis])))
        expected = expected[tuple(inside)]
        assert query.shape == attention.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_maps_of_a_full_resolution_operator_have_the_images_size(networks):
    network, x = networks("care"), image("care")
    assert map_strides(network) == (4, 4, 4)
    assert map_strides(network, "decoding_block_1.upsampling") == (1, 1, 1)
    maps = relevance_maps(network, x, "decoding_block_1.upsampling")
    assert maps.shape == (5, *x.shape[1:-1])
    # As prediction pads: half before, half behind, y 9 to 12, x 10 to 12, z 6 to 8.
    whole = relevance_maps(network, padded(network, x), "decoding_block_1.upsampling")
    np.testing.assert_allclose(maps, whole[:, 1:7, 1:10, 1:11], atol=1e-6)


def test_a_learned_query_has_maps_and_one_size(networks):
    network = networks("learned")
    maps = relevance_maps(network, image("learned"))
    assert maps.shape == (5, 4, 5)
    # It does not depend on the image.
    np.testing.assert_array_equal(maps, relevance_maps(network, image("learned")))
    with pytest.raises(InputError, match=r"x: found 24 x 20 pixels, expected 16 x 20: a learned query"):
        relevance_maps(network, image("em"))


def test_operators_by_name_and_number(networks):
    network = networks("care")
    assert choose_operator(network).name == "bottom_block.block_0"
    assert choose_operator(network, 1).name == choose_operator(network, "1").name == "decoding_block_2.upsampling"
    assert choose_operator(networks("flywing")).name == "projection.Bottom_0"
    with pytest.raises(InputError, match=r"operator: found 'x', expected one of bottom_block.block_0, .* 0 to 2"):
        choose_operator(network, "x")
    with pytest.raises(InputError, match="no attention operators"):
        choose_operator(networks("unet"))


def test_the_default_operator_is_at_the_bottom_wherever_others_are():
    spec = SPECS["care"].replace(downsampling="attention")
    network = build_network(spec)
    assert choose_operator(network).name == "bottom_block.block_0"
    assert choose_operator(network, 0).name == "encoding_block_2.downsampling"


def test_what_cannot_be_mapped_is_refused(networks):
    with pytest.raises(InputError, match=r"bottom_block.block_0: the model has no shared references"):
        relevance_maps(networks("gvtnet"), image("gvtnet"))
    with pytest.raises(InputError, match=r"x: found shape \(21, 18, 1\), expected \(1, n, n, 1\)"):
        relevance_maps(networks("em"), image("em")[0])
    with pytest.raises(InputError, match=r"expected \(1, n, n, 1\)"):
        query_and_attention(networks("em"), np.zeros((1, 8, 8, 2)))


def test_rotation(networks):
    network = networks("em")
    x = RNG.random((1, 26, 23, 1)).astype("float32")
    found = rotate_input(network, x)
    # A square around the middle, of a multiple of 4, so that nothing is padded.
    np.testing.assert_array_equal(found.image.raw, x[0, 3:23, 1:21])
    np.testing.assert_array_equal(found.image.rotated, np.rot90(x[0, 3:23, 1:21]))
    query, attention = query_and_attention(network, np.rot90(x[:, 3:23, 1:21], axes=(1, 2)))
    np.testing.assert_array_equal(found.query.rotated, query)
    np.testing.assert_array_equal(found.attention.rotated, attention)
    assert found.query.raw.shape == found.query.difference.shape == (5, 5, 16)
    assert found.query.relative_difference > 0
    volume = rotate_input(networks("care"), image("care"), 1)
    assert volume.query.raw.shape == (4, 4, 4, 8)
    # Smaller than the divisor.
    assert rotate_input(network, x[:, :3, :2]).query.raw.shape == (1, 1, 16)


def test_difference_of_a_rotation():
    raw = RNG.random((3, 4, 6, 2))
    same = Rotation(raw, np.rot90(raw, axes=(1, 2)))
    assert not same.difference.any() and same.relative_difference == 0
    other = Rotation(raw, np.rot90(raw + raw.std(axis=(0, 1, 2)) / 10, axes=(1, 2)))
    assert other.relative_difference == pytest.approx(0.1)
    assert np.isnan(Rotation(np.ones((4, 6, 2)), np.ones((6, 4, 2))).relative_difference)


def test_correlations_are_numpys_within_each_image():
    maps = [RNG.random((6, 4, 5)) + 10 * i for i in range(2)]
    joined = np.concatenate([(m - m.mean(axis=(1, 2), keepdims=True)).reshape(6, -1) for m in maps], axis=1)
    np.testing.assert_allclose(map_correlations(maps), np.corrcoef(joined), atol=1e-12)
    one = map_correlations(maps[:1])
    np.testing.assert_allclose(one, np.corrcoef(maps[0].reshape(6, -1)), atol=1e-12)
    expected = np.abs(one[~np.eye(6, dtype=bool)]).mean()
    assert mean_absolute_correlation(one) == pytest.approx(expected)
    assert np.isnan(mean_absolute_correlation(np.ones((1, 1))))


def test_a_constant_map_is_like_all_others():
    maps = RNG.random((3, 8, 8)).astype("float32")
    maps[1] = 0.1
    correlations = map_correlations([maps])
    assert (correlations[1] == 1).all() and (correlations[:, 1] == 1).all()
    assert most_different(correlations, 2) == [0, 2]


def test_independent_patterns():
    assert independent_patterns(np.eye(5)) == pytest.approx(5)
    assert independent_patterns(np.ones((5, 5))) == pytest.approx(1)


def test_the_most_different_references():
    """Two groups of alike ones, and one that is alone: one of each is chosen, whatever the sign."""
    basis = RNG.normal(size=(3, 400))
    maps = np.stack([basis[0], 2 * basis[0] + 0.01 * basis[1], -basis[1], basis[1] + 0.01 * basis[0], basis[2]])
    correlations = map_correlations([maps.reshape(5, 20, 20)])
    chosen = most_different(correlations, 3)
    assert chosen == sorted(chosen) and {i // 2 for i in chosen} == {0, 1, 2}
    assert most_different(correlations, 5) == [0, 1, 2, 3, 4]
    assert len(most_different(correlations, 1)) == 1 and most_different(np.ones((1, 1)), 1) == [0]
    for count in (0, 6):
        with pytest.raises(InputError, match=f"references: found {count}, expected a number from 1 to 5"):
            most_different(correlations, count)


def test_random_references_follow_the_seed():
    assert random_references(64, 4, 1) == random_references(64, 4, 1) != random_references(64, 4, 2)
    assert random_references(4, 4, 0) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="references: found 5"):
        random_references(4, 5, 0)
    with pytest.raises(InputError, match="expected the same number"):
        map_correlations([np.ones((2, 3, 3)), np.ones((3, 3, 3))])


def test_sparse_attention_has_no_maps():
    network = build_network(presets["ssan"].replace(filters=8, blocks=1))
    with pytest.raises(InputError, match="the model has sparse attention, expected attention normalised by length"):
        choose_operator(network)

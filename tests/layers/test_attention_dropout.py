"""Dropout of the weights of softmax (Non-local U-Nets): in training only, by a seed, and refused without softmax."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from aeanet_tf.errors import InputError
from aeanet_tf.layers import GVTO, GlobalAttention
from aeanet_tf.networks import as_spec, presets
from tests.layers.oracle import images, randomised, relative_error

NONLOCAL = presets["nonlocal-unet-mri"]


def softmax_attention(**options):
    options = {"normalization": "softmax", "dropout": 0.5, "seed": 3, **options}
    return randomised(GlobalAttention(8, **options), images(2, 4, 6, 4))


def test_dropout_sets_weights_to_zero_and_divides_the_others():
    """Values that are one-hot, and no output projection but the identity, show the weights themselves."""
    layer = GlobalAttention(16, num_heads=1, normalization="softmax", use_bias=False, dropout=0.25, seed=1)
    x = np.repeat(np.eye(16, dtype="float32").reshape(1, 4, 4, 16), 200, axis=0)
    randomised(layer, x)
    for transform in (layer.v_transform, layer.out_transform):
        transform.kernel.assign(np.eye(16))
    weights, dropped = (np.asarray(layer(x, training=t)) for t in (False, True))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    kept = dropped > 0
    np.testing.assert_allclose(dropped[kept], weights[kept] / 0.75, rtol=1e-4)
    # 51,200 weights: four standard errors of the share.
    assert abs(kept.mean() - 0.75) < 4 * (0.75 * 0.25 / kept.size) ** 0.5
    assert len({tuple(image.ravel()) for image in kept}) == 200


@pytest.mark.parametrize("options", [{}, {"shared_references": 3}, {"size": "up"}, {"batch_aware": True}])
def test_dropout_keeps_the_expected_value_and_prediction(options):
    layer, x = softmax_attention(**options), np.repeat(images(1, 4, 6, 4), 20, axis=0)
    plain = GlobalAttention.from_config({**layer.get_config(), "dropout": 0.0})
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    expected = np.asarray(plain(x))
    for off in (layer(x), layer(x, training=False)):
        np.testing.assert_array_equal(off, expected)
    assert relative_error(plain(x, training=True), expected) < 1e-5
    # All images are the same one, alone or in a group.
    draws = np.concatenate([layer(x, training=True) for _ in range(20)])
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert error.min() > 0
    assert (np.abs(draws.mean(axis=0) - expected[0]) < 6 * error).all()


def test_dropout_is_reproducible_by_seed():
    def draws(seed):
        layer, x = softmax_attention(seed=seed), images(2, 4, 6, 4)
        return np.asarray([layer(x, training=True) for _ in range(3)])

    assert not np.array_equal(draws(3)[0], draws(3)[1])
    np.testing.assert_array_equal(draws(3), draws(3))
    assert not np.array_equal(draws(3), draws(4))
    keras.utils.set_random_seed(5)
    first = draws(None)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(draws(None), first)
    # The seed and the share of an operator are those of its attention.
    config = GVTO(8, dropout=0.25, seed=7, normalization="softmax").get_config()
    assert (config["dropout"], config["seed"]) == (0.25, 7)


@pytest.mark.parametrize("normalization", ["key_length", "query_length"])
def test_dropout_without_softmax_is_refused(normalization):
    for computation in (None, "direct"):
        with pytest.raises(ValueError, match=rf"dropout: found 0\.5 with normalization='{normalization}', expected 0"):
            GlobalAttention(8, normalization=normalization, computation=computation, dropout=0.5)
    with pytest.raises(ValueError, match=r"dropout: found 0\.5"):
        GVTO(8, normalization=normalization, dropout=0.5)
    message = rf"attention.dropout\S* found 0.5, expected 0 with normalization '{normalization}'"
    with pytest.raises(InputError, match=message):
        as_spec({"kind": "unet", "attention": {"dropout": 0.5, "normalization": normalization}})
    with pytest.raises(ValidationError, match=r"attention.dropout"):
        NONLOCAL.replace(attention__normalization=normalization)


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5])
def test_a_share_of_everything_is_refused(dropout):
    with pytest.raises(ValueError, match=r"dropout: found .*, expected at least 0 and less than 1"):
        GlobalAttention(8, normalization="softmax", dropout=dropout)
    for field in ("attention__dropout", "output_dropout"):
        with pytest.raises(ValidationError, match=field.replace("__", r"\.")):
            NONLOCAL.replace(**{field: dropout})

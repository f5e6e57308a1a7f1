"""Losses of segmentation against direct NumPy formulas, and L2 on kernels."""

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks import as_spec, build_network
from aeanet_tf.training.losses import SEGMENTATION_LOSSES, check_class_weights, get_segmentation_loss
from aeanet_tf.training.optimisation import penalise_kernels

WEIGHTS = [0.5, 2.0, 1.0]


def data(shape, classes=3, dtype="float32"):
    rng = np.random.default_rng(0)
    truth = rng.integers(classes, size=(*shape, 1)).astype("float32")
    return truth, (4 * rng.normal(size=(*shape, classes))).astype(dtype)


def probabilities(logits):
    exponentials = np.exp(logits.astype("float64"))
    return exponentials / exponentials.sum(-1, keepdims=True)


def cross_entropy(truth, logits, weights):
    index = truth[..., 0].astype(int)
    chosen = np.take_along_axis(probabilities(logits), index[..., None], -1)[..., 0]
    return -np.asarray(weights)[index] * np.log(chosen)


def dice(truth, logits, weights):
    found = []
    for one, p in zip(truth[..., 0], probabilities(logits), strict=True):
        ratios = []
        for c in range(p.shape[-1]):
            both, total = p[..., c][one == c].sum(), p[..., c].sum() + (one == c).sum()
            ratios.append((2 * both + 1) / (total + 1))
        found.append(np.full(one.shape, 1 - np.average(ratios, weights=weights)))
    return np.stack(found)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 3, 4, 5)])
def test_losses_are_what_their_formulas_say(shape, weights):
    truth, logits = data(shape)
    used = weights or [1, 1, 1]
    expected = {"cross_entropy": cross_entropy(truth, logits, used), "dice": dice(truth, logits, used)}
    expected["cross_entropy_dice"] = expected["cross_entropy"] + expected["dice"]
    assert set(expected) == set(SEGMENTATION_LOSSES)
    for name, values in expected.items():
        loss = get_segmentation_loss(name, weights)
        np.testing.assert_allclose(loss(truth, logits), values, rtol=1e-5, atol=1e-6)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        np.testing.assert_array_equal(again(truth, logits), loss(truth, logits))
        assert loss.__name__ == name
    right = (logits.argmax(-1) == truth[..., 0]).astype("float32")
    np.testing.assert_array_equal(get_segmentation_loss("accuracy")(truth, logits), right)


def test_a_perfect_prediction_costs_nothing_and_a_certain_mistake_is_finite():
    truth = np.array([[0, 1, 1]]).reshape(1, 1, 3, 1).astype("float32")
    right = 200.0 * np.eye(2, dtype="float32")[truth[..., 0].astype(int)]
    for name in SEGMENTATION_LOSSES:
        np.testing.assert_allclose(get_segmentation_loss(name)(truth, right), 0, atol=1e-6)
    # A softmax first, and its logarithm then, would be infinite.
    np.testing.assert_allclose(get_segmentation_loss("cross_entropy")(truth, -right), 200)
    # A class that is neither there nor predicted is not counted as missed.
    three = np.concatenate([right, np.full((1, 1, 3, 1), -200, "float32")], -1)
    np.testing.assert_allclose(get_segmentation_loss("dice")(truth, three), 0, atol=1e-6)


def test_half_precision_loses_nothing():
    truth, logits = data((2, 40, 50), dtype="float16")
    for name in SEGMENTATION_LOSSES:
        loss = get_segmentation_loss(name)
        found = loss(truth, logits)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_array_equal(found, loss(truth, logits.astype("float32")))


def test_unknown_losses_and_weights_that_do_not_fit():
    with pytest.raises(InputError, match="'focal', expected one of 'cross_entropy', 'dice', 'cross_entropy_dice'"):
        get_segmentation_loss("focal")
    assert check_class_weights(None, 2) is None
    assert check_class_weights(np.array([1, 2.5]), 2) == [1, 2.5]
    for weights in ([1], [1, 0], [1, "2"], 3):
        with pytest.raises(InputError, match="expected 2 positive numbers"):
            check_class_weights(weights, 2)


def test_kernels_are_penalised_as_published_and_nothing_else():
    spec = as_spec("aeanet-mri").replace(dimension=2, first_filters=4, in_channels=1)
    network = build_network(spec)
    penalise_kernels(network, 3e-4)
    # Convolutions, also those of attention; neither biases, batch norm nor references.
    kernels = [w.numpy() for w in network.trainable_variables if w.path.endswith("/kernel")]
    others = {w.path.rsplit("/", 1)[-1] for w in network.trainable_variables if not w.path.endswith("/kernel")}
    assert len(kernels) == 25 and others == {"bias", "gamma", "beta", "nl_library"}
    expected = 3e-4 / 2 * sum(np.square(kernel.astype("float64")).sum() for kernel in kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)
    penalise_kernels(network, 0)
    assert network.losses == []

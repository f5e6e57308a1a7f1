"""The discriminator, and the step in which a network and its discriminator learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.training import mae
from aeanet_tf.training.adversarial import AdversarialModel
from aeanet_tf.training.discriminator import adversarial_loss, discriminator, discriminator_bytes, discriminator_loss

RNG = np.random.default_rng(0)


def test_it_is_that_of_pix2pix():
    """Parameters as the authors' program counts them for pairs of colour images, "2.769 M", and their 70 pixels."""
    network = discriminator(2, 6)
    assert network.count_params() == 2_768_705
    seen = 1
    for layer in reversed([layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]):
        seen = (seen - 1) * layer.strides[0] + layer.kernel_size[0]
    assert seen == 70


@pytest.mark.parametrize("rank", [2, 3])
def test_it_is_for_images_and_volumes(rank):
    network = discriminator(rank, 2, filters=2, depth=2, seed=3)
    image = RNG.random((2, *(8, 6, 10)[-rank:], 2)).astype("float32")
    given = np.asarray(network(image))
    assert given.shape == (2, *(2, 2, 3)[-rank:], 1)
    # What it says of an image does not depend on what comes with it.
    np.testing.assert_allclose(network(image[:1]), given[:1], atol=1e-6)
    again, other = discriminator(rank, 2, 2, 2, seed=3), discriminator(rank, 2, 2, 2, seed=4)
    np.testing.assert_array_equal(again(image), given)
    assert np.abs(np.asarray(other(image)) - given).max() > 1e-6
    widths = [w.shape[-1] for w in network.weights if w.name == "kernel"]
    assert widths == [2, 4, 8, 1]


def test_an_estimate_of_its_memory_counts_all_layers():
    network, shape = discriminator(2, 3, filters=8, depth=2), (4, 20, 12, 3)
    outputs = keras.Model(network.input, [layer.output for layer in network.layers])(np.zeros(shape, "float32"))
    values = sum(int(np.prod(output.shape)) for output in outputs)
    expected = 4 * (2 * values + 4 * network.count_params())
    assert discriminator_bytes(shape, 8, 2) == pytest.approx(expected, rel=0.02)


def test_losses_are_cross_entropies():
    real, made = RNG.normal(0, 3, (2, 4, 3, 1)), RNG.normal(0, 3, (2, 4, 3, 1))
    probability = {name: 1 / (1 + np.exp(-logits)) for name, logits in (("real", real), ("made", made))}
    expected = -(np.log(probability["real"]).mean() + np.log(1 - probability["made"]).mean()) / 2
    assert float(discriminator_loss(real, made)) == pytest.approx(expected, rel=1e-5)
    assert float(adversarial_loss(made)) == pytest.approx(-np.log(probability["made"]).mean(), rel=1e-5)


def _pair(conditional):
    image = keras.Input((None, None, 1))
    start = keras.initializers.RandomNormal(0.1, 0.2, seed=1)
    made = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer=start)(image)
    return keras.Model(image, made), discriminator(2, 1 + conditional, filters=2, depth=1, seed=2)


@pytest.mark.parametrize("conditional", [True, False])
def test_a_step_is_that_of_both_gradients(conditional):
    network, opponent = _pair(conditional)
    before = [variable.numpy() for variable in network.weights], [variable.numpy() for variable in opponent.weights]
    x, y = RNG.random((2, 3, 8, 8, 1)).astype("float32")
    # The same by hand, each gradient by a pass of its own and TensorFlow's cross-entropy.
    entropy = tf.nn.sigmoid_cross_entropy_with_logits

    def judged(image):
        logits = opponent(tf.concat([x, image], -1) if conditional else image)
        return logits, tf.zeros_like(logits), tf.ones_like(logits)

    with tf.GradientTape() as tape:
        made = network(x)
        logits, _, ones = judged(made)
        loss, adversarial = tf.reduce_mean(tf.abs(made - y)), tf.reduce_mean(entropy(ones, logits))
        total = loss + 0.3 * adversarial
    gradients = tape.gradient(total, [variable.value for variable in network.trainable_variables])
    with tf.GradientTape() as tape:
        (real, _, ones), (fake, zeros, _) = judged(y), judged(made)
        judging = 0.5 * tf.reduce_mean(entropy(ones, real)) + 0.5 * tf.reduce_mean(entropy(zeros, fake))
    others = tape.gradient(judging, [variable.value for variable in opponent.trainable_variables])
    model = AdversarialModel(network, opponent, keras.optimizers.SGD(0.5), 0.3, conditional)
    model.compile(keras.optimizers.SGD(0.1), mae)
    logs = model.train_on_batch(x, y, return_dict=True)
    expected = {"loss": loss, "adversarial_loss": adversarial, "discriminator_loss": judging}
    assert {name: float(value) for name, value in logs.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-5
    )
    for variable, value, gradient in zip(network.trainable_variables, before[0], gradients, strict=True):
        np.testing.assert_allclose(variable, value - 0.1 * gradient, atol=1e-6)
    for variable, value, gradient in zip(opponent.trainable_variables, before[1], others, strict=True):
        np.testing.assert_allclose(variable, value - 0.5 * gradient, atol=1e-6)
        assert np.abs(gradient).max() > 0
    # Losses of an epoch are of this epoch, and a validation has its own alone.
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}


def test_it_needs_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    network, opponent = _pair(True)
    with pytest.raises(InputError, match="adversarial: found Keras on jax, expected TensorFlow"):
        AdversarialModel(network, opponent, keras.optimizers.SGD(), 1.0)

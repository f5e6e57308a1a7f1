"""Adversarial training: a network and a discriminator that learn in turns, in one step of TensorFlow."""

from types import SimpleNamespace

import keras
import tensorflow as tf

from aeanet_tf.errors import expect
from aeanet_tf.training.accumulation import track_loss
from aeanet_tf.training.discriminator import adversarial_loss, discriminator_loss

LOGGED = ("adversarial_loss", "discriminator_loss")
"""What an `AdversarialModel` reports of each epoch beside its loss and metrics."""


class AdversarialModel(keras.Model):
    """A network compiled and fitted as a Keras model is, that also learns to make what a discriminator takes for real.

    It has the layers of the network, whose weights are its own. In each step the network sees the batch once, and both
    learn from the weights before the step: the network by its loss, which is that it was compiled with plus ``weight``
    times `adversarial_loss`, and the discriminator by `discriminator_loss`. ``loss`` in the logs is without the
    adversarial term and so compares with ``val_loss``, which is computed as ever; beside it are ``adversarial_loss``,
    not weighted, and ``discriminator_loss``, both of training batches alone.

    The steps need TensorFlow.

    Args:
        network: a Keras model with one input and one output.
        discriminator: a Keras model that gives logits.
        optimizer: a Keras optimiser for the discriminator; that of the network is given to ``compile``.
        weight: of the adversarial term, 0 or more.
        conditional: whether the discriminator sees what the network was given, in channels before those of the image.

    Attributes: ``discriminator``, ``discriminator_optimizer``.

    Raises:
        InputError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, network, discriminator, optimizer, weight, conditional=True):
        backend = keras.backend.backend()
        expect(backend == "tensorflow", "adversarial", f"Keras on {backend}", "TensorFlow, which its steps need")
        super().__init__(network.inputs, network.outputs)
        optimizer.build(discriminator.trainable_variables)
        self.weight, self.conditional = float(weight), conditional
        # Hidden from Keras, which would take all for parts of the network.
        self._opponent = SimpleNamespace(
            network=discriminator, optimizer=optimizer, trackers=[keras.metrics.Mean(name) for name in LOGGED]
        )

    @property
    def discriminator(self):
        """The discriminator."""
        return self._opponent.network

    @property
    def discriminator_optimizer(self):
        """Its optimiser."""
        return self._opponent.optimizer

    @property
    def further_variables(self):
        """What `ResumableState` keeps beside weights and optimiser: those of the discriminator."""
        return [*self.discriminator.variables, *self.discriminator_optimizer.variables]

    def train_step(self, data):
        """What is done with a training batch."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        # Both gradients are taken of the one pass.
        with tf.GradientTape(persistent=True) as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted, weights, training=True)
            real, made = self._judged(x, y), self._judged(x, predicted)
            adversarial, judging = adversarial_loss(made), discriminator_loss(real, made)
            total = self.optimizer.scale_loss(loss + self.weight * adversarial)
        _step(self.optimizer, tape, total, self.trainable_variables)
        _step(self.discriminator_optimizer, tape, judging, self.discriminator.trainable_variables)
        track_loss(self, loss, x)
        for tracker, value in zip(self._opponent.trackers, (adversarial, judging), strict=True):
            tracker.update_state(value)
        own = {tracker.name: tracker.result() for tracker in self._opponent.trackers}
        return {**self.compute_metrics(x, y, predicted, weights), **own}

    def reset_metrics(self):
        """Begin anew with what is reported."""
        super().reset_metrics()
        for tracker in self._opponent.trackers:
            tracker.reset_state()

    def _judged(self, x, image):
        image = tf.cast(image, "float32")
        seen = tf.concat([tf.cast(x, "float32"), image], -1) if self.conditional else image
        return self.discriminator(seen, training=True)


def _step(optimizer, tape, loss, variables):
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

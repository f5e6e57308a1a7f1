"""Training on several devices: the same weights on all of them, every batch shared out."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aeanet_tf.training.prefetching import prefetched

_MEAN, _SUM = tf.distribute.ReduceOp.MEAN, tf.distribute.ReduceOp.SUM


class ReplicatedModel(keras.Model):
    """A network with a replica on each device of a strategy, compiled and fitted as a Keras model is.

    Every batch is cut into as many equal parts as there are replicas, in order, one for each. The step taken is that
    of the mean of the replicas' gradients: that of the whole batch on one device, as far as the network treats images
    one by one. What looks at a batch as a whole sees the part of the replica: batch norm's statistics, and the group
    of batch-aware attention, the first ``floor(N / 2)`` images of the replica's N. Losses reported are means over all
    images.

    The steps are its own: with Keras's, each replica keeps moving statistics of its own, and a validation batch with
    fewer images than replicas ends the run.

    Args:
        build: function without arguments that makes the network; it is called within the strategy.
        strategy: a ``tf.distribute.MirroredStrategy``.
    """

    def __init__(self, build, strategy):
        with strategy.scope():
            network = build()
        # Outside the strategy: within it Keras would draw a batch to build what is built.
        super().__init__(network.inputs, network.outputs)
        self.strategy = strategy
        # Hidden from Keras, which would save the trackers with the weights.
        self._reported = SimpleNamespace(losses=[], trackers=[])

    @property
    def replicas(self):
        """Number of replicas."""
        return self.strategy.num_replicas_in_sync

    def compile(self, optimizer, loss, metrics=(), **kwargs):
        """Configure for training.

        Args:
            optimizer: a Keras optimiser, or its name. A new one like it is used, with its variables on every device.
            loss: function of ``(y_true, y_pred)`` that returns ``(batch, *spatial)``.
            metrics: such functions, reported beside the loss under their names.
            kwargs: of ``keras.Model.compile``.
        """
        with self.strategy.scope():
            optimizer = keras.optimizers.get(optimizer)
            super().compile(type(optimizer).from_config(optimizer.get_config()), **kwargs)
            self.optimizer.build(self.trainable_variables)
            names = ("loss", *(metric.__name__ for metric in metrics))
            trackers = [keras.metrics.Mean(name) for name in names]
        self._reported = SimpleNamespace(losses=[loss, *metrics], trackers=trackers)

    @property
    def metrics(self):
        return self._reported.trackers

    def fit(self, x, validation_data, **kwargs):
        """Train.

        Args:
            x: a `prefetched` data set, as of `PatchSampler.fit_arguments`; the number of replicas divides its batches.
            validation_data: a `ValidationSet`, each of whose batches goes to one replica; ``None`` for none.
            kwargs: of ``keras.Model.fit``.

        Returns:
            Keras's ``History``.
        """
        if validation_data is None:
            with self.strategy.scope():
                return super().fit(x, **kwargs)
        batches = -(-len(validation_data) // self.replicas)
        with self.strategy.scope():
            return super().fit(
                x,
                validation_data=prefetched(lambda number: _together(validation_data, self.replicas, number % batches)),
                validation_steps=batches,
                **kwargs,
            )

    def train_step(self, data):
        """What each replica does with its part of a training batch."""
        x, y = data
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            losses = [ops.mean(values) for values in self._losses_of(y, self(x, training=True))]
            # What penalises weights, the same on all replicas, is part of the loss, as in Keras.
            losses[0] += sum(self.losses)
            # The optimiser adds up the gradients of the replicas, which have equally many images.
            loss = self.optimizer.scale_loss(losses[0] / self.replicas)
        gradients = tape.gradient(loss, self.trainable_variables)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            # It would go by the first replica alone in whether gradients have overflowed.
            gradients = context.all_reduce(_MEAN, gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._report(context.all_reduce(_MEAN, losses), 1.0)

    def test_step(self, data):
        """What each replica does with its part of a validation batch, whose images have the weights 1 or 0."""
        x, y, weights = data
        context = tf.distribute.get_replica_context()
        losses = self._losses_of(y, self(x, training=False))
        sums = [ops.sum(ops.mean(values, axis=tuple(range(1, len(values.shape)))) * weights) for values in losses]
        *sums, count = context.all_reduce(_SUM, [*sums, ops.sum(weights)])
        means = [values / count for values in sums]
        means[0] += sum(self.losses)
        return self._report(means, count)

    def merge_statistics(self):
        """Average what the replicas have each for itself: the moving mean and variance of batch norm."""
        with self.strategy.scope():
            for variable in self.non_trainable_variables:
                if "float" in variable.dtype:
                    values = self.strategy.experimental_local_results(variable.value)
                    variable.assign(np.mean([value.numpy() for value in values], axis=0))

    def _losses_of(self, y, predicted):
        return [loss(y, predicted) for loss in self._reported.losses]

    def _report(self, values, weight):
        """Track values that are the same on all replicas, so that it does not matter whose are read."""
        for tracker, value in zip(self.metrics, values, strict=True):
            tracker.update_state(value, sample_weight=weight)
        return {tracker.name: tracker.result() for tracker in self.metrics}


class CollectWeights(keras.callbacks.Callback):
    """Callback: give the weights of what is trained to a network, after each epoch and its validation.

    Statistics of replicas are merged before the validation, or at the end of the epoch. Put it before callbacks that
    save that network.

    Args:
        network: the same network on one device, in float32.
    """

    def __init__(self, network):
        super().__init__()
        self._network = network

    def on_test_begin(self, logs=None):
        if isinstance(self.model, ReplicatedModel):
            self.model.merge_statistics()

    def on_epoch_end(self, epoch, logs=None):
        # Merged already where Keras has validated, which changes nothing.
        self.on_test_begin()
        self._network.set_weights(self.model.get_weights())


def _together(validation, replicas, number):
    """Batches of a `ValidationSet` for all replicas: ``x``, ``y`` and a weight for each image.

    What the last ones lack is made up for by repeated images of weight 0: no replica is left without an image.
    """
    indices = range(number * replicas, (number + 1) * replicas)
    parts = [
        _filled(validation[min(i, len(validation) - 1)], validation.batch_size, i < len(validation)) for i in indices
    ]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _filled(batch, size, counts):
    x, y = batch
    repeated = np.minimum(np.arange(size), len(x) - 1)
    weights = (np.arange(size) < len(x)) * counts
    return x[repeated], y[repeated], weights.astype(np.float32)

"""Training steps whose batch is computed in parts, one after another: what is kept for the gradient is that of one."""

import keras
import tensorflow as tf

from aeanet_tf.errors import expect


class AccumulatingModel(keras.Model):
    """A network compiled and fitted as a Keras model is, whose steps take the gradient of a batch part by part.

    The weights change once a step, by the mean of the gradients of all parts, which is the gradient of the batch; so
    losses, learning rates, clipping and the number of steps mean what they did. What layers compute from the batch is
    that of the part: the statistics of batch norm, and the moments of batch-aware attention.

    It has the layers of the network, whose weights are its own. The steps need TensorFlow.

    Args:
        network: a Keras model with one input and one output.
        parts: of a batch; its size has to be a multiple.

    Raises:
        InputError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, network, parts):
        backend = keras.backend.backend()
        expect(backend == "tensorflow", "accumulate", f"Keras on {backend}", "TensorFlow, which its steps need")
        super().__init__(network.inputs, network.outputs)
        self.parts = int(parts)

    def train_step(self, data):
        """What is done with a training batch."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        expect(weights is None, "sample_weight", "one", "none where gradients are accumulated")
        variables = self.trainable_variables
        size = tf.shape(x)[0] // self.parts

        def add(part, sums):
            first = part * size
            gradients = self._gradients(x[first : first + size], y[first : first + size], variables)
            return part + 1, [total + g / self.parts for total, g in zip(sums, gradients, strict=True)]

        # A loop of TensorFlow, as parts that do not depend on each other would be computed, and kept, side by side.
        options = {"parallel_iterations": 1, "maximum_iterations": self.parts}
        sums = [tf.zeros_like(variable.value) for variable in variables]
        _, sums = tf.while_loop(lambda part, _: part < self.parts, add, (tf.constant(0), sums), **options)
        self.optimizer.apply_gradients(zip(sums, variables, strict=True))
        return self.get_metrics_result()

    def _gradients(self, x, y, variables):
        """Of the loss of one part; the loss and the metrics of the epoch are told of it."""
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted, None, training=True)
            scaled = self.optimizer.scale_loss(loss)
        track_loss(self, loss, x)
        self.compute_metrics(x, y, predicted, None)
        found = tape.gradient(scaled, variables)
        return [tf.zeros_like(v.value) if g is None else g for g, v in zip(found, variables, strict=True)]


def track_loss(network, loss, x):
    """Tell the loss of a batch ``x`` to the mean of the epoch, as Keras's own step does."""
    for metric in network.metrics:
        if metric.name == "loss":
            metric.update_state(loss, sample_weight=tf.shape(x)[0])

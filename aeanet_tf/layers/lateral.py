"""Lateral repetition and the weighted mean over z: the layers of projection networks without weights."""

import keras
from keras import ops

from aeanet_tf.layers.steps import Pointwise, Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class WeightedMean(Pointwise, keras.layers.Layer):
    """``mean_z(weights * stack)``: from two tensors ``(batch, z, y, x, c)`` to ``(batch, y, x, c)``.

    The original program divides by the number of planes and does not normalise the weights; the paper's text and
    CSBDeep's projection differ (docs/networks.md).
    """

    def call(self, inputs):
        weights, stack = inputs
        return ops.mean(weights * stack, axis=1)

    def compute_output_shape(self, input_shape):
        _, stack = input_shape
        return (stack[0], *stack[2:])


def repeat_lateral(x):
    """Each position of ``(batch, *spatial, c)`` four times along the last two spatial axes."""
    return ops.repeat(ops.repeat(x, 4, axis=-2), 4, axis=-3)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class LateralUpSampling(keras.layers.Layer):
    """Nearest-neighbour repetition by four along y and x, the convolutional counterpart of the ``up4`` operator."""

    def call(self, x):
        return repeat_lateral(x)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("repeat", 4, 4)] * (axis >= -2)

    def compute_output_shape(self, input_shape):
        lateral = [None if n is None else 4 * n for n in input_shape[-3:-1]]
        return (*input_shape[:-3], *lateral, input_shape[-1])

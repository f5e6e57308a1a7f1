"""Convolutions of spread kernels, which run wherever a sum and a product run."""

from itertools import product

import keras
from keras import ops

from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.convolution import times_matrix
from aeanet_tf.layers.steps import Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class DilatedConvolution(keras.layers.Layer):
    """A convolution of 3 along every axis whose elements lie ``rate`` positions apart, ``same`` padding, with bias.

    It is the sum of one matrix product for each element: TensorFlow 1 in Fiji has no dilated 3D convolution on
    processors. Networks have few of them, at coarse resolutions.

    Args:
        filters: number of output channels.
        rate: 1 for an ordinary convolution.
        kernel_initializer: Glorot uniform by default.

    Shapes: ``(batch, *spatial, channels)`` to ``(batch, *spatial, filters)``, any number of spatial axes.

    Example:
        >>> tuple(DilatedConvolution(8, rate=3)(ops.ones((1, 16, 16, 4))).shape)
        (1, 16, 16, 8)
    """

    def __init__(self, filters, rate=1, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.rate = rate
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        shape = (*(3,) * (len(input_shape) - 2), input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((self.filters,), initializer="zeros", name="bias")

    def call(self, x):
        rank, size = len(x.shape) - 2, ops.shape(x)
        kernel, y = ops.cast(self.kernel, x.dtype), ops.cast(self.bias, x.dtype)
        padded = ops.pad(x, [(0, 0), *[(self.rate, self.rate)] * rank, (0, 0)])
        for element in product(range(3), repeat=rank):
            starts = [i * self.rate for i in element]
            window = tuple(slice(start, start + n) for start, n in zip(starts, size[1:-1], strict=True))
            y = times_matrix(padded[(slice(None), *window)], kernel[element]) + y
        return y

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", 2 * self.rate + 1, 1)]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), **arguments(self, "filters rate kernel_initializer")}

"""Convolutions by number of spatial axes, and the float32 projection of the attention operators."""

import keras
from keras import ops

from aeanet_tf.errors import expect
from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.keras_convolutions import Conv2DTranspose, Conv3D, Conv3DTranspose

_CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: Conv3D}
_TRANSPOSED = {1: keras.layers.Conv1DTranspose, 2: Conv2DTranspose, 3: Conv3DTranspose}

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
"""Keras's transposed convolutions."""


def convolution(rank, filters, kernel_size, strides=1, transposed=False, use_bias=False, **kwargs):
    """A ``same``-padded (transposed) convolution over ``rank`` spatial axes, without bias unless asked for.

    Remaining keyword arguments go to the Keras layer. Raises ``ValueError`` for a rank other than 1, 2 or 3.

    Example:
        >>> tuple(convolution(3, 8, kernel_size=3, strides=2)(ops.ones((1, 4, 16, 16, 2))).shape)
        (1, 2, 8, 8, 8)
    """
    table = _TRANSPOSED if transposed else _CONVOLUTIONS
    expect(rank in table, "features", f"{rank} spatial axes", "1 to 3 of (batch, *spatial, channels)")
    return table[rank](filters, kernel_size, strides=strides, padding="same", use_bias=use_bias, **kwargs)


def start_phases_alike(layer):
    """Give a new transposed convolution of stride 2 a kernel with which constant features give constant ones.

    A kernel drawn element by element gives each of the ``2^rank`` phases of the output a sum of its own, a lattice of
    period 2 that training has to remove and, in flat regions, hardly does. Here it is nearest-neighbour up-sampling
    followed by a convolution: the sum of neighbouring elements of a kernel one smaller, which is the drawn one without
    its last row along each axis, scaled so that the features keep their variance on average. Like `ICNR` for
    sub-pixel convolutions (Aitken et al. 2017).

    Args:
        layer: a built Keras ``Conv1DTranspose``, ``Conv2DTranspose`` or ``Conv3DTranspose``; left as it is where a
            stride is not 2 or a kernel smaller than 2.
    """
    rank = len(layer.kernel_size)
    if set(layer.strides) != {2} or min(layer.kernel_size) < 2:
        return
    kernel = ops.convert_to_tensor(layer.kernel)
    for axis in range(rank):
        size = kernel.shape[axis]
        inner = ops.take(kernel, range(size - 1), axis) * (size / 2 / (size - 1))
        before, after = [[(0, 0)] * len(kernel.shape) for _ in range(2)]
        before[axis], after[axis] = (1, 0), (0, 1)
        kernel = ops.pad(inner, before) + ops.pad(inner, after)
    layer.kernel.assign(kernel)


def times_matrix(x, matrix):
    """``x @ matrix`` over the last axis of ``x``, as one flat product.

    Some versions of Keras would broadcast the matrix instead, which TensorFlow 1.12, in Fiji, cannot.
    """
    flat = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), matrix)
    return ops.reshape(flat, (*ops.shape(x)[:-1], matrix.shape[-1]))


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Projection(keras.layers.Layer):
    """A 1x1 convolution as a matrix: ``x @ kernel + bias`` over the channel axis.

    Its weights are never cast automatically: the moment path of `GlobalAttention` works with them in float32
    under mixed precision too, where Keras would hand them out in half precision.

    Args:
        filters: number of output channels.
        use_bias: whether a bias is added.
        kernel_initializer: Glorot uniform by default.

    Example:
        >>> tuple(Projection(3)(ops.ones((1, 16, 16, 4))).shape)
        (1, 16, 16, 3)
    """

    def __init__(self, filters, use_bias=True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel = self.bias = None

    def build(self, input_shape):
        shape = (input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape, initializer=self.kernel_initializer, name="kernel", autocast=False)
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)

    def weights_float32(self):
        """``(kernel, bias)`` as float32 tensors; a bias of zeros where there is none."""
        kernel = ops.cast(self.kernel, "float32")
        bias = ops.zeros((self.filters,), "float32") if self.bias is None else ops.cast(self.bias, "float32")
        return kernel, bias

    def call(self, x):
        y = times_matrix(x, ops.cast(self.kernel, x.dtype))
        return y if self.bias is None else y + ops.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), **arguments(self, "filters use_bias kernel_initializer")}

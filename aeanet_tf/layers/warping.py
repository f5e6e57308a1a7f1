"""Layers that move the pixels of a slice: by kernels of each position, and along a flow."""

import keras
from keras import ops

from aeanet_tf.errors import expect
from aeanet_tf.layers.steps import Step
from aeanet_tf.layers.up_sampling import shifted


@keras.saving.register_keras_serializable(package="aeanet_tf")
class LocalConvolution(keras.layers.Layer):
    """Local separable convolution: every position has a vertical and a horizontal kernel of its own.

    ``y[p, q] = sum_ij v[p, q, i] h[p, q, j] x[p + i - r, q + j - r]`` with ``r = (size - 1) / 2`` (Niklaus et al. 2017,
    equation 2). Kernels are given as what they differ from 1 in the middle and 0 elsewhere by, so that zeros leave the
    image as it is. Beyond a border lies what lies at it. It has no weights.

    Args:
        size: of each kernel, odd.

    Call arguments: a list of the image ``(batch, y, x, channels)`` and the kernels ``(batch, y, x, 2 * size)``, the
    vertical one first. Returns the shape of the image.

    Raises:
        InputError: a size that is not odd.

    Example:
        >>> image = ops.ones((1, 8, 8, 1))
        >>> float(LocalConvolution(3)([image, ops.ones((1, 8, 8, 6))])[0, 4, 4, 0])
        16.0
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        expect(size > 0 and size % 2, "size", size, "an odd number")
        self.size = size

    def call(self, inputs):
        return locally_convolved(*inputs, self.size)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", self.size, 1)]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def locally_convolved(image, kernels, size):
    """See `LocalConvolution`."""
    reach = size // 2
    identity = ops.convert_to_tensor([float(i % size == reach) for i in range(2 * size)], "float32")
    kernels = kernels + ops.cast(identity, kernels.dtype)
    horizontal = ops.expand_dims(kernels[..., size:], -1)
    beside = ops.stack(shifted(image, 2, reach), axis=3)
    # One row after another: what is held at a time is a value for each element of one kernel, not of both.
    rows = [ops.sum(horizontal * row, axis=3) for row in shifted(beside, 1, reach)]
    return sum(kernels[..., i : i + 1] * row for i, row in enumerate(rows))


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Warp(keras.layers.Layer):
    """An image taken from elsewhere: ``y[p] = x[p + flow[p]]``, linearly interpolated between pixels.

    Displacements are cut off at ``reach``; where one leads out of the image its border is repeated. It has no weights.

    Args:
        reach: largest displacement along each axis, in pixels: how far a position sees.

    Call arguments: a list of the image ``(batch, y, x, channels)`` and the flow ``(batch, y, x, 2)``, along y and x, in
    pixels. Returns the shape of the image.

    Example:
        >>> image = ops.reshape(ops.arange(4, dtype="float32"), (1, 1, 4, 1))
        >>> flow = ops.tile(ops.array([0.0, 0.5]), (1, 1, 4, 1))
        >>> ops.convert_to_numpy(Warp(2)([image, flow]))[0, 0, :, 0].tolist()
        [0.5, 1.5, 2.5, 3.0]
    """

    def __init__(self, reach, **kwargs):
        super().__init__(**kwargs)
        self.reach = reach

    def call(self, inputs):
        return warped(*inputs, self.reach)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", 2 * self.reach + 1, 1)]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {**super().get_config(), "reach": self.reach}


def warped(image, flow, reach):
    """See `Warp`. Keras's `map_coordinates` interpolates along the batch and the channels, too: 16 pixels for 4."""
    flow = ops.clip(flow, -reach, reach)
    below = ops.floor(flow)
    share, below = flow - below, ops.cast(below, "int32")
    # Positions are counted, since sizes are not known while a model is put together of Keras's own operations.
    ones = ops.ones_like(below[..., 0])
    batch, y, x = (ops.cumsum(ones, axis) - 1 for axis in range(3))
    last = ops.max(y), ops.max(x)
    flat = ops.reshape(image, (-1, image.shape[-1]))
    result = 0
    for i, weight_y in enumerate((1 - share[..., :1], share[..., :1])):
        row = batch * (last[0] + 1) + _within(y + below[..., 0] + i, last[0])
        for j, weight_x in enumerate((1 - share[..., 1:], share[..., 1:])):
            place = row * (last[1] + 1) + _within(x + below[..., 1] + j, last[1])
            result = result + ops.cast(weight_y * weight_x, image.dtype) * ops.take(flat, place, axis=0)
    return result


def _within(place, last):
    return ops.minimum(ops.maximum(place, 0), last)

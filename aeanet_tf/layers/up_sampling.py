"""Layers that make images and features larger than the network's input: sub-pixel shuffle and cubic interpolation."""

import keras
from keras import ops

from aeanet_tf.cubic import REACH, cubic_weights
from aeanet_tf.layers.steps import Step


def interleaved(phases, axis):
    """Tensors of one shape as one, position by position in turn, along ``axis``."""
    shape = ops.shape(phases[0])
    joined = ops.stack(phases, axis + 1)
    return ops.reshape(joined, (*shape[:axis], shape[axis] * len(phases), *shape[axis + 1 :]))


def continued(x, axis, count):
    """``x`` with its first and its last position repeated ``count`` times along ``axis``."""
    before = (slice(None),) * axis
    first, last = x[(*before, slice(0, 1))], x[(*before, slice(-1, None))]
    return ops.concatenate([first] * count + [x] + [last] * count, axis)


def shifted(x, axis, reach):
    """``x`` moved by ``-reach`` to ``reach`` positions along ``axis``, `continued`: ``2 * reach + 1`` tensors."""
    before, longer = (slice(None),) * axis, continued(x, axis, reach)
    return [longer[(*before, slice(k, k - 2 * reach or None))] for k in range(2 * reach + 1)]


class _Enlarging(keras.layers.Layer):
    """Base of layers whose output has ``factor`` times the positions along every spatial axis."""

    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

    def _larger(self, input_shape, channels):
        spatial = [None if n is None else self.factor * n for n in input_shape[1:-1]]
        return (input_shape[0], *spatial, channels)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class DepthToSpace(_Enlarging):
    """Groups of channels as neighbouring positions: the shuffle of a sub-pixel convolution (Shi et al. 2016).

    Shapes: ``(batch, *spatial, factor^rank * channels)`` to ``(batch, *(factor * spatial), channels)``, for any number
    of spatial axes. Channels lie in the order of ``tf.nn.depth_to_space``: by place along the first axis, along the
    next, and so on, and the output's channels last.

    Example:
        >>> x = ops.array([[1.0, 2.0, 3.0, 4.0]])[:, None, None]
        >>> ops.convert_to_numpy(DepthToSpace()(x))[0, ..., 0].tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """

    def call(self, x):
        for axis in range(1, len(x.shape) - 1):
            # In slices: TensorFlow 1 in Fiji has no operation that splits.
            part = x.shape[-1] // self.factor
            x = interleaved([x[..., k * part : (k + 1) * part] for k in range(self.factor)], axis)
        return x

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("repeat", self.factor, self.factor)]

    def compute_output_shape(self, input_shape):
        rank = len(input_shape) - 2
        return self._larger(input_shape, input_shape[-1] // self.factor**rank)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class CubicUpSampling(_Enlarging):
    """Cubic interpolation to ``factor`` times the positions along every spatial axis; what lies beyond a border is what
    lies at it.

    Pixels are areas: ``factor`` of the output cover one of the input, so centres lie between those of the input. Of 2D
    images it is what is called bicubic. Keras's own does not take images of free sizes, nor volumes.

    Shapes: ``(batch, *spatial, channels)`` to ``(batch, *(factor * spatial), channels)``.

    Example:
        >>> row = ops.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])[None, None, :, None]
        >>> ops.convert_to_numpy(CubicUpSampling()(row))[0, 0, 4:8, 0].tolist()
        [1.75, 2.25, 2.75, 3.25]
    """

    def call(self, x):
        weights = cubic_weights(self.factor).tolist()
        for axis in range(1, len(x.shape) - 1):
            x = interleaved(self._phases(x, axis, weights), axis)
        return x

    def _phases(self, x, axis, weights):
        parts = shifted(x, axis, REACH)
        return [sum(w * part for w, part in zip(row, parts, strict=True) if w) for row in weights]

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", 2 * REACH + 1, 1), Step("repeat", self.factor, self.factor)]

    def compute_output_shape(self, input_shape):
        return self._larger(input_shape, input_shape[-1])


def start_sub_pixels_alike(layer, phases):
    """Give a new convolution before a `DepthToSpace` a kernel with which all ``phases`` of a position are equal.

    Constant features then give constant ones, and no lattice of the factor's period is left for training to remove: the
    start ``ICNR`` of Aitken et al. 2017.

    Args:
        layer: a built convolution whose channels are phase by phase.
        phases: number of positions that one becomes.
    """
    kernel = ops.convert_to_tensor(layer.kernel)
    first = kernel[..., : kernel.shape[-1] // phases]
    layer.kernel.assign(ops.concatenate([first] * phases, -1))

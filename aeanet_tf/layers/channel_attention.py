"""Pooling over the whole image: channel attention, and a vector of global features at every position."""

import keras
from keras import ops

from aeanet_tf.errors import expect
from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.context import TakesContext
from aeanet_tf.layers.convolution import Projection
from aeanet_tf.layers.moments import Moments
from aeanet_tf.layers.steps import Pointwise


class _OfTheMean(TakesContext, Pointwise, keras.layers.Layer):
    """Base of layers that make a vector of the mean over all positions by two projections with a ReLU between."""

    def __init__(self, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(autocast=False, **kwargs)  # As in GlobalAttention: a context stays in float32.
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _sizes(self, channels):
        """Outputs of the two projections for ``channels`` of the input."""
        raise NotImplementedError

    def build(self, input_shape):
        self.projections, channels = [], input_shape[-1]
        for name, filters in zip(("squeeze", "excite"), self._sizes(channels), strict=True):
            initializer = self.kernel_initializer.clone()
            layer = Projection(filters, kernel_initializer=initializer, dtype="float32", name=name)
            layer.build((None, channels))
            self.projections.append(layer)
            channels = filters

    def vector(self, x, context=None):
        """``(batch, 1, ..., 1, filters)`` in float32, by the mean of ``x`` or that of the context."""
        mean = _mean(x) if context is None else context.mean
        first, second = self.projections
        v = second(ops.relu(first(mean)))
        return ops.reshape(v, (-1, *(1,) * (len(x.shape) - 2), second.filters))

    def context_moments(self, x):
        """`Moments` of ``x``: number and mean of the positions. The second moments are 0, as nothing needs them."""
        mean, flat = _mean(x), ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
        n = ops.cast(ops.shape(flat)[1], "float32")
        return Moments(ops.zeros_like(mean[:, 0]) + n, mean, ops.zeros_like(mean[:, :, None] * mean[:, None]))


def _mean(x):
    return ops.mean(ops.cast(x, "float32"), axis=tuple(range(1, len(x.shape) - 1)))


@keras.saving.register_keras_serializable(package="aeanet_tf")
class ChannelAttention(_OfTheMean):
    """Each channel times a number between 0 and 1, by the mean of all channels over the image (RCAN, equations 10, 11).

    ``y = x * sigmoid(We relu(Ws mean(x) + bs) + be)``: squeeze to ``channels / reduction``, and back. Mean and
    projections are computed in float32.

    Args:
        reduction: by what the channels are divided between the projections; at least one channel is left.
        kernel_initializer: Glorot uniform by default.

    Call arguments: ``x`` of shape ``(batch, *spatial, channels)``; ``context``, `Moments` whose mean takes the place of
    that of ``x``. Returns the shape of ``x``.

    Raises:
        InputError: ``reduction`` less than 1.

    Example:
        >>> tuple(ChannelAttention(4)(ops.ones((1, 16, 16, 8))).shape)
        (1, 16, 16, 8)
    """

    def __init__(self, reduction=16, **kwargs):
        super().__init__(**kwargs)
        expect(reduction >= 1, "reduction", reduction, "1 or more")
        self.reduction = reduction

    def _sizes(self, channels):
        return max(1, channels // self.reduction), channels

    def call(self, x, context=None):
        x = ops.cast(x, self.compute_dtype)
        return x * ops.cast(ops.sigmoid(self.vector(x, context)), x.dtype)

    def get_config(self):
        return {**super().get_config(), **arguments(self, "reduction kernel_initializer")}


@keras.saving.register_keras_serializable(package="aeanet_tf")
class GlobalFeatures(_OfTheMean):
    """A vector of the whole image, repeated at every position: ``relu(We relu(Ws mean(x) + bs) + be)``.

    Args:
        filters: length of the vector, and of the features between the projections.
        kernel_initializer: Glorot uniform by default.

    Call arguments: as of `ChannelAttention`. Returns ``(batch, *spatial, filters)``.

    Example:
        >>> tuple(GlobalFeatures(4)(ops.ones((1, 16, 16, 8))).shape)
        (1, 16, 16, 4)
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def _sizes(self, channels):
        return self.filters, self.filters

    def call(self, x, context=None):
        v = ops.cast(ops.relu(self.vector(x, context)), self.compute_dtype)
        return ops.cast(ops.zeros_like(x[..., :1]), v.dtype) + v

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), **arguments(self, "filters kernel_initializer")}

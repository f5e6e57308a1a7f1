"""Layers without weights: the scale of probabilistic output, two neighbours in both orders and blended, what projection
networks take beside convolutions, and smoothing."""

import keras
from keras import ops

from aeanet_tf.layers.steps import Pointwise, Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class WeightedMean(Pointwise, keras.layers.Layer):
    """``mean_z(weights * stack)``: from two tensors ``(batch, z, y, x, c)`` to ``(batch, y, x, c)``.

    The original program divides by the number of planes and does not normalise the weights; the paper's text and
    CSBDeep's projection differ (docs/networks.md).

    Example:
        >>> tuple(WeightedMean()([ops.ones((1, 5, 16, 16, 1)), ops.ones((1, 5, 16, 16, 1))]).shape)
        (1, 16, 16, 1)
    """

    def call(self, inputs):
        weights, stack = inputs
        return ops.mean(weights * stack, axis=1)

    def compute_output_shape(self, input_shape):
        _, stack = input_shape
        return (stack[0], *stack[2:])


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SurfaceProjection(Pointwise, keras.layers.Layer):
    """``sum_z(softmax_z(logits) * stack)``: CSBDeep's projection of a stack onto the surface that a network finds.

    Call arguments: a list of ``logits (batch, z, y, x, 1)`` and ``stack (batch, z, y, x, c)``, of which one plane
    ``(batch, y, x, c)`` is made.

    Example:
        >>> tuple(SurfaceProjection()([ops.ones((1, 5, 16, 16, 1)), ops.ones((1, 5, 16, 16, 2))]).shape)
        (1, 16, 16, 2)
    """

    def call(self, inputs):
        logits, stack = inputs
        return ops.sum(ops.softmax(logits, axis=1) * stack, axis=1)

    def compute_output_shape(self, input_shape):
        _, stack = input_shape
        return (stack[0], *stack[2:])


def repeat_lateral(x):
    """Each position of ``(batch, *spatial, c)`` four times along the last two spatial axes.

    Example:
        >>> tuple(repeat_lateral(ops.ones((1, 4, 4, 8))).shape)
        (1, 16, 16, 8)
    """
    return ops.repeat(ops.repeat(x, 4, axis=-2), 4, axis=-3)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class LateralUpSampling(keras.layers.Layer):
    """Nearest-neighbour repetition by four along y and x, the convolutional counterpart of the ``up4`` operator.

    Example:
        >>> tuple(LateralUpSampling()(ops.ones((1, 5, 4, 4, 8))).shape)
        (1, 5, 16, 16, 8)
    """

    def call(self, x):
        return repeat_lateral(x)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("repeat", 4, 4)] * (axis >= -2)

    def compute_output_shape(self, input_shape):
        lateral = [None if n is None else 4 * n for n in input_shape[-3:-1]]
        return (*input_shape[:-3], *lateral, input_shape[-1])


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Scale(Pointwise, keras.layers.Layer):
    """The scale of the Laplace distribution: ``softplus(x) + minimum``, with minimum 1e-3.

    Example:
        >>> round(float(Scale()(ops.zeros((1,)))[0]), 3)
        0.694
    """

    def __init__(self, minimum=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.minimum = minimum

    def call(self, x):
        return ops.softplus(x) + self.minimum

    def get_config(self):
        return {**super().get_config(), "minimum": self.minimum}


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SwapNeighbours(Pointwise, keras.layers.Layer):
    """The two halves of the channels in the other order: ``(before, after)`` becomes ``(after, before)``.

    Example:
        >>> ops.convert_to_numpy(SwapNeighbours()(ops.array([[1.0, 2.0]]))).tolist()
        [[2.0, 1.0]]
    """

    def call(self, x):
        half = x.shape[-1] // 2
        return ops.concatenate([x[..., half:], x[..., :half]], axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class OneNeighbour(Pointwise, keras.layers.Layer):
    """One of the two slices that the channels hold.

    Args:
        index: 0 for the first half of the channels, 1 for the second.

    Example:
        >>> ops.convert_to_numpy(OneNeighbour(1)(ops.array([[1.0, 2.0]]))).tolist()
        [[2.0]]
    """

    def __init__(self, index, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, x):
        return one_neighbour(x, self.index)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self):
        return {**super().get_config(), "index": self.index}


def one_neighbour(x, index):
    """See `OneNeighbour`."""
    half = x.shape[-1] // 2
    return x[..., index * half : (index + 1) * half]


@keras.saving.register_keras_serializable(package="aeanet_tf")
class MaskBlend(Pointwise, keras.layers.Layer):
    """``m a + (1 - m) b`` with the mask ``m = sigmoid(logits)`` (SSAN paper, the hybrid network of figure 1).

    Call arguments: a list of ``a`` and ``b``, of one shape ``(batch, *spatial, channels)``, and ``logits``, which have
    one channel.

    Example:
        >>> blended = MaskBlend()([ops.ones((1, 2, 2, 1)), 3 * ops.ones((1, 2, 2, 1)), ops.zeros((1, 2, 2, 1))])
        >>> float(blended[0, 0, 0, 0])
        2.0
    """

    def call(self, inputs):
        a, b, logits = inputs
        mask = ops.sigmoid(logits)
        return mask * a + (1 - mask) * b

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])


def smoothed(x, axis):
    """Weights of 1/4, 1/2, 1/4 along one axis; what lies beyond a border is what lies at it."""
    before = (slice(None),) * axis
    left = ops.concatenate([x[(*before, slice(0, 1))], x[(*before, slice(0, -1))]], axis)
    right = ops.concatenate([x[(*before, slice(1, None))], x[(*before, slice(-1, None))]], axis)
    return 0.5 * x + 0.25 * (left + right)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class BinomialFilter(keras.layers.Layer):
    """Weights of 1/4, 1/2, 1/4 along every spatial axis. Keeps the shape of its input.

    Behind a nearest-neighbour up-sampling by 2 it gives linear interpolation, at the borders, too: position 2i becomes
    3/4 of feature i and 1/4 of the one before.

    Example:
        >>> repeated = ops.array([[0.0, 0.0, 4.0, 4.0]])[:, None, :, None]
        >>> ops.convert_to_numpy(BinomialFilter()(repeated))[0, 0, :, 0].tolist()
        [0.0, 1.0, 3.0, 4.0]
    """

    def call(self, x):
        for axis in range(1, len(x.shape) - 1):
            x = smoothed(x, axis)
        return x

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", 3, 1)]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

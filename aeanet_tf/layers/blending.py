"""Two neighbours in both orders, and two images blended by a mask."""

import keras
from keras import ops

from aeanet_tf.layers.steps import Pointwise


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SwapNeighbours(Pointwise, keras.layers.Layer):
    """The two halves of the channels in the other order: ``(before, after)`` becomes ``(after, before)``."""

    def call(self, x):
        half = x.shape[-1] // 2
        return ops.concatenate([x[..., half:], x[..., :half]], axis=-1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class MaskBlend(Pointwise, keras.layers.Layer):
    """``m a + (1 - m) b`` with the mask ``m = sigmoid(logits)`` (SSAN paper, the hybrid network of figure 1).

    Call arguments: a list of ``a`` and ``b``, of one shape ``(batch, *spatial, channels)``, and ``logits``, which have
    one channel.
    """

    def call(self, inputs):
        a, b, logits = inputs
        mask = ops.sigmoid(logits)
        return mask * a + (1 - mask) * b

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

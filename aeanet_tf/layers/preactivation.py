"""Pre-activation: batch normalisation, where it is on, and a ReLU, evaluated in as few passes over memory as can be."""

import keras
from keras import ops

from aeanet_tf.errors import check_choice
from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.fast_paths import batch_normalised, depthwise_is_fastest, is_portable
from aeanet_tf.layers.steps import Pointwise

ACTIVATIONS = {"relu6": ops.relu6, "relu": ops.relu}


@keras.saving.register_keras_serializable(package="aeanet_tf")
class PreActivation(Pointwise, keras.layers.Layer):
    """Batch normalisation, where it is on, followed by ReLU6 or ReLU. Keeps the shape of its input.

    On TensorFlow training uses the fused kernel, whose result is Keras's; the moving variance is Keras's, too, that of
    the batch without Bessel's correction. In prediction, normalisation is one multiplication and one addition a
    channel, which `after` folds into the convolution before it.

    Args:
        batch_norm: whether to normalise before the activation.
        momentum: of the moving statistics, 0.997 as in the original programs. It needs thousands of steps.
        epsilon: added to the variance, 1e-5.
        activation: ``"relu6"``, as in the original programs, or ``"relu"``, as the papers say.

    Raises:
        ValueError: another activation.

    Example:
        >>> ops.convert_to_numpy(PreActivation(batch_norm=False)(ops.array([[-1.0, 3.0, 9.0]]))).tolist()
        [[0.0, 3.0, 6.0]]
    """

    def __init__(self, batch_norm=True, momentum=0.997, epsilon=1e-5, activation="relu6", **kwargs):
        super().__init__(**kwargs)
        self.batch_norm = batch_norm
        self.momentum = momentum
        self.epsilon = epsilon
        self.activation = check_choice("activation", activation, tuple(ACTIVATIONS))
        self.norm = None

    def build(self, input_shape):
        if self.batch_norm:
            self.norm = keras.layers.BatchNormalization(
                momentum=self.momentum, epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
            )
            self.norm.build(input_shape)

    def call(self, x, training=None):
        activate = ACTIVATIONS[self.activation]
        if self.norm is None:
            return activate(x)
        if self._uses_batch(training):
            return activate(_normalised_by_batch(self.norm, x))
        return _scaled(activate, x, *self._scale_and_offset())

    def after(self, convolution, x, training=None):
        """``self(convolution(x))``; in prediction, in float32, normalisation is folded into the convolution's kernel.

        Args:
            convolution: a built Keras convolution without bias.
            x: its input.
            training: as for the layer itself.
        """
        # In half precision, numbers of each channel are not to be rounded: see `_scaled`.
        exact = keras.backend.standardize_dtype(x.dtype) == "float32"
        if self.norm is None or self._uses_batch(training) or not exact:
            return self(convolution(x), training=training)
        scale, offset = self._scale_and_offset()
        return ACTIVATIONS[self.activation](convolution.convolution_op(x, convolution.kernel * scale) + offset)

    def _uses_batch(self, training):
        # As Keras: a frozen layer uses its moving statistics in training, too.
        return training and self.norm.trainable

    def _scale_and_offset(self):
        """What prediction multiplies each channel by, and what it adds; float32, shape (channels,)."""
        norm = self.norm
        scale = ops.cast(norm.gamma, "float32") * ops.rsqrt(ops.cast(norm.moving_variance, "float32") + norm.epsilon)
        return scale, ops.cast(norm.beta, "float32") - scale * ops.cast(norm.moving_mean, "float32")

    def get_config(self):
        return {**super().get_config(), **arguments(self, "batch_norm momentum epsilon activation")}


def _normalised_by_batch(norm, x):
    """``norm(x, training=True)``, faster where there is a kernel for it."""
    if norm.synchronized:
        # The kernel sees one replica.
        return norm(x, training=True)
    scale, offset = ops.cast(norm.gamma, "float32"), ops.cast(norm.beta, "float32")
    fused = batch_normalised(_as_image(x), scale, offset, norm.epsilon)
    if fused is None:
        return norm(x, training=True)
    y, *statistics = fused
    for moving, batch in zip((norm.moving_mean, norm.moving_variance), statistics, strict=True):
        moving.assign(ops.cast(moving, "float32") * norm.momentum + batch * (1 - norm.momentum))
    return ops.reshape(y, ops.shape(x))


def _scaled(activate, x, scale, offset):
    """``activate(x * scale + offset)`` with one number of each a channel, in the dtype of ``x``.

    Computed in float32: numbers of each channel rounded to half precision would be a systematic error, which on W2S
    cost 0.11 of the 0.13 dB that bfloat16 lost.
    """
    dtype = x.dtype
    x = ops.cast(x, keras.backend.result_type(dtype, "float32"))
    scale, offset = ops.cast(scale, x.dtype), ops.cast(offset, x.dtype)
    if is_portable() or not depthwise_is_fastest():
        return ops.cast(activate(x * scale + offset), dtype)
    y = ops.depthwise_conv(_as_image(x), ops.reshape(scale, (1, 1, -1, 1)))
    return ops.cast(ops.reshape(activate(y + offset), ops.shape(x)), dtype)


def _as_image(x):
    """``x`` of any number of spatial axes with two of them."""
    if len(x.shape) == 4:
        return x
    shape = ops.shape(x)
    return ops.reshape(x, (shape[0], -1, shape[-2], x.shape[-1]))

"""Residual blocks of the U-Nets (GVTNet paper, methods; docs/networks.md)."""

import keras
from keras import ops

from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.convolution import convolution, times_matrix
from aeanet_tf.layers.preactivation import PreActivation
from aeanet_tf.layers.steps import Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class ResidualBlock(keras.layers.Layer):
    """``y = shortcut + conv3(preact(conv3(h)))`` with ``h = preact(x)``.

    The shortcut is ``x`` itself, or a 1x1 convolution of ``h`` where the number of channels or the size
    changes, or where ``projection`` asks for it. With ``strides=2`` the first convolution and the shortcut have
    stride 2: the down-sampling residual block. Convolutions carry no bias.

    Args:
        filters: number of output channels.
        strides: 1 or 2, along every spatial axis.
        batch_norm, momentum, epsilon, activation: of the two pre-activations, see `PreActivation`.
        kernel_initializer: of the convolutions, Glorot uniform by default.
        projection: whether the shortcut is a convolution even where nothing changes.

    Shapes: ``(batch, *spatial, channels)`` to ``(batch, *ceil(spatial / strides), filters)``, 2D and 3D.

    Example:
        >>> tuple(ResidualBlock(8, strides=2)(ops.ones((1, 16, 16, 4))).shape)
        (1, 8, 8, 8)
    """

    def __init__(
        self,
        filters,
        strides=1,
        batch_norm=True,
        momentum=0.997,
        epsilon=1e-5,
        kernel_initializer="glorot_uniform",
        projection=False,
        activation="relu6",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.batch_norm = batch_norm
        self.momentum = momentum
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.projection = projection
        self.activation = activation

    def _convolution(self, rank, kernel_size, strides, name):
        options = {"kernel_initializer": self.kernel_initializer.clone(), "dtype": self.dtype_policy, "name": name}
        return convolution(rank, self.filters, kernel_size, strides, **options)

    def build(self, input_shape):
        rank = len(input_shape) - 2
        norm = (self.batch_norm, self.momentum, self.epsilon, self.activation)
        self.batch_norm_1 = PreActivation(*norm, dtype=self.dtype_policy, name="batch_norm_1")
        self.convolution_1 = self._convolution(rank, 3, self.strides, "convolution_1")
        self.batch_norm_2 = PreActivation(*norm, dtype=self.dtype_policy, name="batch_norm_2")
        self.convolution_2 = self._convolution(rank, 3, 1, "convolution_2")
        self.projection_shortcut = None
        if self.projection or input_shape[-1] != self.filters or self.strides != 1:
            self.projection_shortcut = self._convolution(rank, 1, self.strides, "projection_shortcut")
            self.projection_shortcut.build(input_shape)
        inner = self.compute_output_shape(input_shape)
        self.batch_norm_1.build(input_shape)
        self.convolution_1.build(input_shape)
        self.batch_norm_2.build(inner)
        self.convolution_2.build(inner)

    def call(self, x, training=None):
        h = self.batch_norm_1(x, training=training)
        shortcut = x if self.projection_shortcut is None else self._projected(h)
        h = self.batch_norm_2.after(self.convolution_1, h, training=training)
        return shortcut + self.convolution_2(h)

    def _projected(self, h):
        if self.strides == 1:
            return self.projection_shortcut(h)
        # The strided 1x1 convolution as a matrix product at every second position: TensorFlow's gradient of the former
        # writes beyond its memory on a CPU where there are 8 channels or fewer (2.21, oneDNN).
        rank = len(h.shape) - 2
        kept = h[(slice(None), *(slice(None, None, self.strides),) * rank)]
        kernel = ops.cast(self.projection_shortcut.kernel, kept.dtype)
        return times_matrix(kept, ops.reshape(kernel, kernel.shape[-2:]))

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        # The shortcut, a 1x1 convolution, lies inside.
        return [Step("down", 3, self.strides), Step("down", 3, 1)]

    def compute_output_shape(self, input_shape):
        spatial = (None if n is None else -(-n // self.strides) for n in input_shape[1:-1])
        return (input_shape[0], *spatial, self.filters)

    def get_config(self):
        names = "filters strides batch_norm momentum epsilon kernel_initializer projection activation"
        return {**super().get_config(), **arguments(self, names)}

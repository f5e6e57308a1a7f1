"""Residual dense block: convolutions that each see all before them."""

import keras
from keras import ops

from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.convolution import convolution
from aeanet_tf.layers.preactivation import PreActivation
from aeanet_tf.layers.steps import Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class ResidualDenseBlock(keras.layers.Layer):
    """A residual dense block (Zhang et al. 2020, which SSAN paper takes its feature extractor from).

    Each of C convolutions of 3 takes the block's input and the outputs of those before it, concatenated, and adds
    ``growth`` channels; a convolution of 1 (local fusion) leads back to the channels of the input, which is added.
    Activations are the family's: batch norm, off by default, then ReLU6 or ReLU. Zhang et al. have a ReLU and no batch
    norm; SSAN paper speaks of synchronised batch norm and does not say where.

    Args:
        convolutions: their number C.
        growth: channels that each adds.
        batch_norm, momentum, epsilon, activation: of the activations, see `PreActivation`.
        kernel_initializer: Glorot uniform by default.

    Call arguments: ``x`` of shape ``(batch, *spatial, channels)``; ``training``. Returns the shape of ``x``.

    Example:
        >>> tuple(ResidualDenseBlock(convolutions=2, growth=4)(ops.ones((1, 16, 16, 8))).shape)
        (1, 16, 16, 8)
    """

    def __init__(
        self,
        convolutions=3,
        growth=16,
        batch_norm=False,
        momentum=0.997,
        epsilon=1e-5,
        kernel_initializer="glorot_uniform",
        activation="relu6",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.growth = growth
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        norm = (batch_norm, momentum, epsilon, activation)
        self.activations = [
            PreActivation(*norm, dtype=self.dtype_policy, name=f"activation_{i + 1}") for i in range(convolutions)
        ]
        self.convolutions, self.fusion = [], None

    def build(self, input_shape):
        *sides, channels = input_shape
        for i, activation in enumerate(self.activations):
            layer = self._convolution(len(sides) - 1, self.growth, 3, f"convolution_{i + 1}")
            layer.build((*sides, channels + i * self.growth))
            activation.build((*sides, self.growth))
            self.convolutions.append(layer)
        self.fusion = self._convolution(len(sides) - 1, channels, 1, "fusion")
        self.fusion.build((*sides, channels + len(self.activations) * self.growth))

    def _convolution(self, rank, filters, size, name):
        initializer = self.kernel_initializer.clone()
        return convolution(
            rank, filters, size, use_bias=True, kernel_initializer=initializer, dtype=self.dtype_policy, name=name
        )

    def call(self, x, training=None):
        dense = x
        for layer, activation in zip(self.convolutions, self.activations, strict=True):
            dense = ops.concatenate([dense, activation(layer(dense), training=training)], axis=-1)
        return x + self.fusion(dense)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return [Step("down", 3, 1)] * len(self.activations)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        norm = self.activations[0].get_config()
        return {
            **super().get_config(),
            "convolutions": len(self.activations),
            **arguments(self, "growth kernel_initializer"),
            **{name: norm[name] for name in ("batch_norm", "momentum", "epsilon", "activation")},
        }

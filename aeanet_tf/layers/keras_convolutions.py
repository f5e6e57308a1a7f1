"""Keras's convolutions, which TensorFlow computes in less time on a processor."""

import keras

from aeanet_tf.layers.fast_paths import is_portable, on_processor, phases_are_fastest
from aeanet_tf.layers.steps import Step


def _is_covered(layer, x):
    """Whether the operations are those of `convolution_operations`.

    In half precision TensorFlow's gradients for images round sums that those for volumes do not.
    """
    plain = set(layer.dilation_rate) == {1} and layer.padding == "same" and layer.data_format == "channels_last"
    exact = keras.backend.standardize_dtype(x.dtype) == "float32"
    return plain and exact and getattr(layer, "groups", 1) == 1 and not is_portable() and on_processor()


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Conv3D(keras.layers.Conv3D):
    """Keras's ``Conv3D`` with gradients that take less time on a processor."""

    def convolution_op(self, inputs, kernel):
        if not _is_covered(self, inputs):
            return super().convolution_op(inputs, kernel)
        from aeanet_tf.layers.convolution_operations import convolved

        return convolved(inputs, kernel, self.strides)

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return _steps("down", self, axis)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's ``Conv2DTranspose``, which takes less time on a processor without AVX-512."""

    def call(self, inputs):
        # A kernel no larger than the stride is a product, which Keras's layer is as fast at.
        overlaps = all(size > stride for size, stride in zip(self.kernel_size, self.strides, strict=True))
        if not overlaps or self.output_padding is not None or not _is_covered(self, inputs) or not phases_are_fastest():
            return super().call(inputs)
        from aeanet_tf.layers.convolution_operations import transposed_image

        return _finished(self, transposed_image(inputs, self.kernel, self.strides))

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return _steps("up", self, axis)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Conv3DTranspose(keras.layers.Conv3DTranspose):
    """Keras's ``Conv3DTranspose``, which takes less time on a processor, with its gradients."""

    def call(self, inputs):
        if self.output_padding is not None or not _is_covered(self, inputs):
            return super().call(inputs)
        from aeanet_tf.layers.convolution_operations import transposed

        return _finished(self, transposed(inputs, self.kernel, self.strides))

    def receptive_steps(self, axis):
        """See `Pointwise`."""
        return _steps("up", self, axis)


def _finished(layer, x):
    return layer.activation(x if layer.bias is None else x + layer.bias)


def _steps(kind, layer, axis):
    return [Step(kind, layer.kernel_size[axis], layer.strides[axis])]

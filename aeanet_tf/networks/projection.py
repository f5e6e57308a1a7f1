"""The projection network of the flywing data: a weight for every voxel, then the mean over z (paper 003)."""

import keras
from keras import ops

from aeanet_tf.layers import GVTO, PreActivation, ResidualBlock, convolution

POOL = (1, 4, 4)
KERNEL = (3, 5, 5)
FINAL_KERNEL = (5, 5, 5)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class WeightedMean(keras.layers.Layer):
    """``mean_z(weights * stack)``: from two tensors ``(batch, z, y, x, c)`` to ``(batch, y, x, c)``.

    The original program divides by the number of planes and does not normalise the weights; the paper's text and
    CSBDeep's projection differ (DESIGN section 5).
    """

    def call(self, inputs):
        weights, stack = inputs
        return ops.mean(weights * stack, axis=1)

    def compute_output_shape(self, input_shape):
        _, stack = input_shape
        return (stack[0], *stack[2:])


@keras.saving.register_keras_serializable(package="aeanet_tf")
class LateralUpSampling(keras.layers.Layer):
    """Nearest-neighbour repetition by four along y and x, the convolutional counterpart of the ``up4`` operator."""

    def call(self, x):
        return ops.repeat(ops.repeat(x, 4, axis=-2), 4, axis=-3)

    def compute_output_shape(self, input_shape):
        lateral = [None if n is None else 4 * n for n in input_shape[-3:-1]]
        return (*input_shape[:-3], *lateral, input_shape[-1])


def projection(spec, stack):
    """Project the Keras tensor ``stack`` of shape ``(batch, z, y, x, channels)`` to ``(batch, y, x, channels)``.

    Layers are named after the original program's variables, with a dot where those have a slash.
    """

    def conv(x, filters, kernel, name, activate=True):
        if activate:
            x = PreActivation(batch_norm=False, name=f"projection.relu_{name}")(x)
        return convolution(3, filters, kernel, use_bias=True, name=f"projection.{name}")(x)

    x = stack
    for level in range(spec.levels):
        x = conv(x, spec.filters, KERNEL, f"Conv_down_{level}", activate=level > 0)
        x = keras.layers.MaxPooling3D(POOL, padding="same", name=f"projection.Pool_{level}")(x)
    bottom = _operator(spec, "same", "projection.Bottom_0")(x)
    local = conv(x, spec.filters, KERNEL, "Conv_bottom_0")
    x = keras.layers.Add(name="projection.Bottom_sum")([bottom, local])
    for level in reversed(range(spec.levels)):
        x = _operator(spec, "up4", f"projection.Upsample_{level}")(x)
        x = conv(x, spec.filters, KERNEL, f"Conv_up_{level}")
    weights = conv(x, 1, FINAL_KERNEL, "Conv_final")
    return WeightedMean(name="projection.mean", dtype="float32")([weights, stack])


def _operator(spec, size, name):
    if spec.operators == "attention":
        options = {**spec.attention.model_dump(), "residual": "v2"}
        return GVTO(spec.filters, size, batch_norm=False, name=name, **options)
    if size == "same":
        return ResidualBlock(spec.filters, batch_norm=False, name=name)
    return LateralUpSampling(name=name)

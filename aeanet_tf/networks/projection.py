"""The projection network of the flywing data: a weight for every voxel, then the mean over z (GVTNet paper)."""

import keras

from aeanet_tf.layers import GVTO, LateralUpSampling, PreActivation, ResidualBlock, WeightedMean, convolution

POOL = (1, 4, 4)
KERNEL = (3, 5, 5)
FINAL_KERNEL = (5, 5, 5)


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

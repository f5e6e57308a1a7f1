"""CSBDeep's own networks in Keras layers that exact tiling, the estimate of memory and the exports know."""

import keras

from aeanet_tf.layers import Scale, SurfaceProjection, convolution

_POOLINGS = {2: keras.layers.MaxPooling2D, 3: keras.layers.MaxPooling3D}
_UPSAMPLINGS = {2: keras.layers.UpSampling2D, 3: keras.layers.UpSampling3D}


def care(spec, image):
    """Apply the network of a `CARESpec` to the Keras tensor ``image`` of shape ``(batch, *spatial, in_channels)``.

    It has the layers of ``csbdeep.models.CARE``, or of ``ProjectionCARE``, in the same order, so that the weights of
    one are those of the other in the order in which they are stored.

    Returns:
        ``(batch, *spatial, out_channels)`` in float32, without z behind a projection; with a probabilistic one the
        scales are channels behind the means.
    """
    x = image if spec.projection is None else _projected(spec.projection, image)
    rank, features = spec.unet_dimension, _unet(spec, x)
    # These stay in float32 under mixed precision: they are the result.
    options = {"use_bias": True, "dtype": "float32"}
    mean = convolution(rank, spec.out_channels, 1, name="mean", **options)(features)
    if spec.residual:
        mean = keras.layers.Add(name="residual", dtype="float32")([mean, x])
    mean = keras.layers.Activation(spec.last_activation, name="last_activation", dtype="float32")(mean)
    if not spec.probabilistic:
        return mean
    scale = convolution(rank, spec.out_channels, 1, name="scale_convolution", **options)(features)
    scale = Scale(name="scale", dtype="float32")(scale)
    return keras.layers.Concatenate(name="mean_and_scale", dtype="float32")([mean, scale])


def _unet(spec, x):
    rank, depth, first = spec.unet_dimension, spec.n_depth, spec.n_first

    def convolved(x, filters, name):
        options = {"use_bias": True, "activation": "relu"}
        return convolution(rank, filters, spec.kern_size, name=name, **options)(x)

    skips = []
    for level in range(depth):
        for i in range(2):
            x = convolved(x, first * 2**level, f"down_level_{level}_no_{i}")
        skips.append(x)
        x = _POOLINGS[rank](2, name=f"max_{level}")(x)
    x = convolved(x, first * 2**depth, "middle_0")
    x = convolved(x, first * 2 ** (depth - 1), "middle_2")
    for level in reversed(range(depth)):
        x = _UPSAMPLINGS[rank](2, name=f"up_{level}")(x)
        x = keras.layers.Concatenate(name=f"skip_{level}")([x, skips[level]])
        x = convolved(x, first * 2**level, f"up_level_{level}_no_0")
        x = convolved(x, first * 2 ** max(0, level - 1), f"up_level_{level}_no_2")
    return x


def _projected(spec, stack):
    def convolved(x, name):
        for i in range(spec.n_conv_per_depth):
            options = {"use_bias": True, "activation": "relu", "name": f"projection.{name}_no_{i}"}
            x = convolution(3, spec.n_filt, spec.kern, **options)(x)
        return x

    x = stack
    for level in range(spec.n_depth):
        x = convolved(x, f"down_level_{level}")
        x = _POOLINGS[3](spec.pool, name=f"projection.max_{level}")(x)
    x = convolved(x, "middle")
    for level in reversed(range(spec.n_depth)):
        x = _UPSAMPLINGS[3](spec.pool, name=f"projection.up_{level}")(x)
        x = convolved(x, f"up_level_{level}")
    logits = convolution(3, 1, spec.kern, use_bias=True, name="projection.surface", dtype="float32")(x)
    return SurfaceProjection(name="projection", dtype="float32")([logits, stack])

"""The U-Net of label-free prediction that GVTNet is compared with: convolutions, batch normalisation and ReLU."""

import keras

from aeanet_tf.layers import convolution
from aeanet_tf.networks.parts import finished
from aeanet_tf.networks.upscaling import enlarged, sub_pixels


def fnet(spec, image):
    """Apply the U-Net of an `FNetSpec` to the Keras tensor ``image`` of shape ``(batch, *spatial, in_channels)``.

    Sizes are halved and doubled by (transposed) convolutions of kernel 2, which leave the channels to the convolutions
    of kernel 3 that follow. Returns ``(batch, *spatial, out_channels)`` in float32, with the offset added.
    """
    options = {"use_bias": True, "kernel_initializer": spec.kernel_initializer}

    def activated(x, filters, kernel, name, **kwargs):
        x = convolution(spec.dimension, filters, kernel, name=name, **options, **kwargs)(x)
        x = keras.layers.BatchNormalization(momentum=spec.momentum, epsilon=spec.epsilon, name=f"{name}.norm")(x)
        return keras.layers.Activation("relu", name=f"{name}.relu")(x)

    def twice(x, filters, name):
        for i in range(2):
            x = activated(x, filters, 3, f"{name}.convolution_{i}")
        return x

    def level(x, number):
        filters, name = spec.first_filters * 2**number, f"level_{number + 1}"
        x = skip = twice(x, filters, f"{name}.down")
        if number + 1 == spec.depth:
            return x
        x = level(activated(x, filters, 2, f"{name}.downsampling", strides=2), number + 1)
        x = activated(x, filters, 2, f"{name}.upsampling", strides=2, transposed=True)
        x = keras.layers.Concatenate(name=f"{name}.skip")([x, skip])
        return twice(x, filters, f"{name}.up")

    features = sub_pixels(spec, level(image, 0), use_bias=True)
    if spec.upscale > 1:
        features = keras.layers.Activation("relu", name="upscaling.relu")(features)
    # In float32 under mixed precision, as it is the result.
    mean = convolution(spec.dimension, spec.out_channels, 3, name="out_conv", dtype="float32", **options)(features)
    return finished(spec, enlarged(spec, image), mean, features)

"""What builders of networks have in common: convolutions with the options of a spec, and the end of a network."""

import keras

from aeanet_tf.layers import PreActivation, Scale, convolution
from aeanet_tf.networks.upscaling import enlarged, sub_pixels

POOLINGS = {2: keras.layers.MaxPooling2D, 3: keras.layers.MaxPooling3D}
UPSAMPLINGS = {2: keras.layers.UpSampling2D, 3: keras.layers.UpSampling3D}


class Parts:
    """Layers of one network by their names, with the options that all of them share.

    Args:
        spec: a `RestorationSpec`; without ``batch_norm`` and ``activation`` in it activations are ReLU alone.
    """

    def __init__(self, spec):
        self.spec, self.rank = spec, spec.dimension
        names = ("batch_norm", "momentum", "epsilon", "activation")
        self.norm = {name: getattr(spec, name) for name in names if hasattr(spec, name)}
        self.norm.setdefault("activation", "relu")

    def layer(self, filters, size, name, **kwargs):
        """The layer of a convolution with bias."""
        options = {"use_bias": True, "kernel_initializer": self.spec.kernel_initializer, "name": name, **kwargs}
        return convolution(self.rank, filters, size, **options)

    def convolution(self, x, filters, size, name, **kwargs):
        """A convolution with bias."""
        return self.layer(filters, size, name, **kwargs)(x)

    def activated(self, x, filters, size, name, **kwargs):
        """A convolution with bias, batch normalisation where it is on, and the activation."""
        return self.activation(self.convolution(x, filters, size, name, **kwargs), name)

    def activation(self, x, name):
        """Batch normalisation where it is on, and the activation, behind the layer called ``name``."""
        return PreActivation(name=f"{name}.activation", **self.norm)(x)

    def output(self, image, x, size, factor=False):
        """The image that the network predicts, of its last features ``x``, which have its size, by a convolution of
        ``size``. See `finished`.

        With ``factor`` a convolution gives what the image is multiplied by. A factor alone cannot take the noise out of
        an image, so where the spec has an offset another convolution gives what is added, as for other networks.
        """
        image, channels = enlarged(self.spec, image), self.spec.out_channels
        mean = self.convolution(x, channels, size, "out_conv", dtype="float32")
        if factor:
            scaled = keras.layers.Multiply(name="range_scaling", dtype="float32")
            if self.spec.output_offset:
                gain = self.convolution(x, channels, size, "range_scaling.factor", dtype="float32")
                mean = keras.layers.Add(name="range_scaling.sum", dtype="float32")([mean, scaled([gain, image])])
            else:
                mean = scaled([mean, image])
        return finished(self.spec, image, mean, x)

    def enlarged(self, x):
        """Features at the size of the output, behind an activation."""
        larger = sub_pixels(self.spec, x, use_bias=True)
        return x if larger is x else self.activation(larger, "upscaling")


def finished(spec, image, mean, features):
    """What the last convolution gives, with the offset, the last activation and the scale that a spec asks for.

    These stay in float32 under mixed precision: they are the result.

    Args:
        spec: of the network.
        image: the Keras tensor that the network began with, at the size of the output.
        mean: of the last convolution.
        features: ``(batch, *spatial, channels)`` that the scale of a probabilistic network is made of.
    """
    if spec.output_offset:
        mean = keras.layers.Add(name="output_offset", dtype="float32")([mean, image])
    if spec.last_activation != "linear":
        mean = keras.layers.Activation(spec.last_activation, name="last_activation", dtype="float32")(mean)
    if not spec.probabilistic:
        return mean
    options = {"kernel_initializer": spec.kernel_initializer, "name": "out_sigma_conv", "dtype": "float32"}
    scale = convolution(spec.dimension, spec.out_channels, 1, **options)(features)
    scale = Scale(name="scale", dtype="float32")(scale)
    return keras.layers.Concatenate(name="mean_and_scale", dtype="float32")([mean, scale])

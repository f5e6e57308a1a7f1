"""The U-Net of every image-to-image preset, 2D and 3D, and the projection that goes before it for the flywing data."""

import keras

from aeanet_tf.layers import GVTO, LateralUpSampling, PreActivation, ResidualBlock, WeightedMean, convolution
from aeanet_tf.networks.parts import finished
from aeanet_tf.networks.upscaling import enlarged, sub_pixels


class _Blocks:
    """Layers of one U-Net by their names, with the options that all of them share."""

    def __init__(self, spec):
        self.spec = spec
        names = ("batch_norm", "momentum", "epsilon", "activation")
        self.preactivation = {name: getattr(spec, name) for name in names}
        self.initializer = spec.kernel_initializer

    def convolution(self, filters, kernel_size, name, **kwargs):
        options = {"kernel_initializer": self.initializer, "name": name, **kwargs}
        return convolution(self.spec.dimension, filters, kernel_size, **options)

    def residual(self, filters, name, strides=1, **kwargs):
        options = {"kernel_initializer": self.initializer, **self.preactivation, **kwargs}
        return ResidualBlock(filters, strides, name=name, **options)

    def residuals(self, x, filters, count, name, first_shortcut="identity"):
        for i in range(count):
            projection = i == 0 and first_shortcut == "convolution"
            x = self.residual(filters, f"{name}.res_{i}", projection=projection)(x)
        return x

    def attention(self, kind, filters, size, name):
        options = {**self.spec.attention_arguments(size, kind), **self.preactivation}
        return GVTO(filters, size, kernel_initializer=self.initializer, name=name, **options)

    def downsampling(self, kind, filters, name):
        if kind.startswith("attention"):
            return self.attention(kind, filters, "down", name)
        if kind == "residual":
            return self.residual(filters, name, strides=2)
        return self.convolution(filters, 3, name, strides=2)

    def upsampling(self, kind, filters, name):
        if kind.startswith("attention"):
            return self.attention(kind, filters, "up", name)
        return self.convolution(filters, self.spec.upsampling_kernel, name, strides=2, transposed=True)


def unet(spec, image):
    """Apply the U-Net of ``spec`` to the Keras tensor ``image`` of shape ``(batch, *spatial, in_channels)``.

    Layers are named after the variables of the original programs, with a dot where those have a slash. Returns
    ``(batch, *spatial, out_channels)`` in float32, ``spec.upscale`` times as large as the image, with the offset added;
    twice the channels, mean then scale, if probabilistic.
    """
    blocks = _Blocks(spec)
    x = blocks.convolution(spec.filters(0), 3, "first_convolution")(image)
    skips = []
    for level in range(spec.depth):
        name = f"encoding_block_{level + 1}"
        if level:
            skips.append(x)
            x = blocks.downsampling(spec.downsamplings[level - 1], spec.filters(level), f"{name}.downsampling")(x)
        shortcut = "identity" if level else spec.first_shortcut
        x = blocks.residuals(x, spec.filters(level), spec.encoding_blocks[level], name, shortcut)
    for i, kind in enumerate(spec.bottom):
        name, filters = f"bottom_block.block_{i}", spec.filters(spec.depth - 1)
        attends = kind == "attention"
        x = (blocks.attention(kind, filters, "same", name) if attends else blocks.residual(filters, name))(x)
    levels = reversed(range(spec.depth - 1))
    for level, count, kind in zip(levels, spec.decoding_blocks, spec.upsamplings, strict=True):
        name = f"decoding_block_{level + 1}"
        x = blocks.upsampling(kind, spec.filters(level), f"{name}.upsampling")(x)
        join = keras.layers.Concatenate if spec.skip == "concat" else keras.layers.Add
        x = join(name=f"{name}.skip")([x, skips.pop()])
        x = blocks.residuals(x, spec.filters(level), count, name)
    return _output(spec, blocks, image, x)


def _output(spec, blocks, image, x):
    x = sub_pixels(spec, x)
    # In float32 under mixed precision, as it is the result.
    h = PreActivation(name="output_preactivation", **blocks.preactivation)(x)
    if spec.output_dropout:
        h = keras.layers.Dropout(spec.output_dropout, name="output_dropout")(h)
    mean = blocks.convolution(
        spec.out_channels, spec.output_kernel, "out_conv", use_bias=spec.output_bias, dtype="float32"
    )(h)
    return finished(spec, enlarged(spec, image), mean, x)


POOL = (1, 4, 4)
KERNEL = (3, 5, 5)
FINAL_KERNEL = (5, 5, 5)


def projection(spec, stack):
    """Project the Keras tensor ``stack`` of shape ``(batch, z, y, x, channels)`` to ``(batch, y, x, channels)``.

    Layers are named after the original program's variables, with a dot where those have a slash.
    """

    def conv(x, filters, kernel, name, activate=True):
        if activate:
            x = PreActivation(batch_norm=False, activation=spec.activation, name=f"projection.relu_{name}")(x)
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
    options = {"batch_norm": False, "activation": spec.activation, "name": name}
    if spec.operators == "attention":
        return GVTO(spec.filters, size, **options, **spec.attention.arguments(size, residual="v2"))
    if size == "same":
        return ResidualBlock(spec.filters, **options)
    return LateralUpSampling(name=name)

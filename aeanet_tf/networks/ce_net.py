"""CE-Net (Gu et al. 2019): a residual encoder, dilated convolutions, pooling of several sizes, and a decoder."""

import keras

from aeanet_tf.layers import ResidualBlock
from aeanet_tf.networks.parts import POOLINGS, Parts
from aeanet_tf.networks.unet_variant import dilated_layer


def ce_net(spec, image):
    """Apply the network of a `CENetSpec` to the Keras tensor ``image`` ``(batch, *spatial, in_channels)``.

    Returns ``(batch, *spatial, out_channels)`` in float32, ``spec.upscale`` times as large as the image.
    """
    parts, skips = Parts(spec), []
    x = parts.activated(image, spec.first_filters, 7, "stem", strides=2)
    x = POOLINGS[spec.dimension](3, 2, padding="same", name="stem.pool")(x)
    for level, count in enumerate(spec.blocks):
        if level:
            skips.append(x)
        x = _encoded(parts, x, level, count)
    x = _pooled(parts, _dense_atrous(parts, x))
    for level in reversed(range(len(spec.blocks) - 1)):
        x = _doubled(parts, x, spec.filters(level), f"decoder_{level + 1}")
        x = keras.layers.Add(name=f"decoder_{level + 1}.skip")([x, skips.pop()])
    x = _doubled(parts, x, spec.first_filters, "decoder_0")
    half = max(1, spec.first_filters // 2)
    x = parts.activated(x, half, 4, "full_size", strides=2, transposed=True)
    if spec.output_offset:
        # The noise that is added with the image has to be taken away at its size, at which the paper has no skip.
        skip = parts.activated(image, half, 3, "full_size.skip")
        x = keras.layers.Concatenate(name="full_size.joined")([x, skip])
    return parts.output(image, parts.enlarged(parts.activated(x, half, 3, "last")), 3)


def _encoded(parts, x, level, count):
    """Residual blocks, of which the first halves the size, but for those behind the stem."""
    strides = 1 + (level > 0)
    options = {"kernel_initializer": parts.spec.kernel_initializer, "batch_norm": False, **parts.norm}
    for i in range(max(count, int(level > 0))):
        name = f"encoder_{level + 1}.block_{i + 1}"
        x = ResidualBlock(parts.spec.filters(level), strides if i == 0 else 1, name=name, **options)(x)
    return x


def _dense_atrous(parts, x):
    """Four cascades of dilated convolutions, which see 3, 7, 9 and 19 positions, added to the features.

    They share their weights: there is one convolution of each rate, and one of 1 behind the last three.
    """
    filters, name = x.shape[-1], "dense_atrous"
    layers = {rate: dilated_layer(parts, filters, rate, f"{name}.rate_{rate}") for rate in (1, 3, 5)}
    fusion = parts.layer(filters, 1, f"{name}.fusion")
    first, second = layers[1](x), layers[3](x)
    third = layers[3](first)
    branches = [first, *(fusion(h) for h in (second, third, layers[5](third)))]
    branches = [parts.activation(h, f"{name}.branch_{i}") for i, h in enumerate(branches, 1)]
    return keras.layers.Add(name=f"{name}.sum")([x, *branches])


def _pooled(parts, x):
    """The features and, beside them, one channel of the maxima around each position for each size of pooling."""
    beside = []
    for size in parts.spec.pools:
        name = f"pooling_{size}"
        h = POOLINGS[parts.rank](size, 1, padding="same", name=name)(x)
        beside.append(parts.convolution(h, 1, 1, f"{name}.channel"))
    return keras.layers.Concatenate(name="pooling")([x, *beside]) if beside else x


def _doubled(parts, x, filters, name):
    """A block of the decoder: to a quarter of the channels, twice the size, to the channels asked for."""
    quarter = max(1, x.shape[-1] // 4)
    x = parts.activated(x, quarter, 1, f"{name}.reduced")
    x = parts.activated(x, quarter, 3, f"{name}.upsampling", strides=2, transposed=True)
    return parts.activated(x, filters, 1, f"{name}.expanded")

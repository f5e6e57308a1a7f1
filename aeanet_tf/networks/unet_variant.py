"""U-Nets of two convolutions at each resolution, with gates, nested skips, dilated convolutions or global features."""

import keras

from aeanet_tf.layers import BinomialFilter, DilatedConvolution, GlobalFeatures
from aeanet_tf.networks.parts import POOLINGS, UPSAMPLINGS, Parts


def unet_variant(spec, image):
    """Apply the U-Net of a `UNetVariantSpec` to the Keras tensor ``image`` ``(batch, *spatial, in_channels)``.

    Returns ``(batch, *spatial, out_channels)`` in float32, ``spec.upscale`` times as large as the image.
    """
    parts, nodes = Parts(spec), []
    pool = POOLINGS[spec.dimension]
    pooled = image
    # What is there of each resolution: of the encoder, and behind that of the nodes between it and the decoder.
    for level in range(spec.depth):
        x = _twice(parts, pooled, level, f"encoder_{level + 1}")
        nodes.append([x])
        if level + 1 < spec.depth:
            pooled = pool(2, padding="same", name=f"encoder_{level + 1}.pool")(x)
    nodes[-1] = [BOTTOMS[spec.bottom](parts, nodes[-1][0])]
    if spec.skip == "nested":
        _nest(parts, nodes)
    else:
        for level in reversed(range(spec.depth - 1)):
            nodes[level].append(_decoded(parts, nodes, level, f"decoder_{level + 1}"))
    scales = spec.range_scaling and spec.in_channels == spec.out_channels
    return parts.output(image, parts.enlarged(nodes[0][-1]), 1, factor=scales)


def _twice(parts, x, level, name):
    for i in (1, 2):
        x = parts.activated(x, parts.spec.filters(level), 3, f"{name}.convolution_{i}")
    return x


def _decoded(parts, nodes, level, name):
    """A node of the decoder: the coarser one doubled in size, the skip, two convolutions."""
    coarse, skip = nodes[level + 1][-1], nodes[level][0]
    # What has the finest resolution is not gated: its features are of few dimensions yet (Oktay et al. 2018).
    if parts.spec.skip == "gated" and level:
        skip = _gated(parts, skip, coarse, level, f"{name}.gate")
    return _joined(parts, [skip], coarse, level, name)


def _nest(parts, nodes):
    """Fill in the nodes of U-Net++ (Zhou et al. 2018, equation 1), diagonal by diagonal."""
    for j in range(1, parts.spec.depth):
        for level in range(parts.spec.depth - j):
            name = f"node_{level + 1}_{j}"
            nodes[level].append(_joined(parts, nodes[level], nodes[level + 1][j - 1], level, name))


def _joined(parts, skips, coarse, level, name):
    x = keras.layers.Concatenate(name=f"{name}.skip")([*skips, _doubled(parts, coarse, level, f"{name}.upsampling")])
    return _twice(parts, x, level, name)


def _doubled(parts, x, level, name):
    if parts.spec.upsampling == "linear":
        return interpolated(x, name)
    options = {"strides": 2, "transposed": True, "name": name}
    return parts.convolution(x, parts.spec.filters(level), 2, **options)


def interpolated(x, name):
    """``x`` of twice the size along every spatial axis, by linear interpolation."""
    x = UPSAMPLINGS[len(x.shape) - 2](2, name=f"{name}.repeated")(x)
    return BinomialFilter(name=name)(x)


def _gated(parts, skip, coarse, level, name):
    """The skip with each position multiplied by a number between 0 and 1 (Oktay et al. 2018, equations 1 and 2).

    It is decided on at the resolution of the coarser features, where the skip is pooled to, and interpolated.
    """
    filters = parts.spec.filters(level)
    pooled = POOLINGS[parts.rank](2, padding="same", name=f"{name}.pool")(skip)
    both = [
        parts.convolution(pooled, filters, 1, f"{name}.skip", use_bias=False),
        parts.convolution(coarse, filters, 1, f"{name}.gating"),
    ]
    h = keras.layers.Add(name=f"{name}.sum")(both)
    h = keras.layers.Activation("relu", name=f"{name}.relu")(h)
    share = parts.convolution(h, 1, 1, f"{name}.share", activation="sigmoid")
    return keras.layers.Multiply(name=name)([skip, interpolated(share, f"{name}.interpolated")])


def _plain(parts, x):
    return x


def _dilated(parts, x):
    """A pyramid: dilated convolutions beside each other that share the channels, joined by a convolution of 1 and added
    to what is there."""
    filters, rates, branches = x.shape[-1], parts.spec.rates, []
    for rate in rates:
        name = f"bottom.rate_{rate}"
        layer = dilated_layer(parts, max(1, filters // len(rates)), rate, name)
        branches.append(parts.activation(layer(x), name))
    h = keras.layers.Concatenate(name="bottom.pyramid")(branches) if len(branches) > 1 else branches[0]
    return keras.layers.Add(name="bottom.sum")([x, parts.activated(h, filters, 1, "bottom.fusion")])


def dilated_layer(parts, filters, rate, name):
    """The layer of a dilated convolution of 3."""
    return DilatedConvolution(filters, rate, kernel_initializer=parts.spec.kernel_initializer, name=name)


def _global(parts, x):
    """A vector of the whole image beside the features of each position, joined by a convolution of 1."""
    filters, initializer = x.shape[-1], parts.spec.kernel_initializer
    vector = GlobalFeatures(filters, kernel_initializer=initializer, name="bottom.global")(x)
    h = keras.layers.Concatenate(name="bottom.joined")([x, vector])
    return parts.activated(h, filters, 1, "bottom.fusion")


BOTTOMS = {"convolutions": _plain, "dilated": _dilated, "global": _global}
"""By the ``bottom`` of a `UNetVariantSpec`: function of `Parts` and the coarsest features."""

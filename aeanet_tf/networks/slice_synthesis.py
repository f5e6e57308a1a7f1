"""How a slice is made of the features of its neighbours: by convolutions, by local kernels, or along a flow.

Functions of the blocks of a network (`aeanet_tf.networks.ssan`), the image ``(batch, y, x, 2 slices)``, and for each
order of the neighbours the list of its features, the finest last. Each returns ``(batch, y, x, out_channels)`` in
float32.
"""

import keras

from aeanet_tf.layers import LocalConvolution, MaskBlend, OneNeighbour, Warp
from aeanet_tf.networks.unet_variant import interpolated

# What kernels differ from the identity by, flow and mask begin at 0: the first prediction is the mean of both.
_FROM_ZERO = {"kernel_initializer": "zeros"}


def of_features(blocks, image, features):
    """A warped slice of each order's features, and both blended by a mask (SSAN paper, figure 1)."""
    finest = [x[-1] for x in features]
    warped = blocks.of_each("warp", blocks.spec.out_channels, finest)
    return _blended(warped, blocks.mask(finest))


def of_kernels(blocks, image, features):
    """The mean of both neighbours, each convolved with a vertical and a horizontal kernel of every position.

    Niklaus et al. 2017, who take the sum, which is the same to kernels that are learned.
    """
    size = blocks.spec.kernel_size
    kernels = blocks.of_each("kernels", 2 * size, [x[-1] for x in features], **_FROM_ZERO)
    convolved = [
        LocalConvolution(size, name=f"convolved_{i}", dtype="float32")([slice_, own])
        for i, (slice_, own) in enumerate(zip(_neighbours(image, "neighbour"), kernels, strict=True))
    ]
    return keras.layers.Average(name="mean", dtype="float32")(convolved)


def of_flow(blocks, image, features):
    """Both neighbours warped along a flow to each, blended by a mask.

    As in a spatial pyramid network (Ranjan and Black 2017) the flow begins at the coarsest resolution, and each finer
    one adds a step to twice the flow so far, by its features and the neighbours as that flow warps them.
    """
    spec, pairs = blocks.spec, [image]
    for level in range(1, spec.resolutions):
        pairs.append(keras.layers.AveragePooling2D(2, name=f"coarse_{level + 1}", dtype="float32")(pairs[-1]))
    flows, reach = None, 0
    for level, pair in reversed(list(enumerate(pairs, 1))):
        sources = [x[spec.resolutions - level] for x in features]
        slices = _neighbours(pair, f"neighbour_{level}")
        if flows is not None:
            flows, reach = [_doubled(x, f"flow_{level}_{i}") for i, x in enumerate(flows)], 2 * reach
            sources = _compared(blocks, sources, _warped(slices, flows, reach, f"moved_{level}"), level)
        steps = blocks.of_each(f"flow_{level}", 2, sources, activation="tanh", **_FROM_ZERO)
        scale = {"scale": spec.flow_step, "dtype": "float32"}
        steps = [keras.layers.Rescaling(name=f"step_{level}_{i}", **scale)(x) for i, x in enumerate(steps)]
        reach += spec.flow_step
        if flows is not None:
            both = enumerate(zip(flows, steps, strict=True))
            steps = [keras.layers.Add(name=f"sum_{level}_{i}", dtype="float32")(list(x)) for i, x in both]
        flows = steps
    return _blended(_warped(slices, flows, reach, "warped"), blocks.mask(sources, **_FROM_ZERO))


def _neighbours(pair, name):
    return [OneNeighbour(i, name=f"{name}_{i}", dtype="float32")(pair) for i in range(2)]


def _warped(slices, flows, reach, name):
    both = enumerate(zip(slices, flows, strict=True))
    return [Warp(reach, name=f"{name}_{i}", dtype="float32")(list(x)) for i, x in both]


def _doubled(flow, name):
    """A flow in the pixels of the next finer resolution."""
    x = interpolated(flow, f"{name}.interpolated")
    return keras.layers.Rescaling(2, name=f"{name}.doubled", dtype="float32")(x)


def _compared(blocks, features, moved, level):
    """Features of each order that know how its neighbours fit so far."""
    name, found = f"compared_{level}", []
    compare = blocks.twice(blocks.spec.filters * 2 ** (level - 1), name)
    for i, x in enumerate(features):
        # In the order of their features.
        both = keras.layers.Concatenate(name=f"{name}.joined_{i}")([x, *(moved[::-1] if i else moved)])
        found.append(compare(both))
    return found


def _blended(slices, logits):
    return MaskBlend(name="blended", dtype="float32")([*slices, logits])


SYNTHESES = {"features": of_features, "kernels": of_kernels, "flow": of_flow}
"""By the ``synthesis`` of an `SSANSpec`."""

"""The sparse self-attention aggregation network: a slice from its two neighbours (SSAN paper, figure 1).

What makes the slice of the features can be replaced by what the paper compares with (`slice_synthesis`).
"""

import keras

from aeanet_tf.layers import (
    GVTO,
    AttentionAwareLayer,
    PreActivation,
    ResidualDenseBlock,
    SwapNeighbours,
    convolution,
)
from aeanet_tf.networks.slice_synthesis import SYNTHESES


def ssan(spec, image):
    """Apply the network of an `SSANSpec` to the Keras tensor ``image`` of shape ``(batch, y, x, 2 slices)``.

    The slice before and the one after are given in both orders to one feature extractor and one attention layer
    (siamese: the weights are shared). Each order's features give a warped slice, both together the mask that blends
    them. Without ``siamese`` there is one order, whose features give both. Returns ``(batch, y, x, out_channels)`` in
    float32.
    """
    blocks = _Blocks(spec)
    extract, attend = EXTRACTORS[spec.extractor](blocks), blocks.attention()
    orders = [image, SwapNeighbours(name="swapped")(image)] if spec.siamese else [image]
    features = []
    for x in orders:
        *coarse, finest = extract(x)
        features.append([*coarse, attend(finest)])
    return SYNTHESES[spec.synthesis](blocks, image, features)


class _Blocks:
    """Layers with the options that all of a network share."""

    def __init__(self, spec):
        self.spec = spec
        self.norm = {name: getattr(spec, name) for name in ("batch_norm", "momentum", "epsilon", "activation")}

    def attention(self):
        """The attention of a `SSANSpec`, as a layer or a function."""
        spec = self.spec
        if spec.attends_by_softmax:
            kind, initializer = spec.attention, spec.kernel_initializer
            return AttentionAwareLayer(kernel_initializer=initializer, kind=kind, name="attention")
        if spec.attention == "aea":
            options = {"kernel_initializer": spec.kernel_initializer, **spec.aea.arguments("same"), **self.norm}
            return GVTO(spec.filters, "same", name="attention", **options)
        return lambda x: x

    def convolution(self, filters, size, name, use_bias=True, **kwargs):
        options = {"use_bias": use_bias, "kernel_initializer": self.spec.kernel_initializer, "name": name, **kwargs}
        return convolution(2, filters, size, **options)

    def twice(self, filters, name):
        """A function of two convolutions of 3 with their activations."""
        layers = []
        for i in (1, 2):
            layers += [
                self.convolution(filters, 3, f"{name}.convolution_{i}"),
                PreActivation(name=f"{name}.activation_{i}", **self.norm),
            ]

        def apply(x):
            for layer in layers:
                x = layer(x)
            return x

        return apply

    def output(self, name, filters, use_bias=True, **kwargs):
        """A convolution that makes a part of the result, which stays in float32 under mixed precision."""
        return self.convolution(filters, 3, name, use_bias, dtype="float32", **kwargs)

    def of_each(self, name, filters, features, **kwargs):
        """A convolution for each of the two neighbours, as a list: of the features of its order, by weights that both
        share where the network is symmetric."""
        if self.spec.symmetric:
            layer = self.output(name, filters, **kwargs)
            return [layer(x) for x in features]
        # Of one order both are made of the same features.
        sources = features[0], features[-1]
        return [self.output(f"{name}_{i}", filters, **kwargs)(x) for i, x in enumerate(sources)]

    def mask(self, features, **kwargs):
        """The logits of the first neighbour's share of the slice."""
        if self.spec.symmetric:
            weight = self.output("mask_weight", 1, use_bias=False, **kwargs)
            return keras.layers.Subtract(name="mask", dtype="float32")([weight(x) for x in features])
        both = keras.layers.Concatenate(name="mask_features")(features) if len(features) > 1 else features[0]
        return self.output("mask", 1, **kwargs)(both)


class _ResidualDenseNetwork:
    """The paper's extractor, made once and called for each order: shallow features, dense blocks, global fusion.

    It gives a list of its features, as `_UNet` does.
    """

    def __init__(self, blocks):
        spec, filters = blocks.spec, blocks.spec.filters
        self.shallow = [blocks.convolution(filters, 3, f"shallow_{i + 1}") for i in range(2)]
        dense = {"kernel_initializer": spec.kernel_initializer, **blocks.norm}
        self.blocks = [
            ResidualDenseBlock(spec.convolutions, spec.growth, name=f"dense_block_{i + 1}", **dense)
            for i in range(spec.blocks)
        ]
        self.concatenate = keras.layers.Concatenate(name="global_features")
        self.fusion = [blocks.convolution(filters, size, f"global_fusion_{i + 1}") for i, size in enumerate((1, 3))]
        self.add = keras.layers.Add(name="global_residual")

    def __call__(self, neighbours):
        first = self.shallow[0](neighbours)
        x, outputs = self.shallow[1](first), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.concatenate(outputs) if len(outputs) > 1 else x
        for layer in self.fusion:
            x = layer(x)
        return [self.add([x, first])]


class _UNet:
    """A U-Net as an extractor (Ronneberger et al. 2015), made once and called for each order.

    At each resolution two convolutions of 3, each with the family's activation; max-pooling by 2; back by transposed
    convolutions of 2 and concatenation. It gives the list of its decoder's features, the finest last.
    """

    def __init__(self, blocks):
        count, filters = blocks.spec.resolutions, blocks.spec.filters
        self.down = [blocks.twice(filters * 2**level, f"encoder_{level + 1}") for level in range(count)]
        self.pool = [keras.layers.MaxPooling2D(2, padding="same", name=f"pool_{i + 1}") for i in range(count - 1)]
        up = {"size": 2, "strides": 2, "transposed": True}
        self.up = [blocks.convolution(filters * 2**i, name=f"up_{i + 1}", **up) for i in range(count - 1)]
        self.join = [keras.layers.Concatenate(name=f"skip_{i + 1}") for i in range(count - 1)]
        self.back = [blocks.twice(filters * 2**i, f"decoder_{i + 1}") for i in range(count - 1)]

    def __call__(self, neighbours):
        x, skips = self.down[0](neighbours), []
        for pool, layers in zip(self.pool, self.down[1:], strict=True):
            skips.append(x)
            x = layers(pool(x))
        features = [x]
        for up, join, layers in list(zip(self.up, self.join, self.back, strict=True))[::-1]:
            features.append(layers(join([up(features[-1]), skips.pop()])))
        return features


EXTRACTORS = {"residual_dense": _ResidualDenseNetwork, "unet": _UNet}
"""By the ``extractor`` of an `SSANSpec`: class that is made of `_Blocks` and called with neighbours."""

"""The sparse self-attention aggregation network: a slice from its two neighbours (SSAN paper, figure 1)."""

import keras

from aeanet_tf.layers import GVTO, AttentionAwareLayer, MaskBlend, ResidualDenseBlock, SwapNeighbours, convolution


def ssan(spec, image):
    """Apply the network of an `SSANSpec` to the Keras tensor ``image`` of shape ``(batch, y, x, 2 slices)``.

    The slice before and the one after are given in both orders to one feature extractor and one attention layer
    (siamese: the weights are shared). Each order's features give a warped slice, both together the mask that blends
    them. Returns ``(batch, y, x, out_channels)`` in float32.
    """
    branch = _Branch(spec)
    features = [branch(x) for x in (image, SwapNeighbours(name="swapped")(image))]
    # What makes the result stays in float32 under mixed precision.
    if spec.symmetric:
        warp, weight = branch.output("warp", spec.out_channels), branch.output("mask_weight", 1, use_bias=False)
        warped = [warp(x) for x in features]
        logits = keras.layers.Subtract(name="mask", dtype="float32")([weight(x) for x in features])
    else:
        warped = [branch.output(f"warp_{i}", spec.out_channels)(x) for i, x in enumerate(features)]
        logits = branch.output("mask", 1)(keras.layers.Concatenate(name="mask_features")(features))
    return MaskBlend(name="blended", dtype="float32")([*warped, logits])


class _Branch:
    """The siamese part: residual dense network and attention, made once and called for each order."""

    def __init__(self, spec):
        self.spec, filters = spec, spec.filters
        norm = {name: getattr(spec, name) for name in ("batch_norm", "momentum", "epsilon", "activation")}
        self.shallow = [self._convolution(filters, 3, f"shallow_{i + 1}") for i in range(2)]
        dense = {"kernel_initializer": spec.kernel_initializer, **norm}
        self.blocks = [
            ResidualDenseBlock(spec.convolutions, spec.growth, name=f"dense_block_{i + 1}", **dense)
            for i in range(spec.blocks)
        ]
        self.concatenate = keras.layers.Concatenate(name="global_features")
        self.fusion = [self._convolution(filters, size, f"global_fusion_{i + 1}") for i, size in enumerate((1, 3))]
        self.add = keras.layers.Add(name="global_residual")
        self.attention = self._attention(norm)

    def _attention(self, norm):
        spec = self.spec
        if spec.attention == "sparse":
            return AttentionAwareLayer(kernel_initializer=spec.kernel_initializer, name="attention")
        if spec.attention == "aea":
            options = {"kernel_initializer": spec.kernel_initializer, **spec.aea.arguments("same"), **norm}
            return GVTO(spec.filters, "same", name="attention", **options)
        return lambda x: x

    def _convolution(self, filters, size, name, use_bias=True, **kwargs):
        initializer = self.spec.kernel_initializer
        return convolution(2, filters, size, use_bias=use_bias, kernel_initializer=initializer, name=name, **kwargs)

    def output(self, name, filters, use_bias=True):
        """A convolution that makes a part of the result."""
        return self._convolution(filters, 3, name, use_bias, dtype="float32")

    def __call__(self, neighbours):
        first = self.shallow[0](neighbours)
        x, outputs = self.shallow[1](first), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.concatenate(outputs) if len(outputs) > 1 else x
        for layer in self.fusion:
            x = layer(x)
        return self.attention(self.add([x, first]))

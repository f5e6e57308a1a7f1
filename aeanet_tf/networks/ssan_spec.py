"""The specification of the network that interpolates slices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aeanet_tf.errors import expect
from aeanet_tf.networks.attention_spec import (
    MOST_BLOCKS,
    Activation,
    AttentionSpec,
    Count,
    Depth,
    Initializer,
    KeepsSize,
    check_heads,
)

LARGEST_KERNEL, LARGEST_STEP = 101, 64
"""Above these a slip is likelier than a wish."""


class SSANSpec(KeepsSize):
    """A network that predicts a slice of a serial section from the two beside it (SSAN paper; docs/networks.md).

    Attributes:
        dimension: number of spatial axes: 2.
        in_channels: of the slice before and the slice after, together.
        out_channels: of a slice.
        filters: channels of the features, 64 as for the paper's attention-aware layer.
        extractor: of the features: ``"residual_dense"``, the paper's, or ``"unet"``, a U-Net with max-pooling, with
            which its table 1 compares.
        siamese: whether features are extracted in both orders of the neighbours, with the same weights. Otherwise both
            warped slices and the mask come from the features of one order (before, after); ``symmetric`` is then
            ``False``.
        blocks, convolutions, growth: D residual dense blocks of C convolutions that add G channels each. The paper does
            not give them: 3, 3 and 16 are ours, with which the network can be trained on a processor.
        resolutions: of the U-Net, whose channels are ``filters`` at the finest and doubled at each coarser one. The
            paper calls it "relatively shallow": 3 is ours.
        attention: ``"sparse"``, the paper's attention-aware layer; ``"aea"``, one AEA block in its place, whose
            attention is normalised by length: cheaper, and predicted exactly in tiles; ``"none"``; or for comparison
            (tables 2 and 3) ``"interlaced"``, ``"long"``, ``"short"`` and ``"dense"``
            (`aeanet_tf.layers.AttentionAwareLayer`).
        aea: options of the AEA block.
        synthesis: how the slice is made of the features. ``"features"``, the paper's: a warped slice of each order is a
            convolution of its features. ``"kernels"``: the sum of both neighbours, each convolved with kernels of every
            position (`aeanet_tf.layers.LocalConvolution`). ``"flow"``: both neighbours, each warped along a flow that
            is refined from the coarsest features of a U-Net to the finest (`aeanet_tf.layers.Warp`), blended by the
            mask. With the latter two the untrained network gives the mean of the neighbours.
        kernel_size: of the kernels of ``"kernels"``, odd. The authors of SepConv take 51; 13 is ours.
        flow_step: of ``"flow"``, what each resolution adds to the flow at most, in its pixels along each axis: with n
            resolutions a pixel is taken from ``flow_step * (2**n - 1)`` pixels away at most, 28 by default.
        symmetric: whether both orders share the convolution to the warped slice too, and the mask is
            sigmoid(w(a) - w(b)) with a convolution w of each order's features a and b, so that the neighbours swapped
            give the same slice. Otherwise each order has its own, and the mask comes from a convolution of both. The
            paper leaves it open.
        batch_norm, momentum, epsilon: of the activations. Off; the paper says that there is batch norm, not where.
        activation: behind the convolutions of a block, see `UNetSpec`.
        kernel_initializer: name of a Keras initialiser.
        probabilistic: always false.

    Example:
        >>> SSANSpec(attention="aea").n_attention
        2
    """

    kind: Literal["ssan"] = "ssan"
    dimension: Literal[2] = 2
    in_channels: Count = 2
    out_channels: Count = 1
    filters: Count = 64
    extractor: Literal["residual_dense", "unet"] = "residual_dense"
    siamese: bool = True
    blocks: Annotated[Count, Field(le=MOST_BLOCKS)] = 3
    convolutions: Annotated[Count, Field(le=MOST_BLOCKS)] = 3
    growth: Count = 16
    resolutions: Depth = 3
    attention: Literal["sparse", "interlaced", "long", "short", "dense", "aea", "none"] = "sparse"
    aea: AttentionSpec = AttentionSpec(shared_references=64, batch_aware=True, normalization="key_length")
    synthesis: Literal["features", "kernels", "flow"] = "features"
    kernel_size: Annotated[Count, Field(le=LARGEST_KERNEL)] = 13
    flow_step: Annotated[Count, Field(le=LARGEST_STEP)] = 4
    symmetric: bool = True
    batch_norm: bool = False
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.997
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    activation: Activation = "relu6"
    kernel_initializer: Initializer = "glorot_uniform"
    probabilistic: Literal[False] = False

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by: what a U-Net halves it by, else anything."""
        return (2 ** (self.resolutions - 1) if self.extractor == "unet" else 1,) * 2

    @property
    def attends_by_softmax(self):
        """Whether attention is that of an `AttentionAwareLayer`, which depends on the size of the image."""
        return self.attention not in ("aea", "none")

    @property
    def is_dense(self):
        """Whether every position attends to every other one, with a weight for each pair."""
        return self.attention == "dense"

    @property
    def n_attention(self):
        """Number of attention operators: one for each order of the neighbours that there is."""
        return 0 if self.attention == "none" else 1 + self.siamese

    @model_validator(mode="after")
    def _consistent(self):
        expected = f"{2 * self.out_channels}, those of the two neighbours of a slice of {self.out_channels}"
        expect(self.in_channels == 2 * self.out_channels, "in_channels", self.in_channels, expected)
        eighths = not self.attends_by_softmax or self.filters % 8 == 0
        expect(eighths, "filters", self.filters, f"a multiple of 8 for {self.attention} attention")
        expect(self.kernel_size % 2, "kernel_size", self.kernel_size, "an odd number")
        pyramid = self.synthesis != "flow" or self.extractor == "unet"
        expect(pyramid, "extractor", repr(self.extractor), "'unet' for a flow, which begins at coarse features")
        one_way = self.siamese or not self.symmetric
        expect(one_way, "symmetric", True, "False without siamese, which has no features of the other order")
        if self.attention == "aea":
            check_heads("aea.num_heads", self.aea.arguments("same"), self.filters, f"filters = {self.filters}")
        expect(self.aea.query == "input", "aea.query", "'learned'", "'input' for slices of any size")
        return self

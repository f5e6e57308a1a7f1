"""Specifications of the U-Nets that the literature improves on the plain one by."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aeanet_tf.errors import expect
from aeanet_tf.networks.attention_spec import DEEPEST, Activation, Blocks, Count, Depth
from aeanet_tf.networks.restoration_spec import RestorationSpec, check_softmax

Rates = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)]


class _NormalisedSpec(RestorationSpec):
    """A network whose convolutions may be followed by batch normalisation.

    Attributes:
        batch_norm, momentum, epsilon: batch normalisation behind the convolutions.
        activation: behind the convolutions, ``"relu"`` or ``"relu6"``.
        last_activation: after the offset, on the mean; ``"softmax"`` over the channels makes the outputs the
            probabilities of classes (a network for segmentation).
    """

    batch_norm: bool = False
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    activation: Activation = "relu"
    last_activation: Literal["linear", "relu", "softmax"] = "linear"

    @model_validator(mode="after")
    def _fitting_classes(self):
        check_softmax(self)
        return self


class UNetVariantSpec(_NormalisedSpec):
    """A U-Net of two convolutions at each resolution, with one of the parts that others added (docs/networks.md).

    Attributes:
        depth: number of resolutions.
        first_filters: channels at full resolution, doubled at each coarser one.
        upsampling: ``"transposed_convolution"``, of 2 with stride 2, which halves the channels; or ``"linear"``
            interpolation, which has no weights.
        skip: how the encoder's features join the decoder's: ``"concat"``; ``"gated"``, each position times a number
            that the coarser features decide on, but at full resolution (Attention U-Net); ``"nested"``, by further
            nodes between encoder and decoder, each of which takes all before it of its resolution (U-Net++).
        bottom: behind the two convolutions of the coarsest resolution: nothing more (``"convolutions"``), a pyramid of
            dilated convolutions beside each other (``"dilated"``), or a vector of the whole image (``"global"``).
        rates: of the dilated convolutions.
        range_scaling: whether the output is a factor that the input is multiplied by (RSGU-Net), which has no effect
            where input and output have different channels. With ``output_offset`` the input and a correction are added.

    Example:
        >>> UNetVariantSpec(depth=4, skip="nested").divisor
        (8, 8)
    """

    kind: Literal["unet_variant"] = "unet_variant"
    depth: Depth = 5
    first_filters: Count = 32
    upsampling: Literal["transposed_convolution", "linear"] = "transposed_convolution"
    skip: Literal["concat", "gated", "nested"] = "concat"
    bottom: Literal["convolutions", "dilated", "global"] = "convolutions"
    rates: Rates = (1, 2, 4, 8)
    range_scaling: bool = False

    def filters(self, level):
        """Channels at resolution ``level``, 0 the finest."""
        return self.first_filters * 2**level

    def with_depth(self, depth):
        """The same network with another number of resolutions."""
        return self.replace(depth=depth)

    @property
    def n_attention(self):
        """Number of poolings over the image."""
        return int(self.bottom == "global")


class CENetSpec(_NormalisedSpec):
    """CE-Net: residual blocks, dilated convolutions and pooling at the bottom (Gu et al. 2019; docs/networks.md).

    Attributes:
        first_filters: channels of the first convolution, which halves the size, and of the blocks behind the pooling
            that follows it; doubled at each coarser resolution.
        blocks: residual blocks at each resolution, from a quarter of the image's size on.
        pools: sizes of the poolings at the bottom.
        output_offset: whether the network predicts a correction that is added to the input, or to its cubic
            interpolation where the output is larger. With it features of the input's full size join the decoder's last,
            which are for restoration and not the paper's.

    Example:
        >>> CENetSpec(blocks=(2, 2)).divisor
        (8, 8)
    """

    kind: Literal["ce_net"] = "ce_net"
    first_filters: Count = 64
    blocks: Annotated[tuple[Blocks, ...], Field(min_length=1, max_length=DEEPEST - 2)] = (3, 4, 6, 3)
    pools: Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], Field(max_length=8)] = (2, 3, 5, 6)

    def filters(self, level):
        """Channels of the blocks of ``level``, 0 the finest of those that have blocks."""
        return self.first_filters * 2**level

    @property
    def depth(self):
        """Number of resolutions: the image's, half of it, and those of the blocks."""
        return len(self.blocks) + 2

    def with_depth(self, depth):
        """The same network with another number of resolutions: the coarsest are left out, or repeated."""
        expect(3 <= depth <= DEEPEST, "depth", depth, f"3 to {DEEPEST} resolutions")
        return self.replace(blocks=(self.blocks + self.blocks[-1:] * depth)[: depth - 2])

"""What specifications of networks from images to images have in common, and those of networks of one resolution."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from aeanet_tf.errors import expect
from aeanet_tf.networks.attention_spec import MOST_BLOCKS, Count, Initializer, Spec

Upscale = Literal[1, 2, 4]
"""Pixels of the output along an axis to one of the input."""


def doublings(factor):
    """How many doublings an `Upscale` is."""
    return factor.bit_length() - 1


class RestorationSpec(Spec):
    """A network from images to images, of the same size or larger.

    Attributes:
        dimension: number of spatial axes, 2 or 3.
        in_channels, out_channels: of the images.
        upscale: how many pixels of the output one of the input becomes along every spatial axis: 1, 2 or 4.
        output_offset: whether the network predicts a correction that is added to the input; to its cubic interpolation
            where the output is larger.
        probabilistic: whether a scale is predicted beside the mean, as further channels behind it.
        last_activation: after the offset, on the mean.
        kernel_initializer: name of a Keras initialiser.
    """

    dimension: Literal[2, 3] = 2
    in_channels: Count = 1
    out_channels: Count = 1
    upscale: Upscale = 1
    output_offset: bool = False
    probabilistic: bool = False
    last_activation: Literal["linear", "relu"] = "linear"
    kernel_initializer: Initializer = "glorot_uniform"

    @property
    def n_attention(self):
        """Number of layers that look at the whole image: attention operators, and poolings over it."""
        return 0

    @property
    def input_size(self):
        """Spatial size, which is free."""
        return None

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by, one entry an axis."""
        return (2 ** (self.depth - 1),) * self.dimension

    @model_validator(mode="after")
    def _fitting_offset(self):
        check_offset(self)
        return self


def check_offset(spec):
    """Raise `InputError` where the input is to be added to an output of other channels."""
    fits = not spec.output_offset or spec.in_channels == spec.out_channels
    given = f"True with in_channels ({spec.in_channels}) and out_channels ({spec.out_channels})"
    expect(fits, "output_offset", given, "equal ones, as the input is added")


def check_softmax(spec):
    """Raise `InputError` where a softmax over classes stands beside what only images have, or there is one class."""
    if spec.last_activation != "softmax":
        return
    for field in ("output_offset", "range_scaling", "probabilistic"):
        expect(not getattr(spec, field, False), field, True, "False where last_activation is 'softmax', over classes")
    expect(spec.upscale == 1, "upscale", spec.upscale, "1 where last_activation is 'softmax', over classes")
    expect(spec.out_channels > 1, "out_channels", spec.out_channels, "at least 2 classes for a softmax")


class SuperResolutionSpec(RestorationSpec):
    """A network of super-resolution with all features at full resolution: RCAN, EDSR or VDSR (docs/networks.md).

    With an ``upscale`` RCAN and EDSR end in a sub-pixel convolution for each doubling, as published; VDSR begins with
    the cubic interpolation of its input.

    Attributes:
        body: between the first convolution and the last: ``"groups"``, residual groups of residual blocks (RCAN);
            ``"blocks"``, residual blocks (EDSR); ``"convolutions"``, each followed by a ReLU (VDSR).
        filters: channels of all features.
        groups: residual groups, of a body of those.
        blocks: residual blocks, of each group or of the body; or convolutions between the first and the last.
        reduction: of the channel attention in each block, by what the channels are divided; ``None`` for none.
        residual_scale: what the residual of a block is multiplied by.

    Example:
        >>> SuperResolutionSpec(groups=2, blocks=3).n_attention
        6
    """

    width: ClassVar[str] = "filters"

    kind: Literal["super_resolution"] = "super_resolution"
    body: Literal["groups", "blocks", "convolutions"] = "groups"
    filters: Count = 64
    groups: Annotated[Count, Field(le=MOST_BLOCKS)] = 10
    blocks: Annotated[Count, Field(le=MOST_BLOCKS)] = 20
    reduction: Count | None = 16
    residual_scale: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def batch_norm(self):
        """Whether there is batch normalisation, which these networks never have."""
        return False

    @property
    def depth(self):
        """Number of resolutions: one."""
        return 1

    def with_depth(self, depth):
        """The same network: there is one resolution, whatever is asked for."""
        return self

    @property
    def n_attention(self):
        """Number of channel attentions: one for each block."""
        if self.reduction is None or self.body == "convolutions":
            return 0
        return self.blocks * (self.groups if self.body == "groups" else 1)

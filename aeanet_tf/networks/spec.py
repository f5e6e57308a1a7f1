"""Network specifications: validated data from which a network is built, with nothing of Keras in them."""

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag, model_validator

from aeanet_tf.errors import expect
from aeanet_tf.networks.attention_spec import (
    DEEPEST,
    MOST_BLOCKS,
    Activation,
    AttentionSpec,
    Blocks,
    Count,
    Depth,
    Initializer,
    KeepsSize,
    Share,
    Spec,
    check_heads,
)
from aeanet_tf.networks.care_spec import CARESpec
from aeanet_tf.networks.own_spec import OwnSpec
from aeanet_tf.networks.restoration_spec import (
    RestorationSpec,
    SuperResolutionSpec,
    Upscale,
    check_offset,
    check_softmax,
)
from aeanet_tf.networks.ssan_spec import SSANSpec
from aeanet_tf.networks.unet_variant_spec import CENetSpec, UNetVariantSpec

Block = Literal["attention", "residual"]
DownSampling = Literal["convolution", "residual", "attention", "attention_v1", "attention_v2"]
UpSampling = Literal["transposed_convolution", "attention", "attention_v1", "attention_v2"]
# By tags, so that an error is told of what was given only: a name, or a tuple.
_all_or_each = Discriminator(lambda value: "each" if isinstance(value, (list, tuple)) else "all")
DownSamplings = Annotated[
    Annotated[DownSampling, Tag("all")] | Annotated[tuple[DownSampling, ...], Tag("each")], _all_or_each
]
UpSamplings = Annotated[
    Annotated[UpSampling, Tag("all")] | Annotated[tuple[UpSampling, ...], Tag("each")], _all_or_each
]

TAGGED = ("downsampling", "upsampling")
"""Fields that are a name or a tuple of them, which pydantic's errors name behind the field."""

_MOST_IN_ALL = 4 * MOST_BLOCKS


class Operator(NamedTuple):
    """An attention operator of a U-Net: the level of its output (0 the finest), its size, and its name in the spec."""

    level: int
    size: str
    kind: str


class UNetSpec(Spec):
    """A U-Net with residual blocks and attention (docs/networks.md).

    Attributes:
        dimension: number of spatial axes, 2 or 3.
        in_channels, out_channels: of the images.
        depth: number of resolutions; the bottom is at 1 / 2^(depth - 1) of the input's.
        first_filters: channels at full resolution, doubled at each coarser one.
        encoding_blocks: residual blocks at each resolution, finest first; ``depth`` entries.
        decoding_blocks: residual blocks after each up-sampling, coarsest first; ``depth - 1`` entries.
        first_shortcut: of the first residual block of the finest resolution, where neither channels nor size change:
            its input itself, or a 1x1 convolution as in the blocks that halve the size.
        downsampling, upsampling: the operator that changes resolution, or a tuple with one for each resolution:
            ``downsampling`` from the finest down, ``upsampling`` from the coarsest up. ``"attention"`` has the residual
            path that ``attention.residual`` names, ``"attention_v1"`` and ``"attention_v2"`` say their own.
        upsampling_kernel: kernel size of transposed convolutions.
        upsampling_heads: heads of up-sampling attention; ``None`` for ``attention.num_heads``.
        bottom: blocks at the coarsest resolution, after its encoding blocks.
        skip: how the encoder's features join the decoder's.
        attention: options of the attention operators.
        batch_norm, momentum, epsilon: batch normalisation of the pre-activations.
        activation: of the pre-activations: ``"relu6"``, as in the original programs, or ``"relu"``, as the papers say.
        output_dropout: share of the features set to 0 in training before the last convolution.
        output_kernel, output_bias: the last convolution.
        upscale: how many pixels of the output one of the input becomes along every spatial axis: 1, 2 or 4.
            More than 1 end in a sub-pixel convolution for each doubling.
        output_offset: whether the network predicts a correction that is added to the input; to its cubic interpolation
            where the output is larger.
        probabilistic: whether a scale is predicted beside the mean, as further channels behind it.
        last_activation: after the offset, on the mean; ``"softmax"`` over the channels makes the outputs the
            probabilities of classes (a network for segmentation).
        kernel_initializer: name of a Keras initialiser.
        input_size: spatial size, only for networks that need one (learned query).

    Example:
        >>> UNetSpec(dimension=2, depth=3, encoding_blocks=(1, 1, 0), decoding_blocks=(1, 1)).divisor
        (4, 4)
    """

    kind: Literal["unet"] = "unet"
    dimension: Literal[2, 3] = 2
    in_channels: Count = 1
    out_channels: Count = 1
    depth: Depth = 3
    first_filters: Count = 32
    encoding_blocks: Annotated[tuple[Blocks, ...], Field(max_length=DEEPEST)] = (1, 1, 0)
    decoding_blocks: Annotated[tuple[Blocks, ...], Field(max_length=DEEPEST)] = (1, 1)
    first_shortcut: Literal["identity", "convolution"] = "identity"
    downsampling: DownSamplings = "convolution"
    upsampling: UpSamplings = "transposed_convolution"
    upsampling_kernel: Annotated[int, Field(ge=2, le=5)] = 3
    upsampling_heads: Count | None = None
    bottom: Annotated[tuple[Block, ...], Field(max_length=MOST_BLOCKS)] = ("attention",)
    skip: Literal["concat", "add"] = "concat"
    attention: AttentionSpec = AttentionSpec()
    batch_norm: bool = True
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.997
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    activation: Activation = "relu6"
    output_dropout: Share = 0.0
    output_kernel: Literal[1, 3, 5] = 1
    output_bias: bool = False
    upscale: Upscale = 1
    output_offset: bool = False
    probabilistic: bool = False
    last_activation: Literal["linear", "relu", "softmax"] = "linear"
    kernel_initializer: Initializer = "glorot_uniform"
    input_size: tuple[Count, ...] | None = None

    def filters(self, level):
        """Channels at resolution ``level``, 0 the finest."""
        return self.first_filters * 2**level

    def with_depth(self, depth):
        """The same network with another number of resolutions: the inner ones are repeated or left out."""
        expect(2 <= depth <= DEEPEST, "depth", depth, f"2 to {DEEPEST} resolutions")

        def resized(blocks, length):
            if isinstance(blocks, str):
                return blocks
            inner = blocks[1:-1] or blocks[:1]
            return (blocks[:1] + inner + inner[-1:] * length)[: length - 1] + blocks[-1:]

        return self.replace(
            depth=depth,
            encoding_blocks=resized(self.encoding_blocks, depth),
            decoding_blocks=resized(self.decoding_blocks, depth - 1),
            downsampling=resized(self.downsampling, depth - 1),
            upsampling=resized(self.upsampling, depth - 1),
        )

    @property
    def downsamplings(self):
        """The operator of each down-sampling, finest first."""
        return (self.downsampling,) * (self.depth - 1) if isinstance(self.downsampling, str) else self.downsampling

    @property
    def upsamplings(self):
        """The operator of each up-sampling, coarsest first."""
        return (self.upsampling,) * (self.depth - 1) if isinstance(self.upsampling, str) else self.upsampling

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by, one entry an axis."""
        return (2 ** (self.depth - 1),) * self.dimension

    @property
    def operators(self):
        """The `Operator` of every attention, in the order of evaluation."""
        bottom = self.depth - 1
        sampled = [(level, "down", kind) for level, kind in enumerate(self.downsamplings, 1)]
        sampled += [(bottom, "same", kind) for kind in self.bottom]
        sampled += [(bottom - i, "up", kind) for i, kind in enumerate(self.upsamplings, 1)]
        return [Operator(*where, kind) for *where, kind in sampled if kind.startswith("attention")]

    def attention_arguments(self, size, kind):
        """Arguments of the `layers.GVTO` of ``size`` that is named ``kind``, such as ``"attention_v1"``."""
        changes = {"residual": kind.partition("_")[2] or self.attention.residual}
        if size == "up" and self.upsampling_heads is not None:
            changes["num_heads"] = self.upsampling_heads
        return self.attention.arguments(size, **changes)

    @property
    def n_attention(self):
        """Number of attention operators."""
        return len(self.operators)

    @model_validator(mode="after")
    def _consistent(self):
        for field, blocks, entries in (
            ("encoding_blocks", self.encoding_blocks, self.depth),
            ("decoding_blocks", self.decoding_blocks, self.depth - 1),
            ("downsampling", self.downsamplings, self.depth - 1),
            ("upsampling", self.upsamplings, self.depth - 1),
        ):
            expect(len(blocks) == entries, field, f"{len(blocks)} entries", f"{entries} for this depth")
        blocks = sum(self.encoding_blocks) + sum(self.decoding_blocks)
        expect(blocks <= _MOST_IN_ALL, "encoding_blocks, decoding_blocks", blocks, f"at most {_MOST_IN_ALL} in all")
        check_offset(self)
        check_softmax(self)
        self._check_attention()
        self._check_input_size()
        return self

    def _check_attention(self):
        for level, size, kind in sorted(self.operators):
            filters, up = self.filters(level), size == "up" and self.upsampling_heads is not None
            field, what = (
                "upsampling_heads" if up else "attention.num_heads",
                f"the {filters} filters at level {level + 1}",
            )
            check_heads(field, self.attention_arguments(size, kind), filters, what)
        keys = self.attention.key_filters
        every = [self.attention_arguments(size, kind)["key_filters"] for _, size, kind in self.operators]
        expected = "none where every operator adds its query, of the output's channels, to the output (v2)"
        expect(not every or any(every) or keys is None, "attention.key_filters", keys, expected)

    def _check_input_size(self):
        if self.input_size is None:
            learned = self.attention.query == "learned" and self.n_attention
            expect(not learned, "input_size", "none", "that of the images, which a learned attention.query fixes")
            return
        entries = len(self.input_size)
        expect(entries == self.dimension, "input_size", f"{entries} entries", f"one for each of {self.dimension} axes")
        expect(math.prod(self.input_size) < 2**31, "input_size", self.input_size, "less than 2^31 positions")
        for size, divisor in zip(self.input_size, self.divisor, strict=True):
            expect(size % divisor == 0, "input_size", size, f"a multiple of {divisor}")


class ProjectionSpec(KeepsSize):
    """A 3D network that projects a stack onto a plane, followed by a 2D U-Net (GVTNet paper; docs/networks.md).

    Attributes:
        in_channels: of the stack.
        filters: channels of the projection network.
        dimension: number of spatial axes of the stack: 3.
        levels: number of poolings of 1 x 4 x 4.
        operators: of the projection network: "attention", or "residual" blocks in their place.
        attention: options of its attention operators.
        activation: of its pre-activations, see `UNetSpec`; the restoration has its own.
        restoration: the 2D U-Net; its ``in_channels`` must equal ``in_channels``.

    Example:
        >>> unet = UNetSpec(dimension=2, depth=2, encoding_blocks=(1, 0), decoding_blocks=(1,))
        >>> ProjectionSpec(restoration=unet).divisor
        (1, 16, 16)
    """

    kind: Literal["projection"] = "projection"
    in_channels: Count = 1
    filters: Count = 8
    levels: Annotated[int, Field(ge=1, le=DEEPEST // 2)] = 2
    operators: Block = "attention"
    attention: AttentionSpec = AttentionSpec()
    activation: Activation = "relu6"
    restoration: UNetSpec = UNetSpec()

    dimension: Literal[3] = 3

    @property
    def out_channels(self):
        """Channels of the projected, restored image."""
        return self.restoration.out_channels

    @property
    def probabilistic(self):
        """Whether the restoration predicts a scale beside the mean."""
        return self.restoration.probabilistic

    @property
    def divisor(self):
        """What z, y, x must be divisible by: z by nothing, y and x by both networks' factors."""
        lateral = max(4**self.levels, 2 ** (self.restoration.depth - 1))
        return (1, lateral, lateral)

    @property
    def n_attention(self):
        """Number of attention operators of both parts, in the order of evaluation."""
        return (1 + self.levels if self.operators == "attention" else 0) + self.restoration.n_attention

    @model_validator(mode="after")
    def _consistent(self):
        dimension, channels = self.restoration.dimension, self.restoration.in_channels
        expect(dimension == 2, "restoration.dimension", dimension, "2 after the projection")
        expect(self.restoration.upscale == 1, "restoration.upscale", self.restoration.upscale, "1 after a projection")
        expected = f"in_channels = {self.in_channels}"
        expect(channels == self.in_channels, "restoration.in_channels", channels, expected)
        expect(self.attention.query == "input", "attention.query", "'learned'", "'input' for stacks of any size")
        for size in ("same", "up4") if self.operators == "attention" else ():
            arguments = self.attention.arguments(size)
            check_heads("attention.num_heads", arguments, self.filters, f"filters = {self.filters}")
        return self


class FNetSpec(RestorationSpec):
    """The U-Net that GVTNet is compared with in label-free prediction (GVTNet paper, section 2.2; Ounkomol et al.).

    No residual blocks and no attention: at each resolution two convolutions on the way down, and two on the way up.

    Attributes:
        depth, first_filters: as of `UNetSpec`.
        momentum, epsilon: of the batch normalisation after every convolution but the last, those of its authors.
        probabilistic: always false.

    Example:
        >>> FNetSpec(dimension=3).divisor
        (16, 16, 16)
    """

    kind: Literal["fnet"] = "fnet"
    dimension: Literal[2, 3] = 3
    depth: Depth = 5
    first_filters: Count = 32
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    probabilistic: Literal[False] = False

    @property
    def batch_norm(self):
        """Whether there is batch normalisation, which these networks always have."""
        return True

    def with_depth(self, depth):
        """The same network with another number of resolutions."""
        return self.replace(depth=depth)


TrainedSpec = UNetSpec | ProjectionSpec | SSANSpec | FNetSpec | SuperResolutionSpec | UNetVariantSpec | CENetSpec
"""The specifications of networks that are trained here; those of CSBDeep are predicted with."""

NetworkSpec = Annotated[TrainedSpec | CARESpec | OwnSpec, Field(discriminator="kind")]

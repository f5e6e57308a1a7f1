"""Network specifications: validated data from which a network is built, with nothing of Keras in them."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from aeanet_tf.errors import expect

Block = Literal["attention", "residual"]
Share = Annotated[float, Field(ge=0, lt=1)]
UpSampling = Literal["transposed_convolution", "attention"]
# By tags, so that an error is told of what was given only: a name, or a tuple.
UpSamplings = Annotated[
    Annotated[UpSampling, Tag("all")] | Annotated[tuple[UpSampling, ...], Tag("each")],
    Discriminator(lambda value: "each" if isinstance(value, (list, tuple)) else "all"),
]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def model_kind(self):
        """Which model a network is for: its ``kind``, or "segmentation" for a U-Net that ends in a softmax."""
        return "segmentation" if getattr(self, "last_activation", None) == "softmax" else self.kind

    def replace(self, **changes):
        """A validated copy with fields changed; nested fields as ``attention__num_heads=4`` or as a dict."""
        data = self.model_dump()
        for key, value in changes.items():
            _assign(data, key.split("__"), value)
        return type(self).model_validate(data)


def _assign(data, keys, value):
    for key in keys[:-1]:
        if not isinstance(data.get(key), dict):
            data[key] = {}  # No such nested field: validation says so.
        data = data[key]
    if isinstance(data.get(keys[-1]), dict) and isinstance(value, dict):
        for key, item in value.items():
            _assign(data[keys[-1]], [key], item)
    else:
        data[keys[-1]] = value


class AttentionSpec(_Spec):
    """Options of every attention operator of a network; the names are those of `layers.GlobalAttention`.

    Example:
        >>> AttentionSpec(num_heads=4).replace(shared_references=64).num_heads
        4
    """

    num_heads: PositiveInt = 2
    shared_references: Annotated[int, Field(ge=0)] = 0
    batch_aware: bool = False
    normalization: Literal["key_length", "query_length", "softmax"] = "query_length"
    query: Literal["input", "learned"] = "input"
    residual: Literal["v1", "v2"] = "v2"
    dropout: Share = 0.0

    @field_validator("dropout")
    @classmethod
    def _of_softmax(cls, dropout, info: ValidationInfo):
        normalization = info.data.get("normalization", "softmax")
        if dropout and normalization != "softmax":
            raise ValueError(f"found {dropout}, expected 0 with normalization '{normalization}': no weights are formed")
        return dropout


class UNetSpec(_Spec):
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
        downsampling, upsampling: the operator that changes resolution; ``upsampling`` may be a tuple with one for each
            up-sampling, coarsest first.
        upsampling_kernel: kernel size of transposed convolutions.
        upsampling_heads: heads of up-sampling attention; ``None`` for ``attention.num_heads``.
        bottom: blocks at the coarsest resolution, after its encoding blocks.
        skip: how the encoder's features join the decoder's.
        attention: options of the attention operators.
        batch_norm, momentum, epsilon: batch normalisation of the pre-activations.
        output_dropout: share of the features set to 0 in training before the last convolution.
        output_kernel, output_bias: the last convolution.
        output_offset: whether the network predicts a correction that is added to the input.
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
    in_channels: PositiveInt = 1
    out_channels: PositiveInt = 1
    depth: Annotated[int, Field(ge=2)] = 3
    first_filters: PositiveInt = 32
    encoding_blocks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 1, 0)
    decoding_blocks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 1)
    first_shortcut: Literal["identity", "convolution"] = "identity"
    downsampling: Literal["convolution", "residual", "attention"] = "convolution"
    upsampling: UpSamplings = "transposed_convolution"
    upsampling_kernel: Annotated[int, Field(ge=2, le=5)] = 3
    upsampling_heads: PositiveInt | None = None
    bottom: tuple[Block, ...] = ("attention",)
    skip: Literal["concat", "add"] = "concat"
    attention: AttentionSpec = AttentionSpec()
    batch_norm: bool = True
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.997
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    output_dropout: Share = 0.0
    output_kernel: Literal[1, 3, 5] = 1
    output_bias: bool = False
    output_offset: bool = False
    probabilistic: bool = False
    last_activation: Literal["linear", "relu", "softmax"] = "linear"
    kernel_initializer: str = "glorot_uniform"
    input_size: tuple[PositiveInt, ...] | None = None

    def filters(self, level):
        """Channels at resolution ``level``, 0 the finest."""
        return self.first_filters * 2**level

    def with_depth(self, depth):
        """The same network with another number of resolutions: the inner ones are repeated or left out."""

        def resized(blocks, length):
            inner = blocks[1:-1] or blocks[:1]
            return (blocks[:1] + inner + inner[-1:] * length)[: length - 1] + blocks[-1:]

        return self.replace(
            depth=depth,
            encoding_blocks=resized(self.encoding_blocks, depth),
            decoding_blocks=resized(self.decoding_blocks, depth - 1),
            upsampling=self.upsampling if isinstance(self.upsampling, str) else resized(self.upsampling, depth - 1),
        )

    @property
    def upsamplings(self):
        """The operator of each up-sampling, coarsest first."""
        return (self.upsampling,) * (self.depth - 1) if isinstance(self.upsampling, str) else self.upsampling

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by, one entry an axis."""
        return (2 ** (self.depth - 1),) * self.dimension

    @property
    def n_attention(self):
        """Number of attention operators, in the order of evaluation."""
        levels = self.depth - 1
        return (
            (levels if self.downsampling == "attention" else 0)
            + self.bottom.count("attention")
            + self.upsamplings.count("attention")
        )

    @model_validator(mode="after")
    def _consistent(self):
        for field, blocks, entries in (
            ("encoding_blocks", self.encoding_blocks, self.depth),
            ("decoding_blocks", self.decoding_blocks, self.depth - 1),
            ("upsampling", self.upsamplings, self.depth - 1),
        ):
            expect(len(blocks) == entries, field, f"{len(blocks)} entries", f"{entries} for this depth")
        fits = not self.output_offset or self.in_channels == self.out_channels
        given = f"True with in_channels ({self.in_channels}) and out_channels ({self.out_channels})"
        expect(fits, "output_offset", given, "equal ones, as the input is added")
        self._check_softmax()
        for level, field, heads in self._heads():
            filters = self.filters(level)
            expect(filters % heads == 0, field, heads, f"a divisor of the {filters} filters at level {level + 1}")
        self._check_input_size()
        return self

    def _heads(self):
        """Level, name of the field and number of heads wherever something attends."""
        levels = [self.depth - 1] if "attention" in self.bottom else []
        if self.downsampling == "attention":
            levels += range(1, self.depth)
        heads = up = ("attention.num_heads", self.attention.num_heads)
        if self.upsampling_heads is not None:
            up = ("upsampling_heads", self.upsampling_heads)
        found = {(level, *heads) for level in levels}
        found |= {(level, *up) for level, kind in enumerate(reversed(self.upsamplings)) if kind == "attention"}
        return sorted(found)

    def _check_softmax(self):
        if self.last_activation != "softmax":
            return
        for field in ("output_offset", "probabilistic"):
            expect(not getattr(self, field), field, True, "False where last_activation is 'softmax', over classes")
        expect(self.out_channels > 1, "out_channels", self.out_channels, "at least 2 classes for a softmax")

    def _check_input_size(self):
        if self.input_size is None:
            learned = self.attention.query == "learned" and self.n_attention
            expect(not learned, "input_size", "none", "that of the images, which a learned attention.query fixes")
            return
        entries = len(self.input_size)
        expect(entries == self.dimension, "input_size", f"{entries} entries", f"one for each of {self.dimension} axes")
        for size, divisor in zip(self.input_size, self.divisor, strict=True):
            expect(size % divisor == 0, "input_size", size, f"a multiple of {divisor}")


class ProjectionSpec(_Spec):
    """A 3D network that projects a stack onto a plane, followed by a 2D U-Net (GVTNet paper; docs/networks.md).

    Attributes:
        in_channels: of the stack.
        filters: channels of the projection network.
        levels: number of poolings of 1 x 4 x 4.
        attention: options of its attention operators.
        restoration: the 2D U-Net; its ``in_channels`` must equal ``in_channels``.

    Example:
        >>> unet = UNetSpec(dimension=2, depth=2, encoding_blocks=(1, 0), decoding_blocks=(1,))
        >>> ProjectionSpec(restoration=unet).divisor
        (1, 16, 16)
    """

    kind: Literal["projection"] = "projection"
    in_channels: PositiveInt = 1
    filters: PositiveInt = 8
    levels: Annotated[int, Field(ge=1)] = 2
    operators: Block = "attention"
    attention: AttentionSpec = AttentionSpec()
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
        expected = f"in_channels = {self.in_channels}"
        expect(channels == self.in_channels, "restoration.in_channels", channels, expected)
        expect(self.attention.query == "input", "attention.query", "'learned'", "'input' for stacks of any size")
        heads = self.attention.num_heads if self.operators == "attention" else 1
        expect(self.filters % heads == 0, "attention.num_heads", heads, f"a divisor of filters = {self.filters}")
        return self


class SSANSpec(_Spec):
    """A network that predicts a slice of a serial section from the two beside it (SSAN paper; docs/networks.md).

    Attributes:
        in_channels: of the slice before and the slice after, together.
        out_channels: of a slice.
        filters: channels of the features, 64 as for the paper's attention-aware layer.
        blocks, convolutions, growth: D residual dense blocks of C convolutions that add G channels each. The paper does
            not give them: 3, 3 and 16 are ours, with which the network can be trained on a processor.
        attention: ``"sparse"``, the paper's attention-aware layer; ``"aea"``, one AEA block in its place, whose
            attention is normalised by length: cheaper, and predicted exactly in tiles; or ``"none"``.
        aea: options of the AEA block.
        symmetric: whether both orders share the convolution to the warped slice too, and the mask is
            sigmoid(w(a) - w(b)) with a convolution w of each order's features a and b, so that the neighbours swapped
            give the same slice. Otherwise each order has its own, and the mask comes from a convolution of both. The
            paper leaves it open.
        batch_norm, momentum, epsilon: of the activations. Off; the paper says that there is batch norm, not where.
        kernel_initializer: name of a Keras initialiser.

    Example:
        >>> SSANSpec(attention="aea").n_attention
        2
    """

    kind: Literal["ssan"] = "ssan"
    dimension: Literal[2] = 2
    in_channels: PositiveInt = 2
    out_channels: PositiveInt = 1
    filters: PositiveInt = 64
    blocks: PositiveInt = 3
    convolutions: PositiveInt = 3
    growth: PositiveInt = 16
    attention: Literal["sparse", "aea", "none"] = "sparse"
    aea: AttentionSpec = AttentionSpec(shared_references=64, batch_aware=True, normalization="key_length")
    symmetric: bool = True
    batch_norm: bool = False
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.997
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    kernel_initializer: str = "glorot_uniform"
    probabilistic: Literal[False] = False

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by: anything."""
        return (1, 1)

    @property
    def n_attention(self):
        """Number of attention operators: one for each order of the neighbours."""
        return 0 if self.attention == "none" else 2

    @model_validator(mode="after")
    def _consistent(self):
        expected = f"{2 * self.out_channels}, those of the two neighbours of a slice of {self.out_channels}"
        expect(self.in_channels == 2 * self.out_channels, "in_channels", self.in_channels, expected)
        eighths = self.attention != "sparse" or self.filters % 8 == 0
        expect(eighths, "filters", self.filters, "a multiple of 8 for sparse attention")
        heads = self.aea.num_heads if self.attention == "aea" else 1
        expect(self.filters % heads == 0, "aea.num_heads", heads, f"a divisor of filters = {self.filters}")
        expect(self.aea.query == "input", "aea.query", "'learned'", "'input' for slices of any size")
        return self


class FNetSpec(_Spec):
    """The U-Net that GVTNet is compared with in label-free prediction (GVTNet paper, section 2.2; Ounkomol et al.).

    No residual blocks and no attention: at each resolution two convolutions on the way down, and two on the way up.

    Attributes:
        dimension, in_channels, out_channels, depth, first_filters, output_offset, last_activation, kernel_initializer:
            as of `UNetSpec`.
        momentum, epsilon: of the batch normalisation after every convolution but the last, those of its authors.

    Example:
        >>> FNetSpec(dimension=3).divisor
        (16, 16, 16)
    """

    kind: Literal["fnet"] = "fnet"
    dimension: Literal[2, 3] = 3
    in_channels: PositiveInt = 1
    out_channels: PositiveInt = 1
    depth: Annotated[int, Field(ge=2)] = 5
    first_filters: PositiveInt = 32
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    epsilon: Annotated[float, Field(gt=0)] = 1e-5
    output_offset: bool = False
    probabilistic: Literal[False] = False
    last_activation: Literal["linear", "relu"] = "linear"
    kernel_initializer: str = "glorot_uniform"

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by, one entry an axis."""
        return (2 ** (self.depth - 1),) * self.dimension

    @property
    def n_attention(self):
        """Number of attention operators: none."""
        return 0

    @property
    def input_size(self):
        """Spatial size, which is free."""
        return None

    def with_depth(self, depth):
        """The same network with another number of resolutions."""
        return self.replace(depth=depth)

    @model_validator(mode="after")
    def _consistent(self):
        fits = not self.output_offset or self.in_channels == self.out_channels
        given = f"True with in_channels ({self.in_channels}) and out_channels ({self.out_channels})"
        expect(fits, "output_offset", given, "equal ones, as the input is added")
        return self


NetworkSpec = Annotated[UNetSpec | ProjectionSpec | SSANSpec | FNetSpec, Field(discriminator="kind")]

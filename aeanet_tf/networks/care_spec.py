"""Specifications of CSBDeep's own networks: the U-Net of CARE, and the projection that stands before it."""

from math import lcm
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, ValidationError, model_validator

from aeanet_tf.errors import InputError, expect, short
from aeanet_tf.field_errors import from_validation
from aeanet_tf.networks.attention_spec import DEEPEST, Count, KeepsSize, Spec

# Far beyond what has a use, and built in seconds.
_LARGEST_KERNEL, _MOST_CONVOLUTIONS = 63, 64
Depth = Annotated[StrictInt, Field(ge=1, le=DEEPEST)]
Channels = Annotated[StrictInt, Field(gt=0, lt=2**31)]
Kernel = Annotated[StrictInt, Field(ge=1, le=_LARGEST_KERNEL)]
Pool = Annotated[StrictInt, Field(ge=1, le=64)]


class CAREProjectionSpec(Spec):
    """The network by which a ``ProjectionCARE`` finds the surface of a stack; names and defaults are CSBDeep's.

    Attributes:
        n_depth: poolings.
        n_filt: channels.
        n_conv_per_depth: convolutions at each resolution.
        kern, pool: size of the convolutions and of the poolings along z, y and x.
    """

    n_depth: Depth = 4
    n_filt: Channels = 8
    n_conv_per_depth: Annotated[StrictInt, Field(ge=1, le=_MOST_CONVOLUTIONS)] = 1
    kern: tuple[Kernel, Kernel, Kernel] = (3, 3, 3)
    pool: tuple[Pool, Pool, Pool] = (1, 2, 2)


class CARESpec(KeepsSize):
    """A network of CSBDeep's ``CARE``, or with a ``projection`` of its ``ProjectionCARE`` (docs/care_models.md).

    Attributes:
        dimension: number of spatial axes of the input, 2 or 3.
        in_channels, out_channels: of the images.
        n_depth: poolings by 2 of the U-Net.
        kern_size: of its convolutions.
        n_first: channels at full resolution, doubled at each coarser one.
        residual: whether the U-Net predicts a correction that is added to its input.
        probabilistic: whether a scale is predicted beside the mean, as further channels behind it.
        last_activation: of the mean.
        projection: of a stack to a plane, before the U-Net; ``None`` for none.

    Example:
        >>> CARESpec(dimension=3, n_depth=2).divisor
        (4, 4, 4)
    """

    kind: Literal["care"] = "care"
    dimension: Literal[2, 3] = 2
    in_channels: Count = 1
    out_channels: Count = 1
    n_depth: Depth = 2
    kern_size: Kernel = 5
    n_first: Channels = 32
    residual: StrictBool = True
    probabilistic: StrictBool = False
    last_activation: Literal["linear", "relu"] = "linear"
    projection: CAREProjectionSpec | None = None

    @classmethod
    def of_configuration(cls, fields):
        """The spec of a network from what CSBDeep writes into ``config.json``.

        Raises:
            InputError: names the first field that is wrong, as CSBDeep calls it.
        """
        try:
            axes = fields["axes"]
            expect(isinstance(axes, str), "axes", short(axes), "letters such as YXC")
            spatial = axes.replace("C", "").replace("S", "")
            own = {name: fields[f"unet_{name}"] for name in ("n_depth", "kern_size", "n_first", "residual")}
            own |= {"last_activation": fields["unet_last_activation"], "probabilistic": fields["probabilistic"]}
            own |= {"in_channels": fields["n_channel_in"], "out_channels": fields["n_channel_out"]}
        except KeyError as error:
            raise InputError(f"{error.args[0]}: missing, expected in the configuration of a CARE") from None
        given = {name.removeprefix("proj_"): value for name, value in fields.items() if name.startswith("proj_")}
        if given:
            axis = given.pop("axis", "Z")
            expect(spatial[:1] == axis, "proj_axis", short(axis), f"{spatial[:1]!r}, the first of the axes {axes}")
            own["projection"] = given
        try:
            return cls(dimension=len(spatial), **own)
        except ValidationError as error:
            raise from_validation(error, "network") from None

    @property
    def unet_dimension(self):
        """Number of spatial axes of the U-Net."""
        return self.dimension - (self.projection is not None)

    @property
    def divisor(self):
        """What every spatial axis of the input must be divisible by, one entry an axis."""
        unet = (2**self.n_depth,) * self.unet_dimension
        if self.projection is None:
            return unet
        pools = [n**self.projection.n_depth for n in self.projection.pool]
        return tuple(map(lcm, pools, (1, *unet)))

    @property
    def n_attention(self):
        """Number of attention operators: none."""
        return 0

    @property
    def batch_norm(self):
        """Whether there is batch normalisation, which these networks never have."""
        return False

    @property
    def input_size(self):
        """Spatial size, which is free."""
        return None

    @model_validator(mode="after")
    def _consistent(self):
        expect(self.kern_size % 2 == 1, "kern_size", self.kern_size, "an odd number")
        same = not self.residual or self.in_channels == self.out_channels
        given = f"True with in_channels ({self.in_channels}) and out_channels ({self.out_channels})"
        expect(same, "residual", given, "equal ones, as the input is added")
        expect(self.projection is None or self.dimension == 3, "projection", "images of 2 axes", "3, of a stack")
        return self

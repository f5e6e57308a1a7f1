"""What is known of a network that a user's own code builds, or that is kept as a Keras architecture."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator

from aeanet_tf.errors import expect
from aeanet_tf.networks.attention_spec import Count, KeepsSize


class OwnSpec(KeepsSize):
    """A network that ``_build`` of a user's class gave; its layers are in ``network.json`` of the model folder.

    Attributes:
        dimension: number of spatial axes, 2 or 3.
        in_channels, out_channels: of the images.
        probabilistic: whether a scale is predicted beside the mean, as further channels behind it.
        divisor: what every spatial axis of the input must be divisible by, one entry an axis.
        input_size: spatial size, only for networks that need one.
        n_attention: number of attention operators of this package.
        built_by: the class, as ``"module:Name"``.
        base: the spec that the configuration has asked for, which such a class may begin with; empty where unknown.

    Example:
        >>> OwnSpec(dimension=2, divisor=(4, 4), built_by="mine:Net").model_kind
        'own'
    """

    kind: Literal["own"] = "own"
    dimension: Literal[2, 3] = 2
    in_channels: Count = 1
    out_channels: Count = 1
    probabilistic: StrictBool = False
    divisor: tuple[Count, ...]
    input_size: tuple[Count, ...] | None = None
    n_attention: Annotated[int, Field(ge=0)] = 0
    built_by: str = ""
    base: dict[str, Any] = Field(default_factory=dict)

    @property
    def batch_norm(self):
        """Whether statistics of batch norm are estimated after short trainings, which nobody asked for here."""
        return False

    @model_validator(mode="after")
    def _consistent(self):
        for name in ("divisor", "input_size"):
            found = getattr(self, name)
            fits = found is None or len(found) == self.dimension
            expect(fits, name, f"{found and len(found)} entries", f"one for each of {self.dimension} axes")
        return self

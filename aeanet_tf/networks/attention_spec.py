"""The options of a network's attention operators, and what specifications of all kinds have in common."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from aeanet_tf.errors import expect, short

Share = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["relu6", "relu"]
Count = Annotated[int, Field(gt=0, lt=2**31)]
"""Channels and the like: what a tensor can have along an axis."""
DEEPEST, MOST_BLOCKS = 16, 64
"""Resolutions of a network, and blocks at one of them: far beyond what has a use, and built in seconds."""
Depth = Annotated[int, Field(ge=2, le=DEEPEST)]
Blocks = Annotated[int, Field(ge=0, le=MOST_BLOCKS)]

# Those of Keras that draw a kernel of any rank.
INITIALIZERS = (
    *(f"{name}_{law}" for name in ("glorot", "he", "lecun") for law in ("uniform", "normal")),
    *("random_uniform", "random_normal", "truncated_normal", "variance_scaling", "orthogonal", "zeros", "ones"),
)


def _known_initializer(name):
    # Keras takes the names of the classes, too.
    known = {*INITIALIZERS, *(one.title().replace("_", "") for one in INITIALIZERS)}
    expect(name in known, "kernel_initializer", short(name), f"one of {', '.join(INITIALIZERS)}")
    return name


Initializer = Annotated[str, AfterValidator(_known_initializer)]


class Spec(BaseModel):
    """Validated fields that are never changed in place.

    Class attributes:
        width: name of the field that says how many channels the features have, at full resolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    width: ClassVar[str] = "first_filters"

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


class KeepsSize(Spec):
    """A network whose output has the pixels of its input."""

    @property
    def upscale(self):
        """Pixels of the output along an axis to one of the input."""
        return 1


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


class AttentionSpec(Spec):
    """Options of every attention operator of a network; the names are those of `layers.GlobalAttention`.

    Attributes:
        num_heads: heads, which divide the channels.
        shared_references: learned references beside the positions of the image, 0 for none.
        batch_aware: whether positions of the first half of a batch are attended to as well.
        normalization: what products of query and key are divided by, or "softmax".
        query: of the "input", or "learned", for images of one size.
        dropout: share of the weights of a softmax that is set to 0 in training.
        residual: path of the operators that change the size, see `layers.GVTO`; an operator of a `UNetSpec` may name
            its own.
        key_filters: channels of query and key; ``None`` for the operator's output channels. Operators that add their
            query to the output (v2, and those of projections) keep those of the output.
        value_filters: channels of the value; ``None`` for the operator's output channels.

    Example:
        >>> AttentionSpec(num_heads=4).replace(shared_references=64).num_heads
        4
    """

    num_heads: Count = 2
    shared_references: Annotated[int, Field(ge=0, lt=2**31)] = 0
    batch_aware: bool = False
    normalization: Literal["key_length", "query_length", "softmax"] = "query_length"
    query: Literal["input", "learned"] = "input"
    residual: Literal["v1", "v2"] = "v2"
    dropout: Share = 0.0
    key_filters: Count | None = None
    value_filters: Count | None = None

    @field_validator("dropout")
    @classmethod
    def _of_softmax(cls, dropout, info: ValidationInfo):
        normalization = info.data.get("normalization", "softmax")
        if dropout and normalization != "softmax":
            raise ValueError(f"found {dropout}, expected 0 with normalization '{normalization}': no weights are formed")
        return dropout

    def arguments(self, size, **changes):
        """Arguments of a `layers.GVTO` of ``size``, with some of the options changed."""
        options = {**self.model_dump(), **changes}
        if _adds_query(size, options["residual"]):
            options["key_filters"] = None
        return options


def _adds_query(size, residual):
    """Whether an operator adds its query to the output, so that the query has the output's channels."""
    return size == "up4" or (size != "same" and residual == "v2")


def check_heads(field, arguments, filters, what):
    """Raise `InputError` where the heads of an operator with ``filters`` outputs do not divide its channels."""
    heads = arguments["num_heads"]
    for name in ("key_filters", "value_filters"):
        own = arguments[name]
        expected = f"a divisor of {what if own is None else f'{name} = {own}'}"
        expect((own or filters) % heads == 0, field, heads, expected)

"""How images are prepared for a network: what training and prediction share, and model folders keep."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(gt=0, lt=2**31)]
"""What is counted: steps, patches, channels, pixels along an axis."""

# The least and the largest difference, in which images are normalised.
_FLOAT32 = 1.1754944e-38, 3.4028234e38


class Section(BaseModel):
    """A part of a configuration: unknown fields are refused, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NormalizationSection(Section):
    """How images are normalised, for training and prediction alike, each image (and channel) by itself.

    ``percentile``: the percentiles ``low`` and ``high`` become 0 and 1. ``range``: the values ``low`` and ``high``
    become 0 and 1, for instance 0 and 255. ``standard``: the mean becomes 0 and the standard deviation 1; predictions
    stay normalised, since the target of such a model (label-free prediction) has another unit than its input. With
    ``over`` "nonzero" mean and deviation are those of the positions where any channel is above 0 (what skull stripping
    has left), and all positions are mapped alike. ``none``: images are taken as they are.

    Attributes:
        kind: "percentile", "range", "standard" or "none".
        low: the percentile, or the value, that becomes 0.
        high: the percentile, or the value, that becomes 1.
        over: for "standard": "all" positions, or those where any channel is above 0, "nonzero".
    """

    kind: Literal["percentile", "range", "standard", "none"] = "percentile"
    low: float = 2.0
    high: float = 99.8
    over: Literal["all", "nonzero"] = "all"

    @model_validator(mode="after")
    def _fits(self):
        if self.over != "all" and self.kind != "standard":
            raise ValueError(f"over: {self.over!r} does not fit kind {self.kind!r}, only 'standard' knows it")
        if self.kind in ("percentile", "range") and not self.low < self.high:
            raise ValueError(f"low: {self.low} is not below high = {self.high}")
        if self.kind == "range" and not (
            max(abs(self.low), abs(self.high)) <= _FLOAT32[1] and _FLOAT32[0] <= self.high - self.low <= _FLOAT32[1]
        ):
            raise ValueError(f"low, high: {self.low} and {self.high} are no range that float32 holds")
        if self.kind == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise ValueError(f"low, high: {self.low} and {self.high} are not percentiles from 0 to 100")
        return self

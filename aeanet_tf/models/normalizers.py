"""CSBDeep normalisers from the configuration of a run, the same for training and prediction."""

import numpy as np
from csbdeep.data import NoNormalizer, Normalizer, PercentileNormalizer


class RangeNormalizer(Normalizer):
    """Maps the values ``low`` and ``high`` to 0 and 1, the same for every image, and back after prediction."""

    def __init__(self, low, high, do_after=True):
        self.low, self.high, self._do_after = float(low), float(high), do_after

    def before(self, x, axes):
        """``(x - low) / (high - low)`` in float32; see ``csbdeep.data.Normalizer``."""
        return (x.astype(np.float32) - self.low) / (self.high - self.low)

    def after(self, mean, scale, axes):
        """The inverse, for mean and scale; see ``csbdeep.data.Normalizer``."""
        width = self.high - self.low
        return mean * width + self.low, None if scale is None else scale * width

    @property
    def do_after(self):
        """Whether predictions are mapped back to the range of the input."""
        return self._do_after


def make_normalizer(section):
    """The CSBDeep ``Normalizer`` of a `NormalizationSection`."""
    if section.kind == "percentile":
        return PercentileNormalizer(section.low, section.high)
    if section.kind == "range":
        return RangeNormalizer(section.low, section.high)
    return NoNormalizer()

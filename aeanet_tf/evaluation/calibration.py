"""Whether predicted uncertainties are right: predicted against true errors, and how often intervals hold the truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.evaluation.tables import write_lines

LEVELS = tuple(i / 20 for i in range(1, 20))
"""Confidences of the intervals that are counted: 0.05 to 0.95."""

# Ratios of error to scale, and scales, are counted in so many bins an octave, from 2^-32 to 2^32 of the ratio.
_RATIO_BINS, _SCALE_BINS, _OCTAVES = 64, 8, 32
# Factors are looked for up to 2^8, and down to its reciprocal, in steps of a bin.
_WIDEST = 8 * _RATIO_BINS
# Pixels at a time.
_AT_ONCE = 1 << 20


class ErrorBin(NamedTuple):
    """Pixels with a predicted scale of about the same size.

    Attributes:
        predicted: their mean scale, which is the mean absolute error of a Laplace distribution.
        true: their mean absolute error.
        pixels: their number.
    """

    predicted: float
    true: float
    pixels: int


class Calibration:
    """Sums over pixels of predicted Laplace scales and true errors, image after image.

    For a Laplace distribution of scale b the mean absolute error is b, and the central interval of confidence p
    reaches as far as ``-b log(1 - p)`` from the mean. Calibrated predictions have their mean error in each bin of
    predicted scales, and in each interval as many true values as its confidence says.

    Example:
        >>> import numpy as np
        >>> rng, scale = np.random.default_rng(0), np.full(100000, 2.0)
        >>> calibration = Calibration()
        >>> calibration.add(rng.laplace(0, scale), np.zeros(100000), scale)
        >>> round(calibration.factor(), 1), calibration.expected_error() < 0.01
        (1.0, True)
    """

    def __init__(self) -> None:
        self.pixels = 0
        self._wrong = 0
        self._ratios = np.zeros(2 * _OCTAVES * _RATIO_BINS, np.int64)
        self._by_scale: dict[int, np.ndarray] = {}

    def add(self, truth: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> None:
        """Add the pixels of an image.

        Args:
            truth: the ground truth, in the unit of the prediction.
            mean, scale: of the prediction; arrays of the same shape, in one unit.

        Raises:
            InputError: shapes differ, or a scale is not above 0.
        """
        if not truth.shape == mean.shape == scale.shape:
            shapes = f"{truth.shape}, {mean.shape} and {scale.shape}"
            raise InputError(f"truth, prediction and scale: found the shapes {shapes}, expected equal ones")
        parts = [array.reshape(-1) for array in (truth, mean, scale)]
        for start in range(0, parts[0].size, _AT_ONCE):
            self._add(*(part[start : start + _AT_ONCE].astype(np.float64) for part in parts))

    def _add(self, truth: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> None:
        if not (scale > 0).all():
            raise InputError(f"scale: found {scale.min():g}, expected numbers above 0")
        error = abs(truth - mean)
        ratio = error / scale
        self.pixels += ratio.size
        self._wrong += int(np.count_nonzero(error))
        bins = np.log2(np.maximum(ratio, 2.0**-_OCTAVES)) + _OCTAVES
        bins = np.minimum((bins * _RATIO_BINS).astype(int), len(self._ratios) - 1)
        self._ratios += np.bincount(bins, minlength=len(self._ratios))
        numbers, places = np.unique(np.floor(np.log2(scale) * _SCALE_BINS).astype(int), return_inverse=True)
        sums = np.stack([np.bincount(places, values) for values in (np.ones_like(scale), scale, error)], 1)
        for number, row in zip(numbers.tolist(), sums, strict=True):
            self._by_scale[number] = self._by_scale.get(number, np.zeros(3)) + row

    def factor(self) -> float:
        """By what scales are to be multiplied for the expected calibration error to be smallest, to 1 %.

        The factor of the largest Laplace likelihood is another where errors are not Laplacian: on W2S it made the
        intervals worse (docs/uncertainty.md).

        Raises:
            InputError: no pixel was added, or none has an error.
        """
        expect(self._wrong > 0, "calibration", "no errors", "predictions that differ from the truth")
        factors = 2.0 ** (np.arange(-_WIDEST, _WIDEST + 1) / _RATIO_BINS)
        return float(min(factors, key=self.expected_error))

    def coverage(self, confidences: Sequence[float] = LEVELS, factor: float = 1.0) -> np.ndarray:
        """The share of true values within the central intervals of these confidences.

        Args:
            confidences: numbers between 0 and 1.
            factor: what all scales are multiplied by.
        """
        reach = -np.log1p(-np.asarray(confidences, float)) * factor
        edges = 2.0 ** (np.arange(len(self._ratios) + 1) / _RATIO_BINS - _OCTAVES)
        return np.interp(reach, edges, np.concatenate([[0], np.cumsum(self._ratios)]) / max(1, self.pixels))

    def expected_error(self, factor: float = 1.0) -> float:
        """The expected calibration error: mean difference, without sign, of coverage and confidence over `LEVELS`.

        Args:
            factor: what all scales are multiplied by.
        """
        return float(np.mean(abs(self.coverage(factor=factor) - LEVELS)))

    def errors(self, most: int = 20) -> list[ErrorBin]:
        """Predicted and true error of pixels by their scale, in at most so many bins of about as many pixels each."""
        bins, held = [], np.zeros(3)
        for number in sorted(self._by_scale):
            held = held + self._by_scale[number]
            if held[0] >= self.pixels / most:
                bins.append(held)
                held = np.zeros(3)
        if held[0]:
            # What is left of the largest belongs to those before.
            bins[-1:] = [bins[-1] + held if bins else held]
        return [ErrorBin(float(scale / n), float(error / n), round(n)) for n, scale, error in bins]

    def total(self) -> ErrorBin:
        """Predicted and true error of all pixels."""
        (total,) = self.errors(1)
        return total

    def write(self, path: str | Path) -> None:
        """Write what the chart shows as CSV: a line for each bin of scales, and one for each confidence.

        Raises:
            InputError: the file cannot be written.
        """
        lines: list[Sequence[str | float]] = [["what", "predicted", "found", "pixels"]]
        lines += [["mean absolute error", one.predicted, one.true, one.pixels] for one in self.errors()]
        pairs = zip(LEVELS, self.coverage().tolist(), strict=True)
        lines += [["share of true values in the interval", *pair, self.pixels] for pair in pairs]
        write_lines(path, lines)

"""The two values of an image that normalisation maps to 0 and 1: percentiles, and wider ones where these coincide.

Sparse signal, hot pixels, a subtracted background, saturation: all but a few pixels have one value, which then is both
percentiles. What lies between them is no scale of the image.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from aeanet_tf.errors import expect
from aeanet_tf.io.image import check_held
from aeanet_tf.io.statistics import Progress, streamed_percentiles

logger = logging.getLogger("aeanet_tf")

LEAST_SHARE = 1e-6
"""Part of the range of an image that lies between two percentiles at least, lest they count as one: float32, in which
images are normalised and restored, resolves 1e-7. Normalised values are so at most 1e6, outliers of integers aside."""

# Less than what rounding leaves of such a range in float64: what differs so differs from an outlier, a fill value.
_ROUNDING = 1e-18

_STEPS = 3
# Part of a range that float32 resolves at least; and where 1e-20 more changes nothing in float32.
_RESOLVED, _LEAST_WIDTH = 1e-2, 1e-12


def wider_percentiles(low: float, high: float) -> list[tuple[float, float]]:
    """Pairs of percentiles to fall back to, in turn: a tenth, a hundredth, a thousandth as far from 0 and 100, then
    minimum and maximum.

    Example:
        >>> from aeanet_tf.io.value_range import wider_percentiles
        >>> [(round(low, 6), round(high, 6)) for low, high in wider_percentiles(2, 99.8)]
        [(0.2, 99.98), (0.02, 99.998), (0.002, 99.9998), (0, 100)]
    """
    return [*((low / 10**i, 100 - (100 - high) / 10**i) for i in range(1, _STEPS + 1)), (0, 100)]


def is_range(
    low: np.ndarray, high: np.ndarray, least: np.ndarray, most: np.ndarray, dtype: DTypeLike = "float64"
) -> np.ndarray:
    """Whether two percentiles of an image, one pair a channel, are apart, seen from its least and its largest value.

    They are where a millionth of the range lies between them; of integers also where 1 does, which no rounding leaves,
    however large a single pixel is.
    """
    width, whole = high - low, most - least
    genuine = width >= 1 if np.dtype(dtype).kind in "biu" else (width > 0) & (width < _ROUNDING * whole)
    return np.asarray((width > LEAST_SHARE * whole) | genuine)


def streamed_range(
    array: np.ndarray,
    axes: str,
    percentiles: Sequence[float],
    path: str | Path | None = None,
    progress: Progress | None = None,
    workers: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Two values of each channel of a lazy image to normalise it by; see `streamed_percentiles`.

    They are the percentiles asked for where these are apart (`is_range`). Otherwise they
    are those of the first pair of `wider_percentiles` of which this holds, for which the image is read once more; of a
    channel that is constant both are its value. What was done is logged as a warning with the image's name.

    Args:
        array, axes, path, progress, workers: as for `streamed_percentiles`.
        percentiles: the lower and the upper.

    Returns:
        Two float64 arrays ``(channels,)``, the second larger where the channel is not constant.

    Raises:
        InputError: as `streamed_percentiles`; or values beyond float32's range, or that differ by less than it holds.
    """
    reading = {"path": path, "progress": progress, "workers": workers}
    low, high, least, most = streamed_percentiles(array, axes, [*percentiles, 0, 100], **reading)
    check_held(path, least.min(), most.max())
    name = path or "image"
    tiny = float(np.finfo(np.float32).tiny)
    for width in most - least:
        held = width == 0 or width > tiny
        expect(held, name, f"values that differ by {width:.3g}", f"more than {tiny:.3g}, the least that float32 holds")
    coincide = ~is_range(low, high, least, most, array.dtype)
    if (coincide & (least < most)).any():
        wider = wider_percentiles(*percentiles)
        values = streamed_percentiles(array, axes, [q for pair in wider for q in pair], **reading)
    for channel in np.flatnonzero(coincide):
        which = name if len(low) == 1 else f"{name}, channel {channel}"
        if least[channel] == most[channel]:
            logger.warning("%s: constant, %.6g everywhere; it is taken as 0 and stays as it is", which, least[channel])
            low[channel] = high[channel] = least[channel]
            continue
        ranges = [(*values[2 * i : 2 * i + 2, channel], pair) for i, pair in enumerate(wider)]
        facts = (which, *percentiles, low[channel])
        # The last one is minimum and maximum, of which it holds.
        extremes = least[channel], most[channel]
        low[channel], high[channel], pair = next(r for r in ranges if is_range(*r[:2], *extremes, array.dtype))
        instead = "minimum and maximum" if pair == (0, 100) else f"percentiles {pair[0]:.6g} and {pair[1]:.6g}"
        logger.warning(
            "%s: percentiles %g and %g coincide (%.6g), as of sparse or saturated images; normalised by %s, %.6g to "
            "%.6g",
            *facts,
            instead,
            low[channel],
            high[channel],
        )
    return low, high


def float32_serves(low: np.ndarray, high: np.ndarray, dtype: DTypeLike = "float64") -> np.ndarray:
    """Whether CSBDeep's formula, in float32 with 1e-20 in its denominator, normalises by two values of a channel.

    Args:
        low, high: float32 or float64, one a channel.
        dtype: of the image. Of types that float32 does not hold it has to resolve a hundredth of the range.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        width = high.astype(np.float32) - low.astype(np.float32)
        serves = (width > _LEAST_WIDTH) & np.isfinite(width)
        if np.can_cast(dtype, np.float32):
            return np.asarray(serves)
        largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float32)
        resolved = np.spacing(largest).astype(np.float64) <= _RESOLVED * (high.astype(np.float64) - low)
    return np.asarray(serves & resolved)


def measurable(array: np.ndarray) -> np.ndarray:
    """An image of the same values, of a type whose percentiles NumPy computes in its own type without overflow."""
    dtype = array.dtype
    if dtype.kind == "b":
        return array.astype(np.uint8)
    if dtype == np.float16:
        return array.astype(np.float32)
    if dtype.kind == "i" and array.size and int(array.max()) - int(array.min()) > np.iinfo(dtype).max:
        # It takes differences of neighbouring values.
        return array.astype(np.float64 if dtype.itemsize == np.dtype("int64").itemsize else f"i{2 * dtype.itemsize}")
    return array

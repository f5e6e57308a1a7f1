"""Mean and standard deviation of an image that is read piece by piece."""

import math

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import check_finite, not_finite
from aeanet_tf.io.statistics import read_pieces

# Values that are converted to float64 at once.
_BLOCK = 2**20


def streamed_mean_std(array, axes, path=None, progress=None, over="all"):
    """Mean and standard deviation of each channel of a lazy image, in float64, without ever holding the image.

    As NumPy's of the channel in float64, to rounding. The image is read once, in whole chunks joined up to 64 MB.

    Args:
        array: with ``shape``, ``dtype`` (bool, integers, floats) and ``array[slices]`` that gives a NumPy array for a
            slice of each axis; a NumPy array serves.
        axes: one letter a dimension. Axis C separates the channels.
        path: the image's name in messages.
        progress: called after each piece with a line that says what is done, and the number of pieces.
        over: positions whose values count: "all", or "nonzero", where any channel is above 0 (what skull stripping has
            left); all channels of a position are then read in one piece.

    Returns:
        Two float64 arrays ``(channels,)``; one channel without an axis C. The deviation is that of the population
        (divided by n).

    Raises:
        InputError: NaN or infinite values, an empty image, a dtype that is none of these, another ``over``, or with
            "nonzero" no position above 0.
    """
    if over not in ("all", "nonzero"):
        raise InputError(f"over: got {over!r}, expected 'all' or 'nonzero'")
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "biuf":
        raise InputError(f"{path or 'image'}: pixels of type {dtype}, expected integers or floats")
    if not math.prod(array.shape):
        raise InputError(f"{path or 'image'}: the image is empty, its shape is {tuple(array.shape)}")
    axis = axes.index("C") if "C" in axes else None
    sums = [_Moments() for _ in range(1 if axis is None else array.shape[axis])]
    pieces = _pieces(array, axis if over == "nonzero" else None)
    for piece in pieces:
        values = array[piece]
        channels = values[None] if axis is None else np.moveaxis(values, axis, 0)
        if over == "nonzero":
            # Here, since what is not finite may lie where nothing counts.
            check_finite(path, values)
            channels = channels[:, (channels > 0).any(axis=0)]
        for channel, moments in zip(channels, sums if axis is None else sums[piece[axis]], strict=True):
            moments.add(channel)
            if not math.isfinite(moments.mean):
                raise not_finite(path)
        if progress is not None:
            progress("mean and standard deviation", len(pieces))
    if not sums[0].count:
        raise InputError(f"{path or 'image'}: no position is above 0, expected some: mean and deviation are theirs")
    return np.array([m.mean for m in sums]), np.array([math.sqrt(m.squares / m.count) for m in sums])


def _pieces(array, whole):
    """Slices of the pieces to read; along the axis ``whole``, unless that is None, each has all of the array."""
    chunks = list(getattr(array, "chunks", None) or [1] * len(array.shape))
    if whole is not None:
        chunks[whole] = array.shape[whole]
    return read_pieces(array.shape, chunks, np.dtype(array.dtype).itemsize)


class _Moments:
    """Count, mean and sum of squared differences from it, merged block by block as Chan et al. (1979) do."""

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values):
        values = values.reshape(-1)
        for start in range(0, values.size, _BLOCK):
            block = values[start : start + _BLOCK].astype(np.float64)
            with np.errstate(invalid="ignore", over="ignore"):
                mean = float(block.mean())
                squares = float(np.square(block - mean).sum())
            count, difference = self.count + block.size, mean - self.mean
            self.squares += squares + difference**2 * self.count * block.size / count
            self.mean += difference * block.size / count
            self.count = count

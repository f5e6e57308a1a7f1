"""Mean and standard deviation of an image that is read piece by piece."""

import math

import numpy as np

from aeanet_tf.data.images import not_finite
from aeanet_tf.data.percentiles import read_pieces
from aeanet_tf.errors import InputError

# Values that are converted to float64 at once.
_BLOCK = 2**20


def streamed_mean_std(array, axes, path=None, progress=None):
    """Mean and standard deviation of each channel of a lazy image, in float64, without ever holding the image.

    As NumPy's of the channel in float64, to rounding. The image is read once, in whole chunks joined up to 64 MB.

    Args:
        array: with ``shape``, ``dtype`` (bool, integers, floats) and ``array[slices]`` that gives a NumPy array for a
            slice of each axis; a NumPy array serves.
        axes: one letter a dimension. Axis C separates the channels.
        path: the image's name in messages.
        progress: called after each piece with a line that says what is done, and the number of pieces.

    Returns:
        Two float64 arrays ``(channels,)``; one channel without an axis C. The deviation is that of the population
        (divided by n).

    Raises:
        InputError: NaN or infinite values, an empty image, a dtype that is none of these.
    """
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "biuf":
        raise InputError(f"{path or 'image'}: pixels of type {dtype}, expected integers or floats")
    if not math.prod(array.shape):
        raise InputError(f"{path or 'image'}: the image is empty, its shape is {tuple(array.shape)}")
    axis = axes.index("C") if "C" in axes else None
    sums = [_Moments() for _ in range(1 if axis is None else array.shape[axis])]
    pieces = read_pieces(array.shape, getattr(array, "chunks", None), dtype.itemsize)
    for piece in pieces:
        values = array[piece]
        channels = values[None] if axis is None else np.moveaxis(values, axis, 0)
        for channel, moments in zip(channels, sums if axis is None else sums[piece[axis]], strict=True):
            moments.add(channel)
            if not math.isfinite(moments.mean):
                raise not_finite(path)
        if progress is not None:
            progress("mean and standard deviation", len(pieces))
    return np.array([m.mean for m in sums]), np.array([math.sqrt(m.squares / m.count) for m in sums])


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

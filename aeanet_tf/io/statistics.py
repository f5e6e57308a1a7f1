"""Exact percentiles, mean and standard deviation of an image that is read piece by piece."""

import math
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from aeanet_tf.errors import InputError, check_choice, expect
from aeanet_tf.io.image import check_finite, not_finite

Progress: TypeAlias = Callable[[str, int], None]

PIECE_BYTES = 2**26
# Digits are counted in blocks that stay in the processor's cache.
_BLOCK = 2**18
# Values that are converted to float64 at once.
_CONVERTED = 2**20


def streamed_percentiles(
    array: np.ndarray,
    axes: str,
    percentiles: Sequence[float],
    path: str | Path | None = None,
    progress: Progress | None = None,
    workers: Any = None,
) -> np.ndarray:
    """Percentiles of each channel of a lazy image, exact, without ever holding the image.

    As ``np.percentile`` of the channel in float64: linear between the two neighbouring order statistics. Their
    position is computed in float64. NumPy 2 and later compute it in the dtype of the array where they are given a
    single percentile, as CSBDeep does: of 1e8 values in float32 that is wrong by a few ranks.

    The order statistics are found by radix selection on digits of 16 bits, which reads the image once for pixels of
    1 or 2 bytes, twice for 4, four times for 8; minimum and maximum (0 and 100) cost nothing. It reads
    whole chunks (``array.chunks``, where there are such), neighbours joined up to 64 MB. Beside such a piece it needs
    about 1 MB a channel in the first pass, and at most twice that a percentile and channel in the others.

    Args:
        array: with ``shape``, ``dtype`` (bool, integers, floats of at most 8 bytes) and ``array[slices]`` that gives
            a NumPy array for a slice of each axis; a NumPy array serves.
        axes: one letter a dimension. Axis C separates the channels.
        percentiles: numbers from 0 to 100.
        path: the image's name in messages.
        progress: called after each piece of each pass with a line that says which pass, and the number in all.
        workers: a `Cluster`, whose workers read the pieces; then the array can be pickled. ``None`` reads them here.

    Returns:
        float64 array ``(percentiles, channels)``; one channel without an axis C.

    Raises:
        InputError: NaN or infinite values, an empty image, a dtype that is none of these, percentiles that are none.
    """
    dtype = np.dtype(array.dtype).newbyteorder("=")
    _check(array, path)
    for q in percentiles:
        expect(0 <= q <= 100, "percentiles", q, "numbers from 0 to 100")
    axis = axes.index("C") if "C" in axes else None
    channels = 1 if axis is None else array.shape[axis]
    count = math.prod(array.shape) // channels
    positions = [(count - 1) * (float(q) / 100) for q in percentiles]
    ranks = sorted({rank for position in positions for rank in _neighbours(position, count)} - {0, count - 1})
    selections = [_RadixSelection(ranks, 8 * dtype.itemsize) for _ in range(channels)]
    pieces, passes, count_pieces = _pieces(array), selections[0].passes, partial(_count_pieces, array, axis, path)
    for number in range(passes):
        line = f"percentiles, pass {number + 1} of {passes}"
        _go_through(
            count_pieces, selections, pieces, workers, progress and partial(progress, line, passes * len(pieces))
        )
        for selection in selections:
            selection.end_pass()
    return np.array([[_interpolated(s, p, count, dtype) for s in selections] for p in positions], "float64")


def _go_through(add, sums, pieces, workers, progress):
    """``add(sums, pieces)`` for all pieces, one by one; or on workers, whose sums are merged in the pieces' order."""
    if workers is None:
        for piece in pieces:
            add(sums, [piece])
            if progress is not None:
                progress()
        return
    for count, found in workers.each(partial(add, [own.empty() for own in sums]), pieces):
        for own, others in zip(sums, found, strict=True):
            own.merge(others)
        for _ in range(count if progress is not None else 0):
            progress()


class _RadixSelection:
    """Finds the keys of given ranks in a stream of unsigned keys that passes once a digit, the highest first.

    Attributes:
        prefixes: for each rank the leading digits of its key as far as they are known, and its rank among the keys
            that share them.
        counts: of the next digit, for each of the leading digits in ``prefixes``.
        least, most: keys of all that has passed.
    """

    def __init__(self, ranks, bits):
        self.ranks = ranks
        self.digit = min(bits, 16)
        self.passes = bits // self.digit
        self.bits = self.shift = bits
        self.prefixes = [(0, rank) for rank in ranks]
        self.least = self.most = None
        self._begin_pass()

    def _begin_pass(self):
        self.shift -= self.digit
        # ``None`` until a key has passed.
        self.counts = dict.fromkeys(prefix for prefix, _ in self.prefixes)

    def empty(self):
        """One in the same pass, in which nothing has passed yet."""
        other = copy(self)
        other.least = other.most = None
        other.counts = dict.fromkeys(self.counts)
        return other

    def merge(self, other):
        """Add what has passed another of the same pass."""
        for prefix, counts in other.counts.items():
            if counts is not None:
                self._count(prefix, counts)
        if other.least is not None:
            self._reach(other.least, other.most)

    def _count(self, prefix, found):
        counts = self.counts[prefix]
        self.counts[prefix] = found if counts is None else np.add(counts, found, out=counts)

    def _reach(self, least, most):
        self.least = least if self.least is None else min(least, self.least)
        self.most = most if self.most is None else max(most, self.most)

    @property
    def in_first_pass(self):
        return self.shift + self.digit == self.bits

    def add(self, keys):
        number = keys.dtype.type
        if self.in_first_pass:
            self._reach(int(keys.min()), int(keys.max()))
        shift, mask = number(self.shift), number((1 << self.digit) - 1)
        leading = None if self.in_first_pass else keys >> number(self.shift + self.digit)
        for prefix in self.counts:
            chosen = keys if leading is None else keys[leading == prefix]
            self._count(prefix, np.bincount(((chosen >> shift) & mask).astype(np.intp), minlength=1 << self.digit))

    def end_pass(self):
        cumulated = {prefix: np.cumsum(counts) for prefix, counts in self.counts.items()}
        refined = []
        for prefix, rank in self.prefixes:
            below = cumulated[prefix]
            digit = int(np.searchsorted(below, rank, side="right"))
            refined.append((prefix << self.digit | digit, rank - (int(below[digit - 1]) if digit else 0)))
        self.prefixes = refined
        if self.shift:
            self._begin_pass()

    def key(self, rank, count):
        if rank in (0, count - 1):
            return self.most if rank else self.least
        return self.prefixes[self.ranks.index(rank)][0]


def read_pieces(shape: Sequence[int], chunks: Sequence[int] | None, itemsize: int) -> list[tuple[slice, ...]]:
    """Slices of all pieces: whole chunks, joined along the last axes first, since those lie together in the file."""
    step = [min(n, c) for n, c in zip(shape, chunks or [1] * len(shape), strict=True)]
    for axis in reversed(range(len(shape))):
        fit = PIECE_BYTES // (math.prod(step) * itemsize)
        step[axis] = min(shape[axis], step[axis] * max(1, fit))
        if step[axis] < shape[axis]:
            break
    starts = product(*(range(0, n, s) for n, s in zip(shape, step, strict=True)))
    return [tuple(slice(a, min(a + s, n)) for a, s, n in zip(at, step, shape, strict=True)) for at in starts]


def _by_channel(values, piece, axis, of_all):
    """The values of each channel in a piece, with its item of a list ``of_all`` channels."""
    if axis is None:
        return [(values, of_all[0])]
    return zip(np.moveaxis(values, axis, 0), of_all[piece[axis]], strict=True)


def _count_pieces(array, axis, path, selections, pieces):
    dtype = np.dtype(array.dtype).newbyteorder("=")
    for piece in pieces:
        for channel, selection in _by_channel(array[piece], piece, axis, selections):
            _count(channel, dtype, selection, path)
    return selections


def _count(values, dtype, selection, path):
    values = values.reshape(-1)
    for start in range(0, values.size, _BLOCK):
        selection.add(_keys(values[start : start + _BLOCK].astype(dtype, copy=False)))
    if dtype.kind == "f" and selection.in_first_pass:
        extremes = _value(selection.least, dtype), _value(selection.most, dtype)
        if not all(map(math.isfinite, extremes)):
            raise not_finite(path)


def _keys(values):
    """Unsigned integers in the order of the values; -0.0 comes before 0.0."""
    size = values.itemsize
    bits = values.view(f"u{size}")
    if values.dtype.kind in "bu":
        return bits
    top = bits.dtype.type(1 << (8 * size - 1))
    if values.dtype.kind == "i":
        return bits ^ top
    # All bits of a negative float are inverted, the sign of a positive one.
    negative = (values.view(f"i{size}") >> (8 * size - 1)).view(bits.dtype)
    return bits ^ (negative | top)


def _value(key, dtype):
    """The Python number with this key."""
    bits = 8 * dtype.itemsize
    top = 1 << (bits - 1)
    if dtype.kind == "i":
        key ^= top
    elif dtype.kind == "f":
        key ^= top if key & top else (1 << bits) - 1
    value = np.array([key], f"u{dtype.itemsize}").view(dtype)[0].item()
    return value if dtype.kind == "f" else int(value)


def _neighbours(position, count):
    low = min(int(position), count - 1)
    return low, low if position <= low else min(low + 1, count - 1)


def _interpolated(selection, position, count, dtype):
    ranks = _neighbours(position, count)
    low, high = (_value(selection.key(rank, count), dtype) for rank in ranks)
    t, width = position - ranks[0], high - low
    # NumPy's, exact at both ends.
    return low + width * t if t < 0.5 else high - width * (1 - t)


def _check(array, path):
    dtype, name = np.dtype(array.dtype), path or "image"
    expected = "integers or floats of at most 8 bytes"
    expect(dtype.kind in "biuf" and dtype.itemsize <= 8, name, f"pixels of type {dtype}", expected)
    if not math.prod(array.shape):
        raise InputError(f"{name}: the image is empty, its shape is {tuple(array.shape)}")


def streamed_mean_std(
    array: np.ndarray,
    axes: str,
    path: str | Path | None = None,
    progress: Progress | None = None,
    over: str = "all",
    workers: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of a lazy image, in float64, without ever holding the image.

    As NumPy's of the channel in float64, to rounding; the deviation of a constant is 0. The image is read once, in
    whole chunks joined up to 64 MB.

    Args:
        array: with ``shape``, ``dtype`` (bool, integers, floats) and ``array[slices]`` that gives a NumPy array for a
            slice of each axis; a NumPy array serves.
        axes: one letter a dimension. Axis C separates the channels.
        path: the image's name in messages.
        progress: called after each piece with a line that says what is done, and the number of pieces.
        over: positions whose values count: "all", or "nonzero", where any channel is above 0 (what skull stripping has
            left); all channels of a position are then read in one piece.
        workers: see `streamed_percentiles`.

    Returns:
        Two float64 arrays ``(channels,)``; one channel without an axis C. The deviation is that of the population
        (divided by n).

    Raises:
        InputError: NaN or infinite values, or such as float32 cannot hold, an empty image, a dtype that is none of
            these, another ``over``, or with "nonzero" no position above 0.
    """
    check_choice("over", over, ("all", "nonzero"))
    _check(array, path)
    axis = axes.index("C") if "C" in axes else None
    sums = [_Moments() for _ in range(1 if axis is None else array.shape[axis])]
    pieces = _pieces(array, axis if over == "nonzero" else None)
    told = progress and partial(progress, "mean and standard deviation", len(pieces))
    _go_through(partial(_add_pieces, array, axis, over, path), sums, pieces, workers, told)
    if not sums[0].count:
        raise InputError(f"{path or 'image'}: no position is above 0, expected some: mean and deviation are theirs")
    return np.array([m.mean for m in sums]), np.array([m.deviation for m in sums])


def _add_pieces(array, axis, over, path, sums, pieces):
    for piece in pieces:
        values, counted = array[piece], ...
        # All of it, since what is not finite may lie where nothing counts.
        check_finite(path, values)
        if over == "nonzero":
            counted = (values > 0) if axis is None else (values > 0).any(axis=axis)
        for channel, moments in _by_channel(values, piece, axis, sums):
            moments.add(channel[counted])
    return sums


def _pieces(array, whole=None):
    """Slices of the pieces to read; along the axis ``whole``, unless that is None, each has all of the array."""
    chunks = list(getattr(array, "chunks", None) or [1] * len(array.shape))
    if whole is not None:
        chunks[whole] = array.shape[whole]
    return read_pieces(array.shape, chunks, np.dtype(array.dtype).itemsize)


class _Moments:
    """Count, mean and sum of squared differences from it, merged block by block as Chan et al. (1979) do."""

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.least, self.most = math.inf, -math.inf

    @property
    def deviation(self):
        """Of the population; 0 for a constant, whose mean is rounded."""
        largest = max(abs(self.least), abs(self.most))
        deviation = math.sqrt(self.squares / self.count)
        return deviation if deviation > 8 * np.finfo(np.float64).eps * largest and self.least < self.most else 0.0

    def add(self, values):
        """Count these values, too."""
        values = values.reshape(-1)
        for start in range(0, values.size, _CONVERTED):
            block = values[start : start + _CONVERTED].astype(np.float64)
            found = _Moments()
            found.count, found.mean = block.size, float(block.mean())
            found.squares = float(np.square(block - found.mean).sum())
            found.least, found.most = float(block.min()), float(block.max())
            self.merge(found)

    def empty(self):
        """One of nothing."""
        return _Moments()

    def merge(self, other):
        """Count what another has counted, too."""
        if not other.count:
            return
        count, difference = self.count + other.count, other.mean - self.mean
        self.squares += other.squares + difference**2 * self.count * other.count / count
        self.mean += difference * other.count / count
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.count = count

"""Arrays that lie in chunks of one shape, of which those are read that a region touches."""

import logging
import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.io.tiff import Slices
from aeanet_tf.memory import check_memory, in_words

_LOGGER = logging.getLogger("aeanet_tf")
# What was said once of an array is not said for every time that it is opened.
_told: set[tuple[str, str, int, int]] = set()
# The largest chunk that may be larger than the image.
_LARGE = 2**28
# A grid may have so many chunks, or so much may be claimed, however few of them are stored.
_MOST_CHUNKS, _MOST_UNSTORED = 10**6, 2**28

# Of a chunk of this index the part of these slices; None where it is not stored.
Fetch = Callable[[tuple[int, ...], Slices], np.ndarray | None]


def chunk_grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """How many chunks there are along each dimension."""
    return tuple(-(-size // part) for size, part in zip(shape, chunks, strict=True))


def touched(slices: Slices, chunks: Sequence[int]) -> list[range]:
    """The chunks, along each dimension, that a region touches."""
    return [
        range(wanted.start // size, (wanted.stop - 1) // size + 1) for wanted, size in zip(slices, chunks, strict=True)
    ]


def read_chunks(chunks: Sequence[int], dtype: np.dtype, fill: object, slices: Slices, fetch: Fetch) -> np.ndarray:
    """A region of an array of which chunks are fetched.

    Args:
        chunks: shape of a chunk.
        dtype: of the result.
        fill: value of what is not stored.
        slices: the region, one slice with start and stop a dimension, not empty.
        fetch: gives the parts of chunks.

    Returns:
        A new array of the region.
    """
    out = np.empty([part.stop - part.start for part in slices], dtype)
    for index in product(*touched(slices, chunks)):
        within, target = [], []
        for number, size, wanted in zip(index, chunks, slices, strict=True):
            low, high = max(number * size, wanted.start), min((number + 1) * size, wanted.stop)
            within.append(slice(low - number * size, high - number * size))
            target.append(slice(low - wanted.start, high - wanted.start))
        values = fetch(index, tuple(within))
        out[tuple(target)] = fill if values is None else values
    return out


def check_chunks(
    field: object,
    shape: Sequence[int],
    chunks: Sequence[int],
    itemsize: int,
    stored: int,
    unit: Sequence[int] | None = None,
) -> int:
    """Check that an array can be held and gone through, before any of it is.

    A chunk that is not stored stands for pixels of one value, so a few bytes can claim any size.

    Args:
        field: what messages begin with.
        shape: of the array.
        chunks: shape of a chunk.
        itemsize: bytes of a pixel.
        stored: how many chunks are stored.
        unit: shape of what is decoded at once; None for a chunk.

    Returns:
        How many chunks there are.

    Raises:
        InputError: a chunk is much larger than the array, or than memory; or nearly nothing is stored of an array that
            is large.
    """
    nbytes, chunk = math.prod(shape) * itemsize, math.prod(unit or chunks) * itemsize
    claimed = f"chunks of {in_words(chunk)} for pixels of {in_words(nbytes)}"
    expect(chunk <= max(_LARGE, 2 * nbytes), field, claimed, "chunks that are no larger than the array")
    check_memory(field, 2 * chunk, "chunks")
    count = math.prod(chunk_grid(shape, chunks))
    claimed = f"{stored} of {count} chunks stored, pixels of {in_words(nbytes)}"
    dense = stored * 1000 >= count or (count <= _MOST_CHUNKS and nbytes <= _MOST_UNSTORED)
    expect(dense, field, claimed, "at least a thousandth of the chunks of an image as large")
    return count


def tell_unstored(path: object, array: object, stored: int, total: int, fill: object) -> None:
    """Warn, once, that chunks of an array of the image ``path`` are not stored, which its format allows."""
    told = (str(path), str(array), stored, total)
    if stored < total and told not in _told:
        _told.add(told)
        missing = f"{total - stored} of {total} chunks are not stored"
        _LOGGER.warning("%s: %s; they are read as %s, the fill value", path, missing, fill)

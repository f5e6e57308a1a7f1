"""Regions of an array that lies in a file, read and written where they are, without mapping the file.

A map of the file would count as memory of the process (address space at once, resident memory with use), and a write
through one to a full disk ends the process.
"""

import errno
import math
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


def read_region(
    path: str | Path, offset: int, dtype: DTypeLike, shape: Sequence[int], slices: Sequence[slice]
) -> np.ndarray:
    """A region of the C-ordered array of ``shape`` and ``dtype`` from byte ``offset`` of a file on, as a new array.

    Args:
        path: the file.
        offset: of the array in the file, in bytes.
        dtype: of the array.
        shape: of the array.
        slices: one slice a dimension, with start and stop, of step 1.

    Raises:
        EOFError: the file ends before the region does.
        OSError: it cannot be read.
    """
    dtype = np.dtype(dtype)
    values = np.empty([part.stop - part.start for part in slices], dtype)
    with open(path, "rb", buffering=0) as file:
        for start, run in _runs(shape, slices, values):
            _read_at(file, _bytes(run), offset + start * dtype.itemsize)
    return values


def write_region(
    path: str | Path, offset: int, shape: Sequence[int], slices: Sequence[slice], values: np.ndarray
) -> None:
    """Write ``values``, in their dtype, to a region; arguments as for `read_region`. The file exists.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    values = np.ascontiguousarray(values)
    with open(path, "rb+", buffering=0) as file:
        for start, run in _runs(shape, slices, values):
            _write_at(file, _bytes(run), offset + start * values.dtype.itemsize)


def reserve(path: str | Path, size: int) -> None:
    """Give a file this size, and take the space from the disk where the file system can, so that a full one shows.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    with open(path, "rb+") as file:
        file.truncate(size)
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise


def _runs(shape, slices, values):
    """The parts of a region that lie together in the file: index of the first element, and their values."""
    split = len(shape) - 1
    while split > 0 and slices[split] == slice(0, shape[split]):
        split -= 1
    strides = [math.prod(shape[dimension + 1 :]) for dimension in range(len(shape))]
    first = sum(part.start * stride for part, stride in zip(slices, strides, strict=True))
    for index in product(*(range(size) for size in values.shape[:split])):
        yield first + sum(i * stride for i, stride in zip(index, strides, strict=False)), values[index]


def _bytes(run):
    return memoryview(run.reshape(-1).view(np.uint8))


def _read_at(file, data, offset):
    file.seek(offset)
    while data:
        count = file.readinto(data)
        if not count:
            raise EOFError(f"the file ends before byte {offset + len(data)}")
        data = data[count:]


def _write_at(file, data, offset):
    file.seek(offset)
    while data:
        data = data[file.write(data) :]

"""Images with more planes along Z than they have, interpolated when they are read; or with pixels that are repeated."""

from dataclasses import replace
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image
from aeanet_tf.io.tiff import Slices

LARGEST_FACTOR = 64
# So that 3 * (1 / 3) is 1.
_ROUNDING = 1e-6


def check_factor(name: str, factor: Any) -> float:
    """A factor of planes as a float.

    Args:
        name: of the argument, for messages.
        factor: what was given.

    Raises:
        InputError: no number above 0, or more than 64.
    """
    number = isinstance(factor, (int, float, np.integer, np.floating)) and not isinstance(factor, bool)
    fits = number and np.isfinite(factor) and 0 < factor <= LARGEST_FACTOR
    expect(fits, name, repr(factor), f"a number above 0, at most {LARGEST_FACTOR}: old distance of planes over new")
    return float(factor)


def plane_count(count: int, factor: float) -> int:
    """How many planes there are at a ``factor``-th of the distance, from the first of ``count`` planes to the last."""
    return int((count - 1) * factor + _ROUNDING) + 1


def interpolate(array: np.ndarray, dimension: int, positions: np.ndarray, first: int = 0) -> np.ndarray:
    """Linear interpolation along one dimension, in float32.

    Args:
        array: of numbers.
        dimension: along which.
        positions: in pixels, from ``first`` to the last.
        first: position of the first pixel of the array.
    """
    last = array.shape[dimension] - 1
    low = np.floor(positions + _ROUNDING).astype(int)
    weight = np.clip(positions - low, 0, 1).astype(np.float32)
    weight = weight.reshape([-1 if i == dimension else 1 for i in range(array.ndim)])
    low = np.minimum(low - first, last)
    below = array.take(low, dimension).astype(np.float32)
    above = array.take(np.minimum(low + 1, last), dimension).astype(np.float32)
    # What falls on a plane is the plane.
    return below + weight * (above - below)


class ZoomedArray:
    """An array with planes at a ``factor``-th of their distance along one dimension, interpolated when it is sliced.

    Args:
        array: ``array[slices]``, with a slice for each dimension, gives a part of it.
        dimension: along which.
        factor: of the number of planes; see `plane_count`.

    Attributes: ``shape``, ``ndim`` and ``dtype`` (float32), and ``chunks`` as large as those of the array are here,
    ``None`` where it has none.
    """

    def __init__(self, array: Any, dimension: int, factor: float) -> None:
        self.array, self.dimension, self.factor = array, dimension, factor
        self.ndim, self.dtype = array.ndim, np.dtype("float32")
        self.shape = self._with(array.shape, plane_count(array.shape[dimension], factor))
        chunks = getattr(array, "chunks", None)
        self.chunks = None
        if chunks is not None:
            self.chunks = self._with(chunks, max(1, int(chunks[dimension] * factor)))

    def _with(self, values: Any, value: int) -> tuple[int, ...]:
        return tuple(value if i == self.dimension else int(n) for i, n in enumerate(values))

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """A part; one slice a dimension, of step 1."""
        start, stop, _ = slices[self.dimension].indices(self.shape[self.dimension])
        positions = np.arange(start, stop) / self.factor
        if start >= stop:
            sizes = [len(range(*part.indices(n))) for part, n in zip(slices, self.shape, strict=True)]
            return np.empty(sizes, np.float32)
        first = int(positions[0] + _ROUNDING)
        last = min(int(positions[-1] + _ROUNDING) + 2, self.array.shape[self.dimension])
        place = tuple(slice(first, last) if i == self.dimension else part for i, part in enumerate(slices))
        return interpolate(np.asarray(self.array[place]), self.dimension, positions, first)


def zoomed_image(image: Image, factor: float) -> Image:
    """An image with planes at a ``factor``-th of their distance, as lazy as it is; its pixel size along Z says so.

    The first and the last plane stay where they are, as far as the new distance meets the last; nothing is continued
    beyond it. ``N`` planes give ``(N - 1) * factor + 1``.

    Raises:
        InputError: it has no Z.
    """
    if "Z" not in image.axes:
        raise InputError(f"{image.path or 'image'}: axes {image.axes}, expected a volume, with Z")
    sizes = {axis: size / factor if axis == "Z" else size for axis, size in image.pixel_size.items()}
    return replace(image, array=ZoomedArray(image.array, image.axes.index("Z"), factor), pixel_size=sizes)


class RepeatedArray:
    """An array each of whose pixels is there several times along each dimension, repeated when it is sliced.

    Args:
        array: ``array[slices]``, with a slice for each dimension, gives a part of it.
        times: how many times, one number a dimension.

    Attributes: ``shape``, ``ndim`` and ``dtype``, and ``chunks`` as of `ZoomedArray`.
    """

    def __init__(self, array: Any, times: tuple[int, ...]) -> None:
        self.array, self.times, self.ndim, self.dtype = array, times, array.ndim, np.dtype(array.dtype)
        self.shape = self._larger(array.shape)
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else self._larger(chunks)

    def _larger(self, sizes: Any) -> tuple[int, ...]:
        return tuple(int(n) * k for n, k in zip(sizes, self.times, strict=True))

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """A part; one slice a dimension, of step 1."""
        full = [slice(*part.indices(n)[:2]) for part, n in zip(slices, self.shape, strict=True)]
        whole = [slice(part.start // k, -(-part.stop // k)) for part, k in zip(full, self.times, strict=True)]
        values = np.asarray(self.array[tuple(whole)])
        for dimension, k in enumerate(self.times):
            values = values.repeat(k, dimension)
        pairs = zip(full, whole, self.times, strict=True)
        return values[tuple(slice(p.start - k * w.start, p.stop - k * w.start) for p, w, k in pairs)]


def repeated_image(image: Image, times: dict[str, int]) -> Image:
    """An image with each pixel so many times along the axes named, as lazy as it is; its pixel sizes say so."""
    each = tuple(times.get(axis, 1) for axis in image.axes)
    sizes = {axis: size / times.get(axis, 1) for axis, size in image.pixel_size.items()}
    return replace(image, array=RepeatedArray(image.array, each), pixel_size=sizes)

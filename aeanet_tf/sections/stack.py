"""Serial sections: images of slices that follow each other, read one at a time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.hdf5 import open_hdf5
from aeanet_tf.io.image import ZARR_SUFFIX, check_axes, check_finite, resolve_axes
from aeanet_tf.io.image_path import ImagePath, check_series
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.io.read import StoredArray, find_images, open_image, read_image
from aeanet_tf.io.series import series_paths
from aeanet_tf.paths import is_pattern, named_path

HDF5_SUFFIXES = (".h5", ".hdf", ".hdf5")
# Where the CREMI volumes keep their images.
HDF5_DATASET = "volumes/raw"
# A slice between two others takes two others.
_LEAST_SLICES = 3
# Of a range that is not checked against what there is.
_MOST_NUMBERS = 10**6


def parse_slices(
    text: str, count: int | None = None, field: str = "--missing", what: str = "slices counted from 0"
) -> list[int]:
    """The slices that a text names, counted from 0: "7,12-13" gives [7, 12, 13].

    Args:
        text: numbers and ranges, both ends included, separated by commas; blanks do not matter.
        count: how many slices there are; None does not check.
        field: where the text was given, for messages.
        what: what the numbers are, for messages.

    Returns:
        The numbers, each once, sorted.

    Raises:
        InputError: the text is something else, a range ends before it begins, or there is no such slice.
    """
    numbers: set[int] = set()
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})\s*)?", part)
        expect(match is not None, field, repr(text), f"{what}, such as 7,12-13")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"{field}: the range {part.strip()} ends before it begins, expected {last}-{first}")
        # Before the range is listed, which may be long.
        if count is not None:
            check_slice(last, count, field)
        expect(last - first < _MOST_NUMBERS, field, f"{part.strip()}, {last - first + 1} of them", "fewer")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def check_slice(index: int, count: int, field: str) -> None:
    """Raise an `InputError` that begins with ``field`` where ``index`` is none of ``count`` slices from 0."""
    if not 0 <= index < count:
        raise InputError(f"{field}: there is no slice {index}, expected 0 to {count - 1} ({count} slices)")


@dataclass(frozen=True)
class SerialStack:
    """Slices of one size, left where they are stored; made by `open_stack`.

    Attributes:
        path: the file, folder or pattern they come from.
        axes: the three axes of the source in its order, such as "ZYX"; the slices follow each other along that which
            is neither Y nor X: Z or T.
        pixel_size: step along an axis, where it is known: Z, Y, X in ``unit``, T in seconds.
        unit: unit of length, such as "nm"; None if unknown.
        dtype: of the pixels.
        shape: of a slice, (Y, X).
        count: how many slices there are, also ``len`` of the stack.
        reader: gives the pixels of a slice, unchecked, Y and X in the order of ``axes``.
    """

    path: Path | ImagePath
    axes: str
    pixel_size: dict[str, float]
    unit: str | None
    dtype: np.dtype
    shape: tuple[int, int]
    count: int
    reader: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> np.ndarray:
        """Read one slice, counted from 0, as (Y, X) in the dtype of the file.

        Raises:
            InputError: there is no such slice; it is damaged, or holds NaN or infinity.
        """
        check_slice(index, self.count, str(self.path))
        pixels = self.reader(index)
        check_finite(self.path, pixels)
        return pixels if self.axes.index("Y") < self.axes.index("X") else np.ascontiguousarray(pixels.T)


def open_stack(
    source: str | Path,
    axes: str | None = None,
    dataset: str | None = None,
    series: int | None = None,
    allow_missing: bool = False,
) -> SerialStack:
    """Open serial sections without reading all of them; one slice at a time is in memory.

    Args:
        source: a TIFF or OME-Zarr with three axes; an HDF5 file (.h5, .hdf, .hdf5); or a folder, or a glob pattern,
            of 2D images, one slice a file, in the order of the numbers in their names (slice_2 before slice_10).
        axes: meaning of the stored dimensions in their order. None takes what a TIFF or OME-Zarr says, ZYX for HDF5,
            and for a folder Z followed by the axes of its files.
        dataset: path in the HDF5 file; None is "volumes/raw", as CREMI ships. Its attribute ``resolution``, one
            number in nm for each dimension, gives the pixel size.
        series: number of the stack in a file that holds several; None takes the only one.
        allow_missing: whether planes that the file lacks are filled, see `aeanet_tf.io.read.read_image`.

    Returns:
        The stack. A C axis of size 1 is dropped.

    Raises:
        InputError: the source is missing or unreadable, has not three axes, of which one is Z or T, or fewer than three
            slices; the dataset is missing, or one is given for what is no HDF5 file; files of a folder differ in
            size or dtype.
    """
    path = named_path(source)
    axes = None if axes is None else check_axes(axes)
    zarr = path.suffix.lower() == ZARR_SUFFIX or is_zarr(path)
    several = path.is_dir() or is_pattern(path)
    if series and (path.suffix.lower() in HDF5_SUFFIXES or (several and not zarr)):
        raise InputError(f"{path}: series {series} was given, expected a file that holds several stacks")
    if path.suffix.lower() in HDF5_SUFFIXES and not several:
        stack = _open_hdf5(path, axes, HDF5_DATASET if dataset is None else dataset)
    elif dataset is not None:
        raise InputError(f"{path}: dataset {dataset!r} was given, expected an HDF5 file ({', '.join(HDF5_SUFFIXES)})")
    elif several and not zarr:
        stack = _open_folder(path, axes)
    else:
        (place,) = series_paths([path], check_series("series", series, several=False), allow_missing)
        image = open_image(place, axes)
        stack = _stack(place, image.array, image.axes, image.pixel_size, image.unit)
    expect(len(stack) >= _LEAST_SLICES, path, f"{len(stack)} slices", f"at least {_LEAST_SLICES}")
    return stack


def _stack(path: Path | ImagePath, array, axes: str, pixel_size: dict[str, float], unit: str | None) -> SerialStack:
    """A stack from an array that is indexed with one slice a dimension."""
    kept = [dimension for dimension, axis in enumerate(axes) if axis != "C" or array.shape[dimension] > 1]
    letters = "".join(axes[dimension] for dimension in kept)
    fits = sorted(letters) in (sorted("ZYX"), sorted("TYX"))
    expected = "Y, X and that along which slices follow each other, Z or T"
    expect(fits, path, f"axes {axes}, shape {array.shape}", expected)
    serial = next(dimension for dimension in kept if axes[dimension] in "ZT")

    def reader(index: int) -> np.ndarray:
        part = [slice(0, size) for size in array.shape]
        part[serial] = slice(index, index + 1)
        plane = [size for dimension, size in enumerate(array.shape) if dimension in kept and dimension != serial]
        return array[tuple(part)].reshape(plane)

    shape = (array.shape[axes.index("Y")], array.shape[axes.index("X")])
    # Those of a dropped axis, and a unit without a length, mean nothing.
    pixel_size = {axis: size for axis, size in pixel_size.items() if axis in letters}
    unit = unit if set(pixel_size) & set("ZYX") else None
    return SerialStack(path, letters, pixel_size, unit, array.dtype, shape, array.shape[serial], reader)


def _open_hdf5(path: Path, axes: str | None, dataset: str) -> SerialStack:
    source, resolution = open_hdf5(path, dataset)
    shape = source.shape
    # HDF5 does not name its dimensions, so those that a user gave cannot contradict the file.
    stored = "Q" * max(0, len(shape) - 3) + "ZYX"[-len(shape) :] if axes is None else "Q" * len(shape)
    kept, axes = resolve_axes(path, shape, source.dtype, stored, axes)
    array = StoredArray(path, source, tuple(kept))
    return _stack(path, array, axes, _nanometres(resolution, len(shape), kept, axes), "nm")


def _nanometres(resolution: np.ndarray, dimensions: int, kept: list[int], axes: str) -> dict[str, float]:
    """Pixel sizes from the attribute of a dataset; none where it says something else."""
    if len(resolution) != dimensions or resolution.dtype.kind not in "iuf":
        return {}
    sizes = {axis: float(resolution[dimension]) for axis, dimension in zip(axes, kept, strict=True) if axis in "ZYX"}
    return sizes if all(np.isfinite(size) and size > 0 for size in sizes.values()) else {}


def _open_folder(path: Path, axes: str | None) -> SerialStack:
    fits = axes is None or (len(axes) == 3 and axes[0] in "ZT")
    expect(fits, path, f"axes {axes}", "ZYX or TYX, a file being one slice")
    files = sorted(find_images(path), key=by_number)
    # All of them now, rather than after hours of work; those that are not decoded for it cost little.
    first = open_image(files[0], axes and axes[1:])
    size, dtype = first.array.shape, first.array.dtype

    def check(file: Path, array) -> None:
        same = array.shape == size and array.dtype.newbyteorder("=") == dtype
        expect(same, file, f"shape {array.shape}, {array.dtype}", f"shape {size}, {dtype}, as in {files[0]}")

    for file in files:
        image = open_image(file, axes and axes[1:])
        expect(sorted(image.axes) == ["X", "Y"], file, f"axes {image.axes}", "YX, a grey image that is one slice")
        check(file, image.array)

    def reader(index: int) -> np.ndarray:
        pixels = read_image(files[index], letters[1:]).array
        check(files[index], pixels)
        return pixels.astype(dtype, copy=False)

    letters = axes or "Z" + first.axes
    shape = (size[first.axes.index("Y")], size[first.axes.index("X")])
    return SerialStack(path, letters, first.pixel_size, first.unit, dtype, shape, len(files), reader)


def by_number(path: Path) -> tuple[list[int | str], str]:
    """Sorts the digits in a name by their value; splitting puts text and numbers at the same places of all names."""
    parts = re.split(r"([0-9]+)", str(path))
    return [int(part) if number % 2 else part.lower() for number, part in enumerate(parts)], str(path)

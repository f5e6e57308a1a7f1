"""Volumes whose slices are files of their own, in a folder."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.planes import check_complete
from aeanet_tf.io.tiff import Slices

Reader = Callable[..., Image]


@dataclass(frozen=True)
class SliceFiles:
    """The pixels of a volume, one file a slice, each of which is opened when it is read.

    Attributes:
        path: the folder.
        files: the slices in their order; None for one that is missing, which is 0.
        plane: shape of each.
        dtype: of the pixels.
        axes: of each, as `open_image` takes them.
        open_image: opens a file.
    """

    path: Path
    files: tuple[Path | None, ...]
    plane: tuple[int, ...]
    dtype: np.dtype
    axes: str
    open_image: Reader

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.plane)

    @property
    def chunks(self) -> tuple[int, ...]:
        return (1, *self.plane)

    def read(self, slices: Slices) -> np.ndarray:
        out = np.zeros([part.stop - part.start for part in slices], self.dtype)
        for index, file in enumerate(self.files[slices[0]]):
            if file is not None:
                image = self.open_image(file, self.axes)
                _check_like(file, image, self.plane, self.dtype, self.axes)
                out[index] = image.array[slices[1:]]
        return out


def open_slices(
    place: ImagePath, files: Sequence[Path], axes: str | None, open_image: Reader
) -> tuple[SliceFiles, str, dict[str, float], str | None]:
    """Open the files of a folder as one volume.

    Args:
        place: the folder, and whether slices may be missing.
        files: the images in it.
        axes: of the volume, its first that of the slices, Z or T; None takes Z and what the files say.
        open_image: opens a file (`aeanet_tf.io.read.open_image`).

    Returns:
        The pixels, the letters of their dimensions, pixel size (that of the first file; none along Z) and unit.

    Raises:
        InputError: the files' names differ in more than one number; a number is missing; a file cannot be read or has
            another shape or dtype than the others.
    """
    fits = axes is None or (len(axes) > 2 and axes[0] in "ZT")
    expect(fits, place, f"axes {axes}", "Z or T, and then those of each file, which is one slice")
    ordered = _in_order(place, files)
    first = open_image(next(file for file in ordered if file is not None), axes and axes[1:])
    serial = "Z" if axes is None else axes[0]
    grey_or_colour = serial not in first.axes and set(first.axes) <= set("YXC")
    expect(grey_or_colour, first.path, f"axes {first.axes}", "Y and X, and C for channels: one slice")
    shape, dtype = tuple(first.array.shape), np.dtype(first.array.dtype)
    # All of them now, rather than after hours of work.
    for file in ordered:
        if file is not None:
            _check_like(file, open_image(file, first.axes), shape, dtype, first.axes)
    source = SliceFiles(place.path, ordered, shape, dtype, first.axes, open_image)
    sizes = {axis: size for axis, size in first.pixel_size.items() if axis in "YX"}
    return source, serial + first.axes, sizes, first.unit if sizes else None


def _check_like(file: Path, image: Image, shape: tuple[int, ...], dtype: np.dtype, axes: str) -> None:
    found = f"shape {image.array.shape} ({image.axes}), {image.array.dtype}"
    same = (tuple(image.array.shape), image.axes, image.array.dtype) == (shape, axes, dtype)
    expect(same, file, found, f"shape {shape} ({axes}), {dtype}, as the other slices have")


def _in_order(place: ImagePath, files: Sequence[Path]) -> tuple[Path | None, ...]:
    """The slices in the order of the number in which their names differ, with None where one is missing."""
    if len(files) == 1:
        return tuple(files)
    parts = [re.split(r"([0-9]+)", file.name) for file in files]
    like = len({len(one) for one in parts}) == 1
    differing = [i for i, texts in enumerate(zip(*parts, strict=False)) if len(set(texts)) > 1]
    names = f"names such as {min(file.name for file in files)} and {max(file.name for file in files)}"
    expected = "those of one volume, which differ in one number"
    expect(like and len(differing) == 1 and differing[0] % 2, place, names, expected)
    numbered = {}
    for file, one in zip(files, parts, strict=True):
        number = int(one[differing[0]])
        twin = numbered.setdefault(number, file)
        if twin is not file:
            raise InputError(f"{file}: has the same number as {twin.name}, expected one slice a number")
    numbers = sorted(numbered)
    step = min(after - before for before, after in pairwise(numbers))
    # What claims to be very long is no volume whose slices were lost.
    count = (numbers[-1] - numbers[0]) // step + 1
    regular = all((number - numbers[0]) % step == 0 for number in numbers) and count <= 2 * len(numbers)
    expect(regular, place, f"{names}, whose numbers are not evenly spaced", "numbers of slices")
    check_complete(place, len(numbers), count, "slices", place.allow_missing)
    return tuple(numbered.get(number) for number in range(numbers[0], numbers[-1] + 1, step))

"""LIF files of Leica: the images of a project, through liffile."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.flat_file import read_region
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.planes import PlaneReader, Planes, maker_file
from aeanet_tf.io.tiff import Slices

_LENGTHS = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "nm": 1e-3}
_TIMES = {"s": 1.0, "ms": 1e-3, "min": 60.0}
# Of DimID in the metadata; others are of no axis that has a step.
_AXES = {"1": "X", "2": "Y", "3": "Z", "4": "T"}


@dataclass(frozen=True)
class LifImage(Planes):
    """The pixels of one image.

    Attributes:
        axes: letters of the dimensions.
        offset: where they begin in the file, without a gap from there on; None where rows have gaps.
        number: of the image in the file.
    """

    axes: str
    offset: int | None
    number: int

    @contextmanager
    def planes(self) -> Iterator[PlaneReader]:
        if self.offset is None:
            with _opened(self.path) as file:
                array = np.moveaxis(file.images[self.number].asarray(), *_samples_last(file.images[self.number]))
                yield lambda index, part: array[index][part]
        else:
            yield self._read_there

    def _read_there(self, index: tuple[int, ...], part: Slices) -> np.ndarray:
        where = (*(slice(i, i + 1) for i in index), *part)
        values = read_region(self.path, self.offset, self.dtype.newbyteorder("<"), self.shape, where)
        return values.reshape([one.stop - one.start for one in part])


def open_lif(path: str | Path | ImagePath) -> tuple[LifImage, str, dict[str, float], str | None]:
    """Open one image of a LIF; nothing of its pixels is read.

    Args:
        path: the file, or an `ImagePath` that says which image.

    Returns:
        The pixels, the letters of their dimensions, pixel size (um, seconds along T) and unit.

    Raises:
        InputError: liffile is not installed; the file is damaged; there are several images and none is chosen.
    """
    place = ImagePath.of(path)
    with maker_file(place.path, "LIF", "lif"), _opened(place.path) as file:
        number = chosen_series(path, _listed(place.path, file))
        image = file.images[number]
        source = _source(place, image, number)
        sizes = _pixel_size(image)
    return source, source.axes, sizes, "um" if set(sizes) & set("ZYX") else None


def lif_series(path: str | Path) -> list[Series]:
    """The images of a LIF; see `aeanet_tf.io.series.series_of`."""
    with maker_file(path, "LIF", "lif"), _opened(Path(path)) as file:
        return _listed(Path(path), file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from liffile import LifFile

    with LifFile(path, squeeze=False) as file:
        yield file


def _listed(path: Path, file: Any) -> list[Series]:
    expect(len(file.images), path, "no image in it", "one")
    listed = []
    for index, image in enumerate(file.images):
        sizes: dict[str, int] = {}
        # One that cannot be read (lifetimes, channels of different types) hides none of the others.
        with suppress(Exception):
            sizes = image.sizes
        kept = [(n, a) for a, n in sizes.items() if n > 1 or a in "YX"]
        listed.append(Series(index, str(image.name), tuple(n for n, _ in kept), "".join(_letter(a) for _, a in kept)))
    return listed


def _letter(label: str) -> str:
    # What is no letter of its own, such as a second kind of channels, is one that no network knows.
    return label if len(label) == 1 and label != "?" else "Q"


def _samples_last(image: Any) -> tuple[int, int]:
    """Where the colour samples are, and where a plane has them."""
    labels = list(image.sizes)
    return (labels.index("S"), -1) if "S" in labels else (0, 0)


def _source(path: ImagePath, image: Any, number: int) -> LifImage:
    if image.is_flim:
        raise InputError(
            f"{path}: the image holds lifetimes (FLIM), expected intensities; export it as TIFF from LAS X"
        )
    labels = list(image.sizes)
    axes = "".join(_letter(label) for label in labels)
    shape, dtype = tuple(int(n) for n in image.sizes.values()), np.dtype(image.dtype).newbyteorder("=")
    expect(0 not in shape, path, f"sizes {dict(image.sizes)}", "positive ones")
    block, needed = image.memory_block, math.prod(shape) * dtype.itemsize
    if block.size < needed:
        raise InputError(f"{path}: damaged, the image has {block.size} bytes, expected {needed} of pixels")
    samples = "S" in labels
    if block.size == needed and not samples:
        inside = 2 if len(shape) >= 2 else len(shape)
        return LifImage(path.path, shape, dtype, inside, axes, block.offset, number)
    order = [i for i, label in enumerate(labels) if label != "S"] + [labels.index("S")] * samples
    shape, axes = tuple(shape[i] for i in order), "".join(axes[i] for i in order)
    return LifImage(path.path, shape, dtype, 2 + samples, axes, None, number)


def _pixel_size(image: Any) -> dict[str, float]:
    """Size by axis, in um and seconds; the file has the distance of the first pixel and the last."""
    sizes: dict[str, float] = {}
    for entry in image.xml_element.iterfind("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        axis = _AXES.get(entry.get("DimID", ""))
        scale = (_TIMES if axis == "T" else _LENGTHS).get(entry.get("Unit", ""))
        with suppress(TypeError, ValueError):
            steps = int(entry.get("NumberOfElements", "")) - 1
            if axis and scale and steps > 0:
                sizes[axis] = abs(float(entry.get("Length", ""))) * scale / steps
    return {axis: size for axis, size in sizes.items() if 0 < size < math.inf}

"""The images of TIFF files, as one of them is opened, and as they are listed."""

import logging
import math
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.ome_sets import missing_files, ome_files
from aeanet_tf.io.tiff import FlatTiff, PagedTiff, Slices, tiff_pieces
from aeanet_tf.io.tiff_file import tiff_calibration, tiff_file
from aeanet_tf.io.tiff_images import TiffImage, tiff_images
from aeanet_tf.io.values import CalibratedPixels, tiff_values
from aeanet_tf.memory import check_memory

logger = logging.getLogger("aeanet_tf")

# So many planes and files are told that are missing.
_TOLD = 5


class LoadedPixels:
    """Pixels that could only be read whole."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.chunks = array, array.shape, array.shape
        self.dtype = array.dtype.newbyteorder("=")

    def read(self, slices: Slices) -> np.ndarray:
        return np.array(self.array[slices], self.dtype)


TiffPixels: TypeAlias = FlatTiff | PagedTiff | LoadedPixels | CalibratedPixels


def tiff_series(path: str | Path) -> list[Series]:
    """The images of a TIFF file; see `aeanet_tf.io.tiff_images.tiff_images`.

    Raises:
        InputError: the file is no TIFF, or damaged.
    """
    path = Path(path)
    with tiff_file(path) as tif:
        absent = _absent(path, tif)
        images = tiff_images(tif)
        left = _check_named(ImagePath(path, allow_missing=True), tif, images, absent)
        return _listed(images, left)


def open_tiff(path: str | Path | ImagePath) -> tuple[TiffPixels, str, dict[str, float], str | None]:
    """Open one image of a TIFF file.

    Returns:
        What reads its parts, the letters of its dimensions, pixel sizes by axis, and their unit.

    Raises:
        InputError: the file is damaged, holds several images of which none is chosen, or lacks planes that may not be
            missing.
    """
    place = ImagePath.of(path)
    with tiff_file(place.path) as tif:
        absent = _absent(place.path, tif)
        images = tiff_images(tif)
        if not images:
            raise InputError(f"{place}: not a readable TIFF image (it holds none)")
        left = _check_named(place, tif, images, absent)
        number = chosen_series(place, _listed(images, left))
        image = images[number]
        source = tiff_pieces(place.path, image, number)
        missing, count, fill = [], len(image.pages()), image.keyframe.nodata
        if source is None:
            missing = [index for index, page in enumerate(image.pages()) if page is None]
        elif isinstance(source, PagedTiff):
            # The segments are placed now: damage is found before hours of work.
            missing = source.missing()
        if missing:
            are = "is" if len(missing) == 1 else "are"
            _missing(place, f"{len(missing)} of its {count} planes {are} missing", missing, absent, fill)
        source = tiff_values(place, tif, image.keyframe, source or _loaded(place, image))
        _say_left_out(place, tif, images)
        pixel_size, unit = tiff_calibration(tif, left[image.number] if left else image.number)
    return source, image.axes, pixel_size, unit


def _absent(path: Path, tif: tifffile.TiffFile) -> list[str]:
    """Names of the files of a set of OME-TIFFs that are not there; before tifffile opens those that are."""
    files = ome_files(tif.ome_metadata) if tif.is_ome else None
    return [] if files is None else missing_files(path, files)


def _check_named(place: ImagePath, tif: tifffile.TiffFile, images: list[TiffImage], absent: list[str]) -> list[int]:
    """Refuse a file, or say it, where none of the planes of an image that its metadata name are there.

    Returns:
        Where images are left out, the numbers in the metadata of those that are not, else nothing.
    """
    files = ome_files(tif.ome_metadata) if tif.is_ome else None
    if files is None or not images:
        return []
    read = len(tif.series) if images[0].series[0].kind == "ome" else 0
    count = len(files.images)
    if read >= count:
        return []
    if not (read or absent):
        logger.warning("%s: the OME metadata do not fit the pages of the file, which are read without them", place)
        return []
    left_out = f"{count - read} of the {count} images that its metadata name cannot be read"
    _missing(place, left_out, [], absent, None)
    left = files.left(absent)
    return left if len(left) == read else []


def _listed(images: list[TiffImage], left: list[int]) -> list[Series]:
    listed = []
    for position, image in enumerate(images):
        # Those that are left out keep their numbers.
        index = position + (left[image.number] - image.number if left else 0)
        kept = [(n, axis) for n, axis in zip(image.shape, image.axes, strict=True) if n > 1 or axis in "YX"]
        shape, letters = tuple(n for n, _ in kept), "".join(axis for _, axis in kept)
        listed.append(Series(index, image.name, shape, letters))
    return listed


def _say_left_out(place: ImagePath, tif: tifffile.TiffFile, images: list[TiffImage]) -> None:
    """Warn where the metadata of a file name fewer planes than it has pages."""
    first = images[0].series[0]
    if first.kind == "ome":
        used = len({page.index for one in tif.series for page in one if page is not None and page.parent is tif})
    elif first.kind == "imagej":
        used = math.prod(images[0].shape) // max(1, math.prod(first.keyframe.shape))
    else:
        return
    pages = len(tif.pages)
    if pages > max(1, used):
        logger.warning("%s: %d of its %d pages belong to no image that its metadata name", place, pages - used, pages)


def _loaded(place: ImagePath, image: TiffImage) -> LoadedPixels:
    check_memory(place, 2 * math.prod(image.shape) * np.dtype(image.series[0].dtype).itemsize)
    parts = [series.asarray() for series in image.series]
    return LoadedPixels(np.stack(parts).reshape(image.shape))


def _missing(place: ImagePath, what: str, planes: list[int], absent: list[str], fill: float | None) -> None:
    """Refuse a file that lacks something, or say what it lacks, and what planes are read as."""
    told = f" ({_some(planes)}, counted from 0)" if planes else ""
    files = f", not there: {_some(absent)}" if absent else ""
    found = f"{place}: {what}{told}{files}"
    filled = "leaves them out" if fill is None else f"fills them with {fill:g}"
    if not place.allow_missing:
        raise InputError(f"{found}, expected all of them; --allow-missing {filled}")
    logger.warning("%s: %s", found, "left out" if fill is None else f"filled with {fill:g}")


def _some(items: list) -> str:
    return ", ".join(map(str, items[:_TOLD])) + (", ..." if len(items) > _TOLD else "")

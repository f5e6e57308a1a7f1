"""The images that files hold: listed, and chosen by number or all of them."""

from collections.abc import Sequence
from pathlib import Path

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import MAKER_SUFFIXES, TIFF_SUFFIXES, image_suffix
from aeanet_tf.io.image_path import ALL, ImagePath, Series, check_series, chosen_series
from aeanet_tf.io.makers import maker_series
from aeanet_tf.io.ome_zarr import is_zarr, zarr_series
from aeanet_tf.io.read import find_images, find_slice_folders, open_image
from aeanet_tf.io.tiff_series import tiff_series

# Formats whose files may hold several images.
_SEVERAL = (*TIFF_SUFFIXES, *MAKER_SUFFIXES)


def series_of(path: str | Path | ImagePath) -> list[Series]:
    """What a file holds: number, name, shape and axes of each image.

    Thumbnails, labels and overviews of slide scanners and the levels of a pyramid are no images of their own, and
    appended pages of equal shape are one.

    Args:
        path: an image of any format that `aeanet_tf.io.read.read_image` takes.

    Raises:
        InputError: the file cannot be read.
    """
    path = ImagePath.of(path).path
    if is_zarr(path) or (path.is_file() and image_suffix(path) in _SEVERAL):
        return _images(path)
    image = open_image(path)
    return [Series(0, "", image.array.shape, image.axes)]


def find_series(
    patterns: str | Path | Sequence[str | Path],
    series: int | str | None = None,
    allow_missing: bool = False,
    slices: bool = False,
    keep_bad: bool = False,
) -> list[Path] | list[ImagePath]:
    """List images as `find_images` does, and of files that hold several the chosen ones.

    Args:
        patterns: as for `find_images`.
        series: number of the image that is taken of each file, from 0; "all" takes every one; None leaves files with
            several to be refused when they are read.
        allow_missing: whether planes that are missing are filled, see `read_image`.
        slices: whether each folder is one volume, its files the slices, see `find_slice_folders`.
        keep_bad: whether files that cannot be read, or have no image of that number, are listed, too, for their
            reader to refuse.

    Returns:
        Paths of files where nothing is chosen, else an `ImagePath` for each image, sorted; it is without a number where
        the file holds a single one.

    Raises:
        InputError: as `find_images`; a file cannot be read, or has no image of that number. A file with one image whose
            name ends in its number, such as ``NAME_s2.tif``, has it: as predictions of several images are called.
    """
    if slices:
        expect(series is None, "series", repr(series), "none with slices: a folder is one volume")
        return series_paths(find_slice_folders(patterns), None, allow_missing)
    return series_paths(find_images(patterns), series, allow_missing, keep_bad)


def series_paths(
    paths: Sequence[Path], series: int | str | None = None, allow_missing: bool = False, keep_bad: bool = False
) -> list[Path] | list[ImagePath]:
    """The chosen images of files that were found; as `find_series` has it."""
    check_series("series", series)
    if series is None:
        return [ImagePath(path, None, True) for path in paths] if allow_missing else list(paths)
    return [ImagePath(path, number, allow_missing) for path in paths for number in _listed(path, series, keep_bad)]


def _listed(path: Path, series: int | str, keep_bad: bool) -> list[int | None]:
    try:
        return _numbers(path, series)
    except InputError:
        if not keep_bad:
            raise
        return [None if isinstance(series, str) else series]


def _numbers(path: Path, series: int | str) -> list[int | None]:
    images = _images(path)
    if len(images) == 1 and not images[0].index and (series == ALL or _number_in_name(path) == series):
        return [None]
    if series == ALL:
        return [image.index for image in images]
    chosen_series(ImagePath(path, series), images)
    return [series if series or len(images) > 1 else None]


def _images(path: Path) -> Sequence[Series]:
    if image_suffix(path) in TIFF_SUFFIXES and path.is_file():
        return tiff_series(path)
    if image_suffix(path) in MAKER_SUFFIXES and path.is_file():
        return maker_series(path)
    if is_zarr(path):
        return zarr_series(path)
    # Of the others one image is read; it need not be opened for that.
    return [Series(0, "", (), "")]


def _number_in_name(path: Path) -> int | None:
    """The number of the image that a file was made of, as its name says: 2 of ``NAME_s2.tif``."""
    _, mark, digits = Path(path).name.split(".")[0].rpartition("_s")
    return int(digits) if mark and digits.isdecimal() and len(digits) < 7 else None

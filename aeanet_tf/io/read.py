"""Images found, read whole, or left where they are stored and read in parts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line, reading
from aeanet_tf.io.image import (
    MAKER_SUFFIXES,
    NIFTI_SUFFIXES,
    PREVIEW,
    SUFFIXES,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    Image,
    calibrated,
    check_axes,
    check_finite,
    image_stem,
    image_suffix,
    resolve_axes,
    single_axes,
)
from aeanet_tf.io.image_path import ImagePath, check_series
from aeanet_tf.io.makers import check_readable, open_maker
from aeanet_tf.io.nifti import read_nifti
from aeanet_tf.io.ome_sets import one_of_each_set
from aeanet_tf.io.ome_zarr import is_zarr, open_zarr
from aeanet_tf.io.pictures import read_picture
from aeanet_tf.io.slices import open_slices
from aeanet_tf.io.tiff import Slices
from aeanet_tf.io.tiff_series import LoadedPixels, open_tiff
from aeanet_tf.io.values import checked_values
from aeanet_tf.memory import check_memory
from aeanet_tf.paths import is_pattern, matching_paths, named_path, nearest_path


def find_images(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """List image files, and OME-Zarr folders, each of which is one image.

    Args:
        patterns: an image, a folder (every image in it, not in its sub-folders), a glob pattern, or a list of
            these; what exists under exactly its name is no pattern. Folders and globs give what has a known
            extension (tif, tiff, btf, tf8, tf2, lsm, stk, png, bmp, jpg, jpeg, czi, nd2, lif, oib, oif, nii, nii.gz,
            hdr, zarr), in small letters or capitals.

    Returns:
        The paths, each once, sorted. Of a set of OME-TIFFs that are one image the first file that was found.

    Raises:
        InputError: a pattern matches no image.
    """
    if isinstance(patterns, str | Path):
        patterns = [patterns]
    expect(patterns, "images", "an empty list", "a file, a folder or a pattern")
    images: set[Path] = set()
    for pattern in patterns:
        path = named_path(pattern)
        with reading(path):
            images.update(_find(path))
    return one_of_each_set(sorted(images))


def find_slice_folders(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """List folders whose images are the slices of a volume.

    Args:
        patterns: a folder with slices, a folder of such folders, a glob pattern of folders, or a list of these.

    Returns:
        The folders, each once, sorted.

    Raises:
        InputError: a pattern matches no folder with images.
    """
    patterns = [patterns] if isinstance(patterns, str | Path) else patterns
    expect(patterns, "images", "an empty list", "a folder of slices, or a pattern")
    folders: set[Path] = set()
    for pattern in patterns:
        path = named_path(pattern)
        with reading(path):
            given = [path] if path.exists() or not is_pattern(path) else matching_paths(path)
            found = [volume for folder in given if folder.is_dir() for volume in _volumes(folder)]
        expect(found, path, "no folder with images", "a folder with the slices of a volume, or a folder of such")
        folders.update(found)
    return sorted(folders)


def _volumes(folder: Path) -> list[Path]:
    """The folder, or those in it, that have slices."""
    inner = [child for child in folder.iterdir() if _has_images(child)]
    own = _has_images(folder)
    expect(not (own and inner), folder, "images, and folders with images", "one of both: slices, or folders of them")
    return [folder] if own else inner


def _has_images(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or not folder.is_dir() or is_zarr(folder)
    return not hidden and any(_is_image(child) and not child.name.startswith(".") for child in folder.iterdir())


def _find(path: Path) -> list[Path]:
    if path.is_file() or _is_zarr_image(path) or is_zarr(path):
        return [path]
    known = _known()
    if path.is_dir():
        candidates = list(path.iterdir())
        if not candidates:
            raise InputError(f"{path}: the folder is empty, expected images ({known})")
        complaint = f"{path}: the folder has no image in it, expected one of {known}"
    elif is_pattern(path):
        candidates = matching_paths(path)
        complaint = f"{path}: the pattern matches no image ({known}){nearest_path(path)}"
    else:
        raise InputError(f"{path}: no such file or folder{nearest_path(path)}")
    images = [candidate for candidate in candidates if not candidate.name.startswith(".") and _is_image(candidate)]
    if not images:
        raise InputError(complaint)
    return _without_previews(images)


def _without_previews(images: Sequence[Path]) -> list[Path]:
    """Images less the pictures that `aeanet predict --preview` has drawn beside some of them."""
    named = {(image.parent, image_stem(image)) for image in images}
    return [
        image
        for image in images
        if not (image.name.endswith(PREVIEW) and (image.parent, image.name.removesuffix(PREVIEW)) in named)
    ]


def _is_image(path: Path) -> bool:
    return (image_suffix(path) in (*SUFFIXES, *NIFTI_SUFFIXES) and path.is_file()) or _is_zarr_image(path)


def _is_zarr_image(path: Path) -> bool:
    # By name alone: without its metadata it is a damaged image, not a folder of images.
    return path.suffix.lower() == ZARR_SUFFIX and path.is_dir()


def _known() -> str:
    return ", ".join(suffix[1:] for suffix in (*SUFFIXES, *NIFTI_SUFFIXES, ZARR_SUFFIX))


def read_image(
    path: str | Path | ImagePath, axes: str | None = None, series: int | None = None, allow_missing: bool = False
) -> Image:
    """Read one image: TIFF, PNG, BMP, JPEG, CZI, ND2, LIF, OIB, OIF, NIfTI, Analyze (.hdr with .img) or OME-Zarr.

    Numbers are those that ImageJ shows: its calibration of TIFFs (signed 16 bit) is applied, lookup tables are not.

    NIfTI and Analyze are read with axes ZYX: their scaling is applied, flips and rotations of their affine are not.

    Args:
        path: the file, the folder of an OME-Zarr, or a folder of slices: files whose names differ in one number.
        axes: meaning of the stored dimensions in their order, such as "ZYX" or "YXC". None takes what the
            file says. Dimensions of size 1 are dropped unless ``axes`` names them. Colours are channels, unless
            ``axes`` has no C: they must be equal then, and are grey levels.
        series: which of several images of a file (positions, scenes), from 0; see `aeanet_tf.io.series.series_of`.
            None takes the only one.
        allow_missing: fill planes that the file lacks, instead of refusing it; a warning says which and with what.

    Returns:
        The image in the dtype of the file, its dimensions in the stored order.

    Raises:
        InputError: the file is missing, unreadable, truncated or empty; it holds several images and none is chosen; its
            dtype is not a real number; it holds NaN or infinity; its axes are not known; or ``axes`` does not fit its
            shape.
    """
    image = open_image(path, axes, series, allow_missing)
    check_memory(image.path, math.prod(image.array.shape) * image.array.dtype.itemsize)
    image.array = image.array[tuple(slice(0, size) for size in image.array.shape)]
    check_finite(image.path, image.array)
    return image


def _check_source(path: Path, axes: str | None) -> str | None:
    """Check the arguments of `read_image`: that there is an image of a known format, and the given axes.

    Raises:
        InputError: there is none, or the axes mean nothing.
    """
    axes = None if axes is None else check_axes(axes)
    if path.is_dir():
        return axes
    if not path.is_file():
        raise InputError(f"{path}: no such file{nearest_path(path)}")
    check_readable(path)
    if image_suffix(path) not in (*SUFFIXES, *NIFTI_SUFFIXES):
        raise InputError(f"{path}: unknown image format {path.suffix.lower()!r}, expected one of {_known()}")
    return axes


def read_whole(path: Path) -> tuple[np.ndarray, str, dict[str, float], str | None]:
    """Pixels, axes, pixel size and unit of an image of a format that is only read whole.

    That is PNG, BMP and JPEG (YX or YXS, without a pixel size), NIfTI and Analyze (ZYX).

    Raises:
        InputError: the file cannot be read.
    """
    if image_suffix(path) in NIFTI_SUFFIXES:
        volume = read_nifti(path)
        return volume.array, volume.axes, volume.pixel_size, volume.unit
    array = read_picture(path)
    return array, "YX" if array.ndim == 2 else "YXS", {}, None


class _Source(Protocol):
    """All stored dimensions of an image; ``read`` takes one slice with start and stop for each."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def read(self, slices: Slices) -> np.ndarray: ...


@dataclass(frozen=True)
class StoredArray:
    """The pixels of an image, on disk until they are read; made by `open_image`.

    Indexed with a tuple of slices, one a dimension, it gives the NumPy array of that part. Between reads it holds
    no open file and no memory map. It can be pickled, and read by several threads and processes at once.

    Attributes:
        path: the image.
        source: the stored array, with all its dimensions.
        kept: which of them are dimensions of this array, None for one of size 1 that is not stored; the others that are
            stored have size 1.
    """

    path: Path | ImagePath
    source: _Source
    kept: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(1 if dimension is None else self.source.shape[dimension] for dimension in self.kept)

    @property
    def ndim(self) -> int:
        return len(self.kept)

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, in the byte order of the machine."""
        return self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a piece that is sensible to read at once: what lies together, whole tiles, zarr's chunks."""
        chunks = self.source.chunks
        return tuple(1 if dimension is None else chunks[dimension] for dimension in self.kept)

    def squeeze(self, dimension: int) -> "StoredArray":
        """The same without a dimension, which has size 1."""
        return replace(self, kept=(*self.kept[:dimension], *self.kept[dimension + 1 :]))

    def expanded(self) -> "StoredArray":
        """The same with a first dimension of size 1."""
        return replace(self, kept=(None, *self.kept))

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """Read a part.

        Args:
            slices: one a dimension, none negative, of step 1; as in NumPy they end where the array does.

        Raises:
            IndexError: the slices are others.
            InputError: the file is damaged there, or has changed since it was opened.
        """
        wanted = _checked(slices, self.shape)
        shape = tuple(part.stop - part.start for part in wanted)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        full = [slice(0, 1)] * len(self.source.shape)
        for dimension, part in zip(self.kept, wanted, strict=True):
            if dimension is not None:
                full[dimension] = part
        try:
            return self.source.read(tuple(full)).reshape(shape)
        except (InputError, MemoryError):
            raise
        # Codecs raise whatever the damaged bytes lead them to.
        except Exception as error:
            where = ", ".join(f"{part.start}:{part.stop}" for part in wanted)
            raise InputError(f"{self.path}: damaged, pixels [{where}] cannot be read ({one_line(error)})") from error


def _checked(slices: Slices, shape: tuple[int, ...]) -> Slices:
    if not isinstance(slices, tuple) or len(slices) != len(shape) or not all(isinstance(s, slice) for s in slices):
        raise IndexError(f"a stored array of {len(shape)} dimensions takes as many slices, got {slices!r}")
    checked = []
    for part, size in zip(slices, shape, strict=True):
        start, stop = part.start or 0, size if part.stop is None else part.stop
        if part.step not in (None, 1) or start < 0 or stop < 0:
            raise IndexError(f"a stored array takes slices of step 1 that are not negative, got {part!r}")
        start = min(int(start), size)
        checked.append(slice(start, max(start, min(int(stop), size))))
    return tuple(checked)


def open_image(
    path: str | Path | ImagePath, axes: str | None = None, series: int | None = None, allow_missing: bool = False
) -> Image:
    """Open one image without reading its pixels: TIFF or OME-Zarr; others are read.

    Uncompressed TIFFs without gaps are mapped for each read; of others only the pages and tiles that a read touches
    are decoded, and of an OME-Zarr (0.4 or 0.5, highest resolution) the chunks. The rare TIFFs that tifffile
    rearranges after decoding, and PNG, BMP, JPEG, NIfTI and Analyze, are held in memory.

    Args:
        path: the file, or the folder of an OME-Zarr.
        axes, series, allow_missing: as `read_image` takes them.

    Returns:
        The image as `read_image` describes it, its ``array`` a `StoredArray`. Whether the values are finite is
        for the reader to check.

    Raises:
        InputError: as `read_image`, but for values that are not finite; damage to a part may show at its read.
    """
    place = ImagePath.of(path)
    if series is not None or allow_missing:
        check_series("series", series, several=False)
        place = ImagePath(place.path, place.series if series is None else series, allow_missing or place.allow_missing)
    axes = _check_source(place.path, axes)
    source, stored, pixel_size, unit = _open_source(place, axes)
    source, stored = checked_values(place, source, stored, axes)
    kept, axes = resolve_axes(place, source.shape, source.dtype, stored, axes)
    single = single_axes(source.shape, stored, axes)
    path = place if place.series is not None or isinstance(path, ImagePath) else place.path
    return calibrated(StoredArray(path, source, tuple(kept)), axes, pixel_size, unit, path, single)


def _open_source(place: ImagePath, axes: str | None) -> tuple[_Source, str, dict[str, float], str | None]:
    """What reads the parts of an image, the letters of its dimensions, pixel sizes by axis, and their unit."""
    path = place.path
    if image_suffix(path) in TIFF_SUFFIXES and not path.is_dir():
        return open_tiff(place)
    if image_suffix(path) in MAKER_SUFFIXES and not path.is_dir():
        return open_maker(place)
    if _is_zarr_image(path) or is_zarr(path):
        image = open_zarr(path, axes, place.series)
        return image.array, image.axes, image.pixel_size, image.unit
    # Of the others one image is read.
    if place.series:
        raise InputError(f"{path}: found no series {place.series}, of a file of this format one image is read")
    if path.is_dir():
        return open_slices(place, find_images(path), axes, open_image)
    array, stored, pixel_size, unit = read_whole(path)
    return LoadedPixels(array), stored, pixel_size, unit


def read_ordered(image: Image, axes: str, chosen: dict[str, int]) -> np.ndarray:
    """Pixels of an image with its dimensions in the order of ``axes``, read at one index along those of ``chosen``."""
    parts = [slice(chosen[a], chosen[a] + 1) if a in chosen else slice(None) for a in image.axes]
    array = image.array[tuple(parts)].squeeze(tuple(i for i, a in enumerate(image.axes) if a in chosen))
    left = [axis for axis in image.axes if axis not in chosen]
    return array.transpose([left.index(axis) for axis in axes if axis in left])

"""Images found, read whole, or left where they are stored and read in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line, reading
from aeanet_tf.io.image import (
    NIFTI_SUFFIXES,
    SUFFIXES,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    Image,
    calibrated,
    check_axes,
    check_finite,
    image_suffix,
    resolve_axes,
)
from aeanet_tf.io.nifti import read_nifti
from aeanet_tf.io.ome_zarr import is_zarr, open_zarr
from aeanet_tf.io.pictures import read_picture
from aeanet_tf.io.tiff import Slices, tiff_calibration, tiff_file, tiff_pieces
from aeanet_tf.paths import is_pattern, matching_paths, named_path


def find_images(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """List image files, and OME-Zarr folders, each of which is one image.

    Args:
        patterns: an image, a folder (every image in it, not in its sub-folders), a glob pattern, or a list of
            these; what exists under exactly its name is no pattern. Folders and globs give what has a known
            extension (tif, tiff, png, bmp, jpg, jpeg, nii, nii.gz, hdr, zarr).

    Returns:
        The paths, each once, sorted.

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
    return sorted(images)


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
        complaint = f"{path}: the pattern matches no image ({known})"
    else:
        raise InputError(f"{path}: no such file or folder")
    images = [candidate for candidate in candidates if not candidate.name.startswith(".") and _is_image(candidate)]
    if not images:
        raise InputError(complaint)
    return images


def _is_image(path: Path) -> bool:
    return (image_suffix(path) in (*SUFFIXES, *NIFTI_SUFFIXES) and path.is_file()) or _is_zarr_image(path)


def _is_zarr_image(path: Path) -> bool:
    # By name alone: without its metadata it is a damaged image, not a folder of images.
    return path.suffix.lower() == ZARR_SUFFIX and path.is_dir()


def _known() -> str:
    return ", ".join(suffix[1:] for suffix in (*SUFFIXES, *NIFTI_SUFFIXES, ZARR_SUFFIX))


def read_image(path: str | Path, axes: str | None = None) -> Image:
    """Read one image whole: TIFF (first series; ImageJ, OME or plain), OME-Zarr, PNG, BMP or JPEG; NIfTI or Analyze.

    Dimensions of size 1 are dropped unless ``axes`` names them.

    Args:
        path: the file, or the folder of an OME-Zarr.
        axes: meaning of the dimensions in the order in which the file stores them, such as "ZYX". None takes
            what the file says (ImageJ, OME, tifffile); a plain 2D image is YX, colour samples are C.

    Returns:
        The image. Pixel size comes from ImageJ, OME or NIfTI metadata; the dots per inch of other files say nothing
        about the sample and are ignored.

    Raises:
        InputError: the file is missing, unreadable, truncated or empty; its dtype is not a real number; it
            holds NaN or infinity; its axes are not known; or ``axes`` does not fit its shape.
    """
    path, axes = check_source(path, axes)
    if path.is_dir():
        image = open_image(path, axes)
        image.array = image.array[tuple(slice(0, size) for size in image.array.shape)]
        check_finite(path, image.array)
        return image
    if path.suffix.lower() in TIFF_SUFFIXES:
        with tiff_file(path) as tif:
            array, stored = tif.series[0].asarray(), tif.series[0].axes
            pixel_size, unit = tiff_calibration(tif)
    else:
        array, stored, pixel_size, unit = read_whole(path)
    keep, axes = resolve_axes(path, array.shape, array.dtype, stored, axes)
    check_finite(path, array)
    return calibrated(array.reshape([array.shape[dimension] for dimension in keep]), axes, pixel_size, unit, path)


def check_source(path: str | Path, axes: str | None) -> tuple[Path, str | None]:
    """Check the arguments of `read_image`: that there is an image of a known format, and the given axes.

    Raises:
        InputError: there is none, or the axes mean nothing.
    """
    path = Path(path)
    axes = None if axes is None else check_axes(axes)
    if _is_zarr_image(path) or is_zarr(path):
        return path, axes
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if image_suffix(path) not in (*SUFFIXES, *NIFTI_SUFFIXES):
        raise InputError(f"{path}: unknown image format {path.suffix.lower()!r}, expected one of {_known()}")
    return path, axes


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


class _Loaded:
    """Pixels that could only be read whole."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.chunks = array, array.shape, array.shape
        self.dtype = array.dtype.newbyteorder("=")

    def read(self, slices: Slices) -> np.ndarray:
        return np.array(self.array[slices], self.dtype)


@dataclass(frozen=True)
class StoredArray:
    """The pixels of an image, on disk until they are read; made by `open_image`.

    Indexed with a tuple of slices, one a dimension, it gives the NumPy array of that part. Between reads it holds
    no open file and no memory map. It can be pickled, and read by several threads and processes at once.

    Attributes:
        path: the image.
        source: the stored array, with all its dimensions.
        kept: which of them are dimensions of this array; the others have size 1.
    """

    path: Path
    source: _Source
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[dimension] for dimension in self.kept)

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
        return tuple(chunks[dimension] for dimension in self.kept)

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


def open_image(path: str | Path, axes: str | None = None) -> Image:
    """Open one image without reading its pixels: TIFF (first series) or OME-Zarr; others are read.

    Uncompressed TIFFs without gaps are mapped for each read; of others only the pages and tiles that a read touches
    are decoded, and of an OME-Zarr (0.4 or 0.5, highest resolution) the chunks. The rare TIFFs that tifffile
    rearranges after decoding, and PNG, BMP, JPEG, NIfTI and Analyze, are held in memory.

    Args:
        path: the file, or the folder of an OME-Zarr.
        axes: as `read_image` takes them.

    Returns:
        The image as `read_image` describes it, its ``array`` a `StoredArray`. Whether the values are finite is
        for the reader to check.

    Raises:
        InputError: as `read_image`, but for values that are not finite; damage to a part may show at its read.
    """
    path, axes = check_source(path, axes)
    if path.is_dir():
        image = open_zarr(path, axes)
        source, stored, pixel_size, unit = image.array, image.axes, image.pixel_size, image.unit
    elif path.suffix.lower() in TIFF_SUFFIXES:
        source, stored, pixel_size, unit = _open_tiff(path)
    else:
        array, stored, pixel_size, unit = read_whole(path)
        source = _Loaded(array)
    kept, axes = resolve_axes(path, source.shape, source.dtype, stored, axes)
    return calibrated(StoredArray(path, source, tuple(kept)), axes, pixel_size, unit, path)


def read_ordered(image: Image, axes: str, chosen: dict[str, int]) -> np.ndarray:
    """Pixels of an image with its dimensions in the order of ``axes``, read at one index along those of ``chosen``."""
    parts = [slice(chosen[a], chosen[a] + 1) if a in chosen else slice(None) for a in image.axes]
    array = image.array[tuple(parts)].squeeze(tuple(i for i, a in enumerate(image.axes) if a in chosen))
    left = [axis for axis in image.axes if axis not in chosen]
    return array.transpose([left.index(axis) for axis in axes if axis in left])


def _open_tiff(path: Path) -> tuple[_Source, str, dict[str, float], str | None]:
    with tiff_file(path) as tif:
        series = tif.series[0]
        source = tiff_pieces(path, series) or _Loaded(series.asarray())
        stored, (pixel_size, unit) = series.axes, tiff_calibration(tif)
    # The segments are placed now: damage is found before hours of work.
    source.chunks  # noqa: B018
    return source, stored, pixel_size, unit

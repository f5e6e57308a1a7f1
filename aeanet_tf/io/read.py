"""Images left where they are stored, and read in parts: what does not fit into memory can still be predicted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import (
    TIFF_SUFFIXES,
    Image,
    calibrated,
    check_source,
    read_whole,
    resolve_axes,
)
from aeanet_tf.io.ome_zarr import open_zarr
from aeanet_tf.io.tiff import Slices, one_line, tiff_calibration, tiff_file, tiff_pieces


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
            reason = one_line(error) or type(error).__name__
            raise InputError(f"{self.path}: damaged, pixels [{where}] cannot be read ({reason})") from error


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


def _open_tiff(path: Path) -> tuple[_Source, str, dict[str, float], str | None]:
    with tiff_file(path) as tif:
        series = tif.series[0]
        source = tiff_pieces(path, series) or _Loaded(series.asarray())
        stored, (pixel_size, unit) = series.axes, tiff_calibration(tif)
    # The segments are placed now: damage is found before hours of work.
    source.chunks  # noqa: B018
    return source, stored, pixel_size, unit

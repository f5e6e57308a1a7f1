"""TIFF files: parts of an image read without the rest, and images written as ImageJ TIFF."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from aeanet_tf.errors import InputError, one_line
from aeanet_tf.files import replacing
from aeanet_tf.io.flat_file import read_region
from aeanet_tf.io.image import WRITTEN_TIFF_SUFFIXES, check_axes, check_pixel_size
from aeanet_tf.io.pixel_size import imagej_unit
from aeanet_tf.io.tiff_claims import check_encoded, check_segments
from aeanet_tf.io.tiff_file import codec_remedy, tiff_file
from aeanet_tf.io.tiff_images import TiffImage, tiff_images

Slices = tuple[slice, ...]

# A piece below this costs more in calls than in reading.
_PIECE_BYTES = 2**22
IMAGEJ_ORDER = "TZCYX"
# Beyond this a classic TIFF cannot address its pages; ImageJ then keeps one directory and contiguous pixels.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


def tiff_pieces(path: Path, image: TiffImage, number: int) -> "FlatTiff | PagedTiff | None":
    """The reader of parts of an image of an open file; None where only the whole can be read.

    Args:
        path: of the file.
        image: one of its `tiff_images`.
        number: which of them.

    Raises:
        InputError: the file ends before its pixels do.
    """
    series, keyframe, shape = image.series[0], image.keyframe, image.shape
    dtype = np.dtype(series.dtype)
    if series.transform is not None or dtype.kind not in "biuf" or not math.prod(shape):
        return None
    # Byte 0 is no place for pixels: such a page has none.
    if len(image.series) == 1 and series.dataoffset and not series.is_multifile:
        stored, file = dtype.newbyteorder(keyframe.parent.byteorder), file_of(path, keyframe)
        _check_length(file, file.stat().st_size, series.dataoffset + series.nbytes)
        return FlatTiff(file, series.dataoffset, stored, shape)
    # Predictors and bit orders of uncompressed pages are undone a page at a time.
    if (keyframe.is_contiguous and not keyframe.is_final) or keyframe.jpegheader is not None:
        return None
    layout = _page_layout(shape, sum(len(one) for one in image.series), keyframe.shaped)
    return None if layout is None else PagedTiff(path, dtype.newbyteorder("="), shape, layout, number)


def file_of(path: Path, page: Any) -> Path:
    """The file that a page is in: ``path``, or another one of the same set."""
    other = Path(page.parent.filehandle.path)
    return path if other.name == path.name else path.with_name(other.name)


def _check_length(path: Path, size: int, needed: int) -> None:
    if needed > size:
        raise InputError(f"{path}: the TIFF file is damaged or truncated ({size} bytes, its pixels end at {needed})")


def _flat(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, ...], slices: Slices) -> np.ndarray:
    return read_region(path, offset, dtype, shape, slices).astype(dtype.newbyteorder("="), copy=False)


def _piece(smallest: list[int], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Multiply the smallest unit of reading, last axis first, to a size that is worth a call."""
    piece = [min(part, size) for part, size in zip(smallest, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        wanted = _PIECE_BYTES // (math.prod(piece) * itemsize)
        if wanted > 1:
            piece[axis] = min(shape[axis], piece[axis] * wanted)
    return tuple(piece)


@dataclass(frozen=True)
class FlatTiff:
    """Uncompressed pixels without a gap, in ``dtype`` as stored, from byte ``offset`` of the file on."""

    path: Path
    offset: int
    stored: np.dtype
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.stored.newbyteorder("=")

    @property
    def chunks(self) -> tuple[int, ...]:
        return _piece([1] * len(self.shape), self.shape, self.stored.itemsize)

    def read(self, slices: Slices) -> np.ndarray:
        return _flat(self.path, self.offset, self.stored, self.shape, slices)


@dataclass(frozen=True)
class PagedTiff:
    """Pages apart from each other, or compressed: a read decodes the tiles or strips that it touches.

    Attributes:
        path: the file.
        dtype: of the pixels, in the byte order of the machine.
        shape: of the series.
        layout: how many dimensions count pages, and for each of the others the dimension of a page in
            tifffile's five (separate samples, depth, length, width, samples), None where the size is 1.
        number: of the image among those of the file.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    layout: tuple[int, tuple[int | None, ...]]
    number: int = 0

    @property
    def chunks(self) -> tuple[int, ...]:
        leading, dimensions = self.layout
        segment = _pages(*self._version()).segment
        unit = [1 if dimension is None else segment[dimension] for dimension in dimensions]
        return _piece([1] * leading + unit, self.shape, self.dtype.itemsize)

    def read(self, slices: Slices) -> np.ndarray:
        leading, dimensions = self.layout
        inside = [slice(0, 1)] * 5
        pages = _pages(*self._version())
        for dimension, size in enumerate(pages.keyframe.shaped):
            inside[dimension] = slice(0, size)
        for wanted, dimension in zip(slices[leading:], dimensions, strict=True):
            if dimension is not None:
                inside[dimension] = wanted
        numbers = np.arange(math.prod(self.shape[:leading])).reshape(self.shape[:leading])[slices[:leading]].ravel()
        out = np.empty((len(numbers), *(part.stop - part.start for part in inside)), self.dtype)
        for plane, number in zip(out, numbers, strict=True):
            pages.read(int(number), tuple(inside), plane)
        return out.reshape([part.stop - part.start for part in slices])

    def missing(self) -> list[int]:
        """Numbers of the planes that the file lacks; they are read as `fill`."""
        return _pages(*self._version()).missing

    @property
    def fill(self) -> float:
        """What missing planes are read as."""
        return _pages(*self._version()).nodata

    def _version(self) -> tuple[Path, int, int, int]:
        status = self.path.stat()
        return self.path, status.st_mtime_ns, status.st_size, self.number


def _page_layout(
    shape: tuple[int, ...], pages: int, shaped: tuple[int, ...]
) -> tuple[int, tuple[int | None, ...]] | None:
    wide = [dimension for dimension, size in enumerate(shaped) if size > 1]
    for leading in range(len(shape) + 1):
        rest = shape[leading:]
        if math.prod(shape[:leading]) == pages and [n for n in rest if n > 1] == [shaped[n] for n in wide]:
            following = iter(wide)
            return leading, tuple(next(following) if size > 1 else None for size in rest)
    return None


class _Pages:
    """Where the segments of every page lie, and how they are decoded; the file is closed again."""

    def __init__(self, path: Path, number: int) -> None:
        with tiff_file(path) as tif:
            image = tiff_images(tif)[number]
            self.keyframe = image.keyframe
            self.nodata = self.keyframe.nodata
            self._place_segments()
            self._find_pages(path, image.pages())
        self.path = path
        if not self.keyframe.is_contiguous:
            samples = self.keyframe.shaped[4] * self.keyframe.dtype.itemsize
            check_segments(path, self.keyframe, self.sizes.astype(np.float64).prod(axis=1) * samples, self.counts)

    def _place_segments(self) -> None:
        keyframe = self.keyframe
        if keyframe.is_contiguous:
            # tifffile then joins the strips of a page
            self.starts, self.sizes = np.zeros((1, 4), int), np.array([keyframe.shaped[1:4]])
            self.segment = (1, 1, 1, *keyframe.shaped[3:])
            return
        count = math.prod(keyframe.chunked)
        # Without data the decoder tells where a segment lies.
        places = [keyframe.decode(None, index)[1:] for index in range(count)]
        self.starts = np.array([place[:4] for place, _ in places])
        self.sizes = np.array([shape[:3] for _, shape in places])
        self.segment = (1, *self.sizes[0], keyframe.shaped[4])

    def _find_pages(self, path: Path, pages: list[Any]) -> None:
        count = len(self.starts)
        self.offsets = np.zeros((len(pages), count), np.int64)
        self.counts = np.zeros_like(self.offsets)
        self.files: list[Path] = []
        self.tables: dict[int, bytes] = {}
        sizes: dict[Path, int] = {}
        for number, page in enumerate(pages):
            self.files.append(path if page is None else file_of(path, page))
            if page is None:
                continue
            if min(len(page.dataoffsets), len(page.databytecounts)) < count:
                raise InputError(f"{path}: the TIFF file is damaged, page {number} lacks some of its {count} parts")
            self.offsets[number] = page.dataoffsets[:count]
            self.counts[number] = page.databytecounts[:count]
            self.counts[number][self.offsets[number] == 0] = 0
            if page.jpegtables is not None:
                self.tables[number] = page.jpegtables
            file = self.files[-1]
            sizes[file] = sizes.get(file) or file.stat().st_size
            _check_length(path, sizes[file], int((self.offsets[number] + self.counts[number]).max()))
        self.missing = np.flatnonzero(~self.counts.any(axis=1)).tolist()

    def read(self, number: int, inside: Slices, out: np.ndarray) -> None:
        """Fill ``out`` with the part ``inside`` of a page, both in tifffile's five dimensions."""
        file, keyframe = self.files[number], self.keyframe
        if keyframe.is_contiguous and self.counts[number, 0]:
            dtype = out.dtype.newbyteorder(keyframe.parent.byteorder)
            out[...] = _flat(file, int(self.offsets[number, 0]), dtype, keyframe.shaped, inside)
            return
        out[...] = self.nodata
        first = np.array([part.start for part in inside[:4]])
        last = np.array([part.stop for part in inside[:4]])
        ends = np.concatenate([self.starts[:, :1] + 1, self.starts[:, 1:] + self.sizes], axis=1)
        touched = np.flatnonzero(((self.starts < last) & (ends > first)).all(axis=1) & (self.counts[number] > 0))
        with open(file, "rb") as stream:
            for index in touched:
                stream.seek(int(self.offsets[number, index]))
                data = stream.read(int(self.counts[number, index]))
                check_encoded(self.path, int(keyframe.compression), data, tuple(map(int, self.sizes[index][1:])))
                segment = self._decoded(data, int(index), number)
                if segment is not None:
                    _paste(segment, self.starts[index], inside, out)

    def _decoded(self, data: bytes, index: int, number: int) -> np.ndarray | None:
        try:
            # Only JPEG decoders take tables; the others ignore them.
            return self.keyframe.decode(data, index, jpegtables=self.tables.get(number))[0]
        except Exception as error:
            if remedy := codec_remedy(error):
                raise InputError(f"{self.path}: not a readable TIFF image ({one_line(error)}){remedy}") from error
            raise


def _paste(segment: np.ndarray, start: np.ndarray, inside: Slices, out: np.ndarray) -> None:
    """Copy the part of a segment (depth, length, width, samples) that lies in ``inside`` to its place."""
    source, target = [], []
    for begin, size, wanted in zip(start[1:], segment.shape[:3], inside[1:4], strict=True):
        low, high = max(begin, wanted.start), min(begin + size, wanted.stop)
        source.append(slice(low - begin, high - begin))
        target.append(slice(low - wanted.start, high - wanted.start))
    out[(start[0] - inside[0].start, *target)] = segment[(*source, inside[4])]


@lru_cache(maxsize=8)
def _pages(path: Path, modified: int, size: int, number: int) -> _Pages:
    """Parsed once a process, and again when the file has changed."""
    return _Pages(path, number)


def write_image(
    path: str | Path,
    array: np.ndarray,
    axes: str,
    pixel_size: dict[str, float] | None = None,
    unit: str | None = None,
) -> None:
    """Write an ImageJ TIFF, dimensions in ImageJ's order TZCYX.

    uint8, uint16 and float32 stay as they are. Other floats become float32, bool becomes uint8 (0 and 1),
    other integers the smaller of uint8 and uint16 that holds their values and is no wider than they are, else
    float32 (exact to 2^24). The file appears only when it is whole.

    Args:
        path: the file, ending in .tif or .tiff.
        array: the image.
        axes: its axes, letters of TZCYX, one a dimension.
        pixel_size: step along an axis, where known: Z, Y, X in ``unit``, T in seconds. ImageJ keeps X and Y
            only together: one that is missing is taken from the other.
        unit: unit of length, such as "um"; needed where ``pixel_size`` has Z, Y or X.

    Raises:
        InputError: the name, the axes, the dtype or the pixel size do not fit, or the file cannot be written.
    """
    path = Path(path)
    array = np.asarray(array)
    axes = check_axes(axes)
    if path.suffix.lower() not in WRITTEN_TIFF_SUFFIXES:
        raise InputError(f"{path}: images are written as TIFF, expected a name ending in .tif or .tiff")
    if len(axes) != array.ndim:
        raise InputError(f"{path}: axes {axes} do not fit the image's shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{path}: the image to write is empty, its shape is {array.shape}")
    array = _imagej_dtype(path, array)
    order = "".join(axis for axis in IMAGEJ_ORDER if axis in axes)
    array = np.ascontiguousarray(array.transpose([axes.index(axis) for axis in order]))
    options = imagej_options(path, order, array.nbytes, pixel_size or {}, unit)
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, array, **options)


def _imagej_dtype(path: Path, array: np.ndarray) -> np.ndarray:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf":
        raise InputError(f"{path}: cannot write pixels of type {array.dtype}, expected integers or floats")
    if kind == "f":
        return array.astype(np.float32, copy=False)
    if kind == "b":
        return array.astype(np.uint8)
    target = np.uint8 if size == 1 else np.uint16
    if array.min() < 0 or array.max() > np.iinfo(target).max:
        target = np.float32
    return array.astype(target, copy=False)


def imagej_options(
    path: Path, axes: str, nbytes: int, pixel_size: dict[str, float], unit: str | None
) -> dict[str, object]:
    """What tifffile's ``imwrite`` is told to write an ImageJ file of ``nbytes``, its axes in ImageJ's order.

    Raises:
        InputError: as `check_pixel_size`.
    """
    check_pixel_size(path, pixel_size, unit)
    metadata: dict[str, object] = {"axes": axes}
    if unit:
        metadata["unit"] = imagej_unit(unit)
    if "Z" in pixel_size and "Z" in axes:
        metadata["spacing"] = pixel_size["Z"]
    if "T" in pixel_size and "T" in axes:
        metadata["finterval"] = pixel_size["T"]
    x, y = pixel_size.get("X", pixel_size.get("Y")), pixel_size.get("Y", pixel_size.get("X"))
    resolution = None if x is None or y is None else (1 / x, 1 / y)
    options = {"imagej": True, "photometric": "minisblack", "metadata": metadata, "resolution": resolution}
    return options | {"truncate": True} if nbytes > _CLASSIC_TIFF_BYTES else options

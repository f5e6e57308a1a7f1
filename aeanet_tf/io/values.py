"""What the numbers of an image mean: ImageJ's calibration, palettes, white for 0, grey levels stored as colours."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image_path import ImagePath

logger = logging.getLogger("aeanet_tf")

# ImageJ's numbers for its functions.
_STRAIGHT_LINE, _NONE = 0, 20
# Of these ImageJ calibrates the values.
_CALIBRATED = ("uint8", "uint16", "int16")
# Photometric interpretations whose samples are no grey levels and no red, green and blue.
_OTHER_COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "a colour filter array"}
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6
# None, LZW, deflate, pack bits, LZMA, Zstandard: others are of pictures, and decode YCbCr to red, green and blue.
_PLAIN_CODECS = (1, 5, 8, 32773, 32946, 34925, 50000)
# Of files of these kinds a palette shows grey levels in false colours; of others it may be that of a picture.
_MICROSCOPES = {
    "imagej",
    "ome",
    "lsm",
    "stk",
    "micromanager",
    "fluoview",
    "metaseries",
    "nih",
    "sis",
    "scanimage",
    "mdgel",
}
# Beyond this not all integers are float32's, in which networks compute.
_EXACT = 2**24
# What was said of images already, in this process.
_said: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class CalibratedPixels:
    """Pixels whose values are a linear function of the stored numbers.

    Attributes:
        source: the stored pixels.
        offset, gain: value = offset + gain * number.
        dtype: of the values: integers where they are whole, else float32.
    """

    source: Any
    offset: float
    gain: float
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        return self.source.chunks

    def read(self, slices: tuple[slice, ...]) -> np.ndarray:
        numbers = self.source.read(slices)
        kind = np.int64 if self.dtype.kind in "iu" else np.float64
        return (kind(self.offset) + kind(self.gain) * numbers.astype(kind)).astype(self.dtype)


@dataclass(frozen=True)
class WidePixels:
    """Pixels of integers that may be larger than networks tell apart, which is said when such ones are read."""

    path: Path | ImagePath
    source: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self.source.chunks

    def read(self, slices: tuple[slice, ...]) -> np.ndarray:
        values = self.source.read(slices)
        if values.size and max(int(values.max()), -int(values.min())) > _EXACT:
            _say(self.path, f"holds integers beyond {_EXACT}, of which float32, in which networks compute, has not all")
        return values


@dataclass(frozen=True)
class GreyPixels:
    """Pixels that are stored as colours, though they are grey: red, green and blue are equal, and nothing is clear.

    Attributes:
        path: the image.
        source: the stored pixels.
        dimension: of the samples: grey and opacity, or red, green, blue, and opacity where there are four.
    """

    path: Path | ImagePath
    source: Any
    dimension: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self._without(self.source.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._without(self.source.chunks)

    def _without(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return (*sizes[: self.dimension], *sizes[self.dimension + 1 :])

    def read(self, slices: tuple[slice, ...]) -> np.ndarray:
        count, at = self.source.shape[self.dimension], self.dimension
        samples = np.moveaxis(self.source.read((*slices[:at], slice(0, count), *slices[at:])), at, 0)
        for other in samples[1:3] if count > 2 else ():
            expected = "grey levels, since the axes have no C; convert it first (Fiji: Image > Type > 8-bit)"
            expect(np.array_equal(samples[0], other), self.path, "colours", expected)
        if count in (2, 4):
            opaque = np.iinfo(self.dtype).max if self.dtype.kind in "iu" else 1
            expect((samples[-1] == opaque).all(), self.path, "pixels that are transparent", "opaque ones")
        return np.ascontiguousarray(samples[0])


def checked_values(path: Path | ImagePath, source: Any, stored: str, axes: str | None) -> tuple[Any, str]:
    """The pixels of an image of any format and the letters of their dimensions.

    Args:
        path: the image, for messages.
        source: its pixels.
        stored: the file's letters for the dimensions.
        axes: those that the user gave. Without a C they drop colour samples, which must be grey then; None leaves
            them as they are, which is as channels.
    """
    dtype = np.dtype(source.dtype)
    if dtype.kind in "iu" and dtype.itemsize > 2:
        source = WidePixels(path, source)
    at = stored.find("S")
    if axes is None or "C" in axes or "C" in stored or at < 0 or source.shape[at] not in (2, 3, 4):
        return source, stored
    wide = sum(n > 1 or letter in "YX" for n, letter in zip(source.shape, stored, strict=True))
    if len(axes) == wide and not stored.endswith("S"):
        # Three slices that a program took for red, green and blue, and that the user calls by their name.
        return source, stored
    return GreyPixels(path, source, at), stored.replace("S", "", 1)


def tiff_values(path: Path | ImagePath, tif: tifffile.TiffFile, page: tifffile.TiffPage, source: Any) -> Any:
    """The pixels of a TIFF as the numbers that ImageJ shows: calibrated, whatever colours they are shown in.

    Args:
        path: the image, for messages.
        tif: the open file.
        page: the first of the image.
        source: the stored pixels.

    Returns:
        ``source``, or a `CalibratedPixels`.

    Raises:
        InputError: the pixels are numbers of colours in a palette, or colours other than red, green and blue; the
            calibration is not linear.
    """
    _check_colours(path, tif, page)
    # Of masks of one bit it says nothing.
    if page.photometric == _WHITE_IS_ZERO and page.bitspersample > 1:
        shown = "is shown with white for 0 (MinIsWhite), which changes no number; results are shown with black for 0"
        _say(path, shown)
    return _calibrated(path, tif.imagej_metadata or {}, source) if tif.is_imagej else source


def _check_colours(path: Path | ImagePath, tif: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    photometric = int(page.photometric)
    decoded = photometric == _YCBCR and page.compression not in _PLAIN_CODECS
    if photometric in _OTHER_COLOURS and not decoded:
        name = _OTHER_COLOURS[photometric]
        raise InputError(f"{path}: found colours of {name}, expected grey levels, or red, green and blue")
    microscope = _MICROSCOPES & (set(tif.flags) | set(page.flags))
    if photometric == _PALETTE and not microscope and not _is_ramp(page.colormap):
        expected = "grey levels; save it as such (Fiji: Image > Type > 8-bit)"
        raise InputError(f"{path}: found numbers of colours in a palette, expected {expected}")


def _is_ramp(palette: np.ndarray | None) -> bool:
    """Whether a palette (3, n) only gives a colour to grey levels, as microscopes' do: each of red, green and blue is
    nothing, or rises evenly."""
    if palette is None:
        return True
    steps = np.linspace(0, 1, palette.shape[1])
    for colour in palette.astype(np.float64):
        # Of 16 bits, or 8 in the upper or the lower half.
        if colour.max() > 0 and np.abs(colour / colour.max() - steps).max() > 0.02:
            return False
    return bool(palette.max() > 0)


def _calibrated(path: Path | ImagePath, metadata: dict[str, Any], source: Any) -> Any:
    """The pixels with the calibration of values that ImageJ's metadata has; see ImageJ's Analyze > Calibrate."""
    function = metadata.get("cf", _STRAIGHT_LINE)
    coefficients = [metadata[name] for name in ("c0", "c1") if name in metadata]
    if function == _NONE or np.dtype(source.dtype).name not in _CALIBRATED:
        # ImageJ calibrates no others.
        return source
    if function == _STRAIGHT_LINE and len(coefficients) < 2:
        return source
    expected = "a straight line; in Fiji Image > Type > 32-bit applies another"
    expect(function == _STRAIGHT_LINE, path, f"values calibrated by ImageJ's function {function}", expected)
    numbers = all(isinstance(number, int | float) and math.isfinite(number) for number in coefficients)
    known = numbers and coefficients[1] != 0
    expect(
        known, path, f"values calibrated by c0={coefficients[0]!r}, c1={coefficients[1]!r}", "finite numbers, c1 not 0"
    )
    offset, gain = map(float, coefficients)
    if source.dtype == np.int16:
        # ImageJ holds these as unsigned.
        offset += gain * 2**15
    if (offset, gain) == (0, 1):
        return source
    info = np.iinfo(source.dtype)
    ends = sorted(offset + gain * number for number in (info.min, info.max))
    return CalibratedPixels(source, offset, gain, _value_dtype(path, offset, gain, ends))


def _value_dtype(path: Path | ImagePath, offset: float, gain: float, ends: list[float]) -> np.dtype:
    """The smallest integers that hold whole values, else float32."""
    if offset.is_integer() and gain.is_integer() and max(map(abs, ends)) < _EXACT:
        kinds = map(np.dtype, ("uint8", "uint16", "int16", "int32"))
        return next(kind for kind in kinds if np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max)
    fits = max(map(abs, ends)) <= float(np.finfo(np.float32).max)
    expect(fits, path, f"values calibrated to {ends[0]:g} to {ends[1]:g}", "those of float32")
    return np.dtype(np.float32)


def _say(path: Path | ImagePath, what: str) -> None:
    """Warn of an image once, though it is opened to be checked, and again to be read."""
    if (str(path), what) not in _said:
        _said.add((str(path), what))
        logger.warning("%s: %s", path, what)

"""Reading and writing microscopy images with their axes and pixel size."""

import glob
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from aeanet_tf.data.pixel_size import imagej_pixel_size, ome_pixel_size
from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".bmp", ".jpg", ".jpeg")

IMAGEJ_ORDER = "TZCYX"
# Beyond this a classic TIFF cannot address its pages; ImageJ then keeps one directory and contiguous pixels.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


@dataclass
class Image:
    """An image, what its dimensions mean, and how large a pixel is.

    Attributes:
        array: the pixels, in the dtype of the file.
        axes: one letter a dimension, in the order of ``array.shape``: T, Z, C, Y, X.
        pixel_size: step along an axis, for the axes where it is known: Z, Y, X in ``unit``, T in seconds.
        unit: unit of length ("um", "nm", ...), None if unknown.
        path: the file it was read from, None if made in memory.
    """

    array: np.ndarray
    axes: str
    pixel_size: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    path: Path | None = None


def image_stem(path: str | Path) -> str:
    """File name without its extension (``.ome.tif`` counts as one), by which images are matched."""
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def check_axes(axes: str, allowed: str = "TZCYX") -> str:
    """Return ``axes`` in capitals.

    Raises:
        InputError: a letter is unknown or stands twice, or Y or X is missing.
    """
    letters = str(axes).upper()
    if not set(letters) <= set(allowed) or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise InputError(f"axes: got {axes!r}, expected different letters of {allowed}, with Y and X")
    return letters


def check_fits(image: Image, axes: str, channels: int) -> None:
    """Check that a network with these axes (such as "ZYXC") and channels takes an image, its axes in any order.

    Raises:
        InputError: other spatial axes, or another number of channels; without a C axis there is one.
    """
    spatial = axes.replace("C", "")
    if sorted(image.axes.replace("C", "")) != sorted(spatial):
        raise InputError(f"{image.path}: axes {image.axes}, expected {spatial} (and C for channels), the model's axes")
    found = image.array.shape[image.axes.index("C")] if "C" in image.axes else 1
    if found != channels:
        raise InputError(f"{image.path}: {found} channels, the model takes {channels}")


def find_images(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """List image files.

    Args:
        patterns: a file, a folder (every image in it, not in its sub-folders), a glob pattern, or a list of
            these. Folders and globs give the files with a known extension (tif, tiff, png, bmp, jpg, jpeg).

    Returns:
        The paths, each once, sorted.

    Raises:
        InputError: a pattern matches no image.
    """
    if isinstance(patterns, str | Path):
        patterns = [patterns]
    if not patterns:
        raise InputError("images: got an empty list, expected a file, a folder or a pattern")
    found: set[Path] = set()
    for pattern in patterns:
        found.update(_find(Path(pattern).expanduser()))
    return sorted(found)


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    known = ", ".join(suffix[1:] for suffix in SUFFIXES)
    if path.is_dir():
        candidates = list(path.iterdir())
        if not candidates:
            raise InputError(f"{path}: the folder is empty, expected images ({known})")
        complaint = f"{path}: the folder has no image in it, expected one of {known}"
    elif glob.has_magic(str(path)):
        candidates = [Path(name) for name in glob.glob(str(path), recursive=True)]
        complaint = f"{path}: the pattern matches no image ({known})"
    else:
        raise InputError(f"{path}: no such file or folder")
    images = [
        candidate
        for candidate in candidates
        if candidate.suffix.lower() in SUFFIXES and not candidate.name.startswith(".") and candidate.is_file()
    ]
    if not images:
        raise InputError(complaint)
    return images


def read_image(path: str | Path, axes: str | None = None) -> Image:
    """Read one image: TIFF (first series; ImageJ, OME or plain), PNG, BMP or JPEG.

    Dimensions of size 1 are dropped unless ``axes`` names them.

    Args:
        path: the file.
        axes: meaning of the dimensions in the order in which the file stores them, such as "ZYX". None takes
            what the file says (ImageJ, OME, tifffile); a plain 2D image is YX, colour samples are C.

    Returns:
        The image. Pixel size comes from ImageJ or OME metadata; the dots per inch of other files say nothing
        about the sample and are ignored.

    Raises:
        InputError: the file is missing, unreadable, truncated or empty; its dtype is not a real number; it
            holds NaN or infinity; its axes are not known; or ``axes`` does not fit its shape.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if axes is not None:
        axes = check_axes(axes)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise InputError(f"{path}: unknown image format {suffix!r}, expected one of {known}")
    if suffix in TIFF_SUFFIXES:
        array, stored, pixel_size, unit = _read_tiff(path)
    else:
        array, stored, pixel_size, unit = *_read_picture(path), {}, None
    _check_values(path, array)
    array, axes = _resolve_axes(path, array, stored, axes)
    pixel_size = {axis: size for axis, size in pixel_size.items() if axis in axes}
    return Image(array, axes, pixel_size, unit if set(pixel_size) & set("ZYX") else None, path)


@contextmanager
def _tifffile_complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs as an error: a truncated file gives fewer pages and no exception."""
    complaints: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        # An unreadable tag is no loss of pixels.
        if record.levelno >= logging.ERROR and "TiffTag" not in message:
            complaints.append(message)
        return record.levelno < logging.ERROR

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield complaints
    finally:
        logger.removeFilter(collect)


def _read_tiff(path: Path) -> tuple[np.ndarray, str, dict[str, float], str | None]:
    with _tifffile_complaints() as complaints:
        try:
            with tifffile.TiffFile(path) as tif:
                series = tif.series[0]
                array, stored = series.asarray(), series.axes
                if tif.is_ome:
                    pixel_size, unit = ome_pixel_size(tif.ome_metadata)
                elif tif.is_imagej:
                    pixel_size, unit = imagej_pixel_size(tif.imagej_metadata, tif.pages[0].tags)
                else:
                    pixel_size, unit = {}, None
        # Codecs and the parser raise whatever the damaged bytes lead them to.
        except Exception as error:
            raise InputError(f"{path}: not a readable TIFF image ({_one_line(error)})") from error
    if complaints:
        raise InputError(f"{path}: the TIFF file is damaged or truncated ({_one_line(complaints[0])})")
    return array, stored, pixel_size, unit


def _read_picture(path: Path) -> tuple[np.ndarray, str]:
    from skimage.io import imread

    try:
        array = np.asarray(imread(path))
    except Exception as error:
        raise InputError(f"{path}: not a readable image ({_one_line(error)})") from error
    return array, "YX" if array.ndim == 2 else "YXS"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:160]


def _check_values(path: Path, array: np.ndarray) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: pixels of type {array.dtype}, expected integers or floats")
    if array.size == 0:
        raise InputError(f"{path}: the image is empty, its shape is {array.shape}")
    # The extremes suffice, since minimum and maximum propagate NaN, and need no mask of the image's size.
    if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        raise InputError(f"{path}: the image holds NaN or infinite values, expected finite ones")


def _resolve_axes(path: Path, array: np.ndarray, stored: str, axes: str | None) -> tuple[np.ndarray, str]:
    if "C" not in stored:
        stored = stored.replace("S", "C")
    if axes is not None and array.ndim == len(axes):
        if stored != axes and sorted(stored) == sorted(axes):
            raise InputError(f"{path}: the file stores its axes as {stored}, got axes {axes}")
        return array, axes
    keep = [dimension for dimension, size in enumerate(array.shape) if size > 1 or stored[dimension] in "YX"]
    stored = "".join(stored[dimension] for dimension in keep)
    shape = array.shape
    array = array.reshape([shape[dimension] for dimension in keep])
    if axes is not None:
        if array.ndim != len(axes):
            raise InputError(f"{path}: shape {shape} does not fit axes {axes} ({len(axes)} dimensions)")
        return array, axes
    if not set(stored) <= set("TZCYX") or len(set(stored)) != len(stored):
        raise InputError(f"{path}: shape {shape}, but the file does not name its axes; give them, as --axes ZYX")
    return array, stored


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
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise InputError(f"{path}: images are written as TIFF, expected a name ending in .tif or .tiff")
    if len(axes) != array.ndim:
        raise InputError(f"{path}: axes {axes} do not fit the image's shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{path}: the image to write is empty, its shape is {array.shape}")
    array = _imagej_dtype(path, array)
    order = "".join(axis for axis in IMAGEJ_ORDER if axis in axes)
    array = np.ascontiguousarray(array.transpose([axes.index(axis) for axis in order]))
    metadata, resolution = _imagej_metadata(path, order, pixel_size or {}, unit)
    large = array.nbytes > _CLASSIC_TIFF_BYTES
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            array,
            imagej=True,
            photometric="minisblack",
            metadata=metadata,
            resolution=resolution,
            **({"truncate": True} if large else {}),
        )


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


def _imagej_metadata(
    path: Path, axes: str, pixel_size: dict[str, float], unit: str | None
) -> tuple[dict[str, object], tuple[float, float] | None]:
    for axis, size in pixel_size.items():
        if axis not in "TZYX" or not np.isfinite(size) or size <= 0:
            raise InputError(f"{path}: pixel size {size} along {axis}, expected a positive number along T, Z, Y, X")
    if set(pixel_size) & set("ZYX") and not unit:
        raise InputError(f"{path}: pixel size {pixel_size} without a unit, expected one such as 'um'")
    metadata: dict[str, object] = {"axes": axes}
    if unit:
        metadata["unit"] = unit
    if "Z" in pixel_size and "Z" in axes:
        metadata["spacing"] = pixel_size["Z"]
    if "T" in pixel_size and "T" in axes:
        metadata["finterval"] = pixel_size["T"]
    x, y = pixel_size.get("X", pixel_size.get("Y")), pixel_size.get("Y", pixel_size.get("X"))
    return metadata, None if x is None or y is None else (1 / x, 1 / y)

"""Reading and writing microscopy images with their axes and pixel size."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.io.pixel_size import imagej_unit
from aeanet_tf.io.tiff import one_line, tiff_calibration, tiff_file

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".bmp", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")
ZARR_SUFFIX = ".zarr"

IMAGEJ_ORDER = "TZCYX"
# Beyond this a classic TIFF cannot address its pages; ImageJ then keeps one directory and contiguous pixels.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


@dataclass
class Image:
    """An image, what its dimensions mean, and how large a pixel is.

    Attributes:
        array: the pixels, in the dtype of the file; a `StoredArray` if they were left there (`open_image`).
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
    """File name without its extension (``.ome.tif`` and ``.nii.gz`` count as one), by which images are matched."""
    if image_suffix(path) == ".nii.gz":
        return Path(path).name[:-7]
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def image_suffix(path: str | Path) -> str:
    """The extension in small letters, by which the format is known: the last, or ``.nii.gz``."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def check_axes(axes: str, allowed: str = "TZCYX") -> str:
    """Return ``axes`` in capitals.

    Raises:
        InputError: a letter is unknown or stands twice, or Y or X is missing.
    """
    letters = str(axes).upper()
    if not set(letters) <= set(allowed) or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise InputError(f"axes: got {axes!r}, expected different letters of {allowed}, with Y and X")
    return letters


def check_fits(image: Image, axes: str, channels: int, frames: bool = False) -> None:
    """Check that a network with these axes (such as "ZYXC") and channels takes an image, its axes in any order.

    With ``frames`` the image may also have a time axis T that the network lacks.

    Raises:
        InputError: other spatial axes, or another number of channels; without a C axis there is one.
    """
    spatial = axes.replace("C", "")
    ignored = "CT" if frames and "T" not in spatial else "C"
    if sorted(a for a in image.axes if a not in ignored) != sorted(spatial):
        raise InputError(f"{image.path}: axes {image.axes}, expected {spatial} (and C for channels), the model's axes")
    found = image.array.shape[image.axes.index("C")] if "C" in image.axes else 1
    if found != channels:
        raise InputError(f"{image.path}: {found} channels, the model takes {channels}")


def find_images(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """List image files, and OME-Zarr folders, each of which is one image.

    Args:
        patterns: an image, a folder (every image in it, not in its sub-folders), a glob pattern, or a list of
            these. Folders and globs give what has a known extension (tif, tiff, png, bmp, jpg, jpeg, nii, nii.gz,
            hdr, zarr).

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
    if path.is_file() or _is_zarr_image(path) or is_zarr(path):
        return [path]
    known = _known()
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
        # stored.py imports this module
        from aeanet_tf.io.read import open_image

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


def calibrated(array, axes: str, pixel_size: dict[str, float], unit: str | None, path: Path) -> Image:
    """An image with the pixel sizes of those axes that it has."""
    pixel_size = {axis: size for axis, size in pixel_size.items() if axis in axes}
    return Image(array, axes, pixel_size, unit if set(pixel_size) & set("ZYX") else None, path)


def read_whole(path: Path) -> tuple[np.ndarray, str, dict[str, float], str | None]:
    """Pixels, axes, pixel size and unit of an image of a format that is only read whole.

    That is PNG, BMP and JPEG (YX or YXS, without a pixel size), NIfTI and Analyze (ZYX).

    Raises:
        InputError: the file cannot be read.
    """
    if image_suffix(path) in NIFTI_SUFFIXES:
        # nifti.py imports this module
        from aeanet_tf.io.nifti import read_nifti

        volume = read_nifti(path)
        return volume.array, volume.axes, volume.pixel_size, volume.unit
    from skimage.io import imread

    try:
        array = np.asarray(imread(path))
    except Exception as error:
        raise InputError(f"{path}: not a readable image ({one_line(error)})") from error
    return array, "YX" if array.ndim == 2 else "YXS", {}, None


def not_finite(path: Path | None) -> InputError:
    """The error for an image that holds NaN or infinity; ``path`` is its file, or None."""
    return InputError(f"{path or 'image'}: the image holds NaN or infinite values, expected finite ones")


def check_finite(path: Path | None, array: np.ndarray) -> None:
    """Raise `not_finite` where an image, or a piece of it, holds NaN or infinity."""
    # The extremes suffice, since minimum and maximum propagate NaN, and need no mask of the image's size.
    if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
        raise not_finite(path)


def resolve_axes(
    path: Path, shape: Sequence[int], dtype: np.dtype, stored: str, axes: str | None
) -> tuple[list[int], str]:
    """Which of the stored dimensions an image keeps, and what they are called; its dtype and size are checked.

    Args:
        path: the file, for messages.
        shape: the stored shape.
        dtype: the stored dtype.
        stored: the file's letters for the dimensions; S counts as C, others than TZCYX as unknown.
        axes: the axes that the user gave, in capitals.

    Raises:
        InputError: the pixels are not real numbers, or none; the axes do not fit or are not known.
    """
    if dtype.kind not in "biuf":
        raise InputError(f"{path}: pixels of type {dtype}, expected integers or floats")
    shape = tuple(shape)
    if 0 in shape:
        raise InputError(f"{path}: the image is empty, its shape is {shape}")
    if "C" not in stored:
        stored = stored.replace("S", "C")
    if axes is not None and len(shape) == len(axes):
        if stored != axes and sorted(stored) == sorted(axes):
            raise InputError(f"{path}: the file stores its axes as {stored}, got axes {axes}")
        return list(range(len(shape))), axes
    keep = [dimension for dimension, size in enumerate(shape) if size > 1 or stored[dimension] in "YX"]
    stored = "".join(stored[dimension] for dimension in keep)
    if axes is not None:
        if len(keep) != len(axes):
            raise InputError(f"{path}: shape {shape} does not fit axes {axes} ({len(axes)} dimensions)")
        return keep, axes
    if not set(stored) <= set("TZCYX") or len(set(stored)) != len(stored):
        raise InputError(f"{path}: shape {shape}, but the file does not name its axes; give them, as --axes ZYX")
    return keep, stored


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


def check_pixel_size(path: Path, pixel_size: dict[str, float], unit: str | None) -> None:
    """Check the calibration of an image to write.

    Raises:
        InputError: a size is not positive, or is of another axis than T, Z, Y, X; a length has no unit.
    """
    for axis, size in pixel_size.items():
        if axis not in "TZYX" or not np.isfinite(size) or size <= 0:
            raise InputError(f"{path}: pixel size {size} along {axis}, expected a positive number along T, Z, Y, X")
    if set(pixel_size) & set("ZYX") and not unit:
        raise InputError(f"{path}: pixel size {pixel_size} without a unit, expected one such as 'um'")

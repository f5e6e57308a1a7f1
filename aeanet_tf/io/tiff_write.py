"""Images as ImageJ TIFF."""

from pathlib import Path

import numpy as np
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.io.image import TIFF_SUFFIXES, check_axes, check_pixel_size
from aeanet_tf.io.pixel_size import imagej_unit

IMAGEJ_ORDER = "TZCYX"
# Beyond this a classic TIFF cannot address its pages; ImageJ then keeps one directory and contiguous pixels.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


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

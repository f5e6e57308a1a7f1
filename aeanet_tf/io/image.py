"""An image with its axes and pixel size, and what is checked of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".bmp", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")
ZARR_SUFFIX = ".zarr"


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
    known = {"Y", "X"} <= set(letters) <= set(allowed) and len(set(letters)) == len(letters)
    expect(known, "axes", repr(axes), f"different letters of {allowed}, with Y and X")
    return letters


def check_fits(image: Image, axes: str, channels: int, frames: bool = False) -> None:
    """Check that a network with these axes (such as "ZYXC") and channels takes an image, its axes in any order.

    With ``frames`` the image may also have a time axis T that the network lacks.

    Raises:
        InputError: other spatial axes, or another number of channels; without a C axis there is one.
    """
    spatial = axes.replace("C", "")
    ignored = "CT" if frames and "T" not in spatial else "C"
    fits = sorted(a for a in image.axes if a not in ignored) == sorted(spatial)
    expect(fits, image.path, f"axes {image.axes}", f"{spatial} (and C for channels), the model's axes")
    present = image.array.shape[image.axes.index("C")] if "C" in image.axes else 1
    expect(present == channels, image.path, f"{present} channels", f"{channels}, which the model takes")


def calibrated(array: np.ndarray, axes: str, pixel_size: dict[str, float], unit: str | None, path: Path) -> Image:
    """An image with the pixel sizes of those axes that it has."""
    pixel_size = {axis: size for axis, size in pixel_size.items() if axis in axes}
    return Image(array, axes, pixel_size, unit if set(pixel_size) & set("ZYX") else None, path)


def not_finite(path: Path | None) -> InputError:
    """The error for an image that holds NaN or infinity; ``path`` is its file, or None."""
    return InputError(f"{path or 'image'}: the image holds NaN or infinite values, expected finite ones")


def check_finite(path: Path | None, array: np.ndarray) -> None:
    """Raise an `InputError` where an image, or a piece of it, holds NaN, infinity, or values beyond float32's range."""
    # The extremes suffice, since minimum and maximum propagate NaN, and need no mask of the image's size.
    if array.dtype.kind == "f" and array.size:
        check_held(path, array.min(), array.max())


def check_held(path: Path | None, least: float, most: float) -> None:
    """Check that float32, in which images are normalised and restored, can hold the extremes of an image.

    Raises:
        InputError: one of them is not finite, or beyond the range.
    """
    if not (np.isfinite(least) and np.isfinite(most)):
        raise not_finite(path)
    largest, bound = max(-float(least), float(most)), float(np.finfo(np.float32).max)
    expect(largest <= bound, path or "image", f"values up to {largest:.3g}", f"at most {bound:.3g}, as float32 holds")


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
    expect(dtype.kind in "biuf", path, f"pixels of type {dtype}", "integers or floats")
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


def check_pixel_size(path: Path, pixel_size: dict[str, float], unit: str | None) -> None:
    """Check the calibration of an image to write.

    Raises:
        InputError: a size is not positive, or is of another axis than T, Z, Y, X; a length has no unit.
    """
    for axis, size in pixel_size.items():
        fits = axis in "TZYX" and np.isfinite(size) and size > 0
        expect(fits, path, f"pixel size {size} along {axis}", "a positive number along T, Z, Y, X")
    known = unit or not set(pixel_size) & set("ZYX")
    expect(known, path, f"pixel size {pixel_size} without a unit", "one such as 'um'")

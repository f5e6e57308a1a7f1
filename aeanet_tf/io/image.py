"""An image with its axes and pixel size, and what is checked of one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image_path import ImagePath

logger = logging.getLogger("aeanet_tf")

# As images are written; the others are names that TIFF files have, too: of BigTIFF, Zeiss LSM and MetaMorph stacks.
WRITTEN_TIFF_SUFFIXES = (".tif", ".tiff")
TIFF_SUFFIXES = (*WRITTEN_TIFF_SUFFIXES, ".btf", ".tf8", ".tf2", ".lsm", ".stk")
# Of microscopes' makers: Zeiss, Nikon, Leica, Olympus.
MAKER_SUFFIXES = (".czi", ".nd2", ".lif", ".oib", ".oif")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".bmp", ".jpg", ".jpeg", *MAKER_SUFFIXES)
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")
ZARR_SUFFIX = ".zarr"
PREVIEW = "_preview.png"
"""What the name of the picture of an image ends in, beside the image's own name; it is no image to work on."""
SCALE = "_scale"
RESULT_ENDS = (SCALE, "_probabilities", "_disagreement", "_divergence", "_lower", "_upper")
"""What the names of results end in that are written beside a prediction, behind the prediction's own name."""


@dataclass
class Image:
    """An image, what its dimensions mean, and how large a pixel is.

    Attributes:
        array: the pixels, in the dtype of the file; a `StoredArray` if they were left there (`open_image`).
        axes: one letter a dimension, in the order of ``array.shape``: T, Z, C, Y, X.
        pixel_size: step along an axis, for the axes where it is known: Z, Y, X in ``unit``, T in seconds.
        unit: unit of length ("um", "nm", ...), None if unknown.
        path: the file it was read from, None if made in memory.
        single: axes of size 1 that the file names and that ``array`` was read without, each with its pixel size, or
            None where that is not known; `with_axes` brings them back.
        channel_names: of the channels that were chosen of a file, "" for those without.
    """

    array: np.ndarray
    axes: str
    pixel_size: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    path: Path | ImagePath | None = None
    single: dict[str, float | None] = field(default_factory=dict, kw_only=True)
    channel_names: tuple[str, ...] = field(default=(), kw_only=True)


def image_stem(path: str | Path | ImagePath) -> str:
    """Name by which images are matched and predictions are called.

    It is the file's without its extension (``.ome.tif`` and ``.nii.gz`` count as one); one of several images of a file
    has its number behind it: ``NAME_s2``.
    """
    series = getattr(path, "series", None)
    which = "" if series is None else f"_s{series}"
    if image_suffix(path) == ".nii.gz":
        return Path(path).name[:-7] + which
    stem = Path(path).stem
    if Path(path).is_dir() and image_suffix(path) != ZARR_SUFFIX:
        # A folder of slices has no extension.
        return Path(path).name + which
    return (stem[:-4] if stem.lower().endswith(".ome") else stem) + which


def image_suffix(path: str | Path | ImagePath) -> str:
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


def frame_axes(image_axes: str, net_axes: str) -> str:
    """The axes along which a network predicts an image frame by frame: T and Z, where it lacks them."""
    return "".join(a for a in image_axes if a in "TZ" and a not in net_axes)


def check_fits(image: Image, axes: str, channels: int, frames: bool = False) -> None:
    """Check that a network with these axes (such as "ZYXC") and channels takes an image, its axes in any order.

    With ``frames`` the image may also have axes T and Z that the network lacks: `frame_axes`.

    Raises:
        InputError: other spatial axes, or another number of channels; without a C axis there is one.
    """
    spatial = axes.replace("C", "")
    ignored = "C" + (frame_axes(image.axes, axes) if frames else "")
    fits = sorted(a for a in image.axes if a not in ignored) == sorted(spatial)
    expected = f"{spatial} (and C for channels), the model's axes"
    expect(fits, image.path, f"axes {image.axes}", expected + (_other_axes(image.axes, spatial) if frames else ""))
    present = image.array.shape[image.axes.index("C")] if "C" in image.axes else 1
    remedy = _other_channels(image.axes, present, channels)
    expect(present == channels, image.path, f"{present} channels", f"{channels}, which the model takes{remedy}")


def _other_axes(found: str, spatial: str) -> str:
    """What can be done about axes that do not fit a model's."""
    if "Z" in found or "Z" not in spatial:
        return ""
    if "T" in found:
        return f"; if T are slices, say so with --axes {found.replace('T', 'Z')}"
    return "; it takes volumes, a single image needs a model of images"


def _other_channels(axes: str, present: int, channels: int) -> str:
    """What can be done about channels that a model does not take."""
    if channels != 1 or "C" not in axes:
        return ""
    # Samples of a picture are its last axis.
    if axes.endswith("C") and present in (2, 3, 4):
        return "; grey levels that are stored as colours are read with axes without C"
    return ""


def with_axes(image: Image, axes: str) -> Image:
    """An image with the axes that a network takes, as far as axes of size 1 make the difference.

    Those that the file names and that were left out in reading are brought back, and a Z or T of size 1 that the
    network lacks is dropped: a stack of one slice fits a model of volumes and one of images.

    Args:
        image: as `read_image` or `open_image` gives it.
        axes: of a network, such as "ZYXC"; a missing C stands for one channel and stays so.

    Returns:
        The image, with more or fewer axes, where they are needed; else ``image`` itself.
    """
    shape = dict(zip(image.axes, image.array.shape, strict=True))
    for axis in image.axes:
        if axis in "ZT" and axis not in axes and shape[axis] == 1:
            image = _dropped(image, axis)
    for axis in "ZT":
        if axis in axes and axis in image.single:
            image = _restored(image, axis)
    return image


def _dropped(image: Image, axis: str) -> Image:
    at = image.axes.index(axis)
    sizes = {a: size for a, size in image.pixel_size.items() if a != axis}
    left = {**image.single, axis: image.pixel_size.get(axis)}
    return replace(
        image, array=image.array.squeeze(at), axes=image.axes.replace(axis, ""), pixel_size=sizes, single=left
    )


def _restored(image: Image, axis: str) -> Image:
    left, sizes = dict(image.single), dict(image.pixel_size)
    if (size := left.pop(axis)) is not None:
        sizes[axis] = size
    logger.warning("%s: axes %s, taken with %s of size 1, as the model takes", image.path, image.axes, axis)
    array = image.array[None] if isinstance(image.array, np.ndarray) else image.array.expanded()
    return replace(image, array=array, axes=axis + image.axes, pixel_size=sizes, single=left)


def calibrated(
    array: np.ndarray,
    axes: str,
    pixel_size: dict[str, float],
    unit: str | None,
    path: Path | ImagePath,
    single: Sequence[str] = "",
) -> Image:
    """An image with the pixel sizes of those axes that it has; ``single`` are axes of size 1 that were left out."""
    left = {axis: pixel_size.get(axis) for axis in single}
    pixel_size = {axis: size for axis, size in pixel_size.items() if axis in axes}
    known = {*pixel_size, *(axis for axis, size in left.items() if size is not None)}
    return Image(array, axes, pixel_size, unit if known & set("ZYX") else None, path, single=left)


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


# Letters that tifffile gives to dimensions of which nothing is known: pages in a row, and others.
_UNNAMED = "IQ"
# Of this many dimensions of size 1 it is tried which the user means.
_MOST_SINGLE = 8


def resolve_axes(
    path: Path | ImagePath, shape: Sequence[int], dtype: np.dtype, stored: str, axes: str | None
) -> tuple[list[int], str]:
    """Which of the stored dimensions an image keeps, and what they are called; its dtype and size are checked.

    Dimensions of size 1 other than Y and X are kept where ``axes`` name them.

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
    shape, stored = tuple(shape), _with_channels(stored)
    if 0 in shape:
        raise InputError(f"{path}: the image is empty, its shape is {shape}")
    keep = [dimension for dimension, size in enumerate(shape) if size > 1 or stored[dimension] in "YX"]
    seen = tuple(shape[dimension] for dimension in keep)
    if axes is None:
        letters = "".join(stored[dimension] for dimension in keep)
        _check_stored(path, seen, letters)
        return keep, letters
    if len(axes) == len(shape):
        keep = list(range(len(shape)))
    elif len(keep) < len(axes):
        keep = _with_named(keep, stored, axes)
    if len(keep) != len(axes):
        raise InputError(f"{path}: shape {seen} does not fit axes {axes} ({len(axes)} dimensions)")
    letters = "".join(stored[dimension] for dimension in keep)
    named = set(letters) <= set("TZCYX")
    elsewhere = named and any(letters.find(letter) not in (-1, axes.index(letter)) for letter in "YX")
    if letters != axes and (elsewhere or sorted(letters) == sorted(axes)):
        raise InputError(f"{path}: the file stores its axes as {letters}, got axes {axes}")
    return keep, axes


def single_axes(shape: Sequence[int], stored: str, axes: str) -> str:
    """Letters of the stored dimensions of size 1 that an image of the ``axes`` was left without."""
    letters = zip(_with_channels(stored), shape, strict=True)
    return "".join(letter for letter, size in letters if size == 1 and letter in "TZC" and letter not in axes)


def _with_channels(stored: str) -> str:
    return stored if "C" in stored else stored.replace("S", "C")


def _with_named(keep: list[int], stored: str, axes: str) -> list[int]:
    """Dimensions of an image with those of size 1 that make it as many as ``axes``: their letters fit best."""
    others = [dimension for dimension in range(len(stored)) if dimension not in keep]
    named = [dimension for dimension in others if stored[dimension] in axes or stored[dimension] in _UNNAMED]
    chosen = [sorted({*keep, *more}) for more in combinations(named[:_MOST_SINGLE], len(axes) - len(keep))]

    def differing(dimensions: list[int]) -> int:
        return sum(stored[dimension] != letter for dimension, letter in zip(dimensions, axes, strict=True))

    return min(chosen, key=differing, default=keep)


def _check_stored(path: Path | ImagePath, shape: tuple[int, ...], letters: str) -> None:
    """Refuse axes that mean nothing here: a file does not name them, or names others than are known."""
    others = dict.fromkeys(letter for letter in letters if letter not in "TZCYX" + _UNNAMED)
    if others:
        raise InputError(
            f"{path}: shape {shape}, the file names its axes {letters}, of which {', '.join(others)} "
            f"{'is' if len(others) == 1 else 'are'} not among T, Z, C, Y, X; say what they are, with --axes and "
            f"{len(letters)} of these letters"
        )
    if any(letter in _UNNAMED for letter in letters) or len(set(letters)) < len(letters):
        raise InputError(
            f"{path}: shape {shape}, but the file does not name its axes; give them, as --axes ZYX "
            "(known are T, Z, C, Y, X)"
        )


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

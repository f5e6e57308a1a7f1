"""Pairs of a low-quality image and its ground truth, from folders or from CSBDeep's .npz files."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from aeanet_tf.datasets.npz import npz_faults, npz_members, npz_names
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.channels import find_channel_images
from aeanet_tf.io.image import Image, check_axes, image_stem
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series

Patches: TypeAlias = tuple[np.ndarray, np.ndarray]

# Bytes of the text of them, four for a letter.
_LONGEST_AXES = 64


def pair_folders(
    low: str | Path,
    gt: str | Path,
    channels: Sequence[str] | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
    slices: bool = False,
) -> list[tuple[Path | ImagePath, Path | ImagePath]]:
    """Match the images of two folders by file name; the extensions may differ.

    Args:
        low: folder, pattern or file of the inputs.
        gt: the same for the ground truth.
        channels: names of the channels where each has a file of its own (`find_channel_images`); those of the first
            are matched.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`; images of a file with several
            have its name and their number (`image_stem`).
        slices: whether images are folders of slices, matched by the folders' names.

    Returns:
        (low, GT) for each name, sorted by name.

    Raises:
        InputError: one side has no images, has a name twice, or has names that the other lacks.
    """
    chosen = (series, allow_missing)
    images = find_channel_images(low, channels, *chosen) if channels else find_series(low, *chosen, slices)
    sides = [_by_stem(images), _by_stem(find_series(gt, *chosen, slices))]
    for own, other, folder, missing_in in ((*sides, low, gt), (*sides[::-1], gt, low)):
        check_partners(folder, own, [own[stem].name for stem in sorted(own.keys() - other.keys())], missing_in)
    return [(sides[0][stem], sides[1][stem]) for stem in sorted(sides[0])]


def check_partners(folder: str | Path, images: Collection, alone: Sequence[str], other: str | Path) -> None:
    """Raise an `InputError` where some of the images of a folder, by their names, have no partner in the other."""
    listed = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
    if alone:
        few = f"{len(alone)} of {len(images)} images"
        raise InputError(f"{folder}: {few} have no partner of the same name in {other}: {listed}")


def _by_stem(paths: Sequence[Path | ImagePath]) -> dict[str, Path | ImagePath]:
    by_stem: dict[str, Path | ImagePath] = {}
    for path in paths:
        twin = by_stem.setdefault(image_stem(path), path)
        if twin != path:
            raise InputError(f"{path}: has the same name as {twin}, expected one image a name")
    return by_stem


def read_pair(
    low_path: Path | ImagePath, gt_path: Path | ImagePath, axes: str | None = None, reduced_axis: str | None = None
) -> tuple[Image, Image]:
    """Read an image and its ground truth and check that they fit together.

    Args:
        low_path: of the input.
        gt_path: of the ground truth.
        axes: axes of the files; None takes those that each file states.
        reduced_axis: axis along which the ground truth is projected ("Z" for a surface projection): the
            ground truth may lack it or have size 1 there.

    Returns:
        Both. The axes of the ground truth are those of its input, less ``reduced_axis``.

    Raises:
        InputError: an image cannot be read, or the shapes or axes differ.
    """
    low = read_image(low_path, axes)
    expected_axes, expected_shape = low.axes, low.array.shape
    if reduced_axis is None:
        gt = read_image(gt_path, axes)
    else:
        expect(reduced_axis in low.axes, low_path, f"axes {low.axes}", f"the axis {reduced_axis} to be reduced")
        dimension = low.axes.index(reduced_axis)
        expected_axes = low.axes.replace(reduced_axis, "")
        expected_shape = (*low.array.shape[:dimension], *low.array.shape[dimension + 1 :])
        gt = _read_reduced(gt_path, axes, reduced_axis)
    if gt.axes != expected_axes or gt.array.shape != expected_shape:
        raise InputError(
            f"{gt_path}: shape {gt.array.shape} ({gt.axes}), but {low_path} has {low.array.shape} ({low.axes}); "
            f"expected {expected_shape} ({expected_axes})"
        )
    return low, gt


def _read_reduced(path: Path | ImagePath, axes: str | None, reduced_axis: str) -> Image:
    """Read a ground truth that is projected along an axis, and drop that axis if it is there with size 1."""
    # Dimensions of size 1 that the axes do not name are dropped in reading, so this takes both forms.
    image = read_image(path, axes and check_axes(axes).replace(reduced_axis, ""))
    shape = f"shape {image.array.shape} ({image.axes})"
    expect(reduced_axis not in image.axes, path, shape, f"no {reduced_axis} axis or size 1 along it")
    return image


def read_npz(
    path: str | Path, validation_split: float = 0.1, axes: str | None = None
) -> tuple[Patches, Patches | None, str]:
    """Read training patches from a .npz file as CSBDeep's ``create_patches`` writes it.

    Args:
        path: file with ``X``, ``Y`` and ``axes``; the shapes are (sample, channel, [z,] y, x).
        validation_split: fraction of the samples, from the end of the file, to hold out; 0 for none.
        axes: axes of X, such as "SCYX", for files that do not have them.

    Returns:
        ``(X, Y), (X_val, Y_val), axes``, channels last, validation None if the split is 0. Y may have other
        channels than X, and size 1 along one axis (a projection).

    Raises:
        InputError: the file is missing, unreadable or lacks an entry; shapes and axes do not fit; there is
            NaN or infinity; or the split leaves no sample on one side.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected training data (.npz)")
    expect(0 <= validation_split < 1, "validation_split", validation_split, "0 <= fraction < 1")
    axes, shapes = _npz_header(path, axes)
    _check_npz(path, axes, shapes, validation_split)
    with npz_faults(path), np.load(path, allow_pickle=False) as content:
        arrays = [content["X"], content["Y"]]
    for name, array in zip("XY", arrays, strict=True):
        if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
            raise InputError(f"{path}: {name} holds NaN or infinite values, expected finite ones")
    arrays = [np.moveaxis(array, axes.index("C"), -1) for array in arrays]
    first = shapes["X"][0] - round(shapes["X"][0] * validation_split)
    training, held_out = (tuple(array[part] for array in arrays) for part in (slice(first), slice(first, None)))
    return training, held_out if validation_split else None, axes.replace("C", "") + "C"


def _npz_header(path: Path, axes: str | None) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Axes and shapes without reading the patches, which may take gigabytes."""
    members = npz_members(path, ("X", "Y", "axes"))
    missing = {"X", "Y", *(["axes"] if axes is None else [])} - members.keys()
    if missing:
        there = ", ".join(f"{name:.40}" for name in npz_names(path)[:10]) or "nothing"
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; it has {there}")
    for name in "XY":
        dtype = members[name].dtype
        expect(dtype.kind in "biuf", path, f"{name} of type {dtype!s:.60}", "integers or floats")
    if axes is None:
        shape, dtype = members["axes"]
        text = dtype.kind in "US" and math.prod(shape) == 1 and dtype.itemsize <= _LONGEST_AXES
        expect(text, path, f"axes of type {dtype!s:.60} and shape {shape}", "a text such as SCYX")
        with npz_faults(path), np.load(path, allow_pickle=False) as content:
            axes = content["axes"].astype(str).item()
    return check_axes(axes, "STCZYX"), {name: members[name].shape for name in "XY"}


def _check_npz(path: Path, axes: str, shapes: dict[str, tuple[int, ...]], validation_split: float) -> None:
    x, y = shapes["X"], shapes["Y"]
    if len(x) != len(axes) or not axes.startswith("S") or "C" not in axes:
        raise InputError(f"{path}: X has shape {x} and axes {axes}, expected axes such as SCYX that fit it")
    fits = len(x) == len(y) and x[0] == y[0]
    differing = [axis for axis, own, other in zip(axes[1:], x[1:], y[1:], strict=False) if axis != "C" and own != other]
    reduced = len(differing) == 1 and y[axes.index(differing[0])] == 1 if fits and differing else True
    if not fits or not reduced or 0 in x or 0 in y:
        raise InputError(f"{path}: Y has shape {y}, expected it to fit X of shape {x} (axes {axes})")
    held_out = round(x[0] * validation_split)
    splits = validation_split == 0 or 0 < held_out < x[0]
    found = f"{validation_split} of the {x[0]} samples of {path}, which is {held_out}"
    expect(splits, "validation_split", found, "at least one sample for training and one for validation")

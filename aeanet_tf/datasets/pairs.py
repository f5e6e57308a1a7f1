"""Pairs of a low-quality image and its ground truth, from folders or from CSBDeep's .npz files."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from aeanet_tf.datasets.name_matching import (
    Affixes,
    differing_number,
    differing_word,
    natural_key,
    unique_match,
    wildcard_texts,
)
from aeanet_tf.datasets.npz import npz_faults, npz_members, npz_names
from aeanet_tf.errors import InputError, check_choice, expect
from aeanet_tf.io.channels import find_channel_images
from aeanet_tf.io.image import Image, check_axes, image_stem
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series
from aeanet_tf.paths import is_pattern, named_path

logger = logging.getLogger("aeanet_tf")

Patches: TypeAlias = tuple[np.ndarray, np.ndarray]

# Bytes of the text of them, four for a letter.
_LONGEST_AXES = 64


class UnpairedError(InputError):
    """Images of two folders that do not belong together by their names.

    Attributes:
        patterns: of both sides' names, with which they would; ``None`` where there are none.
        in_order: an example of how their order would pair them; ``None`` where the numbers of images differ.
    """

    def __init__(
        self, message: str, patterns: tuple[str, str] | None = None, in_order: tuple[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.patterns, self.in_order = patterns, in_order


def pair_folders(
    low: str | Path,
    gt: str | Path,
    channels: Sequence[str] | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
    slices: bool = False,
    match: str = "name",
    beside: Sequence[str] = (),
) -> list[tuple[Path | ImagePath, Path | ImagePath]]:
    """Match the images of two folders by file name; the extensions may differ.

    Names are equal; or what the wildcards of two patterns stand for is (``raw/*_low.tif`` and ``truth/*_high.tif``), a
    folder standing for all names in it; or all names of a side have a word at their end or beginning that those of the
    other lack (``a_noisy``, ``b_noisy`` and ``a_clean``, ``b_clean``), which is logged. Two single files are a pair.

    Args:
        low: folder, pattern or file of the inputs.
        gt: the same for the ground truth.
        channels: names of the channels where each has a file of its own (`find_channel_images`); those of the first
            are matched.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`; images of a file with several
            have its name and their number (`image_stem`).
        slices: whether images are folders of slices, matched by the folders' names.
        match: ``"name"``; or ``"order"``, the first with the first, in the order of the numbers in the names.
        beside: ends of names of inputs that are left out where the name without the end is there, too: of results such
            as ``a_scale`` beside ``a``.

    Returns:
        (low, GT) for each name, sorted by the inputs' names.

    Raises:
        InputError: one side has no images, or has a name twice.
        UnpairedError: a side has names that the other lacks, or with ``"order"`` more images.
    """
    check_choice("match", match, ("name", "order"))
    chosen = (series, allow_missing)
    images = find_channel_images(low, channels, *chosen) if channels else find_series(low, *chosen, slices)
    targets = find_series(gt, *chosen, slices)
    images = _without(images, beside)
    if match == "order":
        return _in_order(low, gt, images, targets)
    pairs = unique_match(*([image_stem(path) for path in side] for side in (images, targets)))
    if pairs is None and named_path(low).is_file() and named_path(gt).is_file() and len(images) == len(targets) == 1:
        pairs = [(0, 0)]
    if pairs is None:
        pairs = _by_parts_of_names(low, gt, images, targets)
    return [(images[i], targets[j]) for i, j in pairs]


def _without(images: Sequence, ends: Sequence[str]) -> list:
    """Images less those that are called as another one and one of these ends."""
    stems = {image_stem(path) for path in images}
    others = {f"{stem}{end}" for stem in stems for end in ends}
    return [path for path in images if image_stem(path) not in others]


def _in_order(low: str | Path, gt: str | Path, images: Sequence, targets: Sequence) -> list[tuple]:
    """Pairs of images in the order of the numbers in their names."""
    if len(images) != len(targets):
        raise UnpairedError(f"{gt}: found {len(targets)} images, expected {len(images)}, as many as {low} has")
    ordered = (sorted(side, key=lambda path: natural_key(image_stem(path))) for side in (images, targets))
    pairs = list(zip(*ordered, strict=True))
    logger.info(
        "%d pairs by order: %s with %s, ..., %s with %s",
        len(pairs),
        *(path.name for pair in (pairs[0], pairs[-1]) for path in pair),
    )
    return pairs


def _by_parts_of_names(low: str | Path, gt: str | Path, images: Sequence, targets: Sequence) -> list[tuple[int, int]]:
    """Indices of images that belong together by what patterns stand for, or but for a word."""
    patterns = [is_pattern(named_path(place)) for place in (low, gt)]
    if not any(patterns):
        _check_once(images)
        _check_once(targets)
    keys = [
        [_key(path, place if pattern else None) for path in side]
        for place, side, pattern in zip((low, gt), (images, targets), patterns, strict=True)
    ]
    pairs = unique_match(*keys)
    if pairs is not None:
        return pairs
    single = all(len(key) == 1 for side in keys for key in side)
    texts = [[key[0] for key in side] for side in keys] if single else [[], []]
    found = differing_word(*texts) if single else None
    if found is not None:
        i, j = found.pairs[0]
        logger.info(
            "%d pairs by name: %s with %s, such as %s with %s",
            len(found.pairs),
            *found.patterns(),
            images[i].name,
            targets[j].name,
        )
        return found.pairs
    raise _unpaired(low, gt, images, targets, keys, differing_number(*texts) if single and not any(patterns) else None)


def _key(path: Path | ImagePath, pattern: str | Path | None) -> tuple[str, ...]:
    """What an image is matched by: its name, or what the wildcards stand for in it, and which image of a file it is."""
    texts = None if pattern is None else wildcard_texts(named_path(pattern), ImagePath.of(path).path)
    if texts is None:
        return (image_stem(path),)
    series = ImagePath.of(path).series
    return texts if series is None else (*texts[:-1], f"{texts[-1]}_s{series}")


def _unpaired(
    low: str | Path, gt: str | Path, images: Sequence, targets: Sequence, keys: Sequence, numbered: Affixes | None
) -> UnpairedError:
    """The error for the images that have no partner, or more than one, with what would pair them."""
    in_order = (images[0].name, targets[0].name) if len(images) == len(targets) else None
    patterns = numbered.patterns() if numbered else None
    for (place, side, own), (other, theirs) in (
        ((low, images, keys[0]), (gt, keys[1])),
        ((gt, targets, keys[1]), (low, keys[0])),
    ):
        first: dict[tuple, Path | ImagePath] = {}
        for path, key in zip(side, own, strict=True):
            twin = first.setdefault(key, path)
            if twin is not path:
                texts = ", ".join(map(repr, key))
                return UnpairedError(f"{place}: {twin.name} and {path.name} are both {texts}, expected one image each")
        alone = [path.name for path, key in zip(side, own, strict=True) if key not in theirs]
        if alone:
            return UnpairedError(_alone(place, side, alone, other), patterns, in_order)
    raise AssertionError("all keys have one partner")


def held_out_count(count: int, share: float) -> int:
    """How many of so many images are held out: the nearest to a share, at least one and not all; of one image none."""
    return 0 if count < 2 else min(max(round(count * share), 1), count - 1)


def check_partners(folder: str | Path, images: Collection, alone: Sequence[str], other: str | Path) -> None:
    """Raise an `InputError` where some of the images of a folder, by their names, have no partner in the other."""
    if alone:
        raise InputError(_alone(folder, images, alone, other))


def _alone(folder: str | Path, images: Collection, alone: Sequence[str], other: str | Path) -> str:
    listed = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
    few = f"{len(alone)} of {len(images)} images"
    return f"{folder}: {few} have no partner of the same name in {other}: {listed}"


def _check_once(paths: Sequence[Path | ImagePath]) -> None:
    by_stem: dict[str, Path | ImagePath] = {}
    for path in paths:
        twin = by_stem.setdefault(image_stem(path), path)
        if twin != path:
            raise InputError(f"{path}: has the same name as {twin}, expected one image a name")


def read_pair(
    low_path: Path | ImagePath,
    gt_path: Path | ImagePath,
    axes: str | None = None,
    reduced_axis: str | None = None,
    larger: Mapping[str, int] | None = None,
) -> tuple[Image, Image]:
    """Read an image and its ground truth and check that they fit together.

    Args:
        low_path: of the input.
        gt_path: of the ground truth.
        axes: axes of the files; None takes those that each file states.
        reduced_axis: axis along which the ground truth is projected ("Z" for a surface projection): the
            ground truth may lack it or have size 1 there.
        larger: pixels of the ground truth along an axis to one of the input, by axis; 1 along others.

    Returns:
        Both. The axes of the ground truth are those of its input, less ``reduced_axis``.

    Raises:
        InputError: an image cannot be read, or the shapes or axes differ.
    """
    low = read_image(low_path, axes)
    times = [(larger or {}).get(axis, 1) for axis in low.axes]
    expected_axes, expected_shape = low.axes, tuple(n * k for n, k in zip(low.array.shape, times, strict=True))
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
            f"expected {expected_shape} ({expected_axes}){_of_another_size(low, gt, larger)}"
        )
    return low, gt


def _of_another_size(low: Image, gt: Image, larger: Mapping[str, int] | None) -> str:
    """What to do about a ground truth of another magnification than is asked for; the end of a message."""
    wanted = max((larger or {}).values(), default=1)
    if low.axes != gt.axes:
        return ""
    sides = zip(low.axes, low.array.shape, gt.array.shape, strict=True)
    found = {m / n for a, n, m in sides if a in (larger or "YX")}
    if len(found) == 1 and found <= {1, 2, 4} - {wanted}:
        return f"; network.upscale {found.pop():g} is for pairs of these sizes"
    return "" if wanted == 1 else f", {wanted} times as large, as network.upscale says"


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
        validation_split: fraction of the samples, from the end of the file, to hold out, at least one; 0 for none.
        axes: axes of X, such as "SCYX", for files that do not have them.

    Returns:
        ``(X, Y), (X_val, Y_val), axes``, channels last, validation None if the split is 0. Y may have other
        channels than X, and size 1 along one axis (a projection).

    Raises:
        InputError: the file is missing, unreadable or lacks an entry; shapes and axes do not fit; there is
            NaN or infinity; or there is one sample, which cannot be split.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected training data (.npz)")
    expect(0 <= validation_split < 1, "validation_split", validation_split, "0 <= fraction < 1")
    axes, shapes = npz_header(path, axes)
    check_npz(path, axes, shapes, validation_split)
    with npz_faults(path), np.load(path, allow_pickle=False) as content:
        arrays = [content["X"], content["Y"]]
    for name, array in zip("XY", arrays, strict=True):
        if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
            raise InputError(f"{path}: {name} holds NaN or infinite values, expected finite ones")
    arrays = [np.moveaxis(array, axes.index("C"), -1) for array in arrays]
    first = shapes["X"][0] - (held_out_count(shapes["X"][0], validation_split) if validation_split else 0)
    training, held_out = (tuple(array[part] for array in arrays) for part in (slice(first), slice(first, None)))
    return training, held_out if validation_split else None, axes.replace("C", "") + "C"


def npz_header(path: Path, axes: str | None) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Axes and shapes of a .npz of training patches without reading these, which may take gigabytes.

    Args:
        path: the file.
        axes: those of X, for files that do not have them.

    Raises:
        InputError: the file is damaged, or lacks an entry.
    """
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


def check_npz(path: Path, axes: str, shapes: dict[str, tuple[int, ...]], validation_split: float) -> None:
    """Check that patches, as `npz_header` describes them, fit each other, and that there is one to hold out."""
    x, y = shapes["X"], shapes["Y"]
    if len(x) != len(axes) or not axes.startswith("S") or "C" not in axes:
        raise InputError(f"{path}: X has shape {x} and axes {axes}, expected axes such as SCYX that fit it")
    fits = len(x) == len(y) and x[0] == y[0]
    differing = [axis for axis, own, other in zip(axes[1:], x[1:], y[1:], strict=False) if axis != "C" and own != other]
    reduced = len(differing) == 1 and y[axes.index(differing[0])] == 1 if fits and differing else True
    if not fits or not reduced or 0 in x or 0 in y:
        raise InputError(f"{path}: Y has shape {y}, expected it to fit X of shape {x} (axes {axes})")
    single = validation_split and x[0] == 1
    expect(not single, path, "one sample", "at least two, one for training and one for validation")

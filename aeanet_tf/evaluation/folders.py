"""Scoring a folder of predictions against a folder of ground truths."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np

from aeanet_tf.data.images import Image, image_stem, read_image
from aeanet_tf.data.pairs import pair_folders
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import Protocol
from aeanet_tf.evaluation.tables import Row

T = TypeVar("T")


def score_folders(
    prediction: str | Path,
    gt: str | Path,
    protocol: Protocol,
    input: str | Path | None = None,
    data_range: float | None = None,
    axes: str | None = None,
) -> list[Row]:
    """Score every prediction against the ground truth of the same name.

    Channels and time points count as images of their own ("name.tif [C=1]"); a volume is scored as a whole.

    Args:
        prediction, gt, input: folder, pattern or file; ``input`` is scored too, as the baseline.
        protocol: what to compute.
        data_range: span of the values, where the protocol leaves it open.
        axes: axes of the files; None takes those they state. A prediction that states the same axes in
            another order is read as it states.

    Returns:
        One row an image, sorted by name.

    Raises:
        InputError: names, axes or shapes do not match, an image cannot be read, or the protocol refuses it.
    """
    compared = compare_folders(prediction, gt, lambda gt, image: protocol(gt, image, data_range), input, axes)
    return [Row(name, scores, baseline) for name, scores, baseline in compared]


def compare_folders(
    prediction: str | Path,
    gt: str | Path,
    compare: Callable[[np.ndarray, np.ndarray], T],
    input: str | Path | None = None,
    axes: str | None = None,
) -> list[tuple[str, T, T | None]]:
    """Compare every prediction with the ground truth of the same name, as `score_folders` does.

    Args:
        prediction, gt, input, axes: as `score_folders` takes them.
        compare: (gt, image) -> anything; arrays of the same shape, 2D or 3D.

    Returns:
        (name, result for the prediction, result for the input or None) an image, sorted by name.

    Raises:
        InputError: names, axes or shapes do not match, an image cannot be read, or ``compare`` refuses it.
    """
    inputs: dict[str, Path] = {}
    if input is not None:
        inputs = {image_stem(path): path for path, _ in pair_folders(input, gt)}
    results: list[tuple[str, T, T | None]] = []
    for prediction_path, gt_path in pair_folders(prediction, gt):
        truth = read_image(gt_path, axes)
        predicted = _compared(truth, prediction_path, compare, axes)
        baseline: dict[str, T] = {}
        if input is not None:
            baseline = _compared(truth, inputs[image_stem(gt_path)], compare, axes)
        for label, result in predicted.items():
            results.append((prediction_path.name + label, result, baseline.get(label)))
    return results


def _compared(
    truth: Image, path: Path, compare: Callable[[np.ndarray, np.ndarray], T], axes: str | None
) -> dict[str, T]:
    image = _read_like(truth, path, axes)
    results = {}
    for label, index in _single_images(truth):
        try:
            results[label] = compare(truth.array[index], image[index])
        except InputError as error:
            raise InputError(f"{path}{label} against {truth.path}: {error}") from error
    return results


def _read_like(truth: Image, path: Path, axes: str | None) -> np.ndarray:
    """Read an image and bring its axes into the order of the ground truth."""
    try:
        image = read_image(path, axes)
    except InputError:
        if axes is None:
            raise
        # Predictions are written in ImageJ's order, which need not be that of the ground truth.
        image = read_image(path)
    if sorted(image.axes) != sorted(truth.axes):
        raise InputError(f"{path}: axes {image.axes}, but {truth.path} has {truth.axes}; --axes states them")
    array = image.array.transpose([image.axes.index(axis) for axis in truth.axes])
    if array.shape != truth.array.shape:
        raise InputError(f"{path}: shape {array.shape} ({truth.axes}), but {truth.path} has {truth.array.shape}")
    return array


def _single_images(image: Image) -> Iterator[tuple[str, tuple[int | slice, ...]]]:
    """Index of each spatial image in an array with channels or time points, and a label for it."""
    outer = [axis for axis in image.axes if axis not in "ZYX"]
    sizes = dict(zip(image.axes, image.array.shape, strict=True))
    for position in product(*(range(sizes[axis]) for axis in outer)):
        chosen: dict[str, int | slice] = dict(zip(outer, position, strict=True))
        index = tuple(chosen.get(axis, slice(None)) for axis in image.axes)
        label = ",".join(f"{axis}={number}" for axis, number in chosen.items() if sizes[axis] > 1)
        yield f" [{label}]" if label else "", index

"""Scoring a folder of predictions against a folder of ground truths."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from aeanet_tf.data.images import Image, image_stem, read_image
from aeanet_tf.data.pairs import pair_folders
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import Protocol, Scores
from aeanet_tf.evaluation.tables import Row


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
    inputs: dict[str, Path] = {}
    if input is not None:
        inputs = {image_stem(path): path for path, _ in pair_folders(input, gt)}
    rows = []
    for prediction_path, gt_path in pair_folders(prediction, gt):
        truth = read_image(gt_path, axes)
        predicted = _scores(truth, prediction_path, protocol, data_range, axes)
        baseline: dict[str, Scores] = {}
        if input is not None:
            baseline = _scores(truth, inputs[image_stem(gt_path)], protocol, data_range, axes)
        for label, scores in predicted.items():
            rows.append(Row(prediction_path.name + label, scores, baseline.get(label)))
    return rows


def _scores(
    truth: Image, path: Path, protocol: Protocol, data_range: float | None, axes: str | None
) -> dict[str, Scores]:
    image = _read_like(truth, path, axes)
    scores = {}
    for label, index in _single_images(truth):
        try:
            scores[label] = protocol(truth.array[index], image[index], data_range)
        except InputError as error:
            raise InputError(f"{path}{label} against {truth.path}: {error}") from error
    return scores


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

"""Scoring a folder of predictions against a folder of ground truths."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np

from aeanet_tf.cubic import at_size, times_larger
from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.evaluation import metrics
from aeanet_tf.evaluation.baselines import Filter, choose_filters, read_filters
from aeanet_tf.evaluation.calibration import Calibration
from aeanet_tf.evaluation.patch_library import LibraryMeans, choose_library
from aeanet_tf.evaluation.protocols import Protocol, align_care_scaled, care_psnr
from aeanet_tf.evaluation.tables import Row
from aeanet_tf.io.image import RESULT_ENDS, SCALE, Image, image_stem
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import read_image

T = TypeVar("T")

# Of these the PSNR says how well a filter restores.
FILTERED = ("care", "plain", "em", "em-notebook", "interpolation")
# Of the pairs of a library, one of so many.
_HELD_OUT = 10


def score_folders(
    prediction: str | Path,
    gt: str | Path,
    protocol: Protocol,
    input: str | Path | None = None,
    data_range: float | None = None,
    axes: str | None = None,
    offset: float | None = None,
    filters: Mapping[str, Filter] | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> list[Row]:
    """Score every prediction against the ground truth of the same name.

    Channels and time points count as images of their own ("name.tif [C=1]"); a volume is scored as a whole.

    Args:
        prediction, gt, input: folder, pattern or file; ``input`` is scored too, as the baseline. Inputs of which the
            ground truth has a whole multiple of pixels along every axis are brought to its size by cubic interpolation,
            filtered ones when they are filtered.
        protocol: what to compute.
        data_range: span of the values, where the protocol leaves it open.
        axes: axes of the files; None takes those they state. A prediction that states the same axes in
            another order is read as it states.
        offset: value of no signal, where the protocol compares intensities.
        filters: functions of an image (YX or ZYX) by label; the input as each of them filters it is scored, too.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`.

    Returns:
        One row an image, sorted by name; scores of the filters in ``others``.

    Raises:
        InputError: names, axes or shapes do not match, an image cannot be read, or the protocol refuses it.
    """
    compare = lambda gt, image: protocol(gt, image, data_range, offset)  # noqa: E731
    compared = compare_folders(prediction, gt, compare, input, axes, filters, pairs_of(series, allow_missing))
    return [
        Row(name, scores.pop("prediction"), scores.pop("input", None), others=scores)
        for name, scores in compared.items()
    ]


# Protocol -> what unit errors have.
CALIBRATED = {"care": "ground truth from 0 to 1", "plain": "as the images"}


def calibration_of_folders(
    prediction: str | Path,
    gt: str | Path,
    protocol: Protocol,
    axes: str | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> Calibration:
    """Compare the scale beside every prediction, ``<name>_scale``, with its error against the ground truth.

    With the protocol care each prediction is fitted to its ground truth in gain and offset, and its scale is multiplied
    by the gain; with plain both are taken as they are.

    Args:
        prediction, gt, axes, series, allow_missing: as `score_folders` takes them.
        protocol: one of `CALIBRATED`.

    Raises:
        InputError: as `score_folders`; another protocol, a prediction without scale, or a scale that is not above 0.
    """
    if protocol.name not in CALIBRATED:
        raise InputError(f"--calibration: found the protocol {protocol.name}, expected {' or '.join(CALIBRATED)}")
    calibration = Calibration()
    for path, gt_path in pairs_of(series, allow_missing)(prediction, gt, beside=RESULT_ENDS):
        truth = read_image(gt_path, axes)
        images = [_read_like(truth, one, axes) for one in (path, _scale_of(path))]
        for place, index in _single_images(truth):
            parts = truth.array[index], *(image[index] for image in images)
            try:
                calibration.add(*(_aligned(*parts) if protocol.name == "care" else parts))
            except InputError as error:
                raise InputError(f"{path}{place} against {truth.path}: {error}") from error
    return calibration


def _aligned(gt, mean, scale):
    gt, mean, gain = align_care_scaled(gt, mean)
    return gt, mean, scale * abs(gain)


def _scale_of(path: Path | ImagePath) -> ImagePath:
    """The file of the scale beside a prediction."""
    image = ImagePath.of(path)
    stem = image_stem(image.path)
    beside = image.path.with_name(f"{stem}{SCALE}{image.path.name[len(stem) :]}")
    if not beside.exists():
        raise InputError(f"{beside}: no such file, expected the scale of {image.path.name} (aeanet predict --scale)")
    return replace(image, path=beside)


def choose_for_folders(
    input: str | Path,
    gt: str | Path,
    protocol: Protocol,
    model: str | Path | None = None,
    axes: str | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> dict[str, Filter]:
    """Filters of the inputs by label, for `score_folders`.

    Args:
        input, gt, axes, series, allow_missing: as `score_folders` takes them.
        protocol: the filters that are best by its PSNR are chosen.
        model: folder of a model, whose filters were chosen on validation images; None chooses those that are best on
            these very images, one sigma and one strength for all of them, and the labels say so.

    Raises:
        InputError: the protocol is not one of images, the folder has no filters, or the images do not match.
    """
    score = _psnr_of(protocol, "baselines")
    if model is not None:
        return dict(read_filters(model))
    return choose_filters(FolderPairs(input, gt, axes, series, allow_missing), score).named("best for this truth")


def library_of_folders(
    low: str | Path,
    gt: str | Path,
    protocol: Protocol,
    axes: str | None = None,
) -> LibraryMeans:
    """Library non-local means of pairs in two folders, such as those that a model was trained on.

    Every tenth pair is held out, and size of patches and strength are chosen by the protocol's PSNR on these. For the
    protocol care truths are matched to their inputs, see `aeanet_tf.evaluation.patch_library.PatchLibrary`.

    Args:
        low, gt: folder, pattern or file of inputs and of their truths.
        protocol: as `choose_for_folders` takes it.
        axes: of the files, None for those they state.

    Raises:
        InputError: the protocol is not one of images, the images do not match, there are fewer than two pairs, or as
            `aeanet_tf.evaluation.patch_library.choose_library`.
    """
    score, pairs = _psnr_of(protocol, "library"), list(FolderPairs(low, gt, axes))
    for image, truth in pairs:
        expected = f"{truth.shape} as the ground truth has"
        expect(image.shape == truth.shape, "library", f"inputs of shape {image.shape}", expected)
    if len(pairs) < 2:
        raise InputError(f"library: found one pair in {low} and {gt}, expected 2 or more")
    training = [pair for number, pair in enumerate(pairs) if number % _HELD_OUT]
    return choose_library(training, pairs[::_HELD_OUT], score, matched=protocol.name == "care")


def _psnr_of(protocol: Protocol, name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """(truth, image) -> PSNR as the protocol has it, up to what is the same for all filters of an image."""
    if protocol.name not in FILTERED:
        raise InputError(f"{name}: found the protocol {protocol.name}, expected one of {', '.join(FILTERED)}")
    # The data range of the other protocols shifts the scores of an image by the same for all filters.
    return care_psnr if protocol.name == "care" else lambda gt, image: metrics.psnr(gt, protocol.prepared(image), 1.0)


@dataclass(frozen=True)
class FolderPairs:
    """The spatial images of two folders, (input, ground truth); read anew whenever they are gone through.

    Attributes:
        input, gt: folder, pattern or file.
        axes: of the files, None for those they state.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`.
    """

    input: str | Path
    gt: str | Path
    axes: str | None = None
    series: int | str | None = None
    allow_missing: bool = False

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for input_path, gt_path in pairs_of(self.series, self.allow_missing)(self.input, self.gt):
            truth = read_image(gt_path, self.axes)
            image = _read_like(truth, input_path, self.axes, smaller=True)
            for _, index in _single_images(truth):
                yield image[index], truth.array[index]


def compare_folders(
    prediction: str | Path,
    gt: str | Path,
    compare: Callable[[np.ndarray, np.ndarray], T],
    input: str | Path | None = None,
    axes: str | None = None,
    filters: Mapping[str, Filter] | None = None,
    pairs: Callable[..., list[tuple[Path | ImagePath, Path | ImagePath]]] = pair_folders,
) -> dict[str, dict[str, T]]:
    """Compare every prediction with the ground truth of the same name, as `score_folders` does.

    Args:
        prediction, gt, input, axes, filters: as `score_folders` takes them.
        compare: (gt, image) -> anything; arrays of the same shape, 2D or 3D.
        pairs: matches the images of two folders.

    Returns:
        Name of each image, with the channel or time point where there are several -> what was found for "prediction",
        for "input" where there is one, and for the filtered input by label of the filter.

    Raises:
        InputError: names, axes or shapes do not match, an image cannot be read, ``compare`` refuses it, or there are
            filters and no input.
    """
    if filters and input is None:
        raise InputError("filters: found no input, expected the images to filter")
    inputs = {} if input is None else {image_stem(truth): path for path, truth in pairs(input, gt)}
    results: dict[str, dict[str, T]] = {}
    for prediction_path, gt_path in pairs(prediction, gt, beside=RESULT_ENDS):
        truth = read_image(gt_path, axes)
        compared: list[tuple[Path | ImagePath, dict[str, Filter | None]]] = [(prediction_path, {"prediction": None})]
        if input is not None:
            compared.append((inputs[image_stem(gt_path)], {"input": None, **(filters or {})}))
        for path, functions in compared:
            for place, label, result in _results(truth, path, axes, compare, functions):
                results.setdefault(prediction_path.name + place, {})[label] = result
    return results


def pairs_of(
    series: int | str | None, allow_missing: bool
) -> Callable[..., list[tuple[Path | ImagePath, Path | ImagePath]]]:
    return partial(pair_folders, series=series, allow_missing=allow_missing)


def _results(
    truth: Image,
    path: Path | ImagePath,
    axes: str | None,
    compare: Callable[[np.ndarray, np.ndarray], T],
    functions: Mapping[str, Filter | None],
) -> Iterator[tuple[str, str, T]]:
    """Channel and time, label of what was made of the image of ``path`` by its function, and what comparing it gave."""
    image = _read_like(truth, path, axes, smaller="prediction" not in functions)
    for (label, function), (place, index) in product(functions.items(), _single_images(truth)):
        try:
            chosen = image[index] if function is None else function(image[index])
            yield place, label, compare(truth.array[index], at_size(chosen, truth.array[index].shape))
        except InputError as error:
            raise InputError(f"{path}{place} against {truth.path}: {error}") from error


def _read_like(truth: Image, path: Path | ImagePath, axes: str | None, smaller: bool = False) -> np.ndarray:
    """Read an image and bring its axes into the order of the ground truth, whose size may be a whole multiple of it
    where it may be ``smaller``."""
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
    if not (array.shape == truth.array.shape or (smaller and _is_smaller(array.shape, truth))):
        raise InputError(f"{path}: shape {array.shape} ({truth.axes}), but {truth.path} has {truth.array.shape}")
    return array


def _is_smaller(shape: tuple[int, ...], truth: Image) -> bool:
    """Whether the spatial sizes of a ground truth are one multiple of those of an image in its axes."""
    sizes = [[n for n, a in zip(s, truth.axes, strict=True) if a in "ZYX"] for s in (shape, truth.array.shape)]
    others = [[n for n, a in zip(s, truth.axes, strict=True) if a not in "ZYX"] for s in (shape, truth.array.shape)]
    return times_larger(*sizes) is not None and others[0] == others[1]


def _single_images(image: Image) -> Iterator[tuple[str, tuple[int | slice, ...]]]:
    """Index of each spatial image in an array with channels or time points, and a label for it."""
    outer = [axis for axis in image.axes if axis not in "ZYX"]
    sizes = dict(zip(image.axes, image.array.shape, strict=True))
    for position in product(*(range(sizes[axis]) for axis in outer)):
        chosen: dict[str, int | slice] = dict(zip(outer, position, strict=True))
        index = tuple(chosen.get(axis, slice(None)) for axis in image.axes)
        label = ",".join(f"{axis}={number}" for axis, number in chosen.items() if sizes[axis] > 1)
        yield f" [{label}]" if label else "", index

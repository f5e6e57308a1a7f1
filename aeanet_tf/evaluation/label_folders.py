"""Scoring a folder of label images against a folder of ground truths."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.folders import compare_folders, pairs_of
from aeanet_tf.evaluation.segmentation_metrics import (
    MAX_CLASSES,
    class_counts,
    class_scores,
    confusion,
    dice_ratios,
    shared_classes,
)
from aeanet_tf.evaluation.tables import Row, markdown, write_lines


@dataclass(frozen=True)
class Confusion:
    """Pixels by class.

    Attributes:
        labels: values of the n classes, sorted.
        matrix: (n, n) int64, rows are classes of the ground truth, columns those of the image.
    """

    labels: tuple[int, ...]
    matrix: np.ndarray

    def over(self, labels: tuple[int, ...]) -> "Confusion":
        """The same counts over more classes, sorted; the others have no pixels."""
        places = np.searchsorted(labels, self.labels)
        matrix = np.zeros((len(labels), len(labels)), np.int64)
        matrix[np.ix_(places, places)] = self.matrix
        return Confusion(labels, matrix)

    def table(self) -> str:
        """Two Markdown tables: pixels and Dice by class, all images taken together, and the confusion matrix."""
        classes = [["class", "pixels in GT", "in prediction", "in both", "Dice of all pixels"]]
        for label, *counts, ratio in zip(
            self.labels, *class_counts(self.matrix), dice_ratios(self.matrix), strict=True
        ):
            classes.append([str(label), *(str(count) for count in counts), f"{ratio:.4f}"])
        cells = [[str(cell) for cell in line] for line in self._lines("GT \\ prediction")]
        return f"{markdown(classes)}\n\nconfusion matrix, pixels:\n\n{markdown(cells)}"

    def write(self, path: str | Path) -> None:
        """Write the matrix as CSV: a line a class of the ground truth, a column a class of the prediction.

        Raises:
            InputError: the file cannot be written.
        """
        write_lines(path, self._lines("gt"))

    def _lines(self, corner: str) -> list[list[str | int]]:
        return [[corner, *self.labels]] + [
            [label, *line] for label, line in zip(self.labels, self.matrix.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of label images.

    Attributes:
        rows: one an image: ``dice_<label>`` for each class of any of the images, sorted by value, and ``dice_mean``,
            NaN where neither the ground truth nor the image has the class; counts of pixels, ``gt_<label>``,
            ``prediction_<label>`` and ``both_<label>``.
        confusion: pixels of all images together, of the predictions.
    """

    rows: list[Row]
    confusion: Confusion


def score_segmentation(
    prediction: str | Path,
    gt: str | Path,
    input: str | Path | None = None,
    axes: str | None = None,
    background: int | None = 0,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> SegmentationScores:
    """Score every label image against the ground truth of the same name, class by class.

    Args:
        prediction, gt, input, axes, series, allow_missing: as `aeanet_tf.evaluation.folders.score_folders` takes them.
        background: class that ``dice_mean`` leaves out, None for none.

    Raises:
        InputError: names, axes or shapes do not match, an image cannot be read, or is not one of labels: a value is no
            whole number, or there are more than 256 of them.
    """
    compared = compare_folders(prediction, gt, _confusion, input, axes, pairs=pairs_of(series, allow_missing))
    labels = tuple(sorted({label for sides in compared.values() for side in sides.values() for label in side.labels}))
    if len(labels) > MAX_CLASSES:
        raise InputError(f"{prediction}: found {len(labels)} different values, expected at most {MAX_CLASSES} classes")
    rows, total = [], np.zeros((len(labels), len(labels)), np.int64)
    for name, sides in compared.items():
        pixels = {side: counts.over(labels) for side, counts in sides.items()}
        total += pixels["prediction"].matrix
        scores = {side: class_scores(labels, counts.matrix, background) for side, counts in pixels.items()}
        rows.append(Row(name, scores["prediction"], scores.get("input"), _counts(pixels["prediction"])))
    return SegmentationScores(rows, Confusion(labels, total))


def _confusion(gt: np.ndarray, image: np.ndarray) -> Confusion:
    labels = shared_classes(gt, image)
    return Confusion(tuple(labels.tolist()), confusion(gt, image, labels))


def _counts(pixels: Confusion) -> dict[str, int]:
    return {
        f"{name}_{label}": count
        for name, counts in zip(("gt", "prediction", "both"), class_counts(pixels.matrix), strict=True)
        for label, count in zip(pixels.labels, counts.tolist(), strict=True)
    }

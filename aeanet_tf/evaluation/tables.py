"""Scores of many images as a table to read and as a file to keep."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from aeanet_tf.datasets.iseg import TISSUES
from aeanet_tf.errors import InputError
from aeanet_tf.files import TEXT, replacing

Published: TypeAlias = float | tuple[float, float] | None

_PARTS = (("value", ""), ("spread", " ±"), ("published", " published"), ("published_spread", " published ±"))

LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "nrmse": "NRMSE",
    "signal_ratio": "signal ratio",
    "pearson": "Pearson r",
    "ie": "IE",
    "dice_mean": "Dice mean",
}
_KINDS = {"dice": "Dice", "mhd": "MHD", "3d_mhd": "3D-MHD"}
LABELS |= {f"{kind}_{name.lower()}": f"{title} {name}" for kind, title in _KINDS.items() for name in TISSUES.values()}
# A score of a class that neither the ground truth nor the image has is NaN; the mean is that of the other images.
_OF_CLASSES = tuple(f"{kind}_" for kind in _KINDS)
_DECIMALS = {"psnr": 2, "ie": 2, "signal_ratio": 3}
_DECIMALS |= {f"{kind}_{name.lower()}": 3 for kind in ("mhd", "3d_mhd") for name in TISSUES.values()}


@dataclass(frozen=True)
class Row:
    """The scores of one image.

    Attributes:
        file: name of the image.
        prediction: score by name.
        input: the same scores of the network's input, None if it was not given.
        counts: numbers by name that go to the file and not into the summary, the same names in all rows.
        others: the same scores of further images by label, such as of the input after a simple filter; the same labels
            in all rows.
    """

    file: str
    prediction: dict[str, float]
    input: dict[str, float] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    others: dict[str, dict[str, float]] = field(default_factory=dict)

    def by_label(self) -> dict[str, dict[str, float]]:
        """Scores of input, others and prediction by label, in the order in which tables show them."""
        start = {} if self.input is None else {"input": self.input}
        return {**start, **self.others, "prediction": self.prediction}


def summary_table(rows: Sequence[Row]) -> str:
    """Summarise scores as a Markdown table: mean ± standard deviation over images.

    A line a score: the input's where all rows have them, the prediction's, and the difference prediction - input,
    taken image by image. With ``others`` the table is turned, since their labels are long: a line for the input, each
    of the others and the prediction, then a line for each difference, prediction less one of these.

    Scores of classes leave out images in which they are NaN, since neither the ground truth nor the prediction has the
    class: n is the number of images left, and `absence_note` says which scores that concerns. Where inputs are scored
    an image counts if all of its scores are there.

    The standard deviation is that of the sample (n - 1), left out for a single image.

    Raises:
        InputError: there are no rows, their scores differ, or only some have input scores or one of the others.
    """
    names, labels = _columns(rows)
    columns = {name: _summary(name, [row.by_label() for row in rows]) for name in names}
    if rows[0].others:
        lines = [["", "n", *(label_of(name) for name in names)]]
        differences = [f"prediction - {label}" for label in labels[:-1]]
        for label in [*labels, *differences]:
            # An image may count for one score and not for another.
            counts = sorted({columns[name]["n"] for name in names}, key=int)
            lines.append([label, " to ".join(counts[:1] + counts[1:][-1:]), *(columns[name][label] for name in names)])
        return markdown(lines)
    header = ["n", *labels, *(["difference"] if len(labels) > 1 else [])]
    keys = ["n", *labels, *(["prediction - input"] if len(labels) > 1 else [])]
    return markdown([["score", *header], *([label_of(name), *(columns[name][key] for key in keys)] for name in names)])


def _summary(name: str, rows: Sequence[dict[str, dict[str, float]]]) -> dict[str, str]:
    """The cells of a score: n, those by label, and the differences."""
    values = {label: np.array([row[label][name] for row in rows]) for label in rows[0]}
    there = np.logical_and.reduce([_there(name, numbers) for numbers in values.values()])
    values = {label: numbers[there] for label, numbers in values.items()}
    cells = {"n": str(np.count_nonzero(there)), **{label: cell(name, numbers) for label, numbers in values.items()}}
    prediction = values.pop("prediction")
    for label, numbers in values.items():
        with np.errstate(invalid="ignore"):
            cells[f"prediction - {label}"] = cell(name, prediction - numbers, signed=True)
    return cells


def mean_scores(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Scores of the input, the prediction and whatever stands beside them, averaged over rows, by their labels."""
    labelled = [row.by_label() for row in rows]
    return {
        label: {name: float(np.mean([scores_of_row[label][name] for scores_of_row in labelled])) for name in scores}
        for label, scores in labelled[0].items()
    }


def absence_note(rows: Sequence[Row]) -> str | None:
    """One line on the images that `summary_table` leaves out for want of a class; None where there are none."""
    names, _ = _columns(rows)
    missing = []
    for name in names:
        sides = [row.by_label().values() for row in rows]
        absent = sum(any(not _there(name, np.array(scores[name])) for scores in side) for side in sides)
        if absent:
            missing.append(f"{label_of(name)} ({absent} of {len(rows)} images)")
    if not missing:
        return None
    return f"left out, as neither ground truth nor image has the class (nan): {', '.join(missing)}"


def label_of(name: str) -> str:
    """How a score is called in tables."""
    return LABELS.get(name) or (f"Dice {name[5:]}" if name.startswith("dice_") else name)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells; the first line is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def _there(name: str, values: np.ndarray) -> np.ndarray:
    """Where there is a score: everywhere, but for classes that are absent."""
    return ~np.isnan(values) if name.startswith(_OF_CLASSES) else np.ones(values.shape, bool)


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write one line an image: file, scores of the prediction, counts, ``input_<score>``, ``<label>_<score>``.

    The last are those of the others.

    Raises:
        InputError: as ``summary_table``, or the file cannot be written.
    """
    names, labels = _columns(rows)
    beside = labels[:-1]
    lines = [["file", *names, *rows[0].counts, *(f"{label}_{name}" for label in beside for name in names)]]
    for row in rows:
        scores = row.by_label()
        line = [row.file, *(float(row.prediction[name]) for name in names)]
        line += [row.counts[name] for name in rows[0].counts]
        lines.append(line + [float(scores[label][name]) for label in beside for name in names])
    write_lines(path, lines)


def write_lines(path: str | Path, lines: Iterable[Sequence[str | float]]) -> None:
    """Write lines of cells as CSV; floats so that reading them gives the same. The file appears only when it is whole.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary, open(temporary, "w", newline="", **TEXT) as file:
        csv.writer(file).writerows(lines)


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Names of the scores, and labels of what was scored, the prediction last."""
    if not rows:
        raise InputError("scores: found no images, expected at least one")
    names, first = list(rows[0].prediction), rows[0]
    for row in rows:
        if any(set(scores) != set(names) for scores in row.by_label().values()):
            raise InputError(f"{row.file}: its scores differ from those of {first.file} ({', '.join(names)})")
        if (row.input is not None) != (first.input is not None):
            raise InputError(f"{row.file}: expected input scores for all images or for none")
        if set(row.others) != set(first.others):
            raise InputError(
                f"{row.file}: expected scores of {', '.join(first.others) or 'nothing else'}, as the first"
            )
    return names, list(first.by_label())


def cell(name: str, values: np.ndarray, signed: bool = False) -> str:
    """Mean ± standard deviation (n - 1) of a score, to its own decimals; the mean alone of one value, or not finite."""
    if not len(values):
        return "nan"
    of_images = mean_and_deviation(values)
    return _number(of_images.value, of_images.spread, _DECIMALS.get(name, 4), "+" if signed else "")


class Cell(NamedTuple):
    """A mean, what follows its ± sign, and both as published; ``None`` where there is none."""

    value: float | None = None
    spread: float | None = None
    published: float | None = None
    published_spread: float | None = None


def mean_and_deviation(values: Sequence[float], published: Published = None) -> Cell:
    """`Cell` of a mean and standard deviation (n - 1) over images; ``published`` is a number or a pair."""
    values = np.asarray(values, "float64")
    pair = published if isinstance(published, tuple) else (published, None)
    if not len(values):
        return Cell(None, None, *pair)
    with np.errstate(invalid="ignore"):
        return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, *pair)


def mean(values: Sequence[float], published: Published = None) -> Cell:
    """`Cell` of a mean alone, for tables that give no spread."""
    return mean_and_deviation(values, published)._replace(spread=None)


def cell_table(columns: Mapping[str, int], rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """A Markdown table of `Cell`.

    Args:
        columns: dict of a column to its decimals.
        rows: dict of a label to a dict of columns to `Cell`; a column that a row lacks is shown as a dash.
    """
    lines = [["", *columns]]
    for label, row in rows.items():
        lines.append([label, *(_text(row.get(column, Cell()), decimals) for column, decimals in columns.items())])
    return markdown(lines)


def _text(cell, decimals):
    ours = _number(cell.value, cell.spread, decimals)
    if cell.published is None:
        return ours
    return f"{ours} [{_number(cell.published, cell.published_spread, decimals)}]"


def _number(value, spread, decimals, sign=""):
    if value is None:
        return "–"
    if not math.isfinite(value):
        return f"{value:{sign}}"
    if decimals == 0:
        return f"{value:,.0f}"
    text = f"{value:{sign}.{decimals}f}"
    # A single value has no spread.
    return text if spread is None or not math.isfinite(spread) else f"{text} ± {spread:.{decimals}f}"


def write_cells(path: str | Path, columns: Mapping[str, int], rows: Mapping[str, Mapping[str, Cell]]) -> None:
    """Write a table of `Cell` as CSV: every column as mean, ± and published; empty where there is none."""
    fields = [(column, part, f"{column}{suffix}") for column in columns for part, suffix in _PARTS]
    used = [f for f in fields if any(_part(row, f) is not None for row in rows.values())]
    parts = ([label, *(_part(row, f) for f in used)] for label, row in rows.items())
    lines = ([label, *("" if value is None else float(value) for value in values)] for label, *values in parts)
    write_lines(path, [["method", *(title for *_, title in used)], *lines])


def _part(row, field):
    return getattr(row.get(field[0], Cell()), field[1])

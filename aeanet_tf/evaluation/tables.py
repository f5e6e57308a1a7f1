"""Scores of many images as a table to read and as a file to keep."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing

LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "nrmse": "NRMSE",
    "pearson": "Pearson r",
    "ie": "IE",
    "dice_csf": "Dice CSF",
    "dice_gm": "Dice GM",
    "dice_wm": "Dice WM",
    "dice_mean": "Dice mean",
    "mhd_csf": "MHD CSF",
    "mhd_gm": "MHD GM",
    "mhd_wm": "MHD WM",
    "3d_mhd_csf": "3D-MHD CSF",
    "3d_mhd_gm": "3D-MHD GM",
    "3d_mhd_wm": "3D-MHD WM",
}
# A score of a class that neither the ground truth nor the image has is NaN; the mean is that of the other images.
_OF_CLASSES = ("dice_", "mhd_", "3d_mhd_")
_DECIMALS = {"psnr": 2, "ie": 2}
_DECIMALS |= {f"{kind}_{tissue}": 3 for kind in ("mhd", "3d_mhd") for tissue in ("csf", "gm", "wm")}


@dataclass(frozen=True)
class Row:
    """The scores of one image.

    Attributes:
        file: name of the image.
        prediction: score by name.
        input: the same scores of the network's input, None if it was not given.
        counts: numbers by name that go to the file and not into the summary, the same names in all rows.
    """

    file: str
    prediction: dict[str, float]
    input: dict[str, float] | None = None
    counts: dict[str, int] = field(default_factory=dict)


def summary_table(rows: Sequence[Row]) -> str:
    """Summarise scores as a Markdown table: mean ± standard deviation over images, one line a score.

    Scores of classes leave out images in which they are NaN, since neither the ground truth nor the prediction has the
    class: n is the number of images left, and `absence_note` says which scores that concerns. Where inputs are scored
    an image counts if both scores are there.

    The standard deviation is that of the sample (n - 1), left out for a single image. Where all rows have input
    scores, the table also shows the input's and the difference prediction - input, taken image by image.

    Raises:
        InputError: there are no rows, their scores differ, or only some have input scores.
    """
    names, with_input = _columns(rows)
    header = ["score", "n", *(("input",) if with_input else ()), "prediction"]
    header += ["difference"] if with_input else []
    lines = [header]
    for name in names:
        prediction = np.array([row.prediction[name] for row in rows])
        baseline = np.array([row.input[name] for row in rows if row.input is not None])
        there = _there(name, prediction) & (_there(name, baseline) if with_input else True)
        prediction = prediction[there]
        line = [label_of(name), str(len(prediction))]
        if with_input:
            baseline = baseline[there]
            with np.errstate(invalid="ignore"):
                difference = prediction - baseline
            line += [cell(name, baseline), cell(name, prediction), cell(name, difference, signed=True)]
        else:
            line.append(cell(name, prediction))
        lines.append(line)
    return markdown(lines)


def absence_note(rows: Sequence[Row]) -> str | None:
    """One line on the images that `summary_table` leaves out for want of a class; None where there are none."""
    names, _ = _columns(rows)
    missing = []
    for name in names:
        sides = [[row.prediction, *([row.input] if row.input is not None else [])] for row in rows]
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
    """Write one line an image: file, scores of the prediction, counts, and with inputs ``input_<score>`` columns.

    Numbers are written so that reading them gives the same floats. The file appears only when it is whole.

    Raises:
        InputError: as ``summary_table``, or the file cannot be written.
    """
    names, with_input = _columns(rows)
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *names, *rows[0].counts, *([f"input_{name}" for name in names] if with_input else [])])
        for row in rows:
            line = [row.file, *(repr(float(row.prediction[name])) for name in names)]
            line += [row.counts[name] for name in rows[0].counts]
            if row.input is not None:
                line += [repr(float(row.input[name])) for name in names]
            writer.writerow(line)


def _columns(rows: Sequence[Row]) -> tuple[list[str], bool]:
    if not rows:
        raise InputError("scores: got no images, expected at least one")
    names = list(rows[0].prediction)
    with_input = rows[0].input is not None
    for row in rows:
        if set(row.prediction) != set(names) or (row.input is not None and set(row.input) != set(names)):
            raise InputError(f"{row.file}: its scores differ from those of {rows[0].file} ({', '.join(names)})")
        if (row.input is not None) != with_input:
            raise InputError(f"{row.file}: expected input scores for all images or for none")
    return names, with_input


def cell(name: str, values: np.ndarray, signed: bool = False) -> str:
    """Mean ± standard deviation (n - 1) of a score, to its own decimals; the mean alone of one value, or not finite."""
    decimals = _DECIMALS.get(name, 4)
    sign = "+" if signed else ""
    if not len(values):
        return "nan"
    mean = float(values.mean())
    if not math.isfinite(mean):
        return f"{mean:{sign}}"
    text = f"{mean:{sign}.{decimals}f}"
    return text if len(values) < 2 else f"{text} ± {values.std(ddof=1):.{decimals}f}"

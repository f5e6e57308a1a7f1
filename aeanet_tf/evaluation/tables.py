"""Scores of many images as a table to read and as a file to keep."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
}
_DECIMALS = {"psnr": 2, "ie": 2, "mhd_csf": 3, "mhd_gm": 3, "mhd_wm": 3}


@dataclass(frozen=True)
class Row:
    """The scores of one image.

    Attributes:
        file: name of the image.
        prediction: score by name.
        input: the same scores of the network's input, None if it was not given.
    """

    file: str
    prediction: dict[str, float]
    input: dict[str, float] | None = None


def summary_table(rows: Sequence[Row]) -> str:
    """Summarise scores as a Markdown table: mean ± standard deviation over images, one line a score.

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
        line = [LABELS.get(name, name), str(len(rows))]
        if with_input:
            baseline = np.array([row.input[name] for row in rows if row.input is not None])
            with np.errstate(invalid="ignore"):
                difference = prediction - baseline
            line += [_cell(name, baseline), _cell(name, prediction), _cell(name, difference, signed=True)]
        else:
            line.append(_cell(name, prediction))
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write one line an image: file, scores of the prediction, and with inputs ``input_<score>`` columns.

    Numbers are written so that reading them gives the same floats. The file appears only when it is whole.

    Raises:
        InputError: as ``summary_table``, or the file cannot be written.
    """
    names, with_input = _columns(rows)
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *names, *([f"input_{name}" for name in names] if with_input else [])])
        for row in rows:
            scores = [row.prediction[name] for name in names]
            if row.input is not None:
                scores += [row.input[name] for name in names]
            writer.writerow([row.file, *(repr(float(score)) for score in scores)])


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


def _cell(name: str, values: np.ndarray, signed: bool = False) -> str:
    decimals = _DECIMALS.get(name, 4)
    sign = "+" if signed else ""
    mean = float(values.mean())
    if not math.isfinite(mean):
        return f"{mean:{sign}}"
    text = f"{mean:{sign}.{decimals}f}"
    return text if len(values) < 2 else f"{text} ± {values.std(ddof=1):.{decimals}f}"

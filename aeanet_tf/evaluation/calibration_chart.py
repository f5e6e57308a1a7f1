"""The chart of a calibration: predicted against true error, confidence against coverage; drawn without a display."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.evaluation.calibration import LEVELS, Calibration
from aeanet_tf.evaluation.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration_chart(calibrations: Mapping[str, Calibration], unit: str) -> "Figure":
    """Predicted against true error with the number of pixels below, and the coverage of credible intervals.

    On the diagonals predictions are calibrated. Above the left one and below the right one they are surer of
    themselves than they should be.

    Args:
        calibrations: label -> `Calibration`; one line each.
        unit: of the errors, in words.

    Returns:
        A ``matplotlib.figure.Figure`` with axes labelled ``error``, ``pixels`` and ``interval``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    grid = figure.add_gridspec(4, 2)
    error = figure.add_subplot(grid[:3, 0], label="error")
    pixels = figure.add_subplot(grid[3, 0], label="pixels", sharex=error)
    interval = figure.add_subplot(grid[:, 1], label="interval")
    places = []
    for (name, calibration), colour in zip(calibrations.items(), COLOURS, strict=False):
        bins = calibration.errors()
        predicted, true, count = (np.array(values) for values in zip(*bins, strict=True))
        places += [*predicted, *true]
        error.plot(predicted, true, "o-", color=colour, ms=5, label=name)
        pixels.vlines(predicted, 0, count, color=colour, lw=3)
        label = f"{name}\nexpected calibration error {calibration.expected_error():.3f}"
        interval.plot([0, *LEVELS, 1], [0, *calibration.coverage(), 1], "o-", color=colour, ms=4, label=label)
    _diagonals(error, interval, min(places), max(places))
    error.set_ylabel(f"true error, mean absolute\n({unit})")
    error.tick_params(labelbottom=False, which="both")
    pixels.set_xlabel(f"predicted error: scale ({unit})")
    pixels.set_ylabel("pixels")
    pixels.set_ylim(bottom=0)
    interval.set_xlabel("confidence of the interval")
    interval.set_ylabel("share of true values within")
    for axes in (error, pixels, interval):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (error, interval):
        axes.legend(fontsize=9, frameon=False, loc="best")
    return figure


def _diagonals(error, interval, low, high):
    """Diagonals where predictions are right; errors have logarithmic axes where they differ much."""
    line = {"color": "0.4", "lw": 1, "ls": "--", "zorder": 1}
    ends = (low / 1.15, high * 1.15)
    if low > 0 and high > 4 * low:
        _logarithmic(error)
    else:
        ends = (0, ends[1])
    error.plot(ends, ends, **line)
    error.set_xlim(ends)
    error.set_ylim(ends)
    interval.plot([0, 1], [0, 1], **line)
    interval.set_xlim(0, 1)
    interval.set_ylim(0, 1)


def _logarithmic(axes):
    """Logarithmic axes with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")

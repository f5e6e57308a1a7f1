"""Training curves of several runs, drawn without a display."""

from itertools import cycle

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.drawing import COLOURS

PANELS = (("loss", "training loss"), ("val_loss", "validation loss"))


def training_figure(runs, steps_per_epoch=None, title=""):
    """Loss and validation loss of several runs, by step or by epoch.

    Args:
        runs: dict of a name to the rows of `aeanet_tf.training.read_history`, or to a list of such lists, one a seed:
            then the median and the range from minimum to maximum over the seeds are drawn, of those that have come
            that far.
        steps_per_epoch: number of steps, or a dict of the name to it, for an axis of steps; ``None`` for epochs.
        title: above the figure.

    Returns:
        A ``matplotlib.figure.Figure`` with axes labelled ``loss`` and ``val_loss``. The losses are logarithmic where
        all are positive (that of a probabilistic model may not be).

    Raises:
        InputError: no runs, a run without rows, or a name without steps per epoch.
    """
    from matplotlib.figure import Figure

    if not runs:
        raise InputError("runs: none, expected at least one training history")
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    seeds = {name: _as_seeds(name, rows) for name, rows in runs.items()}
    steps = {name: _steps(name, steps_per_epoch) for name in runs}
    for cell, (key, label) in zip(figure.subplots(1, 2), PANELS, strict=True):
        cell.set_label(key)
        drawn = [
            _draw(cell, name, _table(seeds[name], key), steps[name], style)
            for name, style in zip(seeds, _styles(), strict=False)
        ]
        values = np.concatenate([values for values in drawn if values is not None] or [np.ones(1)])
        _scale(cell, np.nanmin(values), np.nanmax(values))
        cell.set_xlabel("epoch" if steps_per_epoch is None else "step")
        cell.xaxis.get_major_locator().set_params(integer=True)
        cell.set_title(label, fontsize=11)
        cell.grid(alpha=0.3)
        cell.spines[["top", "right"]].set_visible(False)
        if any(values is not None for values in drawn):
            cell.legend(fontsize=9, frameon=False)
        else:
            cell.text(0.5, 0.5, "not measured", ha="center", va="center", transform=cell.transAxes)
    figure.suptitle(title, fontsize=11)
    return figure


def _scale(axes, lowest, highest):
    """A logarithmic axis where it can be one, with plain numbers at it."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if lowest <= 0:
        return
    axes.set_yscale("log")
    wide = highest > 8 * lowest
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(7, steps=(1, 2, 5, 10)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _as_seeds(name, rows):
    rows = list(rows)
    seeds = [rows] if rows and isinstance(rows[0], dict) else [list(one) for one in rows]
    if not seeds or not all(seeds):
        raise InputError(f"runs: {name!r} has a history without rows, expected those of read_history")
    return seeds


def _steps(name, steps_per_epoch):
    if not isinstance(steps_per_epoch, dict):
        return steps_per_epoch or 1
    if name not in steps_per_epoch:
        raise InputError(f"steps_per_epoch: nothing for {name!r}, expected a number for every run")
    return steps_per_epoch[name]


def _styles():
    """Colours, with other dashes once all are used."""
    dashes = ("-", "--", ":", "-.")
    return cycle([(colour, dash) for dash in dashes for colour in COLOURS])


def _table(seeds, key):
    """Epochs, counted from 1, and values ``(seeds, epochs)``; NaN where a seed has none. None without any value."""
    found = [{row["epoch"] + 1: row[key] for row in rows if key in row} for rows in seeds]
    epochs = sorted(set().union(*found))
    return (epochs, np.array([[one.get(epoch, np.nan) for epoch in epochs] for one in found])) if epochs else None


def _draw(axes, name, table, steps, style):
    if table is None:
        return None
    epochs, values = table
    # A diverged run leaves a gap.
    values = np.where(np.isfinite(values), values, np.nan)
    kept = np.isfinite(values).any(axis=0)
    x, values = np.array(epochs)[kept] * steps, values[:, kept]
    if not len(x):
        return None
    colour, dash = style
    label = name if len(values) == 1 else f"{name} ({len(values)} runs)"
    axes.plot(x, np.nanmedian(values, axis=0), dash, color=colour, label=label, marker="." if len(x) < 40 else None)
    if len(values) > 1:
        axes.fill_between(x, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=colour, alpha=0.2, lw=0)
    return values.ravel()

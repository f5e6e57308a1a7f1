"""Charts of scores, over a size (figure 9 of the AEANet paper, 3d of the GVTNet paper) or by group (figures 2 and 5 of
the GVTNet paper), and training curves; drawn without a display."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 0.8
PANELS = (("loss", "training loss"), ("val_loss", "validation loss"))


def size_chart(
    values: Mapping[str, Sequence[float]], sizes: Sequence[str], label: str, published: Mapping[str, Sequence[float]]
) -> "Figure":
    """A line for each method over sizes that are not evenly spaced, such as those of predicted patches.

    Args:
        values: method -> list of numbers, one a size.
        sizes: their labels, from left to right.
        label: of the vertical axis.
        published: method -> numbers, NaN for none; dashed.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        InputError: a method has another number of values than there are sizes.
    """
    from matplotlib.figure import Figure

    for name, numbers in values.items():
        if len(numbers) != len(sizes):
            raise InputError(f"{name}: found {len(numbers)} values, expected one for each of {len(sizes)} sizes")
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for (name, numbers), colour in zip(values.items(), COLOURS, strict=False):
        axes.plot(range(len(sizes)), numbers, marker="o", color=colour, label=name)
        if np.isfinite(published[name]).any():
            style = {"marker": "s", "mfc": "none", "color": colour, "label": f"{name}, published"}
            axes.plot(range(len(sizes)), published[name], "--", **style)
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_xlabel("size of the predicted patches (pixels)")
    _finish(axes, label)
    return figure


def size_charts(values: Mapping[str, Mapping[str, Sequence[float]]], sizes: Sequence[str], label: str) -> "Figure":
    """Panels side by side, such as one a condition, with a line for each method over sizes (figure 3d, GVTNet paper).

    Args:
        values: panel -> method -> list of numbers, one a size; a panel's name stands above it.
        sizes: their labels, from left to right.
        label: of the vertical axis.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(values), 4.6), layout="constrained")
    for axes, (panel, methods) in zip(figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        axes.set_label(panel)
        axes.set_title(panel, fontsize=11)
        for (name, numbers), colour in zip(methods.items(), COLOURS, strict=False):
            axes.plot(range(len(sizes)), numbers, marker="o", color=colour, label=name)
        axes.set_xticks(range(len(sizes)), sizes, rotation=30, ha="right")
        axes.set_xlabel("size of the predicted patches (voxels)")
        _finish(axes, label)
    return figure


def group_chart(
    values: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], label: str, titles: Mapping[str, str]
) -> "Figure":
    """Boxes of scores, one a group and method: quartiles, whiskers from minimum to maximum, and every image as a point.

    Args:
        values: panel -> group -> method -> scores of images; a panel is a row of the figure.
        label: of the vertical axis.
        titles: panel -> what stands above it.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(m for groups in values.values() for group in groups.values() for m in group))
    widest = max(len(groups) for groups in values.values())
    size = (max(6.4, 1.1 + 0.45 * widest * len(methods)), 1.2 + 3.2 * len(values))
    figure = Figure(figsize=size, layout="constrained")
    for axes, (panel, groups) in zip(figure.subplots(len(values), 1, squeeze=False)[:, 0], values.items(), strict=True):
        axes.set_label(panel)
        for number, method in enumerate(methods):
            _boxes(axes, groups, method, number, len(methods))
        axes.set_xticks(
            range(len(groups)), groups, rotation=0 if widest < 8 else 60, ha="center" if widest < 8 else "right"
        )
        axes.set_title(titles[panel], fontsize=11)
        _finish(axes, label)
    return figure


def _boxes(axes, groups, method, number, count):
    colour, width = COLOURS[number % len(COLOURS)], _WIDTH / count
    placed = [
        (i + (number + 0.5) * width - _WIDTH / 2, group[method])
        for i, group in enumerate(groups.values())
        if method in group
    ]
    if not placed:
        return
    places, scores = zip(*placed, strict=True)
    parts = axes.boxplot(
        scores, positions=places, widths=0.8 * width, whis=(0, 100), patch_artist=True, manage_ticks=False
    )
    for box in parts["boxes"]:
        box.set(facecolor=colour, alpha=0.35, edgecolor=colour)
    for line in (*parts["medians"], *parts["whiskers"], *parts["caps"]):
        line.set_color(colour)
    for place, values in placed:
        axes.plot(np.full(len(values), place), values, ".", color=colour, ms=3)
    # For the legend.
    axes.plot([], [], "s", color=colour, alpha=0.6, label=method)


def _finish(axes, label):
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False, loc="best")


def training_figure(
    runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    steps_per_epoch: Mapping[str, int],
    panels: Sequence[tuple[str, str]] = PANELS,
) -> "Figure":
    """Loss and validation loss of several runs by step.

    Args:
        runs: dict of a name to the rows of `aeanet_tf.training.read_history`, a list of them for each seed. Of several
            seeds the median and the range from minimum to maximum are drawn, of those that have come that far.
        steps_per_epoch: dict of the name to a number of steps.
        panels: what is drawn, two beside each other: names in the history, and titles.

    Returns:
        A ``matplotlib.figure.Figure`` with axes labelled ``loss`` and ``val_loss``, or as ``panels`` say. The
        losses are logarithmic where all are positive (that of a probabilistic model may not be).

    Raises:
        InputError: a run without rows.
    """
    from matplotlib.figure import Figure

    for name, seeds in runs.items():
        if not all(seeds):
            raise InputError(f"runs: {name!r} has a history without rows, expected those of read_history")
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(10.5, 4.2 * lines), layout="constrained")
    for cell, (key, label) in zip(figure.subplots(lines, 2).ravel(), panels, strict=True):
        cell.set_label(key)
        drawn = [
            _draw(cell, name, _table(seeds, key), steps_per_epoch[name], style)
            for (name, seeds), style in zip(runs.items(), _styles(), strict=False)
        ]
        values = np.concatenate([values for values in drawn if values is not None] or [np.ones(1)])
        _scale(cell, np.nanmin(values), np.nanmax(values))
        cell.set_xlabel("step")
        cell.xaxis.get_major_locator().set_params(integer=True)
        cell.set_title(label, fontsize=11)
        cell.grid(alpha=0.3)
        cell.spines[["top", "right"]].set_visible(False)
        if any(values is not None for values in drawn):
            cell.legend(fontsize=9, frameon=False)
        else:
            cell.text(0.5, 0.5, "not measured", ha="center", va="center", transform=cell.transAxes)
    return figure


def progress_chart(curves: Mapping[str, Sequence[float]], steps_per_epoch: int, label: str) -> "Figure":
    """What was measured at the end of each epoch, by step: figures 3 and 4 of the SSAN paper.

    Args:
        curves: name -> a number for each epoch.
        steps_per_epoch: of the training.
        label: of the vertical axis.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, values), (colour, dash) in zip(curves.items(), _styles(), strict=False):
        steps = steps_per_epoch * np.arange(1, len(values) + 1)
        axes.plot(steps, values, dash, color=colour, label=name, marker="." if len(values) < 40 else None)
    axes.axhline(0, color="0.6", lw=0.8)
    axes.set_xlabel("step")
    _finish(axes, label)
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


def _styles():
    """Colours, with other dashes once all are used."""
    dashes = ("-", "--", ":", "-.")
    return cycle([(colour, dash) for dash in dashes for colour in COLOURS])


def _table(seeds, key):
    """Epochs, counted from 1, and values ``(seeds, epochs)``; NaN where a seed has none. None without any value."""
    losses = [{row["epoch"] + 1: row[key] for row in rows if key in row} for rows in seeds]
    epochs = sorted(set().union(*losses))
    if not epochs:
        return None
    return epochs, np.array([[of_seed.get(epoch, np.nan) for epoch in epochs] for of_seed in losses])


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

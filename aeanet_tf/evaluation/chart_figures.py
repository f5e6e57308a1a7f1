"""Charts of scores: over a size (figure 9 of the AEANet paper), by group (figures 2 and 5 of the GVTNet paper)."""

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.drawing import COLOURS

_WIDTH = 0.8


def size_chart(values, sizes, label, published=None):
    """A line for each method over sizes that are not evenly spaced, such as those of predicted patches.

    Args:
        values: method -> list of numbers, one a size.
        sizes: their labels, from left to right.
        label: of the vertical axis.
        published: method -> numbers, NaN for none; dashed.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    _check(values, sizes)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for (name, numbers), colour in zip(values.items(), COLOURS, strict=False):
        axes.plot(range(len(sizes)), numbers, marker="o", color=colour, label=name)
        theirs = (published or {}).get(name)
        if theirs is not None and np.isfinite(theirs).any():
            axes.plot(range(len(sizes)), theirs, "--", marker="s", mfc="none", color=colour, label=f"{name}, published")
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_xlabel("size of the predicted patches (pixels)")
    _finish(axes, label)
    return figure


def group_chart(values, label, titles=None):
    """Boxes of scores, one a group and method: quartiles, whiskers from minimum to maximum, and every image as a point.

    Args:
        values: panel -> group -> method -> scores of images; a panel is a row of the figure.
        label: of the vertical axis, or a dict panel -> label.
        titles: panel -> what stands above it; its name by default.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    for groups in values.values():
        _check(groups, None)
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
        axes.set_title((titles or {}).get(panel, panel), fontsize=11)
        _finish(axes, label[panel] if isinstance(label, dict) else label)
    return figure


def _boxes(axes, groups, method, number, count):
    colour, width = COLOURS[number % len(COLOURS)], _WIDTH / count
    found = [
        (i + (number + 0.5) * width - _WIDTH / 2, group[method])
        for i, group in enumerate(groups.values())
        if method in group
    ]
    if not found:
        return
    places, scores = zip(*found, strict=True)
    parts = axes.boxplot(
        scores, positions=places, widths=0.8 * width, whis=(0, 100), patch_artist=True, manage_ticks=False
    )
    for box in parts["boxes"]:
        box.set(facecolor=colour, alpha=0.35, edgecolor=colour)
    for line in (*parts["medians"], *parts["whiskers"], *parts["caps"]):
        line.set_color(colour)
    for place, values in found:
        axes.plot(np.full(len(values), place), values, ".", color=colour, ms=3)
    # For the legend.
    axes.plot([], [], "s", color=colour, alpha=0.6, label=method)


def _finish(axes, label):
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False, loc="best")


def _check(values, sizes):
    if not values:
        raise InputError("values: none, expected at least one")
    for name, numbers in values.items():
        if sizes is not None and len(numbers) != len(sizes):
            raise InputError(f"{name}: {len(numbers)} values, expected one for each of {len(sizes)} sizes")

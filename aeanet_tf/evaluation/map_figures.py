"""Figures of what attention computes, after figures 6 and 8 of the AEANet paper; drawn without a display.

Every function gives a ``matplotlib.figure.Figure``, for `aeanet_tf.evaluation.figures.save_figure`.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.evaluation.equivariance import RotatedAttention
from aeanet_tf.evaluation.figures import COLOURS, bare, limits, plane, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Width of one picture in inches, and how much taller than wide a row may be.
_WIDTH = 2.3
_TALLEST = 1.6


def relevance_figure(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    references: Sequence[int],
    names: Sequence[str],
    title: str = "",
) -> "Figure":
    """Heat maps of the relevance to shared references, as figure 8 of the paper: a row an image, a column a reference.

    Args:
        images: list of arrays, 2D, or 3D of which the middle plane is shown.
        maps: of `aeanet_tf.evaluation.attention_maps.relevance_maps`, one array ``(r, *spatial')`` an image, 2D or 3D.
        references: numbers of the references to show, from 0. The titles count from 1, as Fiji counts channels.
        names: of the images, shown at the left.
        title: above the figure.

    Returns:
        The figure. Each column has a scale of its own over all images, from percentile 0.1 to 99.9: the references
        differ in length, and brighter means more relevant in that column only. Axes are labelled ``image 0``,
        ``map 0 11`` (image 0, reference 11), and so on.
    """
    from matplotlib.figure import Figure

    shown = [plane(image) for image in images]
    aspects = [min(_TALLEST, max(0.3, image.shape[0] / image.shape[1])) for image in shown]
    size = (_WIDTH * (len(references) + 1) + 0.4, _WIDTH * sum(aspects) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(images), len(references) + 1, squeeze=False, height_ratios=aspects)
    for row, image in enumerate(shown):
        cell = axes[row, 0]
        cell.set_label(f"image {row}")
        low, high = limits([image])
        cell.imshow(image, cmap="gray", vmin=low, vmax=high)
        # About 13 characters an inch.
        cell.set_ylabel(shortened(names[row], int(13 * _WIDTH * aspects[row])), fontsize=9)
    for column, reference in enumerate(references, start=1):
        planes = [plane(image_maps[reference]) for image_maps in maps]
        low, high = limits(planes, 0.1, 99.9)
        for row, values in enumerate(planes):
            axes[row, column].set_label(f"map {row} {reference}")
            drawn = axes[row, column].imshow(values, cmap="magma", vmin=low, vmax=high, interpolation="nearest")
        axes[0, column].set_title(f"reference {reference + 1}", fontsize=11)
        _bar(figure, drawn, axes[-1, column], [0, -0.09, 1, 0.045], "horizontal")
    axes[0, 0].set_title("input", fontsize=11)
    for cell in axes.flat:
        bare(cell)
    figure.suptitle(title, fontsize=11)
    return figure


def equivariance_figure(rotated: RotatedAttention, channels: Sequence[int] = (0, 1), title: str = "") -> "Figure":
    """Query and attention output for an image and for the rotated image, as figure 6 of the paper.

    A row is a channel. The columns are the raw image's, the rotated image's, and their difference once that of the
    rotated image is rotated back. At the bottom are the distributions of the values of all channels.

    Args:
        rotated: a `aeanet_tf.evaluation.equivariance.RotatedAttention`. Of volumes the middle plane is shown.
        channels: which channels of query and attention output, from 0.
        title: above the figure.

    Returns:
        The figure. Raw and rotated share the scale of their row; the differences have a scale as wide as that one,
        around 0, so that a difference that cannot be seen is small. Axes are labelled ``input raw``, ``query 0 raw``,
        ``attention 1 difference``, ``distribution query``, and so on.
    """
    from matplotlib.figure import Figure

    tensors = {"query": rotated.query, "attention": rotated.attention}
    rows = 1 + 2 * len(channels)
    raw = plane(rotated.image.raw[..., 0])
    height = 2.3 * min(_TALLEST, max(raw.shape) / min(raw.shape))
    figure = Figure(figsize=(8.6, height * rows + 3.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(height * rows + 0.6, 2.8))
    axes = top.subplots(rows, 3)
    _draw_input(axes[0], rotated.image)
    for cells, ((name, tensor), channel) in zip(axes[1:], product(tensors.items(), channels), strict=True):
        _draw_channel(top, cells, name, tensor, channel)
    for cell in axes.flat:
        bare(cell)
    _describe(axes[0, 2], tensors)
    for cell, (name, tensor) in zip(bottom.subplots(1, 2), tensors.items(), strict=True):
        _draw_distribution(cell, name, tensor)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_input(axes, image):
    low, high = limits([image.raw[..., 0]])
    for cell, name in zip(axes, ("raw", "rotated"), strict=False):
        cell.set_label(f"input {name}")
        cell.imshow(plane(getattr(image, name)[..., 0]), cmap="gray", vmin=low, vmax=high)
        cell.set_title({"raw": "raw", "rotated": "rotated by 90°"}[name], fontsize=11)
    axes[0].set_ylabel("input", fontsize=10)
    axes[2].set_title("rotated back − raw", fontsize=11)


def _draw_channel(figure, axes, name, tensor, channel):
    raw, rotated, difference = (plane(getattr(tensor, part)[..., channel]) for part in ("raw", "rotated", "difference"))
    low, high = limits([raw, rotated], 0.1, 99.9)
    for cell, part, values in zip(axes, ("raw", "rotated"), (raw, rotated), strict=False):
        cell.set_label(f"{name} {channel} {part}")
        drawn = cell.imshow(values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    _bar(figure, drawn, axes[1])
    axes[2].set_label(f"{name} {channel} difference")
    half = (high - low) / 2
    _bar(figure, axes[2].imshow(difference, cmap="RdBu_r", vmin=-half, vmax=half, interpolation="nearest"), axes[2])
    axes[0].set_ylabel(f"{name}\nchannel {channel + 1}", fontsize=10)


def _bar(figure, drawn, axes, place=(1.04, 0, 0.05, 1), orientation="vertical"):
    from matplotlib.ticker import MaxNLocator

    # Inside of the axes it keeps to the picture, and pictures above each other stay aligned.
    bar = figure.colorbar(drawn, cax=axes.inset_axes(place), orientation=orientation)
    bar.ax.tick_params(labelsize=8)
    # A label at an end would stand out beside the picture.
    bar.locator = MaxNLocator(4, prune="both")
    bar.update_ticks()


def _describe(axes, tensors):
    lines = [f"{name}: {100 * tensor.relative_difference:.1f} %" for name, tensor in tensors.items()]
    text = "\n".join(["mean |difference| in standard", "deviations, all channels", "", *lines])
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=10, transform=axes.transAxes)


def _draw_distribution(axes, name, tensor):
    axes.set_label(f"distribution {name}")
    low, high = limits([tensor.raw, tensor.rotated], 0.1, 99.9)
    edges = np.linspace(low, high, 81)
    axes.hist(tensor.raw.ravel(), edges, density=True, color=COLOURS[0], alpha=0.35, label="raw")
    axes.hist(tensor.rotated.ravel(), edges, density=True, color=COLOURS[1], histtype="step", lw=1.3, label="rotated")
    axes.set_title(f"{name}, all channels", fontsize=10)
    axes.set_xlabel("value", fontsize=9)
    # Most positions are background: the rest shows on a logarithmic scale only.
    axes.set_yscale("log")
    axes.set_ylabel("density", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)

"""Volumes by the slices through their centre, after figure 2c of the GVTNet paper; drawn without a display."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import bare, limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 2.6
AXES = "zyx"


def centre_slices(volume: np.ndarray) -> dict[str, np.ndarray]:
    """The slices of a volume ``(z, y, x)`` at the middle of each axis, by its name.

    Raises:
        InputError: an array that is not 3D.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise InputError(f"volume: found shape {volume.shape}, expected three spatial axes")
    return {name: np.take(volume, volume.shape[axis] // 2, axis) for axis, name in enumerate(AXES)}


def slice_panels(
    low: Mapping[str, np.ndarray],
    predictions: Mapping[str, Mapping[str, np.ndarray]],
    gt: Mapping[str, np.ndarray],
    captions: Mapping[str, str],
    title: str = "",
    one_scale: bool = False,
) -> "Figure":
    """Input, predictions of several methods and ground truth in columns; the slices in z, y and x in rows.

    Args:
        low, gt: what `centre_slices` gives of the input and of the ground truth.
        predictions: method -> the same of its prediction, in the unit of ``gt``.
        captions: method -> what stands below its name.
        title: above the figure.
        one_scale: whether the input has the unit of the ground truth, too, and is shown on its range.

    Returns:
        A ``matplotlib.figure.Figure``. The input is shown between percentiles 1 and 99.8 of its slices, all else, and
        with ``one_scale`` the input too, between those of the ground truth's. Axes are labelled ``z input``,
        ``z METHOD``, ``z truth`` and so on.

    Raises:
        InputError: a prediction with slices of other shapes than the ground truth's.
    """
    from matplotlib.figure import Figure

    for name, slices in {"input": low, **predictions}.items():
        for axis in AXES:
            if slices[axis].shape != gt[axis].shape:
                found, expected = slices[axis].shape, gt[axis].shape
                raise InputError(f"{name}: found a slice in {axis} of shape {found}, expected the truth's {expected}")
    shared = limits(list(gt.values()))
    own = shared if one_scale else limits(list(low.values()))
    columns = {"input": (low, own), **{name: (slices, shared) for name, slices in predictions.items()}}
    columns["ground truth"] = (gt, shared)
    ratios = [gt[axis].shape[0] / gt[axis].shape[1] for axis in AXES]
    size = _WIDTH * len(columns) + 0.3, _WIDTH * sum(ratios) + 1.2
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    rows = figure.subplots(len(AXES), len(columns), squeeze=False, height_ratios=ratios)
    for cells, axis in zip(rows, AXES, strict=True):
        for cell, (name, (slices, (dark, bright))) in zip(cells, columns.items(), strict=True):
            cell.set_label(f"{axis} {'truth' if name == 'ground truth' else name}")
            cell.imshow(slices[axis], cmap="gray", vmin=dark, vmax=bright)
            bare(cell)
        cells[0].set_ylabel(f"slice in {axis}", fontsize=9)
    for cell, name in zip(rows[0], columns, strict=True):
        cell.set_title(f"{name}\n{captions.get(name, '')}".rstrip(), fontsize=10)
    return figure

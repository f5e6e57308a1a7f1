"""Planes XZ of a volume that was coarse along Z, side by side; drawn without a display."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import bare, limits
from aeanet_tf.evaluation.scale_bar import scale_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _ACROSS = 3.6, 3


def plane_panels(
    planes: Mapping[str, np.ndarray], captions: Mapping[str, str], size: float, unit: str | None
) -> "Figure":
    """Planes of one place, all with the same contrast, that of the last.

    Args:
        planes: name -> plane ``(z, x)``, all of one shape, with pixels of equal sides; the last is the truth.
        captions: name -> what stands beside the name.
        size, unit: of a pixel; ``None`` draws no bar.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        InputError: planes of different shapes.
    """
    from matplotlib.figure import Figure

    *_, truth = planes.values()
    for name, plane in planes.items():
        if plane.shape != truth.shape:
            raise InputError(f"{name}: found a plane of shape {plane.shape}, expected the truth's {truth.shape}")
    dark, bright = limits([truth])
    rows = -(-len(planes) // _ACROSS)
    height = _WIDTH * truth.shape[0] / truth.shape[1] + 0.5
    figure = Figure(figsize=(_WIDTH * _ACROSS, height * rows), layout="constrained")
    cells = figure.subplots(rows, _ACROSS, squeeze=False).ravel()
    for cell, (name, plane) in zip(cells, planes.items(), strict=False):
        # Z upwards would turn the picture over against what viewers show.
        cell.imshow(plane, cmap="gray", vmin=dark, vmax=bright, interpolation="nearest")
        bare(cell)
        cell.set_title(", ".join(filter(None, (name, captions.get(name)))), fontsize=11)
        cell.set_xlabel("x")
        cell.set_ylabel("z")
    for cell in cells[len(planes) :]:
        cell.set_axis_off()
    if unit is not None:
        scale_bar(cells[0], size, unit, truth.shape)
    return figure

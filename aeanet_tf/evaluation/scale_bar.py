"""A bar at a picture that says how long a piece of it is."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of a picture's width.
_BAR = 0.25
_ROUND = (1, 2, 5)
# Points between a picture and the bar below it.
_BELOW = 7


def scale_bar(
    axes: "Axes",
    size: float,
    unit: str,
    shape: tuple[float, float],
    corner: tuple[float, float] = (0, 0),
    below: bool = False,
) -> None:
    """Draw a bar of a round length, at most a quarter of the picture's width, at its lower left corner.

    Args:
        axes: of a picture by ``imshow``.
        size: of a pixel along X; 1 where the axes are in ``unit``.
        unit: of that.
        shape: of the picture, in the unit of the axes.
        corner: of the picture, top and left.
        below: below the picture, where it covers nothing and is seen at dark and bright ones; for pictures without
            labels of their axes.
    """
    wanted = _BAR * shape[1] * size
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(factor * power for factor in _ROUND if factor * power <= wanted)
    draw = _below if below else _inside
    draw(axes, length / size, f"{length:g} {shown_unit(unit)}".strip(), shape, corner)


def shown_unit(unit: str) -> str:
    """A unit of length as pictures have it: µm for um and micron."""
    return "µm" if unit in ("um", "micron") else unit


def _inside(axes, length, label, shape, corner):
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    height, margin = shape[0] / 80, shape[0] / 25
    left, top = corner[1] + margin, corner[0] + shape[0] - margin - height
    axes.add_patch(Rectangle((left, top), length, height, color="white", ec="black", lw=0.5))
    text = axes.text(left + length / 2, top - height, label, color="white", fontsize=8, ha="center", va="bottom")
    text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def _below(axes, length, label, shape, corner):
    from matplotlib.transforms import ScaledTranslation

    along = axes.get_xaxis_transform()
    moved = along + ScaledTranslation(0, -_BELOW / 72, axes.figure.dpi_scale_trans)
    ends = [corner[1] - 0.5, corner[1] + length - 0.5]
    axes.plot(ends, [0, 0], color="k", lw=3, solid_capstyle="butt", transform=moved, clip_on=False)
    style = {"textcoords": "offset points", "fontsize": 9, "va": "center", "annotation_clip": False}
    axes.annotate(label, (ends[1], 0), (5, -_BELOW), xycoords=along, **style)

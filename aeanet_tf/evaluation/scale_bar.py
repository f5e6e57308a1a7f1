"""A bar in a picture that says how long a piece of it is."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of a picture's width.
_BAR = 0.25
_ROUND = (1, 2, 5)


def scale_bar(
    axes: "Axes", size: float, unit: str, shape: tuple[float, float], corner: tuple[float, float] = (0, 0)
) -> None:
    """Draw a bar of a round length, about a quarter of the picture's width, into its lower left corner.

    Args:
        axes: of a picture by ``imshow``.
        size: of a pixel along X; 1 where the axes are in ``unit``.
        unit: of that.
        shape: of the picture, in the unit of the axes.
        corner: of the picture, top and left.
    """
    from matplotlib.patches import Rectangle

    wanted = _BAR * shape[1] * size
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(factor * power for factor in _ROUND if factor * power <= wanted)
    height, margin = shape[0] / 80, shape[0] / 25
    left, top = corner[1] + margin, corner[0] + shape[0] - margin - height
    axes.add_patch(Rectangle((left, top), length / size, height, color="white", ec="black", lw=0.5))
    style = {"color": "white", "fontsize": 8, "ha": "center", "va": "bottom"}
    text = axes.text(left + length / size / 2, top - height, f"{length:g} {shown_unit(unit)}", **style)
    text.set_path_effects(_outlined())


def shown_unit(unit: str) -> str:
    """A unit of length as pictures have it: µm for um and micron."""
    return "µm" if unit in ("um", "micron") else unit


def _outlined():
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.5, foreground="black")]

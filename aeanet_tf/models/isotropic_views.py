"""The two ways to see a volume plane by plane with Z in the planes, and what two restorations of it make together."""

from typing import NamedTuple

import numpy as np


class View(NamedTuple):
    """A way to see a volume as images whose columns are along Z; CSBDeep's ``IsotropicCARE`` has the same two.

    Attributes:
        rows: the axis of the volume that the rows of the images are along.
        along: the axis that the images are in a row along.
        flipped: whether columns run from the last plane to the first.
    """

    rows: str
    along: str
    flipped: bool

    def planes(self, volume):
        """The images ``(n, rows, columns, channels)`` of a volume ``(Z, Y, X, channels)``, a view of it."""
        volume = volume[::-1] if self.flipped else volume
        return volume.transpose(2, 1, 0, 3) if self.along == "X" else volume.transpose(1, 2, 0, 3)

    def volume(self, planes):
        """The volume of the images, a view of them."""
        volume = planes.transpose(2, 1, 0, 3) if self.along == "X" else planes.transpose(2, 0, 1, 3)
        return volume[::-1] if self.flipped else volume


VIEWS = (View("Y", "X", True), View("X", "Y", False))
"""Both of them."""


def combined(first, second):
    """Mean and scale of a volume, of those of its two views, normalised.

    Args:
        first, second: ``(mean, scale)``, arrays of one shape; scales are ``None`` for models without.

    Returns:
        The geometric mean of both means, of negative values 0, and the larger of both scales.
    """
    (mean, scale), (other, other_scale) = first, second
    both = np.sqrt(np.maximum(mean, 0) * np.maximum(other, 0))
    return both, None if scale is None else np.maximum(scale, other_scale)

"""Sizes and halos of a model's spatial axes, for a program that cuts blocks along all of them alike."""

from typing import NamedTuple


class SpatialAxis(NamedTuple):
    """A spatial axis of the input.

    Attributes:
        letter: as in ``config.axes``.
        step: sizes are multiples of it.
        halo: what is cut from both ends of the output of a block, in whole steps; 0 where the image is taken whole.
        minimum: the least size, one step within the halo.
        fixed: the only size of a network that has one, else ``None``.
    """

    letter: str
    step: int
    halo: int
    minimum: int
    fixed: int | None


def spatial_axes(model):
    """The `SpatialAxis` of each axis of an `AEANet` or one of its siblings, in order.

    Along Y and X the halo is the receptive radius. Stacks are taken whole along the others: a halo asks for more
    planes than many stacks have, and a stack of fewer than ``minimum`` would be refused.
    """
    axes = model.config.axes.replace("C", "")
    found = []
    for letter, step, radius, fixed in zip(
        axes,
        model._axes_div_by(axes),
        model._axes_tile_overlap(axes),
        model.keras_model.input.shape[1:-1],
        strict=True,
    ):
        # Halos in whole steps keep the blocks on the network's grid.
        halo = -(-radius // step) * step if letter in "YX" and letter in model._axes_out else 0
        found.append(SpatialAxis(letter, int(step), int(halo), int(2 * halo + step), fixed))
    return found

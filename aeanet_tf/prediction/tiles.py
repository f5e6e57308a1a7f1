"""Tiles of an image: what each one reads, and which part of it counts."""

from itertools import pairwise, product
from typing import NamedTuple

from aeanet_tf.errors import InputError


class Tile(NamedTuple):
    """A tile, one entry a spatial axis.

    Attributes:
        read: ``(start, stop)`` in the image, halo included.
        inner: ``(start, stop)`` in what was read: without the halo. The inner parts of all tiles cover the image once.
    """

    read: tuple[tuple[int, int], ...]
    inner: tuple[tuple[int, int], ...]

    @property
    def source(self):
        """Slices of the image to read."""
        return tuple(slice(*bounds) for bounds in self.read)

    @property
    def target(self):
        """Slices of the image that the inner part covers."""
        return tuple(slice(r[0] + i[0], r[0] + i[1]) for r, i in zip(self.read, self.inner, strict=True))


def tiles(size, n_tiles, divisor, radius):
    """Cut an image into tiles that begin on the network's grid.

    A tile begins at a multiple of the divisor, so that strided layers meet the same positions as in the whole image,
    and reads a halo of at least the receptive radius, none at the borders of the image, where ``same`` padding has to
    act as in the whole image.

    Args:
        size: of the image, in multiples of ``divisor``.
        n_tiles: number of tiles along each axis; they differ by at most one step of the grid.
        divisor, radius: of the network, one number an axis.

    Returns:
        List of `Tile`, the last axis fastest.

    Raises:
        InputError: more tiles along an axis than it has steps, or a size off the grid.
    """
    axes = [_along(*facts, axis) for axis, facts in enumerate(zip(size, n_tiles, divisor, radius, strict=True))]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*axes)]


def _along(size, count, step, radius, axis):
    if size % step:
        raise InputError(f"size: {size} along axis {axis}, expected a multiple of {step}")
    blocks = size // step
    if not 1 <= count <= blocks:
        raise InputError(f"n_tiles: {count} along axis {axis} of size {size}, expected 1 to {blocks} (steps of {step})")
    halo = -(-radius // step) * step
    edges = [step * (i * blocks // count) for i in range(count + 1)]
    found = []
    for start, stop in pairwise(edges):
        first, last = max(0, start - halo), min(size, stop + halo)
        found.append(((first, last), (start - first, stop - first)))
    return found

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


def cut_evenly(size, n_tiles, step):
    """Edges of tiles that begin on multiples of a step: for each axis the first, those between tiles, and the last.

    Args:
        size: of the image.
        n_tiles: number of tiles along each axis; they differ by at most one step, the last may be smaller.
        step: one number an axis.

    Raises:
        InputError: more tiles along an axis than it has steps.
    """
    found = []
    for axis, (n, count, unit) in enumerate(zip(size, n_tiles, step, strict=True)):
        blocks = -(-n // unit)
        if not 1 <= count <= blocks:
            raise InputError(
                f"n_tiles: {count} along axis {axis} of size {n}, expected 1 to {blocks} (steps of {unit})"
            )
        found.append([*(unit * (i * blocks // count) for i in range(count)), n])
    return found


def tiles(size, edges, divisor, radius):
    """The tiles between edges, each with the halo that it has to read.

    A tile reads at least the receptive radius around its inner part, from the next multiple of the divisor, so that
    strided layers meet the same positions as in the whole image; and nothing at the borders of the image, where
    ``same`` padding has to act as in the whole image.

    Args:
        size: of the image, in multiples of ``divisor``.
        edges: of the inner parts, ascending, one list an axis; they need not reach the borders of the image.
        divisor, radius: of the network, one number an axis.

    Returns:
        List of `Tile`, the last axis fastest.

    Raises:
        InputError: a size off the network's grid.
    """
    for axis, (n, step) in enumerate(zip(size, divisor, strict=True)):
        if n % step:
            raise InputError(f"size: {n} along axis {axis}, expected a multiple of {step}")
    axes = [_along(*facts) for facts in zip(size, edges, divisor, radius, strict=True)]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*axes)]


def _along(size, edges, step, radius):
    found = []
    for start, stop in pairwise(edges):
        first, last = max(0, (start - radius) // step * step), min(size, -(-(stop + radius) // step) * step)
        found.append(((first, last), (start - first, stop - first)))
    return found

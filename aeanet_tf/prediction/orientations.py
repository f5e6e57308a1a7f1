"""The orientations of an image: its flips, and those of the image with Y and X exchanged."""

from itertools import product
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError

ENSEMBLES = ("flips", "flips-z")
_EXCHANGED = str.maketrans("YX", "XY")


class Orientation(NamedTuple):
    """A way to turn an image, which moves no pixel: axes get each other's names, and are reversed.

    What was made of a turned image is turned back by `flipped_back`: its dimensions are in the order of the image's.

    Attributes:
        transposed: whether Y is called X, and X Y.
        flipped: the axes, as they are called then, along which the image is reversed.
    """

    transposed: bool = False
    flipped: str = ""

    def axes(self, axes):
        """What the dimensions of a turned image are called."""
        return axes.translate(_EXCHANGED) if self.transposed else axes

    def turned(self, array, axes):
        """The array turned, a view; ``axes`` are those of its dimensions before."""
        return np.flip(array, self.dimensions(self.axes(axes)))

    def flipped_back(self, array, axes):
        """What was made of a turned image, as of the image itself: a view; ``axes`` are those of the turned image that
        it has, and it may have one dimension more at the end."""
        return np.flip(array, self.dimensions(axes))

    def dimensions(self, axes):
        """The dimensions that are reversed, of an array that has these axes, called as in the turned image."""
        return tuple(axes.index(a) for a in self.flipped if a in axes)


def orientations(ensemble, axes, transposable):
    """The orientations that a network's predictions are averaged over, the image as it is first.

    Args:
        ensemble: ``"flips"``, those in Y and X: 8, or 4 where these cannot be exchanged; ``"flips-z"``, the same with
            and without a flip in Z; or ``None``, one.
        axes: of the network.
        transposable: whether it takes an image with Y and X exchanged.

    Returns:
        List of `Orientation`; a group, so what is averaged over it turns with the image.

    Raises:
        InputError: another name, or a flip in Z for a network that has no Z.
    """
    if ensemble is None:
        return [Orientation()]
    if ensemble not in ENSEMBLES:
        raise InputError(f"ensemble: found {ensemble!r}, expected one of {', '.join(ENSEMBLES)}")
    if ensemble == "flips-z" and "Z" not in axes:
        raise InputError(f"ensemble: found 'flips-z', expected 'flips': the model's axes {axes} have no Z")
    letters = [a for a in ("ZYX" if ensemble == "flips-z" else "YX") if a in axes]
    choices = [("", a) for a in letters]
    both = (False, True) if transposable and {"Y", "X"} <= set(axes) else (False,)
    return [Orientation(transposed, "".join(flipped)) for transposed in both for flipped in product(*choices)]


class FlippedArray:
    """An array that is reversed along some of its dimensions, read where it lies when it is sliced.

    Args:
        array: ``array[slices]``, with a slice for each dimension, gives a part of it.
        dimensions: those that are reversed.

    Attributes: ``shape``, ``ndim`` and ``dtype`` of the array, and its ``chunks``, ``None`` where it has none.
    """

    def __init__(self, array, dimensions):
        self.array, self.dimensions = array, tuple(dimensions)
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, slices):
        """A part; one slice a dimension, of step 1."""
        return np.flip(self.array[mirrored(slices, self.shape, self.dimensions)], self.dimensions)


def mirrored(slices, shape, dimensions):
    """The place in an array of what is at ``slices`` of the same array reversed along ``dimensions``."""
    place = list(slices)
    for dimension in dimensions:
        start, stop, _ = slices[dimension].indices(shape[dimension])
        place[dimension] = slice(shape[dimension] - stop, shape[dimension] - start)
    return tuple(place)

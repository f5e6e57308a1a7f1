"""Noise2Void: pixels hidden from the network, which learns to tell them from what is around them (Krull et al. 2019).

A hidden pixel has the value of another pixel nearby, and the loss is that of hidden pixels alone: what the network is
trained for there, the pixel as it was recorded, is nowhere in its input. So it learns what can be told of a pixel from
its surroundings, which is the signal where noise differs from pixel to pixel.
"""

import math

import numpy as np

from aeanet_tf.errors import InputError, expect

# Rounds in which sources that will not do are drawn anew; one in two of them does in the least favourable case.
_ROUNDS = 64


class BlindSpots:
    """Hides pixels of patches, at random, evenly over a patch, all channels of a pixel together.

    A patch is divided into boxes and one pixel of each is hidden, so that each pixel is hidden equally often and no two
    lie where they could be one another's only surroundings.

    Args:
        share: of the pixels that are hidden.
        radius: the pixel that takes its place is drawn, all equally often, from those up to so many pixels away along
            each axis, never the pixel itself, and none that is hidden as well.
        axis: index of the spatial axis along which noise is correlated, ``None`` for none (structN2V, Broaddus et al.
            2020). What lies up to ``extent`` pixels from a hidden pixel along it is replaced as well, by values from
            other lines, and has no part in the loss.
        extent: see ``axis``.

    Raises:
        InputError: a share that is not above 0 or leaves less than half of a patch as it is; a radius or an extent
            below 1.
    """

    def __init__(self, share, radius=2, axis=None, extent=0):
        reach = 1 if axis is None else 2 * extent + 1
        expect(0 < share * reach <= 0.5, "blind_spots.share", share, f"above 0 and at most {0.5 / reach:.3g}")
        expect(radius >= 1, "blind_spots.radius", radius, "at least 1")
        expect(axis is None or extent >= 1, "blind_spots.extent", extent, "at least 1")
        self.share, self.radius, self.axis, self.extent = share, radius, axis, extent

    def hide(self, rng, patch):
        """A copy of a patch with hidden pixels, and where they are.

        Args:
            rng: a NumPy generator.
            patch: array ``(*spatial, channels)``.

        Returns:
            The patch as the network sees it; the hidden pixels as an array of booleans ``(*spatial)``.

        Raises:
            InputError: a patch of so few pixels that none is left to take the place of others.
        """
        shape = patch.shape[:-1]
        hidden = self._spots(rng, shape)
        replaced = self._with_neighbours(hidden)
        # With a margin, from which nothing is taken.
        margin = [(self.radius, self.radius)] * len(shape)
        barred = np.pad(replaced, margin, constant_values=True)
        values = np.pad(patch, [*margin, (0, 0)]).reshape(-1, patch.shape[-1])
        seen = patch.copy()
        seen[replaced] = values[self._sources(rng, np.flatnonzero(np.pad(replaced, margin)), barred)]
        return seen, hidden

    def _spots(self, rng, shape):
        """Hidden pixels, one drawn in each box of a grid; boxes reach over the end, what falls there is none."""
        side = (1 / self.share) ** (1 / len(shape))
        counts = [max(1, math.ceil(n / side)) for n in shape]
        while True:
            hidden = np.zeros(shape, bool)
            spots = [
                np.floor((np.arange(count).reshape([-1 if a == axis else 1 for a in range(len(shape))]) + drawn) * side)
                for axis, (count, drawn) in enumerate(zip(counts, rng.random((len(shape), *counts)), strict=True))
            ]
            spots = [spot.astype(int) for spot in spots]
            inside = np.logical_and.reduce([spot < n for spot, n in zip(spots, shape, strict=True)])
            hidden[tuple(spot[inside] for spot in spots)] = True
            if hidden.any():
                return hidden

    def _with_neighbours(self, hidden):
        """Hidden pixels and, where noise runs along lines, those beside them."""
        replaced = hidden.copy()
        for step in range(1, self.extent + 1) if self.axis is not None else ():
            after, before = (
                tuple(part if axis == self.axis else slice(None) for axis in range(hidden.ndim))
                for part in (slice(step, None), slice(None, -step))
            )
            replaced[after] |= hidden[before]
            replaced[before] |= hidden[after]
        return replaced

    def _steps(self, strides):
        """Distances in memory to all pixels that may take another's place: of other lines where noise runs along them,
        and other pixels in any case."""
        reach = np.arange(-self.radius, self.radius + 1)
        steps = np.stack(np.meshgrid(*[reach] * len(strides), indexing="ij"), -1).reshape(-1, len(strides))
        across = steps if self.axis is None else np.delete(steps, self.axis, axis=1)
        return steps[across.any(1)] @ strides

    def _sources(self, rng, places, barred):
        """Where the values of replaced pixels come from, as ``places`` indices of the flat, padded patch."""
        steps = self._steps(np.array(barred.strides))
        sources, left = places.copy(), np.arange(len(places))
        for _ in range(_ROUNDS):
            drawn = places[left] + steps[rng.integers(len(steps), size=len(left))]
            bad = barred.ravel()[drawn]
            sources[left[~bad]] = drawn[~bad]
            left = left[bad]
            if not len(left):
                return sources
        found = tuple(n - 2 * self.radius for n in barred.shape)
        raise InputError(f"patch_size: found {found}, expected more pixels, of which some stay as they are")

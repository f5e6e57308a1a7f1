"""Stored images that are read along another axis than they are stored along: many of its rows at once."""

from typing import Any

import numpy as np

from aeanet_tf.io.tiff import Slices

SLAB_BYTES = 2**26


class SlabArray:
    """An array that is read plane after plane along one dimension, and keeps the slab that was read last.

    A compressed file is decompressed once for every slab, in place of once for every plane. What is read lies in the
    process that reads it. It can be pickled, without the slab.

    Args:
        array: ``array[slices]``, with a slice for each dimension, gives a part of it.
        dimension: along which it is read.
        volume: dimensions that a slab has all of; of others it has what is asked for.

    Attributes: ``shape``, ``ndim`` and ``dtype`` of the array, and its ``chunks``, ``None`` where it has none.
    """

    def __init__(self, array: Any, dimension: int, volume: tuple[int, ...]) -> None:
        self.array, self.dimension, self.volume = array, dimension, volume
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, np.dtype(array.dtype)
        self.chunks = getattr(array, "chunks", None)
        self._place: tuple[slice, ...] = ()
        self._slab: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_place": (), "_slab": None}

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """A part; one slice a dimension, of step 1."""
        full = tuple(slice(*part.indices(n)[:2]) for part, n in zip(slices, self.shape, strict=True))
        if self._slab is None or not self._holds(full):
            place = self._slab_of(full)
            if place is None:
                return np.asarray(self.array[full])
            # The one before is freed first.
            self._slab = None
            self._slab, self._place = np.asarray(self.array[place]), place
        inner = (slice(p.start - s.start, p.stop - s.start) for p, s in zip(full, self._place, strict=True))
        return self._slab[tuple(inner)]

    def _holds(self, full):
        pairs = zip(full, self._place, strict=True)
        return all(held.start <= part.start and part.stop <= held.stop for part, held in pairs)

    def _slab_of(self, full):
        """Where the slab lies that a part is read from; ``None`` where none is small enough."""
        place = [slice(0, self.shape[i]) if i in self.volume else part for i, part in enumerate(full)]
        row = self.dtype.itemsize
        for dimension, part in enumerate(place):
            row *= part.stop - part.start if dimension != self.dimension else 1
        most, size = SLAB_BYTES // max(1, row), self.shape[self.dimension]
        wanted = full[self.dimension]
        if most < wanted.stop - wanted.start:
            return None
        chunk = self.chunks[self.dimension] if self.chunks else 1
        # Whole chunks from the first, where they fit.
        start = wanted.start // chunk * chunk if wanted.stop - wanted.start // chunk * chunk <= most else wanted.start
        place[self.dimension] = slice(start, min(size, start + (most // chunk * chunk or most)))
        if place[self.dimension].stop < wanted.stop:
            place[self.dimension] = slice(start, min(size, start + most))
        return tuple(place)

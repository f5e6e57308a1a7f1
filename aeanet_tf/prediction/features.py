"""Features that a sweep keeps for later ones: whole images of them, written and read in pieces."""

import os
from math import prod
from pathlib import Path

import numpy as np

from aeanet_tf.errors import writing
from aeanet_tf.io.flat_file import read_region, reserve, write_region


class Features:
    """Arrays by name, in memory or as files; written in pieces by several processes, if they are files.

    Args:
        folder: of the files; ``None`` keeps the arrays in memory.
    """

    def __init__(self, folder=None):
        self.folder = None if folder is None else Path(folder)
        self._arrays = {}

    def create(self, name, shape):
        """Make a float32 array, whose space on disk is reserved at once. An existing file is kept as it is.

        Raises:
            WriteError: the disk is full.
        """
        if self.folder is None:
            self._arrays[name] = np.empty(shape, "float32")
            return
        path = self._path(name)
        if path.exists():
            return
        partial = path.with_name(f".{path.name}")
        with writing(self._path(name)):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.touch()
            reserve(partial, 4 * prod(shape))
            os.replace(partial, path)

    def has(self, name):
        """Whether there is an array of this name."""
        return name in self._arrays if self.folder is None else self._path(name).exists()

    def write(self, name, shape, slices, values):
        """Write a piece of the array, which has this shape; different pieces may be written at the same time.

        Raises:
            WriteError: the disk is full.
        """
        if self.folder is None:
            self._arrays[name][slices] = values
            return
        with writing(self._path(name)):
            write_region(self._path(name), 0, shape, slices, np.asarray(values, "float32"))

    def read(self, name, shape, slices):
        """A piece of the array, which has this shape."""
        if self.folder is None:
            return self._arrays[name][slices]
        return read_region(self._path(name), 0, "float32", shape, slices)

    def drop(self, name):
        """Free what is not needed any more; nothing happens where there is nothing."""
        self._arrays.pop(name, None)
        if self.folder is not None:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name):
        return self.folder / f"{name}.float32"

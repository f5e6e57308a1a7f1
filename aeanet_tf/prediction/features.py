"""Features that a sweep keeps for later ones: whole images of them, written and read in pieces."""

import os
from pathlib import Path

import numpy as np


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
            OSError: the disk is full.
        """
        if self.folder is None:
            self._arrays[name] = np.empty(shape, "float32")
            return
        path = self._path(name)
        if path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        np.lib.format.open_memmap(partial, "w+", "float32", tuple(shape)).flush()
        # A sparse file would be written through the mapping until the disk is full, and then end the process.
        if hasattr(os, "posix_fallocate"):
            with open(partial, "rb+") as file:
                os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        os.replace(partial, path)

    def write(self, name, slices, values):
        """Write a piece; pieces of different slices may be written at the same time."""
        if self.folder is None:
            self._arrays[name][slices] = values
            return
        # Mapped for a moment only: pages of a mapping count as the process's memory.
        np.load(self._path(name), mmap_mode="r+")[slices] = values

    def read(self, name, slices):
        """A piece, as a new array."""
        if self.folder is None:
            return self._arrays[name][slices]
        return np.array(np.load(self._path(name), mmap_mode="r")[slices])

    def drop(self, name):
        """Free what is not needed any more; nothing happens where there is nothing."""
        self._arrays.pop(name, None)
        if self.folder is not None:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name):
        return self.folder / f"{name}.npy"

"""What of a job is done, and features between its stages, kept on disk: an interrupted one goes on where it was."""

import os
from math import prod
from pathlib import Path

import numpy as np

from aeanet_tf.errors import writing
from aeanet_tf.io.flat_file import read_region, reserve, write_region
from aeanet_tf.layers.moments import Moments


class Journal:
    """The finished tiles of each stage, and the moments they gave.

    A tile is entered when all that it writes is written. Records are of fixed size and appended, so a killed run
    leaves at most one incomplete record, at the end, which is cut off. Moments are kept as they are, and merged in
    the order of the tiles: an interrupted run gives the same numbers as one that was not.

    Args:
        folder: where the records are kept; ``None`` keeps them in memory.
    """

    def __init__(self, folder=None):
        self.folder = None if folder is None else Path(folder)
        self._done, self._moments = {}, {}

    def done(self, stage, channels=0):
        """The set of the finished ``(frame, tile)`` of a stage whose moments have ``channels``, 0 without any."""
        if stage not in self._done:
            records = () if self.folder is None else self._read(stage, channels)
            self._done[stage] = {(int(r["frame"]), int(r["tile"])) for r in records}
        return self._done[stage]

    def enter(self, stage, task, moments):
        """Note that a task, ``(frame, tile)``, is finished.

        Raises:
            WriteError: the disk is full.
        """
        channels = 0 if moments is None else moments.mean.shape[-1]
        self.done(stage, channels).add(task)
        if self.folder is None:
            self._moments.setdefault(stage, {})[task] = moments
            return
        record = np.zeros((), _record(channels))
        record["frame"], record["tile"] = task
        if moments is not None:
            for name, values in zip(Moments._fields, moments, strict=True):
                record[name] = values[0]
        with writing(self._path(stage)), open(self._path(stage), "ab") as file:
            file.write(record.tobytes())

    def moments(self, stage, channels):
        """Yield the moments of all finished tiles of a stage, in the order of the tiles."""
        if self.folder is None:
            moments = self._moments.pop(stage)
            yield from (moments[task] for task in sorted(moments))
            return
        records = self._read(stage, channels)
        for index in np.lexsort((records["tile"], records["frame"])):
            yield Moments(*(records[name][index][None] for name in Moments._fields))

    def _read(self, stage, channels):
        """The records of a stage, left on disk."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        path, kind = self._path(stage), _record(channels)
        whole = path.stat().st_size // kind.itemsize if path.exists() else 0
        if not whole:
            path.unlink(missing_ok=True)
            return np.zeros(0, kind)
        os.truncate(path, whole * kind.itemsize)
        return np.memmap(path, kind, "r")

    def _path(self, stage):
        return self.folder / f"stage{stage}.records"


def _record(channels):
    fields = [("frame", "<i8"), ("tile", "<i8")]
    if channels:
        fields += [("weight", "<f4"), ("mean", "<f4", (channels,)), ("second", "<f4", (channels, channels))]
    return np.dtype(fields)


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

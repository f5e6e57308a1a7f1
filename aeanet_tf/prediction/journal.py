"""What of a job is done, kept on disk, so that an interrupted one goes on where it was."""

from pathlib import Path

import numpy as np

from aeanet_tf.errors import writing
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
        self._done = {}

    def done(self, stage, channels=0):
        """The finished tiles of a stage: ``{(frame, tile): Moments}``, of ``None`` where it has no ``channels``."""
        if stage not in self._done:
            self._done[stage] = {} if self.folder is None else self._read(stage, channels)
        return self._done[stage]

    def enter(self, stage, task, moments):
        """Note that a task, ``(frame, tile)``, is finished.

        Raises:
            WriteError: the disk is full.
        """
        channels = 0 if moments is None else moments.mean.shape[-1]
        self.done(stage, channels)[task] = moments
        if self.folder is None:
            return
        record = np.zeros((), _record(channels))
        record["frame"], record["tile"] = task
        if moments is not None:
            for name, values in zip(Moments._fields, moments, strict=True):
                record[name] = values[0]
        with writing(self._path(stage)), open(self._path(stage), "ab") as file:
            file.write(record.tobytes())

    def _read(self, stage, channels):
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        path, kind = self._path(stage), _record(channels)
        if not path.exists():
            return {}
        whole = path.stat().st_size // kind.itemsize
        with open(path, "rb+") as file:
            file.truncate(whole * kind.itemsize)
        found = {}
        for record in np.fromfile(path, kind):
            moments = Moments(*(record[name][None] for name in Moments._fields)) if channels else None
            found[int(record["frame"]), int(record["tile"])] = moments
        return found

    def _path(self, stage):
        return self.folder / f"stage{stage}.records"


def _record(channels):
    fields = [("frame", "<i8"), ("tile", "<i8")]
    if channels:
        fields += [("weight", "<f4"), ("mean", "<f4", (channels,)), ("second", "<f4", (channels, channels))]
    return np.dtype(fields)

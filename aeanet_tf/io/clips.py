"""How many pixels of an image that is written in parts did not fit into its type, whoever wrote them."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from aeanet_tf.io.tiff import Slices


def count_clipped(values: np.ndarray, dtype: DTypeLike) -> tuple[int, int]:
    """How many floats are below and above what integers of ``dtype`` hold once they are rounded; 0 for other types."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu" or values.dtype.kind != "f":
        return 0, 0
    limits, rounded = np.iinfo(dtype), np.rint(values.astype(np.float64, copy=False))
    return int(np.count_nonzero(rounded < limits.min)), int(np.count_nonzero(rounded > limits.max))


class Clips:
    """Counts by region in a file, to which several processes append, and which a run that goes on finds again.

    A region counts once, as it was written last.

    Args:
        path: of the file, which is there where something was clipped only.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def enter(self, slices: Slices, count: tuple[int, int]) -> None:
        """Note a region, if any of it was clipped."""
        if not any(count) and not self.path.exists():
            return
        region = [[part.start, part.stop] for part in slices]
        # The line's end first: the one before may have been cut off by a kill.
        line = f"\n{json.dumps([region, count])}".encode()
        with open(self.path, "ab", buffering=0) as file:
            file.write(line)

    def total(self) -> tuple[int, int]:
        """The sums over all regions."""
        if not self.path.exists():
            return 0, 0
        counts = {}
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError, TypeError):
                region, count = json.loads(line)
                counts[json.dumps(region)] = count
        return sum(below for below, _ in counts.values()), sum(above for _, above in counts.values())

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self.path.unlink()

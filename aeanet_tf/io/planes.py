"""Images in the files of microscopes' makers, read plane by plane through the library of each format."""

import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.io.tiff import Slices

# A piece below this costs more in opening the file than in reading.
_PIECE_BYTES = 2**24

logger = logging.getLogger("aeanet_tf")

PlaneReader = Callable[[tuple[int, ...], Slices], np.ndarray]


@contextmanager
def maker_file(path: str | Path, kind: str, extra: str) -> Iterator[None]:
    """Let what goes wrong in the block count as a fault of the file.

    Args:
        path: the file.
        kind: the format's name, for messages.
        extra: name of the extra of this package that installs the library of the format.

    Raises:
        InputError: the library is not installed, or the file is damaged.
    """
    try:
        with warnings.catch_warnings():
            # What libraries warn of is either an error here or no loss of pixels.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except ImportError as error:
        missing = f"{kind} files need {error.name or one_line(error)}, which is not installed"
        raise InputError(f'{path}: {missing}, expected pip install "aeanet-tf[{extra}]"') from error
    # Libraries raise whatever the damaged bytes lead them to, also for want of memory: of pixels little is read here.
    except Exception as error:
        raise InputError(f"{path}: not a readable {kind} file ({one_line(error)})") from error


@dataclass(frozen=True)
class Planes(ABC):
    """All stored dimensions of an image whose last ones are a plane, Y, X and colour samples where it has them.

    The file is open only while it is read. It can be pickled, and read by several threads and processes at once.

    Attributes:
        path: the file.
        shape: of all dimensions.
        dtype: of the pixels, in the byte order of the machine.
        inside: number of the dimensions of a plane: 2, or 3 with samples.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    inside: int

    @abstractmethod
    def planes(self) -> AbstractContextManager[PlaneReader]:
        """Open the file, and give a function that takes the indices of a plane, and slices of it, and reads that."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Whole planes, so many of them that they are worth opening the file."""
        leading = len(self.shape) - self.inside
        piece = [1] * leading + list(self.shape[leading:])
        for dimension in reversed(range(leading)):
            wanted = _PIECE_BYTES // (math.prod(piece) * self.dtype.itemsize)
            piece[dimension] = max(1, min(self.shape[dimension], wanted))
        return tuple(piece)

    def read(self, slices: Slices) -> np.ndarray:
        """Read a part; one slice with start and stop for each dimension."""
        leading = len(self.shape) - self.inside
        shape = [part.stop - part.start for part in slices]
        out = np.empty(shape, self.dtype)
        with self.planes() as read_plane:
            for index in product(*(range(part.start, part.stop) for part in slices[:leading])):
                place = tuple(i - part.start for i, part in zip(index, slices, strict=False))
                values = np.asarray(read_plane(index, slices[leading:]))
                expect(values.shape == tuple(shape[leading:]), self.path, f"a plane of {values.shape}", shape[leading:])
                out[place] = values
        return out


def check_complete(path: str | Path, present: int, expected: int, unit: str, allow_missing: bool) -> None:
    """Refuse an image of which planes were never acquired, or are lost; where they may be missing say that they are.

    Raises:
        InputError: there are fewer than expected.
    """
    if present >= expected:
        return
    missing = f"{expected - present} of {expected} {unit} are missing"
    if not allow_missing:
        raise InputError(f"{path}: {missing}, expected all of them; --allow-missing fills them with 0")
    logger.warning("%s: %s, filled with 0", path, missing)

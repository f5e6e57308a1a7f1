"""Which image of a file is meant: files of microscopes hold several, of positions, scenes or series."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from aeanet_tf.errors import InputError, expect

# So many images are told of a file that holds more.
_TOLD = 4
# In place of a number: every image of a file.
ALL = "all"


class Series(NamedTuple):
    """One image of a file.

    Attributes:
        index: its number, from 0.
        name: as the file calls it; empty where it does not.
        shape: without dimensions of size 1 other than Y and X.
        axes: the file's letters for these dimensions.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    axes: str

    def __str__(self) -> str:
        name = f" {self.name[:40]!r}" if self.name else ""
        return f"{self.index}{name} {self.shape} {self.axes}"


@dataclass(frozen=True, order=True)
class ImagePath(os.PathLike):
    """The path of a file, and which of the images in it is meant; taken wherever the path of an image is.

    Attributes:
        path: the file.
        series: number of the image among those of the file, from 0; None for the only one.
        allow_missing: whether planes that are not there are filled with 0, instead of refused.
    """

    path: Path
    series: int | None = None
    allow_missing: bool = False

    @classmethod
    def of(cls, path: "str | Path | ImagePath") -> "ImagePath":
        """``path`` itself, or as one that says nothing of series."""
        return path if isinstance(path, ImagePath) else cls(Path(path))

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return f"{self.path}{self._which}"

    @property
    def name(self) -> str:
        """The name of the file, and which image of it."""
        return f"{self.path.name}{self._which}"

    @property
    def parent(self) -> Path:
        return self.path.parent

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def resolve(self) -> "ImagePath":
        return replace(self, path=self.path.resolve())

    @property
    def _which(self) -> str:
        return "" if self.series is None else f" [series {self.series}]"


def check_series(field: str, value: object, several: bool = True) -> int | str | None:
    """The choice of an image of each file: None, a number from 0, or, where ``several`` may be taken, "all".

    Raises:
        InputError: it is something else.
    """
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    expected = "a number from 0" + (f", or {ALL!r}" if several else "")
    expect(value is None or number or (several and value == ALL), field, repr(value), expected)
    return value


def chosen_series(path: str | Path | ImagePath, images: Sequence[Series]) -> int:
    """Which of the images of a file is to be read: the only one, or the one that ``path`` names by its number.

    Raises:
        InputError: there are several and none is named, or there is none of that number.
    """
    path = ImagePath.of(path)
    if path.series is None:
        if len(images) == 1:
            return 0
        raise InputError(
            f"{path}: holds {len(images)} images ({_told(images)}), expected one; choose with --series N, or "
            f"--series {ALL} where several can be taken"
        )
    numbers = [image.index for image in images]
    if path.series not in numbers:
        there = "one image" if len(images) == 1 else f"{len(images)} images, {numbers[0]} to {numbers[-1]}"
        raise InputError(f"{path.path}: found no series {path.series}, the file holds {there}")
    return numbers.index(path.series)


def _told(images: Sequence[Series]) -> str:
    told = "; ".join(map(str, images[:_TOLD]))
    return told + ("; ..." if len(images) > _TOLD else "")

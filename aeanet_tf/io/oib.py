"""OIB and OIF files of Olympus FluoView, whose planes are TIFFs, through oiffile."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import tifffile

from aeanet_tf.errors import expect
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.planes import PlaneReader, Planes, check_complete, maker_file
from aeanet_tf.io.tiff import Slices
from aeanet_tf.memory import check_claim

_LENGTHS = {"nm": 1e-3, "um": 1.0, "mm": 1e3}
_TIMES = {"ms": 1e-3, "s": 1.0}
# The slowest first: C001Z002T003 is plane 2 of channel 1 at time 3.
_LETTERS = "TZC"
_COORDINATE = re.compile(r"([A-Z])(\d+)")


@dataclass(frozen=True)
class OibImage(Planes):
    """The pixels of the image.

    Attributes:
        axes: letters of the dimensions.
        names: of the TIFFs, by their place; an empty one is missing.
    """

    axes: str
    names: tuple[str, ...]

    @contextmanager
    def planes(self) -> Iterator[PlaneReader]:
        counts, plane = self.shape[:-2], self.shape[-2:]
        with _opened(self.path) as file:

            def read(index: tuple[int, ...], part: Slices) -> np.ndarray:
                name = self.names[int(np.ravel_multi_index(index, counts)) if counts else 0]
                array = _plane(self.path, file, name) if name else np.zeros(plane, self.dtype)
                expect(array.shape == plane, self.path, f"{name} of shape {array.shape}", f"{plane} as the others")
                return array[part]

            yield read


def open_oib(path: str | Path | ImagePath) -> tuple[OibImage, str, dict[str, float], str | None]:
    """Open the image of an OIB or OIF; of its pixels only one plane is read.

    Args:
        path: the file.

    Returns:
        The pixels, the letters of their dimensions, pixel size (um, seconds along T) and unit.

    Raises:
        InputError: oiffile is not installed; the file is damaged, or lacks planes.
    """
    place = ImagePath.of(path)
    with maker_file(place.path, "Olympus OIB/OIF", "oib"), _opened(place.path) as file:
        source = _source(place, file)
        chosen_series(path, _listed(source))
        sizes = _pixel_size(file.mainfile, dict(zip(source.axes, source.shape, strict=True)))
    return source, source.axes, sizes, "um" if set(sizes) & set("ZYX") else None


def oib_series(path: str | Path) -> list[Series]:
    """The one image of an OIB or OIF; see `aeanet_tf.io.series.series_of`."""
    with maker_file(path, "Olympus OIB/OIF", "oib"), _opened(Path(path)) as file:
        return _listed(_source(ImagePath(Path(path), None, True), file))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from oiffile import OifFile

    with OifFile(path) as file:
        yield file


def _listed(source: OibImage) -> list[Series]:
    kept = [(n, a) for n, a in zip(source.shape, source.axes, strict=True) if n > 1 or a in "YX"]
    return [Series(0, "", tuple(n for n, _ in kept), "".join(a for _, a in kept))]


def _source(path: ImagePath, file: Any) -> OibImage:
    planes = _planes(path.path, file)
    expect(planes, path, "no planes in it", "TIFFs with names such as s_C001Z001.tif")
    used = next(iter(planes))[0]
    letters = "".join(sorted(used, key=lambda letter: (_LETTERS.find(letter), letter)))
    numbers = [sorted({dict(zip(*key, strict=True))[letter] for key in planes}) for letter in letters]
    counts = tuple(map(len, numbers))
    check_complete(path, len(planes), math.prod(counts), "planes", path.allow_missing)
    names = [""] * math.prod(counts)
    for key, name in planes.items():
        place = dict(zip(*key, strict=True))
        index = tuple(known.index(place[letter]) for letter, known in zip(letters, numbers, strict=True))
        names[int(np.ravel_multi_index(index, counts)) if counts else 0] = name
    first = _plane(path.path, file, next(name for name in names if name))
    expect(first.ndim == 2, path, f"planes of shape {first.shape}", "grey ones, Y and X")
    dtype = first.dtype.newbyteorder("=")
    return OibImage(path.path, (*counts, *first.shape), dtype, 2, f"{letters}YX", tuple(names))


def _plane(path: Path, file: Any, name: str) -> np.ndarray:
    stream = file.open_file(name) if file.is_oib else (path.parent / name).open("rb")
    with stream, tifffile.TiffFile(stream) as tif:
        page = tif.pages[0]
        check_claim(path, page.nbytes, sum(page.databytecounts))
        return page.asarray()


def _planes(path: Path, file: Any) -> dict[tuple[str, tuple[int, ...]], str]:
    """Names of the TIFFs of the image by the letters and numbers in them; the most that have the same letters."""
    found: dict[str, dict[tuple[str, tuple[int, ...]], str]] = defaultdict(dict)
    # Of the folder of an OIF by its name, which a pattern might read otherwise.
    folder = path.with_name(f"{path.name}.files")
    listed = [f"{folder.name}/{child.name}" for child in folder.iterdir()] if folder.is_dir() else list(file.glob())
    for name in listed:
        if not name.lower().endswith(".tif"):
            continue
        stem = PurePath(name.replace("\\", "/")).stem
        prefix, _, coordinates = stem.rpartition("_")
        parts = _COORDINATE.findall(coordinates)
        if parts and "".join(map("".join, parts)) == coordinates:
            letters, numbers = zip(*parts, strict=True)
            found[f"{prefix} {letters}"]["".join(letters), tuple(map(int, numbers))] = name
    return max(found.values(), key=len, default={})


def _pixel_size(settings: Any, counts: dict[str, int]) -> dict[str, float]:
    """Size by axis, in um and seconds; a missing calibration is no reason to refuse an image."""
    sizes: dict[str, float] = {}
    for number in range(8):
        with suppress(Exception):
            entry = settings[f"Axis {number} Parameters Common"]
            axis = str(entry["AxisCode"])
            scale = (_TIMES if axis == "T" else _LENGTHS)[str(entry["UnitName"])]
            span = abs(float(entry["EndPosition"]) - float(entry["StartPosition"])) * scale
            # From the first pixel to the last.
            sizes[axis] = span / (counts[axis] - 1)
    return {axis: size for axis, size in sizes.items() if axis in tuple("TZYX") and 0 < size < math.inf}

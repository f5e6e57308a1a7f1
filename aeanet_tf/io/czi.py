"""CZI files of Zeiss: scenes, planes and mosaics of tiles, through pylibCZIrw."""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.czi_segments import check_czi
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.planes import PlaneReader, Planes, check_complete, maker_file
from aeanet_tf.io.tiff import Slices

logger = logging.getLogger("aeanet_tf")

_DTYPES = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2", "Bgr96Float": "f4"}
# Beside Y and X, the slowest first; S are scenes, which are images of their own.
_LETTERS = "VHIRBTZC"
# Larger tiles than any camera's are claims of a damaged file.
_TILE_BYTES = 2**29
# Of tiles that cover less of their box the box is no image that could be held.
_LEAST_COVERED = 1e-3
# Side of the mask in which holes between tiles are looked for, and what is no part of a pixel of it.
_MASK, _ROUNDING = 1024, 1e-6


@dataclass(frozen=True)
class Place:
    """Where a scene lies in the plane of a CZI, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class CziScene(Planes):
    """The pixels of one scene.

    Attributes:
        scene: its number in the file; None where the file has no scenes.
        place: where it lies.
        letters: of the dimensions before a plane.
        values: for each of them the file's numbers of what is there, such as 5, 6 and 7 for three slices of a subset.
    """

    scene: int | None
    place: Place
    letters: str
    values: tuple[tuple[int, ...], ...]

    @property
    def axes(self) -> str:
        return self.letters + ("YXS" if self.inside == 3 else "YX")

    @contextmanager
    def planes(self) -> Iterator[PlaneReader]:
        with _opened(self.path) as document:

            def read(index: tuple[int, ...], part: Slices) -> np.ndarray:
                coordinates = zip(self.letters, self.values, index, strict=True)
                plane = {letter: numbers[i] for letter, numbers, i in coordinates}
                y, x = part[:2]
                region = (self.place.x + x.start, self.place.y + y.start, x.stop - x.start, y.stop - y.start)
                pixels = document.read(roi=region, plane=plane, scene=self.scene)
                # The file has blue first.
                return pixels[..., ::-1][..., part[2]] if self.inside == 3 else pixels[..., 0]

            yield read


@dataclass
class _Tiles:
    """What the directory of a file says of one scene."""

    planes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    types: set[str] = field(default_factory=set)
    boxes: set[tuple[int, int, int, int]] = field(default_factory=set)

    def add(self, plane: tuple[int, ...], info: Any) -> None:
        box = info.logicalRect
        self.planes[plane] += 1
        self.types.add(info.pixelType.name)
        self.boxes.add((box.x, box.y, box.w, box.h))

    @property
    def place(self) -> Place:
        left, top = (min(box[i] for box in self.boxes) for i in (0, 1))
        right, bottom = (max(box[i] + box[i + 2] for box in self.boxes) for i in (0, 1))
        return Place(left, top, right - left, bottom - top)

    def covered(self) -> float:
        """Which part of their place the tiles cover, to about a thousandth of each side; 1 where there is no hole."""
        place = self.place
        seen = np.zeros((min(place.height, _MASK), min(place.width, _MASK)), bool)
        by_y, by_x = seen.shape[0] / place.height, seen.shape[1] / place.width
        for x, y, width, height in self.boxes:
            top, left = (y - place.y) * by_y, (x - place.x) * by_x
            rows = slice(int(top), math.ceil(top + height * by_y - _ROUNDING))
            seen[rows, int(left) : math.ceil(left + width * by_x - _ROUNDING)] = True
        return float(seen.mean())


def open_czi(path: str | Path | ImagePath) -> tuple[CziScene, str, dict[str, float], str | None]:
    """Open one scene of a CZI; nothing of its pixels is read.

    Args:
        path: the file, or an `ImagePath` that says which scene. The tiles of a mosaic are put together as they lie,
            those with higher numbers on top; what none of them covers is 0.

    Returns:
        The pixels, the letters of their dimensions, pixel size (um, seconds along T) and unit.

    Raises:
        InputError: pylibCZIrw is not installed; the file is damaged; there are several scenes and none is chosen; or
            planes are missing.
    """
    place = ImagePath.of(path)
    with maker_file(place.path, "CZI", "czi"), _opened(place.path) as document:
        scenes = _scenes(place.path, document)
        number = chosen_series(path, _listed(scenes))
        source, tiles = scenes[number]
        _check_scene(place, source, tiles)
        sizes = _pixel_size(document.raw_metadata)
    return source, source.axes, sizes, "um" if set(sizes) & set("ZYX") else None


def czi_series(path: str | Path) -> list[Series]:
    """The scenes of a CZI; see `aeanet_tf.io.series.series_of`."""
    with maker_file(path, "CZI", "czi"), _opened(Path(path)) as document:
        return _listed(_scenes(Path(path), document))


@lru_cache(maxsize=64)
def _check_once(path: Path, modified: int, size: int) -> None:
    check_czi(path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from pylibCZIrw import czi

    status = path.stat()
    _check_once(path, status.st_mtime_ns, status.st_size)
    with czi.open_czi(str(path)) as document:
        yield document


def _listed(scenes: list[tuple[CziScene, _Tiles]]) -> list[Series]:
    listed = []
    for index, (source, _) in enumerate(scenes):
        kept = [(n, a) for n, a in zip(source.shape, source.axes, strict=True) if n > 1 or a in "YX"]
        name = "" if source.scene is None else f"scene {source.scene}"
        listed.append(Series(index, name, tuple(n for n, _ in kept), "".join(a for _, a in kept)))
    return listed


def _scenes(path: Path, document: Any) -> list[tuple[CziScene, _Tiles]]:
    found: dict[int | None, _Tiles] = defaultdict(_Tiles)
    limit = path.stat().st_size

    def add(_: int, info: Any) -> bool:
        box, stored = info.logicalRect, info.physicalSize
        if (stored.w, stored.h) != (box.w, box.h):
            # A smaller copy for viewers.
            return True
        name = info.pixelType.name
        nbytes = box.w * box.h * np.dtype(_DTYPES.get(name, "u1")).itemsize * (3 if name.startswith("Bgr") else 1)
        most = limit if info.get_compression_mode().name == "UnCompressed" else _TILE_BYTES
        expect(0 < nbytes <= most, path, f"a tile of {box.w} x {box.h} pixels", f"at most {most} bytes")
        coordinate = info.coordinate.to_dict()
        # Of letters that the file does not use there is one.
        found[coordinate.get("S")].add(tuple(coordinate.get(letter, 0) for letter in _LETTERS), info)
        return True

    document.enumerate_subblocks(add)
    expect(found, path, "no image in it", "one")
    return [
        (_source(path, scene, found[scene]), found[scene])
        for scene in sorted(found, key=lambda s: -1 if s is None else s)
    ]


def _source(path: Path, scene: int | None, tiles: _Tiles) -> CziScene:
    values = [tuple(sorted({plane[i] for plane in tiles.planes})) for i in range(len(_LETTERS))]
    name = min(tiles.types)
    colour = (3,) if name.startswith("Bgr") else ()
    # Samples take the place of a single channel.
    common = "TZ" if colour else "TZC"
    kept = [i for i, letter in enumerate(_LETTERS) if letter in common or len(values[i]) > 1]
    place = tiles.place
    shape = (*(len(values[i]) for i in kept), place.height, place.width, *colour)
    letters, numbers = "".join(_LETTERS[i] for i in kept), tuple(values[i] for i in kept)
    dtype = np.dtype(_DTYPES.get(name, "V1"))
    return CziScene(path, shape, dtype, 2 + len(colour), scene, place, letters, numbers)


def _check_scene(path: ImagePath, source: CziScene, tiles: _Tiles) -> None:
    """Refuse an image whose channels differ, and planes that are not there; say what no tile covers."""
    known = len(tiles.types) == 1 and tiles.types <= set(_DTYPES)
    expect(known, path, f"pixels of types {', '.join(sorted(tiles.types))}", f"one of {', '.join(_DTYPES)}")
    planes = math.prod(map(len, source.values))
    check_complete(path, len(tiles.planes), planes, "planes", path.allow_missing)
    count, most = sum(tiles.planes.values()), max(tiles.planes.values())
    check_complete(path, count, most * len(tiles.planes), "tiles", path.allow_missing)
    covered = tiles.covered()
    if covered < _LEAST_COVERED:
        size = f"{source.place.width} x {source.place.height}"
        raise InputError(f"{path}: its tiles cover {covered:.2g} of {size} pixels, expected at least {_LEAST_COVERED}")
    if covered < 0.9999:
        logger.warning("%s: tiles cover %.4g %% of the image; the rest was not acquired and is 0", path, covered * 100)


def _pixel_size(xml: str) -> dict[str, float]:
    """Size by axis, in um and seconds, from the metadata; a missing calibration is no reason to refuse an image."""
    sizes: dict[str, float] = {}
    with suppress(ElementTree.ParseError):
        root = ElementTree.fromstring(xml)
        for distance in root.iterfind("./Metadata/Scaling/Items/Distance"):
            axis, value = distance.get("Id", ""), distance.findtext("Value")
            with suppress(TypeError, ValueError):
                # In metres; a product of floats is not shown to more digits than it has.
                sizes[axis] = float(f"{float(value) * 1e6:.12g}")  # type: ignore[arg-type]
        interval = root.findtext("./Metadata/Information/Image/Dimensions/T/Positions/Interval/Increment")
        with suppress(TypeError, ValueError):
            sizes["T"] = float(interval)  # type: ignore[arg-type]
    return {axis: size for axis, size in sizes.items() if axis in tuple("TZYX") and 0 < size < math.inf}

"""ND2 files of Nikon: positions, time points, slices and channels, through the package nd2."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.nd2_chunks import frame_sizes
from aeanet_tf.io.planes import PlaneReader, Planes, check_complete, maker_file
from aeanet_tf.io.tiff import Slices

# What zlib makes of a byte at most.
_INFLATION = 1032


@dataclass(frozen=True)
class Nd2Position(Planes):
    """The pixels of one position.

    Attributes:
        letters: of the dimensions before a plane; the last is C, but where a plane has colour samples.
        frames: number in the file of each set of channels, in the order of the dimensions before C.
    """

    letters: str
    frames: tuple[int, ...]

    @property
    def axes(self) -> str:
        return self.letters + ("YXS" if self.inside == 3 else "YX")

    @contextmanager
    def planes(self) -> Iterator[PlaneReader]:
        loops = len(self.letters) - self.letters.endswith("C")
        counts, plane = self.shape[:loops], self.shape[len(self.letters) :]
        channels = math.prod(self.shape[loops : len(self.letters)])
        last: tuple[int, Any] = (-1, None)
        with _opened(self.path) as file:

            def read(index: tuple[int, ...], part: Slices) -> np.ndarray:
                nonlocal last
                number = self.frames[int(np.ravel_multi_index(index[:loops], counts)) if counts else 0]
                if last[0] != number:
                    # A frame has all channels, and may be compressed.
                    last = number, file.read_frame(number).reshape((channels, *plane))
                return np.array(last[1][index[loops] if len(index) > loops else 0][part])

            yield read
            # A view of the mapped file must not outlive it.
            last = (-1, None)


@dataclass(frozen=True)
class _Layout:
    """The dimensions of a file: loops, each with its letter and length, then the channels."""

    loops: tuple[tuple[str, int], ...]
    plane: tuple[int, ...]
    channels: int
    dtype: np.dtype
    indices: tuple[dict[str, int], ...]

    @property
    def positions(self) -> int:
        return dict(self.loops).get("P", 1)


def open_nd2(path: str | Path | ImagePath) -> tuple[Nd2Position, str, dict[str, float], str | None]:
    """Open one position of an ND2; nothing of its pixels is read.

    Args:
        path: the file, or an `ImagePath` that says which position.

    Returns:
        The pixels, the letters of their dimensions, pixel size (um, seconds along T) and unit.

    Raises:
        InputError: the package nd2 is not installed; the file is damaged; there are several positions and none is
            chosen; or frames are missing.
    """
    place = ImagePath.of(path)
    with maker_file(place.path, "ND2", "nd2"), _checked(place.path) as (file, sizes):
        layout = _layout(place.path, file)
        position = chosen_series(path, _listed(layout))
        source = _source(place.path, layout, position)
        _check_frames(place, file, source, sizes)
        steps = _pixel_size(file)
    return source, source.axes, steps, "um" if set(steps) & set("ZYX") else None


def nd2_series(path: str | Path) -> list[Series]:
    """The positions of an ND2; see `aeanet_tf.io.series.series_of`."""
    with maker_file(path, "ND2", "nd2"), _checked(Path(path)) as (file, _):
        return _listed(_layout(Path(path), file))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from nd2 import ND2File

    with ND2File(path) as file:
        yield file


@contextmanager
def _checked(path: Path) -> Iterator[tuple[Any, dict[int, int]]]:
    """The open file, and the bytes of its frames."""
    import nd2  # noqa: F401

    sizes = frame_sizes(path)
    with _opened(path) as file:
        yield file, sizes


def _layout(path: Path, file: Any) -> _Layout:
    sizes, indices = dict(file.sizes), tuple(file.loop_indices)
    samples = sizes.pop("S", 1)
    expect(file.components_per_channel in (1, 3), path, f"{file.components_per_channel} samples a channel", "1 or 3")
    height, width = sizes.pop("Y", 1), sizes.pop("X", 1)
    channels = sizes.pop("C", 1)
    loops = tuple((str(letter), int(count)) for letter, count in sizes.items())
    expect(min(height, width, channels, *(n for _, n in loops)) > 0, path, f"sizes {dict(file.sizes)}", "positive ones")
    plane = (height, width, *([samples] if samples > 1 else []))
    return _Layout(loops, plane, channels, np.dtype(file.dtype), indices or ({},))


def _listed(layout: _Layout) -> list[Series]:
    loops = [(letter, count) for letter, count in layout.loops if letter != "P" and count > 1]
    channels = [("C", layout.channels)] if layout.channels > 1 else []
    kept = [*loops, *channels, *zip("YXS", layout.plane, strict=False)]
    shape, axes = tuple(count for _, count in kept), "".join(letter[0] for letter, _ in kept)
    several = layout.positions > 1
    return [Series(i, f"position {i}" if several else "", shape, axes) for i in range(layout.positions)]


def _source(path: Path, layout: _Layout, position: int) -> Nd2Position:
    loops = [(letter, count) for letter, count in layout.loops if letter != "P"]
    counts = tuple(count for _, count in loops)
    frames = [-1] * math.prod(counts)
    for number, indices in enumerate(layout.indices):
        if indices.get("P", 0) == position:
            place = tuple(indices.get(letter, 0) for letter, _ in loops)
            frames[int(np.ravel_multi_index(place, counts)) if counts else 0] = number
    expect(-1 not in frames, path, "an experiment that names no frame for some of its images", "all of them")
    # A loop of another kind has a letter that no network knows.
    letters = "".join(letter if letter in tuple("TZ") else letter[0].replace("?", "Q") for letter, _ in loops)
    # Samples take the place of a single channel.
    channels = () if layout.channels == 1 and len(layout.plane) == 3 else (layout.channels,)
    letters, shape = letters + "C" * len(channels), (*counts, *channels, *layout.plane)
    return Nd2Position(path, shape, layout.dtype, len(layout.plane), letters, tuple(frames))


def _check_frames(path: ImagePath, file: Any, source: Nd2Position, sizes: dict[int, int]) -> None:
    """Refuse frames that are not there, for which the package nd2 would give zeros."""
    loops = len(source.letters) - source.letters.endswith("C")
    needed = math.prod(source.shape[loops:]) * source.dtype.itemsize
    if file.is_legacy:
        # JPEG 2000 has a header of its own, and a missing frame is an error there.
        check_complete(path, file.attributes.sequenceCount, max(source.frames) + 1, "frames", path.allow_missing)
        return
    compressed = file.attributes.compressionType == "lossless"
    there = [number for number in source.frames if number in sizes]
    check_complete(path, len(there), len(source.frames), "frames", path.allow_missing)
    for number in there:
        most = sizes[number] * (_INFLATION if compressed else 1)
        if most < needed:
            raise InputError(f"{path}: damaged, frame {number} has {sizes[number]} bytes, expected {needed} of pixels")


def _pixel_size(file: Any) -> dict[str, float]:
    """Size by axis, in um and seconds; a missing calibration is no reason to refuse an image."""
    sizes: dict[str, float] = {}
    with suppress(Exception):
        volume = file.metadata.channels[0].volume
        for axis, size, known in zip("XYZ", file.voxel_size(), volume.axesCalibrated, strict=True):
            if known:
                sizes[axis] = float(size)
    with suppress(Exception):
        for loop in file.experiment:
            if loop.type == "TimeLoop":
                sizes["T"] = (loop.parameters.periodDiff.avg or loop.parameters.periodMs) / 1000
    return {axis: size for axis, size in sizes.items() if 0 < size < math.inf}

"""Arrays of zarr, format 2 and 3, whose chunks are found and decoded here.

The metadata of an image come from anywhere. Read by zarr itself, they choose the code that runs, as many bytes of
memory as they like, and files outside of the image. Here codecs are those of a list (`aeanet_tf.io.codecs`), sizes are
bounded before there is an array, and every file lies in the folder of the image.
"""

import math
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.files import read_json
from aeanet_tf.io.chunks import check_chunks, chunk_grid, read_chunks, tell_unstored
from aeanet_tf.io.codecs import decode, stored_at_most
from aeanet_tf.io.tiff import Slices
from aeanet_tf.io.zarr_layout import Layout, parse_metadata, shape_of
from aeanet_tf.memory import check_memory

MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
# Of an inner chunk of a shard that is not stored, offset and size.
_UNSTORED = 2**64 - 1


def is_zarr(path: str | Path) -> bool:
    """Whether ``path`` is a folder with the metadata of a zarr array or group (format 2 or 3)."""
    # Those of os.path are false, too, for what no path can be.
    return os.path.isdir(path) and any(os.path.isfile(Path(path) / name) for name in MARKERS)


def read_table(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file in a folder of a zarr, which is a table. Raises `InputError` where it is not."""
    path = inside(folder, name)
    # Some writers have NaN as a fill value.
    document = read_json(path, constants=True)
    expect(isinstance(document, dict), path, f"{document!r:.60}", "a table")
    return document


def inside(root: Path, *parts: str) -> Path:
    """A path below ``root``, links resolved.

    Raises:
        InputError: it leads out of ``root``.
    """
    path = root.joinpath(*parts)
    found = os.path.realpath(path)
    home = os.path.realpath(root)
    if found != home and not found.startswith(home.rstrip(os.sep) + os.sep):
        raise InputError(f"{root}: refers to {'/'.join(parts)!r:.80}, which lies outside of the image")
    return path


def zarr_shape(path: Path, folder: Path) -> tuple[int, ...]:
    """The shape of the array in a folder of the image ``path``. Raises `InputError` where it states none."""
    format_3 = (folder / "zarr.json").is_file()
    document = read_table(folder, "zarr.json" if format_3 else ".zarray")
    return shape_of(document.get("shape"), f"{path}: the zarr array {folder.name!r}")


class ZarrArray:
    """A zarr array on disk. Attributes: ``shape``, ``dtype`` (native), ``chunks``. It can be pickled."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Read the metadata of an array.

        Args:
            path: the image, for messages; nothing outside of it is read.
            folder: of the array.

        Raises:
            InputError: there is no array; its metadata are damaged, ask for a codec that is none of the list, or claim
                more than there can be.
        """
        self.path, self.folder = path, folder
        self._parts = () if folder == path else folder.relative_to(path).parts
        inside(path, *self._parts)
        self._field = f"{path}: the zarr array {folder.name!r}"
        name = "zarr.json" if (folder / "zarr.json").is_file() else ".zarray"
        if not (folder / name).is_file():
            raise InputError(f"{self._field} cannot be opened (it does not exist)")
        self._metadata = parse_metadata(read_table(folder, name), 2 if name == ".zarray" else 3, self._field)
        self.shape, self.dtype = self._metadata.shape, self._metadata.layout.dtype.newbyteorder("=")
        # The smallest that is read at once.
        finest = self._metadata.finest.chunks
        self.chunks = tuple(min(part, max(size, 1)) for part, size in zip(finest, self.shape, strict=True))
        self._check_stored()

    def _check_stored(self) -> None:
        stored, chunks, unit = self._count_stored(), self._metadata.layout.chunks, self._metadata.finest.chunks
        total = check_chunks(self._field, self.shape, chunks, self.dtype.itemsize, stored, unit)
        tell_unstored(self.path, self.folder, stored, total, self._metadata.fill)

    def _count_stored(self) -> int:
        """How many files there are that are chunks."""
        folder, prefix, nested = self.folder, self._metadata.prefix, self._metadata.separator == "/"
        if prefix:
            folder, prefix = (folder / prefix, "") if nested else (folder, f"{prefix}.")
        return _count(str(folder), prefix, nested, chunk_grid(self.shape, self._metadata.layout.chunks))

    def _file(self, index: tuple[int, ...]) -> Path | None:
        """The file of a chunk, None where there is none."""
        key = self._metadata.key(index)
        path = inside(self.path, *self._parts, key)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"the chunk {key} is no file")
        return path

    def read(self, slices: Slices) -> np.ndarray:
        size = math.prod(part.stop - part.start for part in slices) * self.dtype.itemsize
        check_memory(self.path, size)
        return read_chunks(self._metadata.layout.chunks, self.dtype, self._metadata.fill, slices, self._part)

    def _part(self, index: tuple[int, ...], within: Slices) -> np.ndarray | None:
        path = self._file(index)
        if path is None:
            return None
        layout = self._metadata.layout
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if layout.shard is not None:
                return _from_shard(file, 0, size, layout, self._metadata.fill, within)
            return layout.decode(_read(file, 0, size, layout))[within]


def _from_shard(file: Any, start: int, size: int, layout: Layout, fill: object, within: Slices) -> np.ndarray:
    """The part ``within`` of a shard of ``size`` bytes from ``start`` of a file on."""
    shard = layout.shard
    inner = shard.inner
    if shard.index_size > size:
        raise ValueError(f"a shard of {size} bytes has no room for its index of {shard.index_size}")
    file.seek(start + (size - shard.index_size if shard.at_end else 0))
    grid = chunk_grid(layout.chunks, inner.chunks)
    index = np.frombuffer(decode(shard.index_codecs, file.read(shard.index_size), 16 * math.prod(grid)), "<u8")
    index = index.reshape(*grid, 2)

    def fetch(number: tuple[int, ...], part: Slices) -> np.ndarray | None:
        offset, length = map(int, index[number])
        if offset == length == _UNSTORED:
            return None
        if offset + length > size:
            raise ValueError(f"a chunk of {length} bytes from {offset} on lies behind the end of its shard")
        if inner.shard is not None:
            return _from_shard(file, start + offset, length, inner, fill, part)
        return inner.decode(_read(file, start + offset, length, inner))[part]

    return read_chunks(inner.chunks, layout.dtype.newbyteorder("="), fill, within, fetch)


def _read(file: Any, offset: int, size: int, layout: Layout) -> bytes:
    most = stored_at_most(layout.codecs, layout.nbytes)
    if size > most:
        raise ValueError(f"a chunk is stored in {size} bytes, expected at most {most}")
    file.seek(offset)
    return file.read(size)


def _count(folder: str, prefix: str, nested: bool, grid: Sequence[int]) -> int:
    """How many files of a folder are chunks of a grid: in folders in folders, or with all numbers in their names."""
    count = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            name = entry.name.removeprefix(prefix)
            if not _numbers([name] if nested else name.split("."), grid[:1] if nested else grid):
                continue
            count += _count(entry.path, "", True, grid[1:]) if nested and len(grid) > 1 else 1
    return count


def _numbers(names: Sequence[str], grid: Sequence[int]) -> bool:
    """Whether names are the numbers of a chunk of a grid."""
    if len(names) != len(grid):
        return False
    plain = all(name.isascii() and name.isdigit() and len(name) < 20 for name in names)
    return plain and all(int(n) < most and n == str(int(n)) for n, most in zip(names, grid, strict=True))

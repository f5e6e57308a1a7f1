"""Arrays of zarr, format 2 and 3: their metadata, checked before anything else is read, and their chunks, decoded here.

The metadata of an image come from anywhere. Read by zarr itself, they choose the code that runs, as many bytes of
memory as they like, and files outside of the image. Here codecs are those of a list (`aeanet_tf.io.codecs`), sizes are
bounded before there is an array, and every file lies in the folder of the image.
"""

import logging
import math
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.files import read_json
from aeanet_tf.io.chunks import check_chunks, chunk_grid, read_chunks
from aeanet_tf.io.codecs import Codec, decode, make_codec, number_type, stored_at_most, whole
from aeanet_tf.io.tiff import Slices
from aeanet_tf.memory import check_memory

MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_LOGGER = logging.getLogger("aeanet_tf")
# NumPy 1 has no more.
_MOST_DIMENSIONS = 32
# Names of format 3, but for complex numbers, which are refused by what they are and not by their name.
_TYPES = {
    "bool": "|b1",
    **{f"{kind}{8 * size}": f"<{kind[0]}{size}" for kind in ("int", "uint") for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"complex{8 * size}": f"<c{size}" for size in (8, 16)},
}
_SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
# Of an inner chunk of a shard that is not stored, offset and size.
_UNSTORED = 2**64 - 1
# What was said once of an image is not said for every time that it is opened.
_told: set[tuple[str, int, int]] = set()


@dataclass(frozen=True)
class Layout:
    """How the chunks of an array are stored.

    Attributes:
        chunks: shape of a chunk.
        dtype: of the stored numbers.
        order: dimensions of a chunk as they are stored, the slowest first.
        codecs: what was done to the bytes of a chunk, in this order.
        shard: how the inner chunks lie in a chunk, None where it has none.
    """

    chunks: tuple[int, ...]
    dtype: np.dtype
    order: tuple[int, ...]
    codecs: tuple[Codec, ...]
    shard: "Shard | None" = None

    @property
    def nbytes(self) -> int:
        """Bytes of a chunk."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def decode(self, data: bytes) -> np.ndarray:
        """The pixels of a stored chunk."""
        stored = [self.chunks[dimension] for dimension in self.order]
        values = np.frombuffer(decode(self.codecs, data, self.nbytes), self.dtype).reshape(stored)
        return values.transpose(np.argsort(self.order))


@dataclass(frozen=True)
class Shard:
    """Chunks within a chunk, which a table at one end of it places.

    Attributes:
        inner: their layout.
        index_codecs: what was done to the table.
        at_end: whether the table is at the end.
        index_size: bytes of the table as it is stored.
    """

    inner: Layout
    index_codecs: tuple[Codec, ...]
    at_end: bool
    index_size: int


def is_zarr(path: str | Path) -> bool:
    """Whether ``path`` is a folder with the metadata of a zarr array or group (format 2 or 3)."""
    return Path(path).is_dir() and any((Path(path) / name).is_file() for name in MARKERS)


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
    return _shape(document.get("shape"), f"{path}: the zarr array {folder.name!r}", 0)


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
        try:
            if (folder / "zarr.json").is_file():
                self._read_format_3(read_table(folder, "zarr.json"))
            elif (folder / ".zarray").is_file():
                self._read_format_2(read_table(folder, ".zarray"))
            else:
                raise FileNotFoundError("it does not exist")
        except InputError:
            raise
        # What else damaged metadata lead to.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{self._field} cannot be opened ({reason:.160})") from error
        layout = self._layout
        self.dtype = layout.dtype.newbyteorder("=")
        finest = layout
        while finest.shard is not None:
            finest = finest.shard.inner
        # The smallest that is read at once.
        self.chunks = tuple(min(part, max(size, 1)) for part, size in zip(finest.chunks, self.shape, strict=True))
        self._check_stored(finest)

    def _read_format_2(self, document: Mapping[str, Any]) -> None:
        expect(document["zarr_format"] == 2, self._field, f"zarr format {document['zarr_format']!r:.20}", "2 or 3")
        dtype = number_type(document["dtype"], self._field)
        self.shape = _shape(document["shape"], self._field, 0)
        chunks = _shape(document["chunks"], self._field, 1, len(self.shape), "chunks")
        filters, compressor = document.get("filters") or (), document.get("compressor")
        codecs = [make_codec(entry.get("id"), entry, self._field, filters=True) for entry in filters]
        if compressor is not None:
            codecs.append(make_codec(compressor.get("id"), compressor, self._field))
        order = document.get("order", "C")
        expect(order in ("C", "F"), self._field, f"order {order!r:.20}", "C or F")
        dimensions = tuple(range(len(chunks)))
        self._layout = Layout(chunks, dtype, dimensions[:: 1 if order == "C" else -1], tuple(codecs))
        self._separator, self._prefix = _separator(document.get("dimension_separator", "."), self._field), ""
        self._fill = _fill(document.get("fill_value"), dtype, self._field)

    def _read_format_3(self, document: Mapping[str, Any]) -> None:
        expect(document["zarr_format"] == 3, self._field, f"zarr format {document['zarr_format']!r:.20}", "2 or 3")
        expect(document["node_type"] == "array", self._field, f"a {document['node_type']!r:.20}", "an array")
        expect(not document.get("storage_transformers"), self._field, "storage transformers", "none")
        name = document["data_type"]
        expect(isinstance(name, str) and name in _TYPES, self._field, f"pixels of type {name!r:.40}", "numbers")
        dtype = np.dtype(_TYPES[name])
        self.shape = _shape(document["shape"], self._field, 0)
        grid, keys = document["chunk_grid"], document["chunk_key_encoding"]
        expect(grid["name"] == "regular", self._field, f"the chunk grid {grid['name']!r:.40}", "regular")
        chunks = _shape(grid["configuration"]["chunk_shape"], self._field, 1, len(self.shape), "chunks")
        encoding, default = keys["name"], {"default": "/", "v2": "."}
        expect(encoding in tuple(default), self._field, f"the chunk names {encoding!r:.40}", "default or v2")
        separator = (keys.get("configuration") or {}).get("separator", default[encoding])
        self._separator = _separator(separator, self._field)
        self._prefix = "c" if encoding == "default" else ""
        self._layout = _layout(chunks, dtype, document["codecs"], self._field)
        self._fill = _fill(document["fill_value"], dtype, self._field)

    def _check_stored(self, finest: Layout) -> None:
        chunks = self._layout.chunks
        stored = self._count_stored()
        total = check_chunks(self._field, self.shape, chunks, self.dtype.itemsize, stored, finest.chunks)
        told = (str(self.folder), stored, total)
        if stored < total and told not in _told:
            _told.add(told)
            missing = f"{total - stored} of {total} chunks are not stored"
            _LOGGER.warning("%s: %s; they are read as %s, the fill value", self.path, missing, self._fill)

    def _count_stored(self) -> int:
        """How many files there are that are chunks."""
        folder, prefix, nested = self.folder, self._prefix, self._separator == "/"
        if prefix:
            folder, prefix = (folder / prefix, "") if nested else (folder, f"{prefix}.")
        return _count(str(folder), prefix, nested, chunk_grid(self.shape, self._layout.chunks))

    def _file(self, index: Sequence[int]) -> Path | None:
        """The file of a chunk, None where there is none."""
        key = self._separator.join([*([self._prefix] if self._prefix else []), *map(str, index)]) or "0"
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
        return read_chunks(self._layout.chunks, self.dtype, self._fill, slices, self._part)

    def _part(self, index: tuple[int, ...], within: Slices) -> np.ndarray | None:
        path = self._file(index)
        if path is None:
            return None
        layout = self._layout
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if layout.shard is not None:
                return _from_shard(file, 0, size, layout, self._fill, within)
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
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
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


def _layout(chunks: tuple[int, ...], dtype: np.dtype, entries: object, field: str, depth: int = 0) -> Layout:
    """The layout that the codecs of format 3 give: transpositions, then bytes or shards, then compression."""
    expect(isinstance(entries, list) and len(entries) <= 32, field, f"codecs {entries!r:.40}", "a list of them")
    expect(depth < 4, field, "shards in shards in shards in shards", "fewer")
    plain = order = tuple(range(len(chunks)))
    codecs, arrays = [], []
    serializer: tuple[str, Mapping[str, Any]] | None = None
    for entry in entries:
        name, config = _named(entry, field)
        if serializer is not None:
            codecs.append(_bytes_codec(name, config, field))
        elif name == "transpose":
            step = _permutation(config["order"], len(chunks), field)
            order = tuple(order[dimension] for dimension in step)
        elif name in ("bytes", "endian", "sharding_indexed"):
            serializer = name, config
        else:
            arrays.append(make_codec(name.removeprefix("numcodecs."), config, field, filters=True))
    expect(serializer is not None, field, "codecs that give no bytes", "bytes or sharding_indexed among them")
    name, config = serializer
    if name == "sharding_indexed":
        alone = not codecs and not arrays and order == plain
        expect(alone, field, "sharding_indexed with other codecs beside it", "them within it")
        return Layout(chunks, dtype, order, (), _shard(chunks, dtype, config, field, depth))
    # A filter of rows would be taken for one of columns.
    expect(not arrays or order == plain, field, "a transposition beside a filter", "one of the two")
    endian = config.get("endian", "little")
    expect(endian in ("little", "big"), field, f"endian {endian!r:.20}", "little or big")
    stored = dtype.newbyteorder("<" if endian == "little" else ">")
    return Layout(chunks, stored, order, (*arrays, *codecs))


def _shard(chunks: tuple[int, ...], dtype: np.dtype, config: Mapping[str, Any], field: str, depth: int) -> Shard:
    parts = _shape(config["chunk_shape"], field, 1, len(chunks), "inner chunks")
    fits = all(size % part == 0 for size, part in zip(chunks, parts, strict=True))
    expect(fits, field, f"inner chunks of {parts} in shards of {chunks}", "a whole number of them")
    inner = _layout(parts, dtype, config["codecs"], field, depth + 1)
    location = config.get("index_location", "end")
    expect(location in ("start", "end"), field, f"the index at {location!r:.20}", "start or end")
    (first, how), *more = [_named(entry, field) for entry in config["index_codecs"]]
    little = first in ("bytes", "endian") and how.get("endian", "little") == "little"
    expect(little, field, f"an index by {first!r:.20}", "one of little-endian bytes")
    checks = tuple(_bytes_codec(name, settings, field) for name, settings in more)
    expect(all(c.name == "crc32c" for c in checks), field, "an index that is compressed", "one of a known size")
    size = 16 * math.prod(chunk_grid(chunks, parts)) + 4 * len(checks)
    return Shard(inner, checks, location == "end", size)


def _named(entry: object, field: str) -> tuple[str, Mapping[str, Any]]:
    entry = {"name": entry} if isinstance(entry, str) else entry
    known = isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
    expect(known, field, f"the codec {entry!r:.40}", "one with a name")
    config = entry.get("configuration") or {}
    expect(isinstance(config, Mapping), field, f"the configuration {config!r:.40}", "a table")
    return entry["name"], config


def _bytes_codec(name: str, config: Mapping[str, Any], field: str) -> Codec:
    # In format 3 the checksum is always behind the bytes.
    if name == "crc32c":
        config = {"location": "end"}
    return make_codec(name.removeprefix("numcodecs."), config, field)


def _permutation(order: object, dimensions: int, field: str) -> tuple[int, ...]:
    ordered = tuple(range(dimensions))
    if order in ("C", "F"):
        return ordered[:: 1 if order == "C" else -1]
    fits = isinstance(order, list) and len(order) == dimensions and sorted(map(str, order)) == sorted(map(str, ordered))
    expect(fits, field, f"the order {order!r:.40}", f"a permutation of {dimensions} dimensions")
    return tuple(int(dimension) for dimension in order)


def _shape(
    value: object, field: str, least: int, dimensions: int | None = None, what: str = "shape"
) -> tuple[int, ...]:
    fits = isinstance(value, list) and 1 <= len(value) <= _MOST_DIMENSIONS and dimensions in (None, len(value))
    wanted = f"a list of {f'1 to {_MOST_DIMENSIONS}' if dimensions is None else dimensions} integers"
    expect(fits, field, f"{what} {value!r:.60}", wanted)
    return tuple(whole(size, f"{field}, {what}", least) for size in value)


def _separator(value: object, field: str) -> str:
    expect(value in (".", "/"), field, f"the separator {value!r:.20}", "'.' or '/'")
    return str(value)


def _fill(value: object, dtype: np.dtype, field: str) -> Any:
    """The value of what is not stored, as the dtype has it; 0 where the file leaves it open."""
    if value is None or dtype.kind == "c":
        return dtype.type(0)
    native = dtype.newbyteorder("=")
    if isinstance(value, str) and dtype.kind == "f":
        if value in _SPECIAL:
            return native.type(_SPECIAL[value])
        if value.startswith("0x") and len(value) == 2 + 2 * dtype.itemsize:
            return np.frombuffer(bytes.fromhex(value[2:])[::-1], native.newbyteorder("<"))[0].astype(native)
    number = isinstance(value, int | float)
    if number and dtype.kind in "iu" and math.isfinite(value) and value == int(value):
        bounds = np.iinfo(native)
        number = bounds.min <= value <= bounds.max
        value = int(value)
    elif number and dtype.kind == "b":
        number, value = value in (0, 1), bool(value)
    elif number and dtype.kind in "iu":
        number = False
    expect(number, field, f"the fill value {value!r:.40}", f"a number of type {native}")
    return native.type(value)

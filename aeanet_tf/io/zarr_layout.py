"""How zarr, format 2 and 3, says that an array is stored: its metadata, checked before anything else is read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.chunks import chunk_grid
from aeanet_tf.io.codecs import Codec, decode, make_codec, number_type, whole

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


@dataclass(frozen=True)
class ArrayMetadata:
    """What is said of an array.

    Attributes:
        shape: of the array.
        layout: of its chunks.
        fill: value of chunks that are not stored.
        prefix: what the names of chunks begin with.
        separator: what stands between the parts of a name; "/" for folders.
    """

    shape: tuple[int, ...]
    layout: Layout
    fill: Any
    prefix: str
    separator: str

    @property
    def finest(self) -> Layout:
        """The layout of what is decoded at once: chunks, or the innermost chunks of shards."""
        finest = self.layout
        while finest.shard is not None:
            finest = finest.shard.inner
        return finest

    def key(self, index: tuple[int, ...]) -> str:
        """The name of a chunk."""
        return self.separator.join([*([self.prefix] if self.prefix else []), *map(str, index)])


def parse_metadata(document: Mapping[str, Any], zarr_format: int, field: str) -> ArrayMetadata:
    """What the metadata of an array, ``.zarray`` or ``zarr.json``, say.

    Args:
        document: the content of the file.
        zarr_format: 2 or 3, by the name of the file.
        field: what messages begin with.

    Raises:
        InputError: they are damaged; the pixels are no numbers; there is a codec that is none of the list.
    """
    try:
        return (_format_2 if zarr_format == 2 else _format_3)(document, field)
    except InputError:
        raise
    # Any other table or list in the place of another leads anywhere.
    except Exception as error:
        reason = f"{error!s:.60} is missing" if isinstance(error, KeyError) else f"{error!s:.160}"
        raise InputError(f"{field} cannot be opened ({reason})") from error


def shape_of(
    value: object, field: str, least: int = 0, dimensions: int | None = None, what: str = "shape"
) -> tuple[int, ...]:
    """A list of integers of a file, as a tuple. Raises `InputError` for anything else, or another number of them."""
    fits = isinstance(value, list) and 1 <= len(value) <= _MOST_DIMENSIONS and dimensions in (None, len(value))
    wanted = f"a list of {f'1 to {_MOST_DIMENSIONS}' if dimensions is None else dimensions} integers"
    expect(fits, field, f"{what} {value!r:.60}", wanted)
    return tuple(whole(size, f"{field}, {what}", least) for size in value)


def _format_2(document: Mapping[str, Any], field: str) -> ArrayMetadata:
    expect(document["zarr_format"] == 2, field, f"zarr format {document['zarr_format']!r:.20}", "2 or 3")
    dtype = number_type(document["dtype"], field)
    shape = shape_of(document["shape"], field)
    chunks = shape_of(document["chunks"], field, 1, len(shape), "chunks")
    filters, compressor = document.get("filters") or (), document.get("compressor")
    codecs = [make_codec(entry.get("id"), entry, field, filters=True) for entry in filters]
    if compressor is not None:
        codecs.append(make_codec(compressor.get("id"), compressor, field))
    order = document.get("order", "C")
    expect(order in ("C", "F"), field, f"order {order!r:.20}", "C or F")
    dimensions = tuple(range(len(chunks)))
    layout = Layout(chunks, dtype, dimensions[:: 1 if order == "C" else -1], tuple(codecs))
    separator = _separator(document.get("dimension_separator", "."), field)
    return ArrayMetadata(shape, layout, _fill(document.get("fill_value"), dtype, field), "", separator)


def _format_3(document: Mapping[str, Any], field: str) -> ArrayMetadata:
    expect(document["zarr_format"] == 3, field, f"zarr format {document['zarr_format']!r:.20}", "2 or 3")
    expect(document["node_type"] == "array", field, f"a {document['node_type']!r:.20}", "an array")
    expect(not document.get("storage_transformers"), field, "storage transformers", "none")
    name = document["data_type"]
    expect(isinstance(name, str) and name in _TYPES, field, f"pixels of type {name!r:.40}", "integers or floats")
    dtype, shape = np.dtype(_TYPES[name]), shape_of(document["shape"], field)
    grid, keys = document["chunk_grid"], document["chunk_key_encoding"]
    expect(grid["name"] == "regular", field, f"the chunk grid {grid['name']!r:.40}", "regular")
    chunks = shape_of(grid["configuration"]["chunk_shape"], field, 1, len(shape), "chunks")
    (encoding, how), usual = _named(keys, field), {"default": "/", "v2": "."}
    expect(encoding in tuple(usual), field, f"the chunk names {encoding!r:.40}", "default or v2")
    separator = _separator(how.get("separator", usual[encoding]), field)
    layout = _layout(chunks, dtype, document["codecs"], field)
    fill = _fill(document["fill_value"], dtype, field)
    return ArrayMetadata(shape, layout, fill, "c" if encoding == "default" else "", separator)


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
    parts = shape_of(config["chunk_shape"], field, 1, len(chunks), "inner chunks")
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

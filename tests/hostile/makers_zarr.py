"""OME-Zarr folders, written byte by byte: as their writers mean them, damaged, and made to do harm."""

import bz2
import gzip
import json
import lzma
import os
import struct
import zlib
from functools import lru_cache
from pathlib import Path

import numcodecs
import numpy as np

from tests.hostile.damage import damaged

PIXELS = np.random.default_rng(0).integers(0, 60000, (6, 20, 30), dtype=np.uint16)
AXES = "ZYX"
CHUNKS = (4, 12, 16)
# What must not be there after any of the cases was read.
MARK = "code_was_run"
BOMB = 60_000_000


class _Runs:
    """What does something when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(Path(self.folder) / MARK),)


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def chunks(values=PIXELS, shape=CHUNKS):
    """Index and pixels, filled up with zeros, of each chunk."""
    grid = [-(-size // part) for size, part in zip(values.shape, shape, strict=True)]
    for index in np.ndindex(*grid):
        whole = np.zeros(shape, values.dtype)
        part = values[tuple(slice(n * size, (n + 1) * size) for n, size in zip(index, shape, strict=True))]
        whole[tuple(slice(0, size) for size in part.shape)] = part
        yield index, whole


def image(path, zarr_format=2, **changes):
    """The group of an image with the array "0"."""
    axes = [{"name": name.lower(), "type": "space", "unit": "micrometer"} for name in AXES]
    scale = {"type": "scale", "scale": [2.0, 0.5, 0.5]}
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}], **changes}
    metadata = {"multiscales": [multiscale]}
    if zarr_format == 2:
        write(path / ".zgroup", {"zarr_format": 2})
        write(path / ".zattrs", metadata)
    else:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **metadata}}}
        write(path / "zarr.json", group)


def format_2(encode=lambda data: data, separator=".", order="C", dtype="<u2", stored=None, **said):
    """A maker of an image of format 2; its metadata say ``said``, ... for a key that is missing."""

    def make(folder):
        path = Path(folder) / "a.zarr"
        image(path)
        array = {
            "zarr_format": 2,
            "shape": list(PIXELS.shape),
            "chunks": list(CHUNKS),
            "dtype": dtype,
            "fill_value": 0,
            "order": order,
            "filters": None,
            "compressor": None,
            "dimension_separator": separator,
        }
        # The type and the order may be said to be others than they are.
        changes = {key.removeprefix("said_"): value for key, value in said.items()}
        array = {key: value for key, value in {**array, **changes}.items() if value is not ...}
        write(path / "0" / ".zarray", array)
        for index, values in chunks():
            data = encode(values.astype(dtype).tobytes(order)) if stored is None else stored(folder)
            file = path / "0" / separator.join(map(str, index))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return path

    return make


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def format_3(codecs=(LITTLE,), encode=lambda values: values.tobytes(), shape=CHUNKS, **said):
    """A maker of an image of format 3; as `format_2`."""

    def make(folder):
        path = Path(folder) / "a.zarr"
        image(path, 3)
        array = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(PIXELS.shape),
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": codecs if isinstance(codecs, str) else list(codecs),
        }
        changes = {key.removeprefix("said_"): value for key, value in said.items()}
        array = {key: value for key, value in {**array, **changes}.items() if value is not ...}
        write(path / "0" / "zarr.json", array)
        for index, values in chunks(shape=shape):
            file = path / "0" / "c" / "/".join(map(str, index))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(values))
        return path

    return make


INNER = (2, 6, 16)


def checksum(data):
    """CRC-32C, as it stands behind the table of a shard."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ 0x82F63B78 * (remainder & 1)
    return struct.pack("<I", remainder ^ 0xFFFFFFFF)


def shard(values, compress=lambda data: data):
    """A shard with its table at the end, for `SHARDED`."""
    parts = [compress(part.tobytes()) for _, part in chunks(values, INNER)]
    ends = np.cumsum([len(part) for part in parts])
    table = np.stack([ends - [len(part) for part in parts], [len(part) for part in parts]], -1).astype("<u8").tobytes()
    return b"".join(parts) + table + checksum(table)


def sharded(inner_codecs=(LITTLE,), **changes):
    config = {"chunk_shape": list(INNER), "codecs": list(inner_codecs), "index_codecs": [LITTLE, {"name": "crc32c"}]}
    return {"name": "sharding_indexed", "configuration": {**config, **changes}}


def metadata(name, content, zarr_format=2):
    """A maker of an image of which one of the metadata files is another."""

    def make(folder):
        path = (format_2() if zarr_format == 2 else format_3())(folder)
        if isinstance(content, bytes):
            (path / name).write_bytes(content)
        else:
            write(path / name, content)
        return path

    return make


def multiscale(**changes):
    def make(folder):
        path = format_2()(folder)
        image(path, **changes)
        return path

    return make


def after(make, change):
    """A maker that changes what another has made; ``change`` gets the image."""

    def changed(folder):
        path = make(folder)
        change(path)
        return path

    return changed


def outside(path):
    """A zarr array, with pixels, beside the image."""
    other = path.with_name("other")
    (path / "0").rename(other)
    return other


def _linked(path):
    (path / "0").symlink_to(outside(path))


def _linked_chunk(path):
    chunk = path / "0" / "0.0.0"
    chunk.rename(path.with_name("chunk"))
    chunk.symlink_to(path.with_name("chunk"))


def _linked_metadata(path):
    (path / "0" / ".zarray").rename(path.with_name("metadata"))
    (path / "0" / ".zarray").symlink_to(path.with_name("metadata"))


def _linked_within(path):
    (path / "0").rename(path / "pixels")
    (path / "0").symlink_to("pixels")


def _circle(path):
    (path / "0" / "0.0.0").unlink()
    (path / "0" / "0.0.0").symlink_to("0.0.0")


def _pipe(path):
    (path / "0" / "0.0.0").unlink()
    os.mkfifo(path / "0" / "0.0.0")


def _folder_for_chunk(path):
    (path / "0" / "0.0.0").unlink()
    (path / "0" / "0.0.0").mkdir()


def _elsewhere(name):
    def change(path):
        outside(path)
        image(path, datasets=[{"path": name.format(path.parent)}])

    return change


def _marked(path):
    (path / ".zattrs").write_bytes(b"\xef\xbb\xbf" + (path / ".zattrs").read_bytes())


def _lower(path):
    image(path, datasets=[{"path": "0"}, {"path": "1"}, {"path": "2"}])


def _no_chunks(path):
    for file in (path / "0").iterdir():
        if file.name != ".zarray":
            file.unlink()


def _claim(shape, size):
    def change(path):
        document = json.loads((path / "0" / ".zarray").read_text()) | {"shape": shape, "chunks": size}
        write(path / "0" / ".zarray", document)
        _no_chunks(path)

    return change


def several(count):
    """A maker of bioformats2raw's layout."""

    def make(folder):
        path = Path(folder) / "series.zarr"
        write(path / ".zgroup", {"zarr_format": 2})
        write(path / ".zattrs", {"bioformats2raw.layout": 3})
        for number in range(count):
            format_2()(folder).rename(path / str(number))
        return path

    return make


def _pickled(folder):
    return numcodecs.get_codec({"id": "pickle"}).encode(np.array([_Runs(folder)], object))


NESTED = "[" * 200_000 + "]" * 200_000
DIGITS = "9" * 5000
_ZSTD, _BLOSC, _LZ4 = (numcodecs.get_codec({"id": name}) for name in ("zstd", "blosc", "lz4"))
_ENCODERS = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "zstd": _ZSTD.encode,
    "blosc": _BLOSC.encode,
    "lz4": _LZ4.encode,
}


@lru_cache
def bomb(name):
    """A chunk that inflates to `BOMB` bytes, or says that it does."""
    if name == "gzip":
        return gzip.compress(bytes(10**6), 1) * (BOMB // 10**6)
    if name in ("zlib", "bz2", "zstd"):
        return _ENCODERS[name](bytes(BOMB))
    data = bytearray(_ENCODERS[name](bytes(4096)))
    start = 4 if name == "blosc" else 0
    data[start : start + 4] = struct.pack("<I", 2**31 - 16)
    return bytes(data)


_TYPES = ("|O", "<c8", "<M8[ns]", "|S10", "<U4", "|V8", "<u3", "", "<u2,<u2", [["a", "<u2"]], 5, None, "u2" * 10_000)
_FILLS_REFUSED = ("x", -1, 65536, 0.5, [1], {"a": 1})
_BAD_CHUNKS = ([0, 24, 24], [4, 12], [-4, 12, 16], [4, 12, 16.5], ["4", 12, 16], "4", None, [], [True, 12, 16], {})
_BAD_SHAPES = ([6, -20, 30], [6, 20], [6.0, 20, 30], "6", None, [10**30] * 3, [1] * 40, [6, 20, None], [6, 20, "30"])
_BAD_SHARDS = {
    "inner chunks that do not fit": {"chunk_shape": [3, 6, 16]},
    "inner chunks of 0": {"chunk_shape": [0, 6, 16]},
    "no inner chunks": {"chunk_shape": []},
    "a compressed index": {"index_codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}]},
    "no index codecs": {"index_codecs": []},
    "an index in the middle": {"index_location": "middle"},
    "pickle inside": {"codecs": [LITTLE, {"name": "numcodecs.pickle", "configuration": {}}]},
}


def _nest(depth):
    codec = LITTLE
    for _ in range(depth):
        codec = {
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": [4, 12, 16], "codecs": [codec], "index_codecs": [LITTLE]},
        }
    return [codec]


def _shard_of_one_byte(values):
    return b"\0"


def _shard_beyond(values):
    table = np.array([[2**40, 200]] * 4, "<u8").tobytes()
    return table + checksum(table)


CASES = [
    *[(f"format 2, {name}", format_2(encode, compressor={"id": name}), "right") for name, encode in _ENCODERS.items()],
    ("format 2", format_2(), "right"),
    ("format 2, folders of chunks", format_2(separator="/"), "right"),
    ("format 2, Fortran's order", format_2(order="F"), "right"),
    ("format 2, big-endian", format_2(dtype=">u2"), "right"),
    ("format 2, delta", format_2(numcodecs.Delta("<u2").encode, filters=[{"id": "delta", "dtype": "<u2"}]), "right"),
    ("format 2, no separator", format_2(dimension_separator=...), "right"),
    ("format 2, no fill value", format_2(fill_value=None), "right"),
    ("format 2, wide", format_2(dtype="<f8", fill_value="NaN"), "right"),
    ("format 3", format_3(), "right"),
    (
        "format 3, names as in 2",
        format_3(chunk_key_encoding={"name": "v2", "configuration": {"separator": "/"}}),
        "either",
    ),
    (
        "format 3, gzip",
        format_3([LITTLE, {"name": "gzip", "configuration": {"level": 1}}], lambda v: gzip.compress(v.tobytes())),
        "right",
    ),
    (
        "format 3, zstd",
        format_3([LITTLE, {"name": "zstd", "configuration": {"level": 1}}], lambda v: _ZSTD.encode(v.tobytes())),
        "right",
    ),
    (
        "format 3, transposed",
        format_3(
            [{"name": "transpose", "configuration": {"order": [2, 0, 1]}}, LITTLE],
            lambda values: values.transpose(2, 0, 1).tobytes(),
        ),
        "right",
    ),
    ("format 3, shards", format_3([sharded()], shard), "right"),
    (
        "format 3, compressed shards",
        format_3([sharded([LITTLE, {"name": "gzip", "configuration": {}}])], lambda v: shard(v, gzip.compress)),
        "right",
    ),
    ("lower resolutions that are missing", after(format_2(), _lower), "right"),
    ("a byte order mark", after(format_2(), _marked), "right"),
    ("links within the image", after(format_2(), _linked_within), "right"),
    ("one image of a series", several(1), "right"),
    ("three images of a series", several(3), "refused"),
    ("no image of a series", several(0), "refused"),
    # Code from data
    ("pickle as a filter", format_2(filters=[{"id": "pickle"}], dtype="<u2", stored=_pickled), "refused"),
    ("pickle as a filter of objects", format_2(dtype="|u1", filters=[{"id": "pickle"}], stored=_pickled), "refused"),
    ("pickle as the compressor", format_2(compressor={"id": "pickle", "protocol": 5}, stored=_pickled), "refused"),
    ("pickle in format 3", format_3([LITTLE, {"name": "numcodecs.pickle", "configuration": {}}]), "refused"),
    ("a serializer of pickles", format_3([{"name": "numcodecs.pickle", "configuration": {}}]), "refused"),
    *[
        (f"the codec {name}", format_2(compressor={"id": name}), "refused")
        for name in ("json2", "msgpack2", "zfpy", "os")
    ],
    ("a codec that is no table", format_2(compressor="zlib"), "refused"),
    ("a codec without a name", format_2(compressor={}), "refused"),
    ("a codec of a number", format_2(compressor={"id": 5}), "refused"),
    ("a filter of objects", format_2(filters=[{"id": "delta", "dtype": "O"}]), "refused"),
    (
        "a filter of texts",
        format_2(filters=[{"id": "astype", "encode_dtype": "<U9", "decode_dtype": "<u2"}]),
        "refused",
    ),
    ("filters that are no list", format_2(filters={"id": "delta"}), "refused"),
    *[(f"type {str(value)[:20]}", format_2(said_dtype=value), "refused") for value in _TYPES],
    # Out of the image
    ("an array by a link", after(format_2(), _linked), "refused"),
    ("a chunk by a link", after(format_2(), _linked_chunk), "refused"),
    ("metadata by a link", after(format_2(), _linked_metadata), "refused"),
    ("a path upward", after(format_2(), _elsewhere("../other")), "refused"),
    ("a path upward and down", after(format_2(), _elsewhere("0/../../other")), "refused"),
    ("an absolute path", after(format_2(), _elsewhere("{}/other")), "refused"),
    ("a link in a circle", after(format_2(), _circle), "refused"),
    ("a pipe for a chunk", after(format_2(), _pipe), "refused"),
    ("a folder for a chunk", after(format_2(), _folder_for_chunk), "refused"),
    # More than there is
    ("10^9 squared", after(format_2(), _claim([1, 10**9, 10**9], [1, 256, 256])), "refused"),
    ("10^9 squared in one chunk", after(format_2(), _claim([1, 10**9, 10**9], [1, 10**9, 10**9])), "refused"),
    ("a chunk of 10^18", after(format_2(), _claim([6, 20, 30], [1, 10**9, 10**9])), "refused"),
    ("10^10 chunks of one pixel", after(format_2(), _claim([1, 10**5, 10**5], [1, 1, 1])), "refused"),
    ("no chunks", after(format_2(), _no_chunks), "either"),
    *[
        (f"a bomb, {name}", format_2(compressor={"id": name}, stored=lambda _, name=name: bomb(name)), "refused")
        for name in ("zlib", "gzip", "bz2", "zstd", "blosc", "lz4")
    ],
    ("chunks that are too long", format_2(stored=lambda _: bytes(10_000)), "refused"),
    ("chunks that are too short", format_2(stored=lambda _: bytes(10)), "refused"),
    ("empty chunks", format_2(stored=lambda _: b""), "refused"),
    ("chunks of text", format_2(compressor={"id": "blosc"}, stored=lambda _: b"text" * 99), "refused"),
    ("a shard of one byte", format_3([sharded()], _shard_of_one_byte), "refused"),
    ("a table that leads out of its shard", format_3([sharded()], _shard_beyond), "refused"),
    ("shards in shards", format_3(_nest(30)), "refused"),
    *[(f"shards, {name}", format_3([sharded(**changes)], shard), "refused") for name, changes in _BAD_SHARDS.items()],
    # Metadata
    *[(f"chunks {value}", format_2(chunks=value), "refused") for value in _BAD_CHUNKS],
    *[(f"shape {str(value)[:40]}", format_2(shape=value), "refused") for value in _BAD_SHAPES],
    *[(f"fill value {value!r}", format_2(fill_value=value), "refused") for value in _FILLS_REFUSED],
    *[
        (f"without {key}", format_2(**{f"said_{key}": ...}), "refused")
        for key in ("shape", "chunks", "dtype", "zarr_format")
    ],
    *[
        (f"format 3 without {key}", format_3(**{f"said_{key}": ...}), "refused")
        for key in ("shape", "chunk_grid", "data_type", "codecs", "chunk_key_encoding", "fill_value", "node_type")
    ],
    *[(f"zarr format {value!r}", format_2(zarr_format=value), "refused") for value in (1, 4, "2", None, [2])],
    *[(f"order {value!r}", format_2(said_order=value), "refused") for value in ("Q", 5, [], None)],
    ("separator x", format_2(dimension_separator="x"), "refused"),
    ("format 3, a name for the names", format_3(chunk_key_encoding="default"), "right"),
    ("a grid of its own", format_3(chunk_grid={"name": "rectilinear"}), "refused"),
    ("a grid of text", format_3(chunk_grid="regular"), "refused"),
    ("data of strings", format_3(data_type="string"), "refused"),
    ("data of a table", format_3(data_type={"name": "uint16"}), "refused"),
    ("no bytes among the codecs", format_3([]), "refused"),
    ("codecs of text", format_3(codecs="bytes"), "refused"),
    ("1,000 codecs", format_3([LITTLE] * 1000), "refused"),
    ("storage transformers", format_3(storage_transformers=[{"name": "x"}]), "refused"),
    *[
        (f"{where}, {name}", metadata(where, text), "refused")
        for where in (".zattrs", "0/.zarray")
        for name, text in {
            "nested": NESTED,
            "digits": f'{{"shape": [{DIGITS}]}}',
            "a list": "[]",
            "text": "x",
            "empty": "",
            "a number": "1",
            "not UTF-8": b'{"a": "\xff\xfe\xfa"}',
            "a key twice": '{"multiscales": [], "multiscales": []}',
        }.items()
    ],
    *[
        (f"zarr.json, {name}", metadata("zarr.json", text, 3), "refused")
        for name, text in {"nested": NESTED, "digits": f'{{"a": {DIGITS}}}', "a list": "[]", "empty": "{}"}.items()
    ],
    # Images
    *[
        (f"multiscales of {str(value)[:30]}", metadata(".zattrs", {"multiscales": value}), "refused")
        for value in ([], {}, "a", [5], [[]], [{}], None, [{"datasets": []}], [{"datasets": [{}]}])
    ],
    *[
        (f"datasets {str(v)[:30]}", multiscale(datasets=v), "refused")
        for v in ("0", {}, [5], [{"path": 5}], [{"path": ""}])
    ],
    ("a path with NUL", multiscale(datasets=[{"path": "0\0"}]), "refused"),
    ("a long path", multiscale(datasets=[{"path": "x" * 5000}]), "refused"),
    *[(f"axes {str(v)[:30]}", multiscale(axes=v), "refused") for v in (["y", "x"], ["z", "x", "x"], [5, 6, 7], {})],
    *[
        (
            f"scale {str(value)[:30]}",
            multiscale(coordinateTransformations=[{"type": "scale", "scale": value}]),
            expected,
        )
        for value, expected in (
            ([1, 1], "refused"),
            ([1], "refused"),
            ("x", "refused"),
            ([None] * 3, "either"),
            ([0, -1, 1e400], "either"),
            ([1, 2, [3]], "refused"),
        )
    ],
    ("a plate", metadata(".zattrs", {"plate": {}}), "refused"),
    *damaged("format 2", format_2(zlib.compress, compressor={"id": "zlib"}), 10, 5, 4, "either"),
    *damaged("blosc", format_2(_BLOSC.encode, compressor={"id": "blosc"}), 10, 5, 4, "either"),
    *damaged("zstd", format_2(_ZSTD.encode, compressor={"id": "zstd"}), 6, 3, 2, "either"),
    *damaged("lz4", format_2(_LZ4.encode, compressor={"id": "lz4"}), 6, 3, 2, "either"),
    *damaged("format 3", format_3([sharded()], shard), 10, 5, 4, "either"),
]

"""Codecs of chunks, as OME-Zarr and HDF5 have them: a closed list of them, and none makes more bytes than a chunk has.

What a file names is looked up in the tables of this module and nowhere else. numcodecs' own registry, which zarr asks,
also knows ``pickle``, which runs code, and takes every plug-in that is installed.
"""

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.memory import in_words

# What a decoder of LZMA may take for its dictionary.
_LZMA_MEMORY = 2**28
# Filters turn numbers into narrower ones: from eight bytes to a bit.
_NARROWED = 64


def number_type(text: object, field: object) -> np.dtype:
    """The dtype that a file names by NumPy's short name, such as "<u2"; numbers only, and nothing that holds objects.

    Raises:
        InputError: it is another.
    """
    known = isinstance(text, str) and re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c(8|16))", text)
    expect(known, field, f"pixels of type {text!r:.40}", "integers or floats")
    return np.dtype(text)


def whole(value: object, field: object, least: int = 1, most: int = 2**63 - 1) -> int:
    """An integer of a file, within bounds. Raises `InputError` for another, or for what is none."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    expect(is_whole, field, f"{value!r:.40}", f"an integer of at least {least}")
    return value


@dataclass(frozen=True)
class Codec:
    """A step from stored bytes to the bytes of a chunk.

    Attributes:
        name: of the codec, as numcodecs has it.
        config: its configuration.
    """

    name: str
    config: tuple[tuple[str, Any], ...] = ()

    def decode(self, data: Any, limit: int) -> Any:
        """The bytes before this codec was applied.

        Raises:
            ValueError: more than ``limit`` of them; or whatever the damaged bytes lead the decoder to.
        """
        if self.name in _BOUNDED:
            return _BOUNDED[self.name](bytes(data), limit, dict(self.config))
        import numcodecs

        return numcodecs.get_codec({"id": self.name, **dict(self.config)}).decode(data)


def make_codec(name: object, config: Mapping[str, Any], field: object, filters: bool = False) -> Codec:
    """A codec of the lists.

    Args:
        name: as the file has it.
        config: its configuration.
        field: what messages begin with.
        filters: whether it may also be one that works on numbers.

    Raises:
        InputError: it is none of the lists; its configuration names a dtype that is no number's, or is damaged.
    """
    known = [*_BOUNDED, *_CHECKSUMS, *(_FILTERS if filters else ())]
    expect(isinstance(name, str) and name in known, field, f"the codec {name!r:.40}", f"one of {', '.join(known)}")
    keys = {**_CHECKSUMS, **_FILTERS}.get(name, _USED.get(name, ()))
    kept = {key: config[key] for key in keys if key in config}
    for key, value in kept.items():
        if key in ("dtype", "astype", "encode_dtype", "decode_dtype"):
            expect(number_type(value, field).kind in "biuf", field, f"{name} to {value!r}", "integers or floats")
        elif key in ("elementsize", "digits", "keepbits", "format"):
            whole(value, field, -400, 400)
        elif key in ("offset", "scale"):
            expect(isinstance(value, int | float), field, f"{key} {value!r:.40}", "a number")
        else:
            expect(value in ("start", "end", None), field, f"{key} {value!r:.40}", "start or end")
    return Codec(name, tuple(kept.items()))


def decode(codecs: Sequence[Codec], data: Any, size: int) -> Any:
    """Undo codecs, the last of which was applied last.

    Args:
        codecs: in the order in which they were applied.
        data: the stored bytes.
        size: bytes of the chunk, which is what has to come out.

    Raises:
        ValueError: another number of bytes comes out, or more than a step towards it may have.
    """
    filters = any(codec.name in _FILTERS for codec in codecs)
    # Headers, checksums, and what a compressor adds to what does not compress.
    limit = size * (_NARROWED if filters else 1) + size // 64 + 1024
    for number in reversed(range(len(codecs))):
        # Exact where it can be, since some decoders have to be told.
        exact = size if number == 0 and not filters else limit
        data = codecs[number].decode(data, exact)
    found = memoryview(data).nbytes
    if found != size:
        raise ValueError(f"a chunk has {found} bytes instead of {size}")
    return data


def stored_at_most(codecs: Sequence[Codec], size: int) -> int:
    """Bytes that a stored chunk of ``size`` bytes may have: what does not compress becomes a little more."""
    return 2 * size * (_NARROWED if any(codec.name in _FILTERS for codec in codecs) else 1) + 2**16


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"a chunk inflates to {in_words(size)}, expected at most {in_words(limit)}")


def _inflate(make: Callable[[], Any], data: bytes, limit: int) -> bytes:
    """Decompress streams that follow each other, and no more than ``limit`` bytes."""
    parts, size = [], 0
    while True:
        engine = make()
        part = engine.decompress(data, limit - size + 1)
        size += len(part)
        _check_size(size, limit)
        if not engine.eof:
            raise ValueError("a chunk ends too early")
        parts.append(part)
        data = engine.unused_data.lstrip(b"\0")
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _zlib(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    return _inflate(zlib.decompressobj, data, limit)


def _gzip(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    return _inflate(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), data, limit)


def _bz2(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    return _inflate(bz2.BZ2Decompressor, data, limit)


def _lzma(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    form = config.get("format", lzma.FORMAT_XZ)
    # A raw stream states no size of its dictionary that could be limited.
    if form not in (lzma.FORMAT_AUTO, lzma.FORMAT_XZ, lzma.FORMAT_ALONE):
        raise ValueError(f"LZMA of format {form} is not read")
    return _inflate(lambda: lzma.LZMADecompressor(form, memlimit=_LZMA_MEMORY), data, limit)


def _blosc(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    import numcodecs.blosc

    if len(data) < 16:
        raise ValueError("a chunk is too short for Blosc's header")
    size, _, compressed = struct.unpack_from("<III", data, 4)
    _check_size(size, limit)
    # Blosc itself would read on behind the end.
    if compressed > len(data):
        raise ValueError(f"a chunk ends after {len(data)} of {compressed} bytes")
    return numcodecs.blosc.decompress(data)


def _zstd(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    """A frame of Zstandard (RFC 8878, section 3.1.1)."""
    import numcodecs.zstd

    if len(data) < 6 or data[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("a chunk is no frame of Zstandard")
    descriptor = data[4]
    single = descriptor >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[descriptor >> 6]
    if len(data) < start + width:
        raise ValueError("a chunk ends too early")
    if width:
        _check_size(int.from_bytes(data[start : start + width], "little") + 256 * (width == 2), limit)
    else:
        # Writers of streams do not state the size, and not every numcodecs decodes that; it has to be the chunk's.
        data = data[:4] + bytes([descriptor | 0xC0]) + data[5:start] + limit.to_bytes(8, "little") + data[start:]
    return numcodecs.zstd.decompress(data)


def _lz4(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    import numcodecs.lz4

    if len(data) < 4:
        raise ValueError("a chunk is too short for LZ4's header")
    _check_size(struct.unpack_from("<I", data)[0], limit)
    return numcodecs.lz4.decompress(data)


def _unshuffle(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    """Bytes of numbers that were sorted by their place in the number; what is left of no whole number stays behind."""
    width = config.get("elementsize", 4)
    if width < 1:
        raise ValueError(f"shuffled numbers of {width} bytes")
    count = len(data) // width
    _check_size(len(data), limit)
    numbers = np.frombuffer(data, np.uint8, count * width).reshape(width, count).T
    return numbers.tobytes() + data[count * width :]


def lzf_size(data: bytes) -> int:
    """Bytes that data of LZF inflate to: runs of up to 32 bytes as they are, and repetitions of up to 264."""
    size = place = 0
    while place < len(data):
        control = data[place]
        if control < 32:
            size += control + 1
            place += control + 2
        elif control < 224:
            size += (control >> 5) + 2
            place += 2
        else:
            size += (data[place + 1] if place + 1 < len(data) else 0) + 9
            place += 3
    if place > len(data):
        raise ValueError("a chunk ends too early")
    return size


def _crc32c(data: bytes, limit: int, config: dict[str, Any]) -> bytes:
    """CRC-32C (RFC 3720, appendix B.4), which numcodecs checks only where another package is installed."""
    at_start = config.get("location", "end") == "start"
    content, stated = (data[4:], data[:4]) if at_start else (data[:-4], data[-4:])
    remainder = 0xFFFFFFFF
    table = _crc32c_table()
    for byte in content:
        remainder = table[(remainder ^ byte) & 0xFF] ^ remainder >> 8
    if remainder ^ 0xFFFFFFFF != int.from_bytes(stated, "little"):
        raise ValueError("a chunk has another checksum")
    return content


@lru_cache
def _crc32c_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


# Name of numcodecs -> decoder of this module, which keeps to a limit.
_BOUNDED: dict[str, Callable[[bytes, int, dict[str, Any]], bytes]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "zlib": _zlib,
    "gzip": _gzip,
    "lz4": _lz4,
    "bz2": _bz2,
    "lzma": _lzma,
    "shuffle": _unshuffle,
    "crc32c": _crc32c,
}
# Of those and of the following, what of their configuration decoding needs. Checksums only take bytes away.
_USED = {"lzma": ("format",), "shuffle": ("elementsize",), "crc32c": ("location",)}
_CHECKSUMS = {
    "crc32": ("location",),
    "adler32": ("location",),
    "fletcher32": (),
    "jenkins_lookup3": (),
}
_FILTERS = {
    "delta": ("dtype", "astype"),
    "fixedscaleoffset": ("offset", "scale", "dtype", "astype"),
    "quantize": ("digits", "dtype", "astype"),
    "bitround": ("keepbits",),
    "packbits": (),
    "astype": ("encode_dtype", "decode_dtype"),
}

"""The skeleton of a CZI file, checked before a library in C++ follows it: a damaged one would end the process."""

import struct
from pathlib import Path
from typing import BinaryIO

from aeanet_tf.errors import InputError, expect

# ZISRAW, as Zeiss publishes it: each segment has a name, the bytes that are reserved for it, and those used.
_HEAD = struct.Struct("<16sqq")
_FILE = struct.Struct("<52xqq")
_COUNT = struct.Struct("<i124x")
_SUBBLOCK = struct.Struct("<iiq")
_METADATA = struct.Struct("<ii")
# Schema, pixel type, position, part, compression, pyramid, number of dimensions, each of which has 20 bytes.
_ENTRY = struct.Struct("<2siqii6xi")
_DIMENSION = 20
# Beside X and Y the format has nine letters.
_MOST_DIMENSIONS = 16


def check_czi(path: str | Path) -> None:
    """Check that the list of a file's tiles, and the head of each, lie in the file and agree.

    Raises:
        InputError: they do not.
    """
    path = Path(path)
    length = path.stat().st_size
    with open(path, "rb") as file:
        _check_segment(path, file, 0, length, b"ZISRAWFILE")
        directory, metadata = _unpacked(path, file, _FILE)
        _check_segment(path, file, directory, length, b"ZISRAWDIRECTORY")
        (count,) = _unpacked(path, file, _COUNT)
        _expect(0 < count <= (length - directory) // _ENTRY.size, path, f"{count} tiles in a file of {length} bytes")
        entries = [_entry(path, file) for _ in range(count)]
        for position, dimensions in entries:
            _check_segment(path, file, position, length, b"ZISRAWSUBBLOCK")
            sizes = _unpacked(path, file, _SUBBLOCK)
            _expect(min(sizes) >= 0 and sum(sizes) <= length - position, path, "a tile beyond the end of the file")
            _expect(_entry(path, file)[1] == dimensions, path, "a tile that is not as the list of tiles has it")
        if metadata:
            _check_segment(path, file, metadata, length, b"ZISRAWMETADATA")
            sizes = _unpacked(path, file, _METADATA)
            _expect(min(sizes) >= 0 and sum(sizes) <= length - metadata, path, "metadata beyond the end of the file")


def _check_segment(path: Path, file: BinaryIO, position: int, length: int, name: bytes) -> None:
    _expect(0 <= position <= length - _HEAD.size, path, f"a part at {position} of {length} bytes")
    file.seek(position)
    found, reserved, used = _unpacked(path, file, _HEAD)
    _expect(found.rstrip(b"\0") == name, path, f"no {name.decode()} where one is said to be")
    whole = 0 <= used <= reserved and position + _HEAD.size + used <= length
    _expect(whole, path, f"{name.decode()} beyond the end of the file")


def _entry(path: Path, file: BinaryIO) -> tuple[int, bytes]:
    """Position of a tile, and what the entry says of its dimensions."""
    schema, _, position, _, _, count = _unpacked(path, file, _ENTRY)
    expect(schema == b"DV", path, f"tiles of the kind {schema!r}", "DV, as ZEN writes them")
    _expect(2 <= count <= _MOST_DIMENSIONS, path, f"a tile of {count} dimensions")
    dimensions = file.read(count * _DIMENSION)
    _expect(len(dimensions) == count * _DIMENSION, path, "a list of tiles that ends too early")
    return position, dimensions


def _unpacked(path: Path, file: BinaryIO, layout: struct.Struct) -> tuple:
    data = file.read(layout.size)
    _expect(len(data) == layout.size, path, "the end of the file too early")
    return layout.unpack(data)


def _expect(holds: bool, path: Path, found: str) -> None:
    if not holds:
        raise InputError(f"{path}: damaged or truncated, found {found}, expected a whole CZI file")

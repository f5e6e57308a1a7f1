"""The parts of an ND2 file as its own list names them, checked before a library follows what the list says."""

import struct
from pathlib import Path
from typing import BinaryIO

from aeanet_tf.errors import InputError

# Each part begins so: a mark, the length of its name, and that of its data.
_HEAD = struct.Struct("<IIQ")
_MARK = struct.pack("<I", 0x0ABECEDA)
_LIST_NAME = b"ND2 FILEMAP SIGNATURE NAME 0001!"
# At the end of the file, with the place of the list.
_LIST_PLACE = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_FRAME = b"ImageDataSeq|"


def frame_sizes(path: str | Path) -> dict[int, int]:
    """Bytes of each frame that lies whole in the file; of other parts all have to.

    Older files, which are JPEG 2000, have no such list: there are no frames then.

    Raises:
        InputError: the list is damaged or cut off, or a part that it names.
    """
    path = Path(path)
    length, sizes = path.stat().st_size, {}
    with open(path, "rb") as file:
        if file.read(4) != _MARK:
            return {}
        for name, (offset, size) in _listed(path, file, length).items():
            file.seek(offset)
            whole = offset <= length and _lies_within(file, offset, length)
            if name.startswith(_FRAME) and name[len(_FRAME) :].isdigit():
                if whole and offset + _HEAD.size + size <= length:
                    sizes[int(name[len(_FRAME) :])] = size
            elif not whole:
                _damaged(path, f"{name[:40].decode('latin1')} beyond the end of the file")
    return sizes


def _listed(path: Path, file: BinaryIO, length: int) -> dict[bytes, tuple[int, int]]:
    """Place and length of each part."""
    file.seek(max(0, length - 40))
    mark, place = file.read(32), file.read(8)
    start = int.from_bytes(place, "little")
    if mark != _LIST_PLACE or start > length:
        _damaged(path, "no list of its parts at the end")
    file.seek(start)
    if not _lies_within(file, start, length):
        _damaged(path, "a list of its parts beyond the end of the file")
    file.seek(start)
    _, name_length, data_length = _HEAD.unpack(file.read(_HEAD.size))
    if not file.read(name_length).startswith(_LIST_NAME):
        _damaged(path, "no list of its parts")
    entries, at, parts = file.read(data_length), 0, {}
    while (end := entries.find(b"!", at)) >= 0 and end + 17 <= len(entries):
        name = entries[at:end]
        if name + b"!" != _LIST_PLACE:
            parts[name] = struct.unpack_from("<QQ", entries, end + 1)
        at = end + 17
    return parts


def _lies_within(file: BinaryIO, offset: int, length: int) -> bool:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(_MARK):
        return False
    _, name, data = _HEAD.unpack(head)
    return offset + _HEAD.size + name + data <= length


def _damaged(path: Path, found: str) -> None:
    raise InputError(f"{path}: damaged or truncated, found {found}, expected a whole ND2 file")

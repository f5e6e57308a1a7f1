"""What a TIFF file claims to hold, against what its bytes can: before anything is reserved for it."""

import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.memory import DEFLATE_RATIO, check_claim, check_memory

# What compressions make of a byte at most, by their number in the file: none (packed bits become bytes), LZW (a code of
# 12 bits for a string of 4096), PackBits (128 of 2), Deflate. The others are not bound in principle.
_RATIOS = {1: 8, 5: 2731, 32773: 64, 8: DEFLATE_RATIO, 32946: DEFLATE_RATIO, 50013: DEFLATE_RATIO}
_LARGEST_RATIO = 2**16
# Pages of one file, and planes that its metadata may name: far more than there are in any.
_MOST_PAGES = 2**22
_JPEG, _JPEG_2000, _PNG = {6, 7, 33007, 34892}, {33003, 33004, 33005, 34712}, {34933}


def check_chain(path: Path) -> None:
    """Refuse a file whose directories of pages lead back to an earlier one.

    Raises:
        InputError: they do, or there are millions.
    """
    seen: set[int] = set()
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        # Formats of the number of tags and of an offset, and the bytes of a tag.
        count, place, tag = ("Q", "Q", 20) if big else ("H", "I", 12)
        (offset,) = struct.unpack(order + place, head[8:16] if big else head[4:8])
        while offset:
            expect(offset not in seen, path, f"pages that lead back to byte {offset}", "a TIFF whose pages end")
            seen.add(offset)
            expect(len(seen) <= _MOST_PAGES, path, f"more than {_MOST_PAGES} pages", "fewer")
            try:
                file.seek(offset)
                (tags,) = struct.unpack(order + count, file.read(struct.calcsize(order + count)))
                file.seek(offset + struct.calcsize(order + count) + tags * tag)
                (offset,) = struct.unpack(order + place, file.read(struct.calcsize(order + place)))
            # The end of a damaged file, of which tifffile tells.
            except (struct.error, OSError, ValueError):
                return


def check_ome(path: Path, xml: str | None, page: Any) -> None:
    """Refuse OME metadata that name more planes than any file holds.

    Args:
        path: the file.
        xml: its metadata.
        page: the first page.

    Raises:
        InputError: they do.
    """
    try:
        root = ElementTree.fromstring(xml or "")
    except (ElementTree.ParseError, ValueError):
        # As tifffile finds it, too.
        return
    size = max(1, page.imagewidth * page.imagelength)
    for pixels in root.iterfind("{*}Image/{*}Pixels"):
        sizes = [_number(pixels.get(f"Size{axis}")) for axis in "XYZCT"]
        planes = [_number(one.get(name)) for one in pixels.iterfind("{*}TiffData") for name in _COUNTS]
        claimed = 1
        for number in sizes:
            claimed *= max(1, number)
        most = max(claimed // size, *planes, 0) if planes else claimed // size
        expect(most <= _MOST_PAGES, path, f"{most} planes in its OME metadata", f"at most {_MOST_PAGES}")


_COUNTS = ("PlaneCount", "NumPlanes", "IFD")


def _number(text: str | None) -> int:
    # Longer ones Python itself refuses to read.
    return int(text[:20]) if text is not None and text.strip().isascii() and text.strip().isdigit() else 0


def check_segments(path: Path, keyframe: Any, nbytes: np.ndarray, counts: np.ndarray) -> None:
    """Refuse pages whose tiles or strips cannot hold the pixels that they claim, or that memory cannot.

    Args:
        path: the file.
        keyframe: tifffile's first page of them.
        nbytes: bytes of each tile or strip of a page, when it is decoded.
        counts: bytes that they have in the file, (page, segment); 0 for those without pixels.

    Raises:
        InputError: they cannot.
    """
    largest = int(nbytes.max(initial=0))
    ratio = _RATIOS.get(int(keyframe.compression), _LARGEST_RATIO)
    # Whoever claims least against most data is asked first; small ones pass.
    stored = np.where(counts > 0, counts, np.iinfo(np.int64).max).min(axis=0) if len(counts) else counts
    for index in np.flatnonzero(nbytes * 1.0 > ratio * stored.astype(float)):
        check_claim(path, int(nbytes[index]), int(stored[index]), ratio)
    # Encoded, decoded, and what is made of it.
    check_memory(path, 2 * largest, "parts")


def check_encoded(path: Path, compression: int, data: bytes, size: tuple[int, ...]) -> None:
    """Refuse the picture of a tile or strip that is larger than that: JPEG, JPEG 2000 and PNG tell their own size.

    Args:
        path: the file.
        compression: its number in the file.
        data: the encoded tile or strip.
        size: height and width that the file claims.

    Raises:
        InputError: it is larger.
    """
    found = None
    if compression in _JPEG:
        found = _jpeg_size(data)
    elif compression in _JPEG_2000:
        at = data.find(b"\xff\x51")
        found = struct.unpack(">II", data[at + 6 : at + 14])[::-1] if 0 <= at <= len(data) - 14 else None
    elif compression in _PNG and data[:4] == b"\x89PNG" and len(data) >= 24:
        found = struct.unpack(">II", data[16:24])[::-1]
    # Blocks of JPEG may reach beyond a strip.
    if found is not None and (found[0] > size[0] + 64 or found[1] > size[1] + 64):
        raise InputError(f"{path}: the TIFF file is damaged, found a picture of {found} in a part of {size}")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return height, width
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        at += 1 if marker == 0xFF else 2 + length
    return None

"""Members of .npz files: what they say that they hold, checked before anything is read."""

import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.memory import check_claim, check_memory

# NumPy itself takes no longer one.
_LONGEST_HEADER = 10_000
# Of members that are not deflated; no data of pixels come near it.
_RATIO = 50_000


class Member(NamedTuple):
    """Shape and dtype of an array of a .npz file."""

    shape: tuple[int, ...]
    dtype: np.dtype


@contextmanager
def npz_faults(path: str | Path) -> Iterator[None]:
    """Turn whatever a damaged .npz file leads zipfile and NumPy to into an `InputError` of one line."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{path}: not a readable .npz file ({one_line(error)})") from error


def npz_members(path: Path, names: tuple[str, ...]) -> dict[str, Member]:
    """Shape and dtype of those of the named arrays that a .npz file has, without reading them.

    Args:
        path: the file.
        names: of arrays, as ``numpy.savez`` takes them.

    Returns:
        The arrays that are there, by name.

    Raises:
        InputError: the file is damaged, encrypted or of an unknown compression; an array is there twice, holds objects,
            or claims more than its bytes or memory can hold.
    """
    with npz_faults(path), zipfile.ZipFile(path) as archive:
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name in names:
                expect(name not in entries, path, f"{name} twice", "each array once")
                entries[name] = entry
        members = {name: _member(path, archive, name, entry) for name, entry in entries.items()}
        check_memory(
            path, sum(math.prod(member.shape) * member.dtype.itemsize for member in members.values()), "arrays"
        )
        return members


def npz_names(path: Path) -> list[str]:
    """Names of all arrays of a .npz file, sorted. Raises `InputError` where it is damaged."""
    with npz_faults(path), zipfile.ZipFile(path) as archive:
        return sorted({name.removesuffix(".npy") for name in archive.namelist()})


def _member(path: Path, archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> Member:
    expect(not entry.flag_bits & 1, path, f"{name} encrypted", "it as NumPy writes it")
    with archive.open(entry) as file:
        length, member = _header(file)
    what = f"{name} of type {member.dtype!s:.60}"
    expect(not member.dtype.hasobject and member.dtype.names is None, path, what, "integers or floats")
    nbytes = math.prod(member.shape) * member.dtype.itemsize
    there = entry.file_size - length
    expect(nbytes == there, path, f"{there} bytes for {name} of shape {member.shape}", f"{nbytes}")
    deflated = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    stored = min(entry.compress_size, path.stat().st_size)
    check_claim(path, nbytes, stored, *(() if deflated else (_RATIO,)), what=f"{name}")
    return member


def _header(file: Any) -> tuple[int, Member]:
    """Bytes of the header of a .npy file, and what it says."""
    magic = file.read(8)
    known = magic[:6] == b"\x93NUMPY" and magic[6:] in (b"\x01\x00", b"\x02\x00", b"\x03\x00")
    if not known:
        raise ValueError("an array does not begin as those of NumPy")
    width = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(width, file.read(struct.calcsize(width)))
    if length > _LONGEST_HEADER:
        raise ValueError(f"an array has a header of {length} bytes")
    text = file.read(length)
    # Version 3 is version 2 in UTF-8, for names of fields; NumPy has no function for its header alone.
    content = BytesIO(struct.pack("<I", length) + text.decode("utf-8" if magic[6] == 3 else "latin1").encode("latin1"))
    shape, _, dtype = np.lib.format.read_array_header_2_0(content)
    if min(shape, default=0) < 0:
        raise ValueError(f"an array has the shape {shape}")
    return 8 + struct.calcsize(width) + length, Member(shape, dtype)

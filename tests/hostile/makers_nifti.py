"""Volumes of NIfTI and Analyze, written byte by byte: as scanners' programs write them, damaged, made to do harm."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from tests.hostile.damage import content, damaged

# [k, j, i], which the file has with i the fastest.
PIXELS = np.random.default_rng(0).integers(0, 900, (7, 6, 5)).astype(np.int16)
BOMB = 60_000_000
_DIM, _TYPE, _PIXDIM, _OFFSET, _SLOPE, _UNITS, _MAGIC = 40, 70, 76, 108, 112, 123, 344


def header(order="<", magic=b"n+1\0", offset=352.0, shape=PIXELS.shape[::-1], code=4, bits=16):
    """348 bytes of NIfTI 1, or with no magic of Analyze."""
    data = bytearray(348)
    struct.pack_into(f"{order}i", data, 0, 348)
    dims = [len(shape), *shape, *[1] * (7 - len(shape))]
    struct.pack_into(f"{order}8h", data, _DIM, *dims)
    struct.pack_into(f"{order}2h", data, _TYPE, code, bits)
    struct.pack_into(f"{order}8f", data, _PIXDIM, 1, 1, 2, 3, 1, 1, 1, 1)
    struct.pack_into(f"{order}f", data, _OFFSET, offset)
    data[_MAGIC : _MAGIC + 4] = magic
    if not magic.strip(b"\0"):
        struct.pack_into(f"{order}i", data, 32, 16384)
        data[38:39] = b"r"
        # Where NIfTI has its slope Analyze has other things.
        struct.pack_into(f"{order}f", data, _SLOPE, 0)
    return data


def header_2(shape=PIXELS.shape[::-1], offset=544, order="<"):
    """540 bytes of NIfTI 2."""
    data = bytearray(540)
    struct.pack_into(f"{order}i8shh", data, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)
    struct.pack_into(f"{order}8q", data, 16, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(f"{order}8d", data, 104, 1, 1, 2, 3, 1, 1, 1, 1)
    struct.pack_into(f"{order}q", data, 168, offset)
    return data


def volume(name="a.nii", order="<", extension=b"\0\0\0\0", pixels=PIXELS, tail=b"", changes=(), **said):
    """A maker of one file; ``changes`` are (format, place, values) of the header."""

    def make(folder):
        data = header(order, **said)
        for form, place, *values in changes:
            struct.pack_into(order + form, data, place, *values)
        voxels = b"" if pixels is None else pixels.astype(f"{order}{pixels.dtype.str[1:]}").tobytes()
        whole = bytes(data) + extension + voxels + tail
        path = Path(folder) / name
        path.write_bytes(gzip.compress(whole, 1, mtime=0) if name.endswith(".gz") else whole)
        return path

    return make


def pair(order="<", pixels=PIXELS, matrix=None, voxels=True, **said):
    """A maker of a header with its voxels beside it."""

    def make(folder):
        path = Path(folder) / "a.hdr"
        path.write_bytes(header(order, **{"magic": bytes(4), "offset": 0, **said}))
        if voxels:
            path.with_suffix(".img").write_bytes(pixels.astype(f"{order}i2").tobytes())
        if matrix is not None:
            path.with_suffix(".mat").write_bytes(matrix)
        return path

    return make


def second(order="<", tail=b"", shape=PIXELS.shape[::-1], offset=544):
    """A maker of NIfTI 2."""

    def make(folder):
        path = Path(folder) / "a.nii"
        path.write_bytes(
            bytes(header_2(shape, offset, order)) + bytes(4) + PIXELS.astype(f"{order}i2").tobytes() + tail
        )
        return path

    return make


def compressed(change, name="a.nii.gz"):
    """A maker of a compressed volume, whose bytes ``change`` gives from those of the volume."""

    def make(folder):
        return content(name, change(volume()(folder).read_bytes()))(folder)

    return make


def _wrong_checksum(data):
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= 1
    return bytes(packed)


def _wrong_voxel(data):
    """A voxel that changed under its checksum: deflate's stored blocks have the bytes as they are."""
    packed = bytearray(gzip.compress(data, 0))
    packed[-30] ^= 64
    return bytes(packed)


def _gzip_of_zeros(data):
    return gzip.compress(data[:352], 1) + gzip.compress(bytes(10**6), 1) * 300


def _extension(size, code=4, text=b"text    "):
    return b"\1\0\0\0" + struct.pack("<2i", size, code) + text


CASES = [
    ("NIfTI", volume(), "right"),
    ("NIfTI, compressed", volume("a.nii.gz"), "right"),
    ("NIfTI in capitals", volume("A.NII"), "right"),
    ("NIfTI, big-endian", volume(order=">"), "right"),
    ("NIfTI 2", second(), "right"),
    ("NIfTI 2, big-endian", second(">"), "right"),
    ("NIfTI as a pair", pair(magic=b"ni1\0"), "right"),
    ("Analyze", pair(), "right"),
    ("Analyze, big-endian", pair(">"), "right"),
    ("one frame", volume(shape=(*PIXELS.shape[::-1], 1)), "right"),
    ("an extension", volume(extension=_extension(16), offset=368.0), "right"),
    ("bytes behind the voxels", volume("a.nii.gz", tail=bytes(1000)), "right"),
    ("several streams", compressed(lambda data: gzip.compress(data[:400]) + gzip.compress(data[400:])), "right"),
    ("floats", volume(pixels=PIXELS.astype(np.float32), code=16, bits=32), "right"),
    ("a unit that is not known", volume(changes=[("B", _UNITS, 255)]), "either"),
    ("voxels of size NaN", volume(changes=[("3f", _PIXDIM + 4, np.nan, np.inf, -1)]), "either"),
    ("a slope of NaN", volume(changes=[("2f", _SLOPE, np.nan, np.nan)]), "either"),
    ("a slope of infinity", volume(changes=[("2f", _SLOPE, np.inf, 0)]), "either"),
    ("a slope beyond floats", volume(changes=[("2f", _SLOPE, 3e38, 3e38)]), "refused"),
    # More than there is
    ("2 GB in 100 bytes", volume("a.nii.gz", shape=(1024, 1024, 1024), pixels=None), "refused"),
    ("2 GB in a file", volume(shape=(1024, 1024, 1024), pixels=None), "refused"),
    ("2 GB, as a pair", pair(shape=(1024, 1024, 1024)), "refused"),
    ("2^45 voxels", volume("a.nii.gz", shape=(32767, 32767, 32767)), "refused"),
    ("10^18 voxels", second(shape=(10**6, 10**6, 10**6)), "refused"),
    ("2^63 voxels", second(shape=(2**62, 2, 2)), "refused"),
    ("a bomb behind the voxels", compressed(_gzip_of_zeros), "refused"),
    ("voxels that begin at 1 GB", volume("a.nii.gz", offset=1e9), "refused"),
    ("voxels that begin in the header", volume(offset=100.0), "refused"),
    ("voxels that begin before the file", volume(offset=-1e6), "refused"),
    ("voxels that begin at NaN", volume(offset=np.nan), "refused"),
    ("voxels that begin at infinity", volume("a.nii.gz", offset=np.inf), "refused"),
    ("voxels that begin at 2^62", second(offset=2**62), "refused"),
    ("an extension of 2 GB", volume("a.nii.gz", extension=_extension(2**31 - 16), offset=4000.0), "refused"),
    ("an extension of no length", volume("a.nii.gz", extension=_extension(0), offset=368.0), "either"),
    ("an extension of negative length", volume("a.nii.gz", extension=_extension(-1600), offset=368.0), "refused"),
    # What is no volume
    ("a negative size", volume(shape=(5, -6, 7)), "refused"),
    ("a size of 0", volume(shape=(5, 0, 7)), "refused"),
    ("two frames", volume(shape=(*PIXELS.shape[::-1], 2), tail=PIXELS.tobytes()), "refused"),
    ("nine dimensions", volume(changes=[("h", _DIM, 9)]), "refused"),
    ("no dimensions", volume(changes=[("h", _DIM, 0)]), "refused"),
    ("a negative number of dimensions", volume(changes=[("h", _DIM, -3)]), "refused"),
    ("a row", volume(shape=(210,)), "either"),
    *[
        (f"type {code}", volume(code=code, bits=bits), "refused")
        for code, bits in ((0, 0), (1, 1), (32, 64), (128, 24), (999, 8))
    ],
    ("bits that do not fit the type", volume(bits=8), "either"),
    ("NaN", volume(pixels=np.full(PIXELS.shape, np.nan, np.float32), code=16, bits=32), "refused"),
    ("no magic", volume(magic=b"xxxx"), "refused"),
    ("Analyze in one file", volume(magic=bytes(4)), "refused"),
    ("the magic of a pair", volume(magic=b"ni1\0"), "refused"),
    ("no voxels beside the header", pair(voxels=False), "refused"),
    ("short voxels beside the header", pair(pixels=PIXELS[:-1]), "refused"),
    ("a matrix of text", pair(matrix=b"text" * 10, magic=bytes(4)), "either"),
    ("a matrix of 1 MB", pair(matrix=bytes(10**6)), "refused"),
    ("not compressed", content("a.nii.gz", b"text" * 100), "refused"),
    ("compressed, without the suffix", compressed(gzip.compress, "a.nii"), "refused"),
    ("compressed twice", compressed(lambda data: gzip.compress(gzip.compress(data))), "refused"),
    ("another format within", compressed(lambda data: gzip.compress(zlib.compress(data))), "refused"),
    ("another checksum", compressed(_wrong_checksum), "refused"),
    ("a voxel that changed under its checksum", compressed(_wrong_voxel), "refused"),
    ("no checksum", compressed(lambda data: gzip.compress(data)[:-8]), "refused"),
    ("an empty file", content("a.nii", b""), "refused"),
    ("an empty compressed file", content("a.nii.gz", b""), "refused"),
    ("a header alone", content("a.nii", lambda: bytes(header())), "refused"),
    ("half a header", content("a.nii", lambda: bytes(header()[:200])), "refused"),
    *damaged("NIfTI", volume(), 8, 5, 5),
    *damaged("compressed", volume("a.nii.gz"), 12, 6, 6),
    *damaged("Analyze", pair(), 8, 5, 4, "either"),
]

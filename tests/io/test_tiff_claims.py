"""TIFF files that claim more than they hold, or lead in circles: one line, before anything is reserved."""

import lzma
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image, read_image

BIG = 30_000
DEFLATE, LZW, JPEG, PACKBITS, ZSTD, LZMA, PNG, JPEG_2000 = 8, 5, 7, 32773, 50000, 34925, 34933, 34712
ZEROS = zlib.compress(bytes(2**28), 1)


def directory(tags, following=0):
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def write(path, data=bytes(24 * 24 * 2), width=24, height=24, following=0, **changes):
    """A TIFF of one strip; ``changes`` are of its tags, by their names."""
    names = {
        "bits": 258,
        "compression": 259,
        "offset": 273,
        "samples": 277,
        "rows": 278,
        "count": 279,
        "predictor": 317,
    }
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    tags |= {names[name]: value for name, value in changes.items()}
    at = 8 + len(data)
    path.write_bytes(b"II*\0" + struct.pack("<I", at) + data + directory(tags, at if following == "itself" else 0))
    return path


def tiled(path, side, compression, data):
    tags = {256: 24, 257: 24, 258: 16, 259: compression, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(data)}
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory(tags))
    return path


def refused(path, message, most=2**26):
    """Read it in both ways; each ends in one line, and holds little on the way."""
    tracemalloc.start()
    try:
        for read in (open_image, read_image):
            with pytest.raises(InputError, match=message) as error:
                image = read(path)
                image.array[tuple(slice(0, n) for n in image.array.shape)]
            assert "\n" not in str(error.value)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("predictor", [1, 2])
def test_a_strip_that_inflates_to_much_more_than_its_pixels(tmp_path, predictor):
    path = write(tmp_path / "a.tif", ZEROS, compression=DEFLATE, predictor=predictor)
    refused(path, r"a\.tif: damaged, pixels \[0:24, 0:24\] cannot be read")


@pytest.mark.parametrize(
    ("compression", "encode", "bits"),
    [
        (ZSTD, imagecodecs.zstd_encode, 16),
        (LZW, imagecodecs.lzw_encode, 16),
        (LZMA, lzma.compress, 16),
        (PACKBITS, lambda data: b"\x81\x00" * (len(data) // 128), 16),
        (JPEG, lambda data: imagecodecs.jpeg8_encode(np.frombuffer(data, np.uint8).reshape(2048, -1)), 8),
        (PNG, lambda data: imagecodecs.png_encode(np.frombuffer(data, np.uint8).reshape(2048, -1)), 8),
        (JPEG_2000, lambda data: imagecodecs.jpeg2k_encode(np.frombuffer(data, np.uint8).reshape(2048, -1)), 8),
    ],
    ids="zstd lzw lzma packbits jpeg png jpeg2000".split(),
)
def test_a_strip_that_decodes_to_more_than_its_pixels_holds_no_more(tmp_path, compression, encode, bits):
    path = write(tmp_path / "a.tif", encode(bytes(2**22)), compression=compression, bits=bits)
    tracemalloc.start()
    try:
        # What is decoded up to there are its pixels, for codecs that can stop.
        assert not read_image(path).array.any()
    except InputError as error:
        assert "damaged" in str(error) and "\n" not in str(error)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


@pytest.mark.parametrize("compression", [DEFLATE, LZW, ZSTD, LZMA, JPEG, PACKBITS])
@pytest.mark.parametrize("side", [BIG, 2**32 - 1])
def test_pixels_that_the_data_cannot_hold(tmp_path, compression, side):
    path = write(tmp_path / "a.tif", zlib.compress(bytes(1000)), side, side, compression=compression)
    refused(path, r"a\.tif: .*found pixels of .* in \d+ bytes of data, expected no more than they can hold")


@pytest.mark.parametrize("compression", [1, DEFLATE, ZSTD])
def test_tiles_that_the_data_cannot_hold(tmp_path, compression):
    refused(tiled(tmp_path / "a.tif", 2**20, compression, bytes(1000)), "expected no more than they can hold")


def test_uncompressed_pixels_beyond_the_file(tmp_path):
    refused(write(tmp_path / "a.tif", width=BIG, height=BIG), r"damaged or truncated \(\d+ bytes, its pixels end at")
    refused(write(tmp_path / "b.tif", offset=2**31), "damaged or truncated")
    refused(write(tmp_path / "c.tif", samples=65535), "damaged or truncated")


def test_what_is_larger_than_memory_is_refused_before_it_is_reserved(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9000, 9000), np.uint8), compression="zlib", tile=(256, 256))
    monkeypatch.setattr("aeanet_tf.memory.available_bytes", lambda: 70e6)
    with pytest.raises(InputError, match=r"a\.tif: found pixels of 81 MB, expected at most 56 MB, which memory holds"):
        read_image(path)
    # In parts it can be read.
    assert not open_image(path).array[8000:8500, 100:300].any()


@pytest.mark.parametrize("zero", [{"offset": 0}, {"offset": 0, "count": 0}, {"offset": 0, "compression": DEFLATE}])
def test_a_strip_without_a_place_has_no_pixels(tmp_path, zero):
    refused(write(tmp_path / "a.tif", **zero), "1 of its 1 planes is missing")


@pytest.mark.parametrize(
    "changes",
    [{"compression": 12345}, {"bits": 0}, {"bits": 128}, {"compression": DEFLATE, "data": b"garbage!" * 20}],
    ids=str,
)
def test_tags_that_lie(tmp_path, changes):
    refused(write(tmp_path / "a.tif", **changes), r"a\.tif: (not a readable TIFF image|damaged)")


def test_too_few_pixels_in_a_strip(tmp_path):
    refused(write(tmp_path / "a.tif", zlib.compress(bytes(500)), compression=DEFLATE), "damaged, pixels")


def chain(path, count, back_to=None, big=False):
    """Directories that follow each other, the last one leading back to that of a number."""
    order, place, entry = ("<Q", "<Q", "<HHQQ") if big else ("<H", "<I", "<HHII")
    tags = {256: 4, 257: 4, 258: 16, 259: 1, 262: 1, 273: 16, 277: 1, 278: 4, 279: 32}
    start, length = 48, struct.calcsize(order) + len(tags) * struct.calcsize(entry) + struct.calcsize(place)
    entries = b"".join(struct.pack(entry, tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = b"II+\0\x08\0\0\0" if big else b"II*\0"
    content = bytearray((head + struct.pack(place, start)).ljust(16, b"\0") + bytes(32))
    for number in range(count):
        last = 0 if back_to is None else start + back_to * length
        content += struct.pack(order, len(tags)) + entries
        content += struct.pack(place, last if number == count - 1 else start + (number + 1) * length)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("count", "back_to"), [(1, 0), (2, 0), (1000, 500)])
def test_pages_that_lead_in_a_circle(tmp_path, count, back_to, big):
    refused(chain(tmp_path / "a.tif", count, back_to, big), "found pages that lead back to byte")


def test_thousands_of_pages(tmp_path):
    image = read_image(chain(tmp_path / "a.tif", 5000), "TYX")
    assert image.array.shape == (5000, 4, 4)


@pytest.mark.parametrize(
    ("sizes", "places"),
    [
        ({"T": 10**9}, "<TiffData/>"),
        ({"T": 10**9, "Z": 10**9}, "<TiffData/>"),
        ({"X": 10**9, "Y": 10**9}, "<TiffData/>"),
        ({}, '<TiffData IFD="0" PlaneCount="1000000000"/>'),
        ({}, '<TiffData IFD="0" NumPlanes="1000000000"/>'),
        ({}, f'<TiffData IFD="0" PlaneCount="{"9" * 5000}"/>'),
        ({"T": "9" * 5000}, "<TiffData/>"),
    ],
    ids=range(7),
)
def test_ome_metadata_that_name_too_many_planes(tmp_path, sizes, places):
    size = "".join(f'Size{axis}="{n}" ' for axis, n in ({"X": 12, "Y": 10, "Z": 1, "C": 1, "T": 1} | sizes).items())
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {size}>{places}</Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((10, 12), np.uint16), description=xml, metadata=None)
    refused(tmp_path / "a.ome.tif", r"a\.ome\.tif: found \d+ planes in its OME metadata, expected at most 4194304")

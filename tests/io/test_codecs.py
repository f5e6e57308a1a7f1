"""Codecs give what was stored, and never more than a chunk has."""

import bz2
import gzip
import lzma
import zlib

import numcodecs
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.codecs import Codec, decode, lzf_size, make_codec, stored_at_most

VALUES = np.random.default_rng(0).integers(0, 1000, 600, dtype=np.uint16)
DATA = VALUES.tobytes()


@pytest.mark.parametrize("name", ["blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma", "crc32", "adler32"])
@pytest.mark.parametrize("with_delta", [False, True])
def test_what_numcodecs_encodes_is_decoded(name, with_delta):
    delta, encoder = numcodecs.Delta("<u2"), numcodecs.get_codec({"id": name})
    stored = encoder.encode(delta.encode(VALUES) if with_delta else DATA)
    codecs = [make_codec("delta", {"dtype": "<u2"}, "x", filters=True)] * with_delta + [make_codec(name, {}, "x")]
    assert bytes(memoryview(decode(codecs, bytes(stored), len(DATA))).cast("B")) == DATA


def test_streams_that_follow_each_other_are_one():
    for name, compress in (("gzip", gzip.compress), ("bz2", bz2.compress), ("lzma", lzma.compress)):
        assert Codec(name).decode(compress(DATA[:500]) + compress(DATA[500:]) + bytes(8), len(DATA)) == DATA


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_shuffled_bytes_go_back(width):
    encoded = numcodecs.Shuffle(width).encode(np.frombuffer(DATA, np.uint8))
    assert Codec("shuffle", (("elementsize", width),)).decode(bytes(encoded), len(DATA)) == DATA
    # As HDF5 does it, what is no whole number stays at the end.
    tail = Codec("shuffle", (("elementsize", width),)).decode(bytes(encoded) + b"x" * (width - 1), len(DATA) + 8)
    assert tail == DATA + b"x" * (width - 1)


@pytest.mark.parametrize("name", ["blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma"])
def test_a_byte_more_than_a_chunk_is_too_much(name):
    stored = bytes(numcodecs.get_codec({"id": name}).encode(DATA))
    assert decode([Codec(name)], stored, len(DATA)) == DATA
    with pytest.raises(ValueError, match=r"inflates to|expected"):
        decode([Codec(name)], stored, len(DATA) - 1)
    with pytest.raises((ValueError, RuntimeError)):
        decode([Codec(name)], stored, len(DATA) + 1)
    for cut in (0, 3, 10, len(stored) // 2, len(stored) - 1):
        with pytest.raises((ValueError, RuntimeError, EOFError, OSError, zlib.error, lzma.LZMAError)):
            decode([Codec(name)], stored[:cut], len(DATA))


def test_a_frame_of_zstandard_need_not_state_its_size():
    # RFC 8878: magic, no size and no checksum, a window of 2 MiB, one last block of raw bytes.
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + (len(DATA) << 3 | 1).to_bytes(3, "little") + DATA
    assert decode([Codec("zstd")], frame, len(DATA)) == DATA
    for wrong in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises((ValueError, RuntimeError)):
            decode([Codec("zstd")], frame, wrong)


def test_a_checksum_that_differs_is_noticed():
    # RFC 3720, appendix B.4: 32 bytes of zeros have the CRC 8A9136AA, in the order of the bytes aa 36 91 8a.
    assert Codec("crc32c").decode(bytes(32) + bytes.fromhex("aa36918a"), 32) == bytes(32)
    with pytest.raises(ValueError, match="another checksum"):
        Codec("crc32c").decode(bytes(32) + bytes.fromhex("aa36918b"), 32)


def test_sizes_of_lzf_are_those_of_its_runs():
    # A literal run of 3, a repetition of 5 (3 + 2), one of 9 + 200, by the description of liblzf's format.
    assert lzf_size(b"\x02abc" + bytes([3 << 5, 0]) + bytes([7 << 5, 200, 0])) == 3 + 5 + 209
    with pytest.raises(ValueError, match="too early"):
        lzf_size(b"\x1fabc")


@pytest.mark.parametrize(
    ("name", "config", "found"),
    [
        ("pickle", {}, "the codec 'pickle'"),
        ("json2", {}, "the codec 'json2'"),
        ("delta", {"dtype": "<u2"}, "the codec 'delta'"),
        (None, {}, "the codec None"),
        (["zlib"], {}, r"the codec \['zlib'\]"),
    ],
)
def test_codecs_that_are_not_listed_are_named_and_refused(name, config, found):
    with pytest.raises(InputError, match=rf"^a\.zarr: found {found}, expected one of blosc, zstd, .*fletcher32"):
        make_codec(name, config, "a.zarr")


@pytest.mark.parametrize("dtype", ["O", "|O", "<U5", "<M8[s]", "<c8", 5, None, [["a", "<u2"]]])
def test_filters_work_on_numbers_alone(dtype):
    with pytest.raises(InputError, match=r"^a\.zarr: found "):
        make_codec("delta", {"dtype": dtype}, "a.zarr", filters=True)


def test_what_does_not_compress_may_take_more_than_it_is():
    noise = np.random.default_rng(0).bytes(10_000)
    for name in ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma"):
        assert len(numcodecs.get_codec({"id": name}).encode(noise)) < stored_at_most([Codec(name)], len(noise))

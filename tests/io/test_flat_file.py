"""Regions of an array in a file: NumPy's, whatever lies together."""

import io
import os

import numpy as np
import pytest

from aeanet_tf.io import flat_file
from aeanet_tf.io.flat_file import read_region, reserve, write_region

ARRAY = np.arange(4 * 5 * 6 * 3, dtype=">i2").reshape(4, 5, 6, 3)
REGIONS = [
    np.s_[0:4, 0:5, 0:6, 0:3],
    np.s_[1:3, 0:5, 0:6, 0:3],
    np.s_[1:3, 2:4, 0:6, 0:3],
    np.s_[0:4, 1:5, 2:3, 0:3],
    np.s_[3:4, 4:5, 5:6, 1:3],
]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a").write_bytes(b"header!" + ARRAY.tobytes())
    return tmp_path / "a"


@pytest.mark.parametrize("region", REGIONS)
def test_regions_are_those_of_the_array(path, region):
    found = read_region(path, 7, ARRAY.dtype, ARRAY.shape, region)
    np.testing.assert_array_equal(found, ARRAY[region])
    write_region(path, 7, ARRAY.shape, region, (-found).astype(ARRAY.dtype))
    expected = ARRAY.copy()
    expected[region] *= -1
    assert path.read_bytes() == b"header!" + expected.tobytes()


def test_a_file_that_ends_early_is_noticed(path):
    os.truncate(path, 300)
    with pytest.raises(EOFError, match="ends before"):
        read_region(path, 7, ARRAY.dtype, ARRAY.shape, REGIONS[0])
    assert read_region(path, 7, ARRAY.dtype, ARRAY.shape, np.s_[0:1, 0:5, 0:6, 0:3]).shape == (1, 5, 6, 3)


class Hesitant(io.BytesIO):
    """Takes and gives three bytes at a time, as a pipe or a network may."""

    def write(self, data):
        return super().write(bytes(data)[:3])

    def readinto(self, data):
        return super().readinto(memoryview(data)[:3])


def test_short_reads_and_writes_are_continued():
    file, values = Hesitant(bytes(20)), np.arange(8, dtype="uint8")
    flat_file._write_at(file, memoryview(values), 5)
    assert file.getvalue() == bytes(5) + values.tobytes() + bytes(7)
    flat_file._read_at(file, memoryview(found := np.empty_like(values)), 5)
    np.testing.assert_array_equal(found, values)


def test_reserved_space_is_there(tmp_path):
    (tmp_path / "a").touch()
    reserve(tmp_path / "a", 100_000)
    assert (tmp_path / "a").stat().st_size == 100_000
    if hasattr(os, "posix_fallocate"):
        assert (tmp_path / "a").stat().st_blocks * 512 >= 100_000

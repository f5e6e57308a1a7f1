"""Datasets of HDF5 files are read in parts, out of their own file, and what is not stored is told."""

import h5py
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.hdf5 import open_hdf5

VALUES = np.random.default_rng(0).integers(0, 60000, (6, 20, 31), dtype=np.uint16)
PARTS = [np.s_[0:6, 0:20, 0:31], np.s_[1:2, 3:17, 30:31], np.s_[3:5, 8:9, 0:16]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (4, 8, 16)},
        {"compression": "gzip", "chunks": (4, 8, 16), "shuffle": True, "fletcher32": True},
        {"compression": "lzf", "chunks": (4, 8, 16), "shuffle": True},
        {"compression": "lzf", "chunks": (4, 8, 16), "fletcher32": True},
    ],
)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", ">f8"])
def test_parts_are_those_that_were_written(tmp_path, options, dtype):
    # Smooth, so that it compresses.
    values = (VALUES // 1000).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a/b", data=values, **options).attrs["resolution"] = [40.0, 4, 4]
    dataset, resolution = open_hdf5(tmp_path / "a.h5", "a/b")
    assert (dataset.shape, dataset.dtype) == (values.shape, np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(resolution, [40, 4, 4])
    for part in PARTS:
        found = dataset.read(part)
        assert found.dtype == dataset.dtype
        np.testing.assert_array_equal(found, values[part])


def test_chunks_that_no_filter_made_smaller_are_as_they_are(tmp_path):
    # HDF5 leaves a filter out, chunk by chunk, where it would not help.
    values = np.random.default_rng(0).integers(0, 2**16, (4, 64, 64), dtype=np.uint16)
    values[2:] = 7
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=values, chunks=(1, 64, 64), compression="lzf")
        assert {dataset.id.get_chunk_info(index).filter_mask for index in range(4)} == {0, 1}
    np.testing.assert_array_equal(open_hdf5(tmp_path / "a.h5", "a")[0].read(np.s_[0:4, 0:64, 0:64]), values)


@pytest.mark.parametrize(("chunks", "stored"), [((2, 20, 31), "2 of 3"), (None, "1 of 1")])
def test_what_is_not_stored_is_the_fill_value_and_counted(tmp_path, caplog, chunks, stored):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", VALUES.shape, VALUES.dtype, chunks=chunks, fillvalue=9)
        if chunks:
            dataset[2:4] = VALUES[2:4]
    expected = np.full_like(VALUES, 9)
    if chunks:
        expected[2:4] = VALUES[2:4]
    found = [open_hdf5(tmp_path / "a.h5", "a")[0].read(PARTS[0]) for _ in range(2)]
    np.testing.assert_array_equal(found, [expected, expected])
    told = f"{tmp_path / 'a.h5'}: {stored} chunks are not stored; they are read as 9, the fill value"
    assert [record.getMessage() for record in caplog.records] == [told]


def test_what_is_refused_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("b.h5", "x")
        file["circle"] = h5py.SoftLink("/circle")
        file.create_dataset("scaled", data=VALUES, chunks=(2, 8, 16), scaleoffset=16)
    for name, message in {
        "link": "found 'link' in another file, expected a dataset of this file",
        "circle": "found links in a circle at 'circle', expected a dataset behind them",
        "scaled": r"found the filter 6 \(scaleoffset\), expected gzip, lzf, szip or shuffle",
        "none": "no dataset 'none' in it, expected one of: scaled",
    }.items():
        with pytest.raises(InputError, match=rf"a\.h5: {message}$"):
            open_hdf5(tmp_path / "a.h5", name)

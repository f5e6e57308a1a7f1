"""Files of every format, damaged and hostile ones too, are read right or refused in one line, in bounds."""

import resource
import sys
import time
import tracemalloc

import numpy as np
import pytest

from aeanet_tf.datasets.pairs import read_npz
from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.sections.stack import open_stack
from tests.hostile import makers_hdf5, makers_nifti, makers_npz, makers_pictures, makers_zarr

SECONDS, BYTES, RESIDENT = 5, 40e6, 300e6
SCALE = 1 if sys.platform == "darwin" else 1024


def whole(path):
    return read_image(path).array


def piecewise(path):
    array = open_image(path).array
    first = [slice(0, max(1, size // 2)) for size in array.shape]
    rest = [slice(part.stop, size) for part, size in zip(first, array.shape, strict=True)]
    out = np.empty(array.shape, array.dtype)
    for index in np.ndindex(*(2,) * array.ndim):
        part = tuple(rest[d] if second else first[d] for d, second in enumerate(index))
        out[part] = array[part]
    return out


def check(read, path, pixels, expected):
    """Read a case, and check what comes of it."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * SCALE
    tracemalloc.start()
    start = time.perf_counter()
    try:
        found = read(path)
    except InputError as error:
        message = str(error)
        assert expected != "right", message
        assert "\n" not in message and len(message) < 1500, message
    else:
        assert expected != "refused", f"read as {found!r:.80}"
        if expected == "right":
            np.testing.assert_equal(found, pixels)
    finally:
        seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * SCALE - resident < RESIDENT


def parameters(module):
    names = [name for name, _, _ in module.CASES]
    assert len(set(names)) == len(names) >= 25, sorted(name for name in names if names.count(name) > 1)
    return pytest.mark.parametrize(("make", "expected"), [case[1:] for case in module.CASES], ids=names)


@parameters(makers_zarr)
def test_ome_zarr(tmp_path, make, expected):
    path = make(tmp_path)
    for read in (whole, piecewise):
        check(read, path, makers_zarr.PIXELS, expected)
    assert not (tmp_path / makers_zarr.MARK).exists()


def slices(path):
    stack = open_stack(path)
    return np.stack([stack.read(index) for index in range(len(stack))])


@parameters(makers_hdf5)
def test_hdf5(tmp_path, make, expected):
    check(slices, make(tmp_path), makers_hdf5.PIXELS, expected)


def patches(path):
    training, validation, axes = read_npz(path, 0.2)
    assert axes == "SYXC"
    return np.moveaxis(np.concatenate([training[0], validation[0]]), -1, 1)


@parameters(makers_npz)
def test_npz(tmp_path, make, expected):
    check(patches, make(tmp_path), makers_npz.PIXELS, expected)
    assert not (tmp_path / makers_npz.MARK).exists()


@parameters(makers_nifti)
def test_nifti(tmp_path, make, expected):
    path = make(tmp_path)
    for read in (whole, piecewise):
        check(read, path, makers_nifti.PIXELS, expected)


@parameters(makers_pictures)
def test_pictures(tmp_path, make, expected):
    path = make(tmp_path)
    for read in (whole, piecewise):
        check(read, path, makers_pictures.PIXELS, expected)
    assert not (tmp_path / makers_pictures.MARK).exists()

"""What is written in parts, in any order and by any process, is the image written whole, or one clear error."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import tifffile
import zarr

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget, as_dtype

SIZES = {"T": 3, "Z": 5, "C": 2, "Y": 33, "X": 41}
PIXELS = {"Z": 2.0, "Y": 0.25, "X": 0.125}
NAMES = ["a.tif", "a.zarr"]


def numbered(axes):
    shape = tuple(SIZES[axis] for axis in axes)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 0.5


def blocks(shape, sizes):
    counts = [-(-size // part) for size, part in zip(shape, sizes, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple(slice(i * p, min((i + 1) * p, n)) for i, p, n in zip(index, sizes, shape, strict=True))


def fill(target, values, sizes):
    for part in blocks(values.shape, sizes):
        target.write(part, values[part])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axes", ["YX", "XY", "YXC", "ZYX", "TZYX", "TZCYX", "XYCZT"])
def test_parts_make_the_whole_image_in_the_order_of_the_format(tmp_path, name, axes):
    values = numbered(axes)
    size = {axis: step for axis, step in PIXELS.items() if axis in axes}
    target = ImageTarget.create(tmp_path / name, values.shape, axes, size, "um")
    assert (target.axes, target.shape, target.path) == (axes, values.shape, tmp_path / name)
    fill(target, values, [{"Y": 16, "X": 41, "Z": 2}.get(axis, 1) for axis in axes])
    assert not (tmp_path / name).exists()
    target.finish()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    order = "".join(axis for axis in ("TZCYX" if name == "a.tif" else "TCZYX") if axis in axes)
    expected = np.einsum(f"{axes.lower()}->{order.lower()}", values)
    image = read_image(tmp_path / name)
    assert (image.axes, image.array.dtype, image.unit) == (order, np.float32, "um")
    assert image.pixel_size == pytest.approx(size)
    np.testing.assert_array_equal(image.array, expected)
    if name == "a.tif":
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), expected)
    else:
        np.testing.assert_array_equal(zarr.open_array(str(tmp_path / name / "0"), mode="r")[...], expected)


def test_a_tif_is_the_file_that_write_image_writes(tmp_path):
    values = numbered("TZCYX")
    write_image(tmp_path / "whole.tif", values, "TZCYX", PIXELS | {"T": 3.0}, "um")
    target = ImageTarget.create(tmp_path / "parts.tif", values.shape, "TZCYX", PIXELS | {"T": 3.0}, "um")
    fill(target, values, (2, 2, 2, 10, 7))
    target.finish()
    assert (tmp_path / "parts.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize(("unit", "read"), [("µm", "um"), ("Å", "Å"), ("nm", "nm")])
def test_units_beyond_ascii_come_back(tmp_path, unit, read):
    write_image(tmp_path / "whole.tif", np.zeros((8, 9)), "YX", {"X": 2.0}, unit)
    for name in NAMES:
        ImageTarget.create(tmp_path / name, (8, 9), "YX", {"X": 2.0}, unit).finish()
    for path in tmp_path.iterdir():
        image = read_image(path)
        assert image.unit == read and image.pixel_size["X"] == 2.0


def test_chunks_are_the_given_ones_in_the_order_of_the_axes(tmp_path):
    target = ImageTarget.create(tmp_path / "a.zarr", (700, 600, 100, 3), "XYZC")
    assert target.chunks == (256, 256, 64, 1)
    target = ImageTarget.create(tmp_path / "a.zarr", (33, 41, 5, 2), "YXZC", chunks=(16, 64, 2, 2))
    assert target.chunks == (16, 41, 2, 2)
    assert zarr.open_array(str(tmp_path / ".partial-a.zarr" / "0"), mode="r").chunks == (2, 2, 16, 41)
    assert ImageTarget.create(tmp_path / "a.tif", (33, 41), "YX", chunks=(8, 8)).chunks is None


def write_half(target, values, half):
    target.write((slice(0, 5), slice(half * 20, half * 20 + 20), slice(0, 41)), values)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_write_at_once(tmp_path, name):
    values = np.random.default_rng(0).random((5, 40, 41), np.float32)
    target = ImageTarget.create(tmp_path / name, values.shape, "ZYX", chunks=(5, 20, 41))
    target.write((slice(0, 1), slice(0, 1), slice(0, 1)), np.ones((1, 1, 1)))
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        halves = [values[:, :20], values[:, 20:]]
        list(pool.map(write_half, [pickle.loads(pickle.dumps(target)), target], halves, [0, 1]))
    target.finish()
    np.testing.assert_array_equal(read_image(tmp_path / name).array, values)


TYPES = [("a.tif", dtype) for dtype in ("uint8", "uint16", "int16", "float32")]
TYPES += [("a.zarr", dtype) for dtype in ("bool", "int8", "uint16", ">i4", "uint64", "float16", "float64")]


@pytest.mark.parametrize(("name", "dtype"), TYPES)
def test_pixels_keep_their_dtype(tmp_path, name, dtype):
    whole = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 120, (3, 33, 41)).astype(dtype)
    target = ImageTarget.create(tmp_path / name, whole.shape, "ZYX", PIXELS, "um", (1, 16, 64), dtype=dtype)
    assert target.dtype == np.dtype(dtype).newbyteorder("=")
    # as after a kill: begun again with this dtype only
    others = {"uint8", "float32"} - {target.dtype.name}
    assert all(
        ImageTarget.reopen(target.path, whole.shape, "ZYX", PIXELS, "um", (1, 16, 64), dtype=d) is None for d in others
    )
    target = ImageTarget.reopen(target.path, whole.shape, "ZYX", PIXELS, "um", (1, 16, 64), dtype=dtype)
    fill(target, whole[1:], (1, 10, 41))
    target.finish()
    image = read_image(tmp_path / name)
    assert image.array.dtype == target.dtype and image.pixel_size == pytest.approx(PIXELS)
    np.testing.assert_array_equal(image.array, np.concatenate([whole[1:], 0 * whole[:1]]))
    if name == "a.tif":
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.is_imagej and tif.pages[0].dtype == target.dtype and len(tif.series) == 1


def test_an_integer_tif_is_the_file_that_write_image_writes(tmp_path):
    values = np.random.default_rng(0).integers(0, 999, (4, 33, 41)).astype(np.uint16)
    write_image(tmp_path / "whole.tif", values, "ZYX", PIXELS, "um")
    target = ImageTarget.create(tmp_path / "parts.tif", values.shape, "ZYX", PIXELS, "um", dtype="uint16")
    fill(target, values, (1, 10, 41))
    target.finish()
    assert (tmp_path / "parts.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [-3.0, 0.5, 1.5, 254.6, 1e9, np.inf], [0, 0, 2, 255, 255, 255]),
        ("int16", [-4e4, -1.5, 4e4], [-32768, -2, 32767]),
        ("uint8", np.array([-300, 7, 300], np.int16), [0, 7, 255]),
        ("int8", np.array([0, 200], np.uint8), [0, 127]),
        ("bool", [-1.0, 0.4, 0.6, 7.0], [False, False, True, True]),
        ("uint8", [False, True], [0, 1]),
        ("uint64", [-1.0, 1e30], [0, 2**64 - 2048]),
        ("int64", [-1e30, 1e30], [-(2**63), 2**63 - 1024]),
        ("uint64", np.array([2**64 - 1], np.uint64), [2**64 - 1]),
        ("float32", np.array([0.1]), [np.float32(0.1)]),
    ],
)
def test_values_are_rounded_and_clipped_to_integers(dtype, values, expected):
    found = as_dtype(values, dtype)
    assert found.dtype == dtype and found.tolist() == np.array(expected, dtype).tolist()


def test_no_integer_is_nan(tmp_path):
    target = ImageTarget.create(tmp_path / "a.tif", (1, 2), "YX", dtype="uint8")
    with pytest.raises(ValueError, match="NaN, which no uint8 is"):
        target.write(np.s_[0:1, 0:2], [[np.nan, 1]])


KILLED = """
import os, signal, sys
import numpy as np
from aeanet_tf.io.write import ImageTarget
target = ImageTarget.create(sys.argv[1], (5, 33, 41), "ZYX", {"X": 0.3}, "um", (1, 33, 41))
target.write((slice(0, 3), slice(0, 33), slice(0, 41)), np.full((3, 33, 41), 7))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", NAMES)
def test_what_a_killed_run_wrote_is_taken_up(tmp_path, name):
    arguments = {"axes": "ZYX", "pixel_size": {"X": 0.3}, "unit": "um", "chunks": (1, 33, 41)}
    assert ImageTarget.reopen(tmp_path / name, (5, 33, 41), **arguments) is None
    run = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name])
    assert run.returncode == -signal.SIGKILL and not (tmp_path / name).exists()
    others = [{"shape": (5, 41, 33)}, {"axes": "TYX"}, {"pixel_size": {"X": 0.31}}, {"pixel_size": None}]
    others += [{"unit": "nm"}] + [{"chunks": (2, 33, 41)}] * (name == "a.zarr")
    for other in others:
        assert ImageTarget.reopen(tmp_path / name, **({"shape": (5, 33, 41)} | arguments | other)) is None
    target = ImageTarget.reopen(tmp_path / name, (5, 33, 41), **arguments)
    target.write(np.s_[3:5, 0:33, 0:41], np.full((2, 33, 41), 9))
    target.finish()
    image = read_image(tmp_path / name)
    assert (image.array[:3] == 7).all() and (image.array[3:] == 9).all()
    assert ImageTarget.reopen(tmp_path / name, (5, 33, 41), **arguments) is None


@pytest.mark.parametrize("size", [None, {}, {"Z": 2.0}, {"Y": 0.3}, {"T": 2.0}, PIXELS, {"X": 1e-4, "Z": 1e5}])
@pytest.mark.parametrize("unit", ["um", "µm", "Å", "pixel", None])
def test_a_partial_image_is_recognised_whatever_its_calibration(tmp_path, size, unit):
    if not unit and set(size or {}) & set("ZYX"):
        return
    for name in NAMES:
        ImageTarget.create(tmp_path / name, (3, 1, 8, 9), "TZYX", size, unit)
        assert ImageTarget.reopen(tmp_path / name, (3, 1, 8, 9), "TZYX", size, unit) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_partial_image_is_begun_anew(tmp_path, name):
    ImageTarget.create(tmp_path / name, (5, 33, 41), "ZYX")
    partial = tmp_path / f".partial-{name}"
    damaged = partial if partial.is_file() else partial / "0" / ".zarray"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert ImageTarget.reopen(tmp_path / name, (5, 33, 41), "ZYX") is None
    target = ImageTarget.create(tmp_path / name, (5, 33, 41), "ZYX")
    target.write(np.s_[4:5, 0:1, 0:1], np.ones((1, 1, 1)))
    target.finish()
    assert read_image(tmp_path / name).array.sum() == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_image_stays_until_the_new_one_is_finished(tmp_path, name):
    for value in (1, 2):
        target = ImageTarget.create(tmp_path / name, (8, 9), "YX")
        target.write(np.s_[0:8, 0:9], np.full((8, 9), value))
        assert value == 1 or (read_image(tmp_path / name).array == 1).all()
        target.finish()
    assert (read_image(tmp_path / name).array == 2).all()
    ImageTarget.create(tmp_path / name, (8, 9), "YX").discard()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (read_image(tmp_path / name).array == 2).all()


def test_a_tif_beyond_4_gib_has_one_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: None, raising=False)
    target = ImageTarget.create(tmp_path / "a.tif", (1100, 1024, 1024), "ZYX", PIXELS, "um")
    if (tmp_path / ".partial-a.tif").stat().st_blocks * 512 > 2**28:
        target.discard()
        pytest.skip("the file system keeps no sparse files")
    values = np.random.default_rng(0).random((2, 30, 40), np.float32)
    part = np.s_[1098:1100, 900:930, 984:1024]
    assert ImageTarget.reopen(tmp_path / "a.tif", (1100, 1024, 1024), "ZYX", PIXELS, "um") is not None
    target.write(part, values)
    target.finish()
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_imagej and not tif.is_bigtiff and len(tif.pages) == 1
    np.testing.assert_array_equal(tifffile.memmap(tmp_path / "a.tif", mode="r")[part], values)
    image = open_image(tmp_path / "a.tif")
    assert image.axes == "ZYX" and image.pixel_size == pytest.approx(PIXELS)
    np.testing.assert_array_equal(image.array[part], values)
    assert not image.array[1097:1098, 900:930, 984:1024].any()


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    message = r"a\.tif: cannot be written \(No space left on device\)$"
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(WriteError, match=message):
            ImageTarget.create(tmp_path / "a.tif", (8, 9), "YX")
    assert list(tmp_path.iterdir()) == []
    target = ImageTarget.create(tmp_path / "a.tif", (8, 9), "YX")
    with monkeypatch.context() as patch:
        patch.setattr("aeanet_tf.io.write_formats.write_region", full)
        with pytest.raises(WriteError, match=message):
            target.write(np.s_[0:8, 0:9], np.ones((8, 9)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match=message):
            target.finish()
    # what is written stays, for a later attempt
    target.finish()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_that_reserve_nothing_are_written_too(tmp_path, monkeypatch, number):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refused, raising=False)
    ImageTarget.create(tmp_path / "a.tif", (8, 9), "YX").finish()
    assert read_image(tmp_path / "a.tif").array.shape == (8, 9)


def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if not sys.platform.startswith("linux") or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        with pytest.raises(InputError, match=r"a\.tif: cannot be written \(No space left on device\)$"):
            ImageTarget.create(disk / "a.tif", (1024, 1024), "YX")
        assert list(disk.iterdir()) == []
        target = ImageTarget.create(disk / "a.zarr", (1024, 1024), "YX")
        with pytest.raises(InputError, match=r"a\.zarr: cannot be written \(No space left on device\)$"):
            for part in blocks((1024, 1024), (256, 256)):
                target.write(part, np.random.default_rng(0).random((256, 256)))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "a.png"}, r"a\.png: .*ending in \.tif, \.tiff or \.zarr"),
        ({"axes": "ZYX"}, "axes ZYX do not fit"),
        ({"axes": "YQ"}, "axes: found 'YQ'"),
        ({"shape": (8, 0)}, "empty"),
        ({"pixel_size": {"X": 0.1}}, "without a unit"),
        ({"pixel_size": {"X": -0.1}, "unit": "um"}, "positive number"),
        ({"dtype": "int32"}, r"a\.tif: found pixels of type int32, .* uint8, uint16, int16, float32, .* \.zarr"),
        ({"dtype": "float64"}, "pixels of type float64"),
        ({"dtype": bool}, "pixels of type bool"),
        ({"path": "a.zarr", "dtype": "complex64"}, r"a\.zarr: found pixels of type complex64"),
        ({"path": "a.zarr", "chunks": (8,)}, r"chunks \(8,\), expected a positive number for each of YX"),
        ({"path": "a.zarr", "chunks": (8, 0)}, r"chunks \(8, 0\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path, arguments, message):
    arguments = {"path": "a.tif", "shape": (8, 9), "axes": "YX"} | arguments
    for make in (ImageTarget.create, ImageTarget.reopen):
        with pytest.raises(InputError, match=message):
            make(**(arguments | {"path": tmp_path / arguments["path"]}))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "precious").write_text("x")
    (tmp_path / "file.zarr").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    for name, message in {
        "file/a.tif": r"file/a\.tif: cannot be written \(.+\)$",
        "file/a.zarr": r"file/a\.zarr: cannot be written \(.+\)$",
        "folder.tif": r"folder\.tif: found a folder, expected the name of a file",
        "other.zarr": r"other\.zarr: found what is no zarr",
        "file.zarr": r"file\.zarr: found what is no zarr",
    }.items():
        with pytest.raises(InputError, match=message):
            ImageTarget.create(tmp_path / name, (8, 9), "YX")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", NAMES)
def test_regions_that_do_not_fit_are_refused(tmp_path, name):
    target = ImageTarget.create(tmp_path / name, (8, 9), "YX")
    for part in [np.s_[0:9, 0:9], np.s_[0:8:2, 0:9], np.s_[-8:8, 0:9], (slice(0, 8),), np.s_[5:2, 0:9]]:
        with pytest.raises(ValueError, match="slices"):
            target.write(part, np.zeros((8, 9)))
    with pytest.raises(ValueError, match="values"):
        target.write(np.s_[0:8, 0:9], np.zeros((9, 8)))

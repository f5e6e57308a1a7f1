"""Parts of images left on disk are those of the image read whole, and cost what the part costs."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from aeanet_tf.errors import InputError
from aeanet_tf.io import tiff
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 60000, (3, 5, 2, 70, 90), dtype=np.uint16)
RGB = RANDOM.integers(0, 255, (4, 70, 90, 3), dtype=np.uint8)
TILES = {"tile": (32, 48), "compression": "zlib"}

WRITERS = {
    "imagej.tif": (STACK, {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "big_endian.tif": (STACK, {"byteorder": ">", "metadata": {"axes": "TZCYX"}}),
    "floats.tif": (STACK.astype(np.float32), {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "single.tif": (STACK[0, 0, 0], {}),
    "named.ome.tif": (STACK, {"metadata": {"axes": "TZCYX"}}),
    "tiled.ome.tif": (STACK, {"metadata": {"axes": "TZCYX"}, **TILES}),
    "tiled.tif": (STACK, {"metadata": {"axes": "TZCYX"}, **TILES}),
    "predicted.tif": (STACK, {"metadata": {"axes": "TZCYX"}, **TILES, "predictor": True, "byteorder": ">"}),
    "uncompressed_tiles.tif": (STACK, {"metadata": {"axes": "TZCYX"}, "tile": (32, 48)}),
    "strips.tif": (STACK, {"metadata": {"axes": "TZCYX"}, "compression": "zlib", "rowsperstrip": 16}),
    "volume_tiles.tif": (STACK[:, :, 0], {"metadata": {"axes": "TZYX"}, "volumetric": True, "tile": (16, 32, 48)}),
    "single_tiled.tif": (STACK[0, 0, 0], TILES),
    "rgb.tif": (RGB, {"metadata": {"axes": "ZYXS"}, "photometric": "rgb", **TILES}),
    "planar.tif": (RGB.transpose(0, 3, 1, 2), {"metadata": {"axes": "ZSYX"}, "photometric": "rgb", **TILES}),
    "flat_rgb.tif": (RGB[0], {"photometric": "rgb"}),
    "one_plane.tif": (STACK[:1, :1, :1], {"metadata": {"axes": "TZCYX"}, **TILES}),
    "column.tif": (STACK[0, 0, 0, :, :1], {}),
}


def some_parts(shape, count=6):
    random = np.random.default_rng(1)
    yield tuple(slice(0, size) for size in shape)
    for _ in range(count):
        starts = [int(random.integers(0, size)) for size in shape]
        yield tuple(slice(a, int(random.integers(a + 1, n + 1))) for a, n in zip(starts, shape, strict=True))


def check_parts(array, whole):
    assert (array.shape, array.ndim, array.dtype) == (whole.shape, whole.ndim, whole.dtype.newbyteorder("="))
    assert len(array.chunks) == array.ndim and all(1 <= c <= n for c, n in zip(array.chunks, array.shape, strict=True))
    for part in some_parts(whole.shape):
        read = array[part]
        assert read.dtype == array.dtype and isinstance(read, np.ndarray) and not isinstance(read, np.memmap)
        np.testing.assert_array_equal(read, whole[part])


@pytest.mark.parametrize("name", WRITERS)
def test_parts_of_every_layout_are_those_of_tifffile(tmp_path, name):
    array, options = WRITERS[name]
    tifffile.imwrite(tmp_path / name, array, **options)
    image, whole = open_image(tmp_path / name), read_image(tmp_path / name)
    assert isinstance(image.array.source, tiff.FlatTiff | tiff.PagedTiff)
    assert (image.axes, image.pixel_size, image.unit) == (whole.axes, whole.pixel_size, whole.unit)
    check_parts(image.array, tifffile.imread(tmp_path / name).reshape(whole.array.shape))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_written_one_by_one_are_read_one_by_one(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "pages.tif", byteorder=">") as writer:
        for plane in STACK[0, :, 0]:
            writer.write(plane, contiguous=False, metadata=None, compression=compression)
            writer._fh.write(b"gap!")
    image = open_image(tmp_path / "pages.tif", "ZYX")
    assert isinstance(image.array.source, tiff.PagedTiff)
    check_parts(image.array, STACK[0, :, 0])


def test_an_image_in_several_files_is_one(tmp_path):
    names = [tmp_path / f"{number}.ome.tif" for number in range(2)]
    for number, name in enumerate(names):
        tifffile.imwrite(name, STACK[0, number, 0], metadata={"axes": "YX"})
    with tifffile.TiffFile(names[0]) as tif:
        uid = tif.ome_metadata.split('UUID="')[1].split('"')[0]
    with tifffile.TiffFile(names[1]) as tif:
        other = tif.ome_metadata.split('UUID="')[1].split('"')[0]
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name.name}">{u}</UUID></TiffData>'
        for z, (name, u) in enumerate(zip(names, (uid, other), strict=True))
    )
    xml = (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uid}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="90" SizeY="70" '
        f'SizeZ="2" SizeC="1" SizeT="1">{data}</Pixels></Image></OME>'
    )
    tifffile.imwrite(names[0], STACK[0, 0, 0], description=xml, metadata=None)
    image = open_image(names[0])
    assert image.axes == "ZYX"
    check_parts(image.array, tifffile.imread(names[0]))
    np.testing.assert_array_equal(image.array[:, :, :], STACK[0, :2, 0])


def test_other_formats_and_given_axes_are_as_read_whole(tmp_path):
    imsave(tmp_path / "a.png", RGB[0])
    image = open_image(tmp_path / "a.png")
    assert image.axes == "YXC"
    check_parts(image.array, RGB[0])
    write_image(tmp_path / "a.tif", STACK[0, :, 0], "ZYX", {"X": 0.1, "Y": 0.2, "Z": 1}, "um")
    image = open_image(tmp_path / "a.tif", "tyx")
    assert (image.axes, image.unit, image.path) == ("TYX", "um", tmp_path / "a.tif")
    assert image.pixel_size == pytest.approx({"X": 0.1, "Y": 0.2})
    tifffile.imwrite(tmp_path / "one.tif", STACK[0, :1, 0])
    assert open_image(tmp_path / "one.tif").array.shape == (70, 90)
    check_parts(open_image(tmp_path / "one.tif", "ZYX").array, STACK[0, :1, 0])


def test_slices_are_those_of_numpy_or_refused(tmp_path):
    write_image(tmp_path / "a.tif", STACK[0, 0, 0], "YX")
    array = open_image(tmp_path / "a.tif").array
    np.testing.assert_array_equal(array[60:100, :3], STACK[0, 0, 0, 60:100, :3])
    assert array[4:4, 0:5].shape == (0, 5) and array[80:90, :].shape == (0, 90)
    for wrong in [slice(0, 1), (slice(0, 1),), (0, slice(0, 1)), (slice(-2, 3), slice(0, 1)), np.s_[0:4:2, 0:1]]:
        with pytest.raises(IndexError):
            array[wrong]


def test_a_read_decodes_only_the_tiles_it_touches(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata={"axes": "TZCYX"}, **TILES)
    array = open_image(tmp_path / "a.tif").array
    keyframe = tiff._pages(*array.source._version()).keyframe
    decoded, decode = [], keyframe.decode

    def counted(data, index, **options):
        decoded.append(index)
        return decode(data, index, **options)

    monkeypatch.setattr(keyframe, "decode", counted)
    np.testing.assert_array_equal(array[1:2, 2:4, :1, 33:60, 50:95], STACK[1:2, 2:4, :1, 33:60, 50:95])
    # two pages of three by two tiles, of which one lies in rows 32 to 63 and columns 48 to 95
    assert decoded == [3, 3]


def test_no_file_stays_open_and_pickles_read_elsewhere(tmp_path):
    arrays = []
    for name in ("imagej.tif", "tiled.tif"):
        values, options = WRITERS[name]
        tifffile.imwrite(tmp_path / name, values, **options)
        arrays.append(open_image(tmp_path / name).array)
    part = np.s_[1:2, 0:5, 0:1, 20:60, 30:80]
    for array in arrays:
        array[part]
    if os.path.isdir("/proc/self"):
        opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        with open("/proc/self/maps") as maps:
            assert str(tmp_path) not in " ".join(opened) + maps.read()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for read in pool.map(type(arrays[0]).__getitem__, arrays, [part] * 2):
            np.testing.assert_array_equal(read, STACK[part])
    assert len(pickle.dumps(arrays[1])) < 2000


LIMITED = """
import resource, sys
import numpy as np
from aeanet_tf.io.read import open_image
from pathlib import Path
array = open_image(Path(sys.argv[1])).array
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for z in range(0, array.shape[0], 500):
    assert array[z : z + 1, 100:200, 300:900].sum() == (z == 1500) * 7
print(array.shape, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in Linux's units")
def test_a_file_beyond_4_gib_is_read_in_little_memory(tmp_path):
    shape = (2200, 1024, 1024)
    options = {"imagej": True, "metadata": {"axes": "ZYX"}, "truncate": True}
    tifffile.imwrite(tmp_path / "large.tif", shape=shape, dtype=np.uint16, **options)
    with tifffile.TiffFile(tmp_path / "large.tif") as tif, open(tmp_path / "large.tif", "rb+") as file:
        file.seek(tif.series[0].dataoffset + (1500 * 1024 * 1024 + 150 * 1024 + 400) * 2)
        file.write(np.uint16(7).tobytes())
    if (tmp_path / "large.tif").stat().st_blocks * 512 > 2**28:
        pytest.skip("the file system keeps no sparse files")
    run = subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "large.tif"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("(2200, 1024, 1024)") and int(run.stdout.split()[-1]) < 50_000


def test_damage_shows_in_one_line_at_opening_or_at_the_read(tmp_path):
    for name in ("imagej.tif", "named.ome.tif", "tiled.tif", "strips.tif", "single_tiled.tif"):
        values, options = WRITERS[name]
        tifffile.imwrite(tmp_path / name, values, **options)
        content = (tmp_path / name).read_bytes()
        whole = tifffile.imread(tmp_path / name)
        for fraction in (0, 0.01, 0.3, 0.8, 0.99):
            (tmp_path / "cut.tif").write_bytes(content[: int(len(content) * fraction)])
            try:
                array = open_image(tmp_path / "cut.tif").array
                read = array[tuple(slice(0, n) for n in array.shape)]
            except InputError as error:
                assert str(error).startswith(str(tmp_path / "cut.tif")) and "\n" not in str(error)
            else:
                assert fraction == 0.99
                np.testing.assert_array_equal(read, whole)


def test_a_damaged_tile_and_a_file_cut_later_are_refused_at_the_read(tmp_path):
    tifffile.imwrite(tmp_path / "tiled.tif", STACK[0, 0, 0], **TILES)
    with tifffile.TiffFile(tmp_path / "tiled.tif") as tif:
        offset = tif.pages[0].dataoffsets[0]
    content = bytearray((tmp_path / "tiled.tif").read_bytes())
    content[offset : offset + 20] = b"\xff" * 20
    (tmp_path / "tiled.tif").write_bytes(content)
    array = open_image(tmp_path / "tiled.tif").array
    np.testing.assert_array_equal(array[0:32, 48:90], STACK[0, 0, 0, 0:32, 48:90])
    with pytest.raises(InputError, match=r"tiled\.tif: damaged, pixels \[0:9, 0:9\] cannot be read \(.+\)$"):
        array[0:9, 0:9]
    write_image(tmp_path / "cut.tif", STACK[0], "ZCYX")
    array = open_image(tmp_path / "cut.tif").array
    os.truncate(tmp_path / "cut.tif", 5000)
    with pytest.raises(InputError, match=r"cut\.tif: damaged"):
        array[tuple(slice(0, n) for n in array.shape)]
    (tmp_path / "cut.tif").unlink()
    with pytest.raises(InputError, match=r"cut\.tif: damaged.*No such file"):
        array[0:1, 0:1, 0:1, 0:1]


def test_what_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "a.xyz").touch()
    tifffile.imwrite(tmp_path / "complex.tif", STACK[0, 0, 0].astype(np.complex64))
    tifffile.imwrite(tmp_path / "plain.tif", STACK[0, :, 0])
    (tmp_path / "text.tif").write_text("not an image")
    for name, message in {
        "a.xyz": r"unknown image format '\.xyz', expected one of tif, .*, zarr",
        "none.tif": "no such file",
        "none.zarr": "no such file",
        "complex.tif": "found pixels of type complex64",
        "plain.tif": r"shape \(5, 70, 90\), but the file does not name its axes; give them, as --axes ZYX",
        "text.tif": "not a readable TIFF",
    }.items():
        for read in (open_image, read_image):
            with pytest.raises(InputError, match=f"{name}: {message}"):
                read(tmp_path / name)
    with pytest.raises(InputError, match=r"plain\.tif: shape \(5, 70, 90\) does not fit axes YX"):
        open_image(tmp_path / "plain.tif", "YX")


def test_values_that_are_not_finite_are_for_the_reader(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), np.nan, np.float32))
    assert np.isnan(open_image(tmp_path / "a.tif").array[0:1, 0:1])

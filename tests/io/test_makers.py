"""Files of microscopes' makers: the pixels, axes and calibration that were put into them, and what is refused."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import MAKER_SUFFIXES
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.makers import _READERS
from aeanet_tf.io.pixel_size import stk_pixel_size
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.series import find_series, series_of
from tests.io.maker_files import real_file, write_czi, write_lif, write_nd2, write_oif

LIBRARIES = {"czi": "pylibCZIrw", "nd2": "nd2", "lif": "liffile", "oif": "oiffile"}
# T, Z, C, Y, X
PIXELS = np.random.default_rng(0).integers(0, 60000, (2, 3, 2, 20, 30)).astype(np.uint16)


def written(folder, kind, pixels=PIXELS):
    """One image of TZCYX, 0.1 um along X, and 2 s along T where the format has it."""
    pytest.importorskip(LIBRARIES[kind])
    path = folder / f"a.{kind}"
    if kind == "czi":
        write_czi(path, (pixels,), scale=(0.1, 0.2, 0.5))
    elif kind == "nd2":
        write_nd2(path, pixels, "TZ", calibration=0.1, steps={"T": 2.0, "Z": 0.5})
    elif kind == "lif":
        write_lif(path, {"one": (pixels, "TZCYX")}, {"X": 2.9e-6, "Y": 3.8e-6, "Z": 1e-6, "T": 2.0})
    else:
        write_oif(path, pixels, "TZCYX", micrometres=0.1)
    return path


@pytest.mark.parametrize("kind", LIBRARIES)
def test_pixels_axes_and_calibration(tmp_path, kind):
    path = written(tmp_path, kind)
    image = open_image(path)
    assert (image.axes, image.array.shape, image.array.dtype) == ("TZCYX", PIXELS.shape, np.uint16)
    along_y, along_z = {"czi": (0.2, 0.5), "nd2": (0.1, 0.5), "lif": (0.2, 0.5), "oif": (0.1, 0.1)}[kind]
    steps = {"X": 0.1, "Y": along_y, "Z": along_z} | {"nd2": {"T": 2.0}, "lif": {"T": 2.0}, "oif": {"T": 0.5}}.get(
        kind, {}
    )
    assert image.unit == "um" and image.pixel_size == pytest.approx(steps)
    np.testing.assert_array_equal(read_image(path).array, PIXELS)
    part = (slice(1, 2), slice(0, 2), slice(1, 2), slice(3, 17), slice(5, 30))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.array))[part], PIXELS[part])
    assert find_images(tmp_path) == [path]
    assert [(one.index, one.shape, one.axes) for one in series_of(path)] == [(0, PIXELS.shape, "TZCYX")]


@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.parametrize("name", ["Zellen [1] * #ü 細胞", "x" * 230])
def test_names_are_names(tmp_path, kind, name):
    path = written(tmp_path, kind)
    (tmp_path / "[a]").mkdir()
    moved = path.rename(tmp_path / "[a]" / f"{name}.{kind}")
    if kind == "oif":
        path.with_name("a.oif.files").rename(moved.with_name(f"{moved.name}.files"))
    np.testing.assert_array_equal(read_image(moved).array, PIXELS)


@pytest.mark.parametrize("kind", MAKER_SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"x", b"II*\0" + bytes(40), b"\0" * 5000])
def test_what_is_no_such_file_is_one_line(tmp_path, kind, content):
    pytest.importorskip(LIBRARIES.get(kind[1:], "oiffile"))
    (tmp_path / f"a{kind}").write_bytes(content)
    for read in (read_image, series_of):
        with pytest.raises(InputError, match=rf"a\{kind}: (not a readable|damaged or truncated)") as error:
            read(tmp_path / f"a{kind}")
        assert len(str(error.value).splitlines()) == 1
    (tmp_path / f"folder{kind}").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        read_image(tmp_path / f"folder{kind}")


@pytest.mark.parametrize("kind", LIBRARIES)
def test_single_planes(tmp_path, kind):
    path = written(tmp_path, kind, PIXELS[:1, :1, :1])
    np.testing.assert_array_equal(read_image(path).array, PIXELS[0, 0, 0])
    np.testing.assert_array_equal(read_image(path, "ZYX").array, PIXELS[0, :1, 0])


@pytest.mark.parametrize("kind", ["czi", "nd2", "lif"])
def test_one_of_several_images_is_chosen(tmp_path, kind):
    pytest.importorskip(LIBRARIES[kind])
    path = tmp_path / f"a.{kind}"
    if kind == "czi":
        write_czi(path, PIXELS[:, None], origin=(-7, 3), first_slice=5)
    elif kind == "nd2":
        write_nd2(path, PIXELS, "PZ")
    else:
        write_lif(path, {f"image {i}": (pixels, "ZCYX") for i, pixels in enumerate(PIXELS)})
    names = [one.name for one in series_of(path)]
    assert names == {"czi": ["scene 0", "scene 1"], "nd2": ["position 0", "position 1"]}.get(
        kind, ["image 0", "image 1"]
    )
    with pytest.raises(InputError, match=r"holds 2 images .*--series N"):
        open_image(path)
    with pytest.raises(InputError, match="found no series 2"):
        open_image(path, series=2)
    chosen = find_series(path, "all")
    assert chosen == [ImagePath(path, 0), ImagePath(path, 1)]
    for one, pixels in zip(chosen, PIXELS, strict=True):
        image = read_image(one)
        assert image.axes == "ZCYX"
        np.testing.assert_array_equal(image.array, pixels)


def test_an_image_that_cannot_be_read_hides_none_of_the_others(tmp_path):
    pytest.importorskip("liffile")
    write_lif(tmp_path / "a.lif", {"bad": (PIXELS[0], "ZCYX"), "good": (PIXELS[1, 0, 0], "YX")})
    data = (tmp_path / "a.lif").read_bytes()
    # The second of the channels claims to be of floats.
    bad = 'Channels><ChannelDescription DataType="0"'.encode("utf-16-le")
    (tmp_path / "a.lif").write_bytes(data.replace(bad, bad.replace(b"0\0", b"1\0"), 1))
    assert [one.name for one in series_of(tmp_path / "a.lif")] == ["bad", "good"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.lif", series=1).array, PIXELS[1, 0, 0])
    with pytest.raises(InputError, match=r"a\.lif: not a readable LIF file \(heterogeneous channel data types"):
        read_image(tmp_path / "a.lif", series=0)


@pytest.mark.parametrize("kind", ["czi", "nd2", "oif"])
def test_planes_that_are_missing(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    pytest.importorskip(LIBRARIES[kind])
    if kind == "czi":
        write_czi(path, (PIXELS,), left_out=[(1, 2, 1)])
    elif kind == "nd2":
        write_nd2(path, PIXELS, "TZ", left_out=[5])
    else:
        write_oif(path, PIXELS, "TZCYX")
        (tmp_path / "a.oif.files" / "s_T002Z003C002.tif").unlink()
    missing = r"1 of (6 frames|12 planes) are missing, expected all of them; --allow-missing fills them with 0"
    with pytest.raises(InputError, match=missing):
        open_image(path)
    expected = PIXELS.copy()
    # A frame of an ND2 holds all channels.
    expected[1, 2, slice(0, 2) if kind == "nd2" else 1] = 0
    np.testing.assert_array_equal(read_image(path, allow_missing=True).array, expected)


def test_mosaics_are_put_together(tmp_path, caplog):
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        for x, y, value in ((0, 0, 7), (30, 0, 8), (25, 10, 9)):
            document.write(np.full((20, 30, 1), value, np.uint8), plane={"C": 0, "Z": 0, "T": 0}, location=(x, y))
    expected = np.zeros((30, 60), np.uint8)
    # Tiles that were written later are on top.
    expected[:20, :30], expected[:20, 30:], expected[10:, 25:55] = 7, 8, 9
    np.testing.assert_array_equal(read_image(tmp_path / "a.czi").array, expected)
    # Of the lower 10 rows half of the columns.
    assert "tiles cover 83.33 % of the image; the rest was not acquired and is 0" in caplog.text


def test_colours_are_channels_red_first(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi")
    pixels = np.random.default_rng(1).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        # Blue comes first where pixels are written.
        document.write(np.ascontiguousarray(pixels[..., ::-1]), plane={"C": 0, "Z": 0, "T": 0})
    image = read_image(tmp_path / "a.czi")
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.array, pixels)
    with pytest.raises(InputError, match=r"found colours, expected grey levels"):
        read_image(tmp_path / "a.czi", "YX")


def test_zeiss_own_files():
    pytest.importorskip("pylibCZIrw")
    image = read_image(real_file("CellDivision_T3_Z5_CH2_X240_Y170.czi"))
    assert (image.axes, image.array.shape, image.array.dtype) == ("TZCYX", (3, 5, 2, 170, 240), np.uint16)
    assert image.unit == "um" and image.pixel_size == pytest.approx({"Z": 0.32, "Y": 0.0905767, "X": 0.0905767})
    # As czifile 2019.7.2, which has no C++ in it, reads them.
    assert image.array.sum(dtype=np.int64) == 1308355531
    assert image.array[2, 3, 1, 100:102, 50:53].tolist() == [[5359, 5625, 5970], [4156, 4135, 4053]]
    path = real_file("S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi")
    assert [one.shape for one in series_of(path)] == [(2, 3, 2, *size) for size in ((122, 295), (64, 64), (237, 352))]
    image = open_image(path, series=1)
    assert image.pixel_size == pytest.approx({"T": 33.412, "Z": 1.0, "Y": 1.6, "X": 1.6})


def test_nikon_s_own_file():
    pytest.importorskip("nd2")
    image = open_image(real_file("cluster.nd2"))
    assert (image.axes, image.array.shape, image.array.dtype) == ("TZCYX", (3, 10, 2, 31, 38), np.uint16)
    assert image.unit == "um" and image.pixel_size == pytest.approx({"Z": 0.5, "Y": 0.167809, "X": 0.167809}, rel=1e-5)
    # Of the frame at byte 4096 behind the place that the file's list has for it.
    frame = np.memmap(real_file("cluster.nd2"), "<u2", "r", _frame_at(real_file("cluster.nd2"), 12), (31, 38, 2))
    part = tuple(slice(i, i + 1) for i in (1, 2)) + (slice(0, 2), slice(0, 31), slice(0, 38))
    np.testing.assert_array_equal(image.array[part][0, 0], np.moveaxis(frame, -1, 0))


def _frame_at(path, number):
    data = path.read_bytes()
    name = f"ImageDataSeq|{number}!".encode()
    at = data.rindex(name) + len(name)
    return int.from_bytes(data[at : at + 8], "little") + 4096


def test_olympus_own_file():
    pytest.importorskip("oiffile")
    image = read_image(real_file("test.oib"))
    assert (image.axes, image.array.shape, image.array.dtype) == ("CYX", (3, 256, 256), np.uint16)
    assert image.unit == "um" and image.pixel_size == pytest.approx({"Y": 0.177, "X": 0.177})
    # As the documentation of oiffile has them.
    assert image.array[:, 95, 216].tolist() == [820, 50, 436]


def test_zeiss_lsm(tmp_path):
    """A TIFF with a thumbnail behind each plane, and the calibration in a structure of its own."""
    info = np.zeros(1, tifffile.TIFF.CZ_LSMINFO)
    info["MagicNumber"], info["StructureSize"] = 0x0400494C, info.nbytes
    sizes = {"X": 30, "Y": 20, "Z": 3, "Channels": 1, "Time": 1}
    for name, size in sizes.items():
        info[f"Dimension{name}"] = size
    info["VoxelSizeX"], info["VoxelSizeY"], info["VoxelSizeZ"], info["TimeIntervall"] = 1e-7, 1e-7, 5e-7, 2.5
    with tifffile.TiffWriter(tmp_path / "a.lsm", byteorder="<") as tif:
        for z, plane in enumerate(PIXELS[0, :, 0]):
            tags = [(34412, 1, info.nbytes, info.tobytes(), True)] if z == 0 else []
            tif.write(plane, metadata=None, extratags=tags)
            tif.write(plane[::4, ::4], metadata=None, subfiletype=1)
    image = read_image(tmp_path / "a.lsm")
    assert (image.axes, image.unit) == ("ZYX", "um")
    assert image.pixel_size == {"Z": 0.5, "Y": 0.1, "X": 0.1}
    np.testing.assert_array_equal(image.array, PIXELS[0, :, 0])


def test_calibration_of_metamorph_stacks():
    metadata = {"CalibrationUnits": "um", "XCalibration": 0.1, "YCalibration": 0.2, "ZDistance": np.array([0.5, 0.5])}
    assert stk_pixel_size(metadata) == ({"X": 0.1, "Y": 0.2, "Z": 0.5}, "um")
    assert stk_pixel_size(metadata | {"ZDistance": np.array([0.5, 0.6])}) == ({"X": 0.1, "Y": 0.2}, "um")
    assert stk_pixel_size(metadata | {"SpatialCalibration": False}) == ({}, None)
    assert stk_pixel_size(metadata | {"CalibrationUnits": "pixel"}) == stk_pixel_size(None) == ({}, None)


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_library_that_is_missing_is_named(tmp_path, kind, monkeypatch):
    path = written(tmp_path, kind)
    monkeypatch.setitem(sys.modules, LIBRARIES[kind], None)
    extra = "oib" if kind == "oif" else kind
    with pytest.raises(InputError, match=rf'need {LIBRARIES[kind]}.*pip install "aeanet-tf\[{extra}\]"'):
        open_image(path)


@pytest.mark.parametrize("name", ["a.oir", "a.VSI", "a.ims"])
def test_formats_without_a_reader_say_what_to_convert_with(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"files are not read, expected OME-TIFF, which .* makes of it"):
        open_image(tmp_path / name)


DAMAGE = """
import resource, sys
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from pathlib import Path
import numpy as np
from aeanet_tf.errors import InputError
from aeanet_tf.io.pixel_size import stk_pixel_size
from aeanet_tf.io.read import read_image

path, rng = Path(sys.argv[1]), np.random.default_rng(0)
data, refused = path.read_bytes(), 0
# Names and numbers that say where things are, and any byte.
heads = np.flatnonzero(np.frombuffer(data, np.uint8))
for case in range(120):
    bad = bytearray(data)
    if case % 4 == 0:
        bad = bad[: int(rng.integers(len(bad)))]
    else:
        places = rng.choice(heads, 3) if case % 4 == 1 else rng.integers(0, len(bad), 100 if case % 4 == 2 else 1)
        for place in places:
            bad[place] = int(rng.integers(256))
    path.write_bytes(bad)
    try:
        read_image(path, series=0, allow_missing=bool(case % 2))
    except InputError as error:
        refused += 1
        assert len(str(error).splitlines()) == 1 and str(path) in str(error), error
# What is inherited from the process that tests are in counts, too.
print(refused, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


@pytest.mark.parametrize("kind", ["czi", "nd2", "lif"])
def test_damage_is_one_line(tmp_path, kind):
    path = written(tmp_path, kind)
    # In a process of its own: libraries in C++ could end it.
    run = subprocess.run([sys.executable, "-c", DAMAGE, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    refused, megabytes = map(int, run.stdout.split())
    assert refused >= 30 and megabytes < 1000


@pytest.mark.parametrize("part", [b"ND2 FILEMAP SIGNATURE", b"ImageAttributesLV!", b"ImageDataSeq|3!"])
def test_parts_of_an_nd2_that_claim_too_much(tmp_path, part):
    """The library would reserve what they claim, or read a frame as zeros."""
    path = written(tmp_path, "nd2")
    data = bytearray(path.read_bytes())
    # The length of the data, in front of the name.
    at = data.index(part) - 8
    data[at : at + 8] = (2**45).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged or truncated, found .* a whole ND2 file|1 of 6 frames are"):
        open_image(path)


def test_a_tile_of_negative_dimensions_ends_no_process(tmp_path):
    """The library follows the number of dimensions in the head of a tile, which was found by chance to end it."""
    path = written(tmp_path, "czi")
    data = bytearray(path.read_bytes())
    second = [i for i in range(len(data)) if data.startswith(b"ZISRAWSUBBLOCK", i)][1]
    data[second + 79] = 0xF7
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged or truncated, found a tile"):
        open_image(path)


def test_every_format_has_a_reader():
    assert set(_READERS) == set(MAKER_SUFFIXES)

"""What the dimensions of a file are called: axes of size 1, and letters that mean nothing here."""

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import Image, with_axes
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image

KINDS = {
    "ij": {"imagej": True},
    "ome": {"ome": True},
    "shaped": {},
    "plain": {"metadata": None},
}


def write(path, shape, axes, kind):
    options = {"metadata": {"axes": axes}} | KINDS[kind]
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return pixels


@pytest.mark.parametrize("read", [read_image, open_image])
@pytest.mark.parametrize(
    ("kind", "axes", "shape"),
    [
        ("ij", "ZYX", (1, 5, 6)),
        ("ij", "ZCYX", (1, 2, 5, 6)),
        ("ij", "TZCYX", (1, 1, 1, 5, 6)),
        ("ij", "TCYX", (3, 1, 5, 6)),
        ("ome", "ZYX", (1, 5, 6)),
        ("ome", "TCZYX", (1, 1, 4, 5, 6)),
        ("ome", "TYX", (1, 5, 6)),
        ("shaped", "ZYX", (1, 5, 6)),
        ("shaped", "CZYX", (1, 4, 5, 6)),
        ("plain", "ZYX", (1, 5, 6)),
        ("plain", "CYX", (1, 5, 6)),
    ],
)
def test_axes_of_size_one_that_are_named_are_kept(tmp_path, read, kind, axes, shape):
    pixels = write(tmp_path / "a.tif", shape, axes, kind)
    image = read(tmp_path / "a.tif", axes)
    np.testing.assert_array_equal(image.array[tuple(slice(0, n) for n in shape)], pixels)
    assert image.axes == axes


@pytest.mark.parametrize("read", [read_image, open_image])
def test_axes_of_size_one_that_nobody_named_are_dropped(tmp_path, read):
    write(tmp_path / "a.ome.tif", (1, 1, 4, 5, 6), "TCZYX", "ome")
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "ZYX" and image.array.shape == (4, 5, 6) and set(image.single) == set("TC")


def test_of_several_axes_of_size_one_the_named_one_is_kept(tmp_path):
    write(tmp_path / "a.ome.tif", (3, 1, 1, 5, 6), "TCZYX", "ome")
    for axes, shape in (("TZYX", (3, 1, 5, 6)), ("TCYX", (3, 1, 5, 6)), ("TYX", (3, 5, 6)), ("ZYX", (3, 5, 6))):
        image = read_image(tmp_path / "a.ome.tif", axes)
        assert (image.array.shape, image.axes) == (shape, axes)
    with pytest.raises(InputError, match="the file stores its axes as TCZYX, got axes TZCYX"):
        read_image(tmp_path / "a.ome.tif", "TZCYX")


@pytest.mark.parametrize(
    ("axes", "shape", "unknown"),
    [
        ("PTYX", (2, 3, 5, 6), "P is"),
        ("HYX", (3, 5, 6), "H is"),
        ("RTYX", (2, 3, 5, 6), "R is"),
        ("RPYX", (2, 3, 5, 6), "R, P are"),
    ],
)
def test_axes_of_other_names_are_told(tmp_path, axes, shape, unknown):
    pixels = write(tmp_path / "a.tif", shape, axes, "shaped")
    with pytest.raises(InputError, match=f"the file names its axes {axes}, of which {unknown} not among T, Z, C, Y, X"):
        read_image(tmp_path / "a.tif")
    given = "ZTYX"[-len(shape) :]
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", given).array, pixels)


@pytest.mark.parametrize("axes", ["QYX", "IYX"])
def test_axes_without_names_are_asked_for(tmp_path, axes):
    write(tmp_path / "a.tif", (3, 5, 6), axes, "shaped")
    with pytest.raises(
        InputError, match=r"shape \(3, 5, 6\), but the file does not name its axes; give them.* T, Z, C"
    ):
        read_image(tmp_path / "a.tif")


def test_y_and_x_are_where_the_file_has_them(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.arange(90, dtype=np.uint8).reshape(5, 6, 3), photometric="rgb")
    assert read_image(tmp_path / "a.tif").axes == "YXC"
    with pytest.raises(InputError, match="the file stores its axes as YXC, got axes CYX"):
        read_image(tmp_path / "a.tif", "CYX")
    with pytest.raises(InputError, match=r"a\.tif: "):
        read_image(tmp_path / "a.tif", "ZYX")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_model_is_given_the_axes_that_it_takes(tmp_path, lazy, caplog):
    path = tmp_path / "a.tif"
    pixels = np.arange(30, dtype=np.uint16).reshape(1, 5, 6)
    write_image(path, pixels, "ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5}, "um")
    read = open_image if lazy else read_image
    flat = read(path)
    assert flat.axes == "YX" and with_axes(flat, "YXC") is flat
    volume = with_axes(flat, "ZYXC")
    assert volume.axes == "ZYX" and volume.pixel_size == {"Z": 2.0, "Y": 0.5, "X": 0.5}
    np.testing.assert_array_equal(volume.array[0:1, 1:3, 2:6], pixels[0:1, 1:3, 2:6])
    assert "a.tif: axes YX, taken with Z of size 1" in caplog.text
    again = with_axes(read(path, "ZYX"), "YXC")
    assert again.axes == "YX" and "Z" not in again.pixel_size
    np.testing.assert_array_equal(again.array[1:3, 2:6], pixels[0, 1:3, 2:6])


def test_what_a_file_does_not_name_is_not_made_up():
    image = Image(np.zeros((5, 6)), "YX")
    assert with_axes(image, "ZYXC") is image
    volume = Image(np.zeros((4, 5, 6)), "ZYX")
    assert with_axes(volume, "YXC") is volume

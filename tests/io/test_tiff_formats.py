"""TIFF by other endings and compressions."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.tiff import write_image

ENDINGS = [".tif", ".tiff", ".btf", ".tf8", ".tf2", ".lsm", ".stk", ".ome.btf", ".ome.tf8", ".ome.tf2", ".ome.tif"]
PIXELS = np.random.default_rng(0).poisson(100, (40, 50)).astype(np.uint16)


@pytest.mark.parametrize("ending", [*ENDINGS, *(ending.upper() for ending in ENDINGS), ".Tif", ".OME.tif"])
def test_tiff_by_any_ending(tmp_path, ending):
    path = tmp_path / f"a.b{ending}"
    big = ending.lower().endswith((".btf", ".tf8", ".tf2"))
    tifffile.imwrite(path, PIXELS, bigtiff=big, metadata=None)
    np.testing.assert_array_equal(read_image(path).array, PIXELS)
    assert find_images(tmp_path) == [path] and image_stem(path) == "a.b"
    if not ending.lower().endswith((".tif", ".tiff")):
        with pytest.raises(InputError, match=r"written as TIFF, expected a name ending in \.tif or \.tiff"):
            write_image(path, PIXELS, "YX")


def test_a_name_in_capitals_is_written(tmp_path):
    write_image(tmp_path / "a.TIF", PIXELS, "YX")
    np.testing.assert_array_equal(read_image(tmp_path / "a.TIF").array, PIXELS)


def packed(path, pixels):
    """A TIFF of 12 bits a pixel, rows beginning at a byte."""
    rows = ("".join(f"{value:012b}" for value in row) for row in pixels.tolist())
    data = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    tags = [(256, pixels.shape[1]), (257, pixels.shape[0]), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, pixels.shape[0]), (279, len(data))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + directory + bytes(4))


def encoded(folder):
    Pillow.fromarray(PIXELS).save(folder / "lzw.tif", compression="tiff_lzw")
    packed(folder / "packed.tif", PIXELS)
    for name in ("zlib", "zstd", "lzma", "packbits"):
        tifffile.imwrite(folder / f"{name}.tif", PIXELS, compression=name)
    tifffile.imwrite(folder / "predictor.tif", PIXELS, compression="lzw", predictor=True)
    tifffile.imwrite(folder / "float.tif", PIXELS.astype(np.float32), compression="zlib", predictor=True)
    return ["lzw", "packed", "zlib", "zstd", "lzma", "packbits", "predictor", "float"]


def test_compressions_without_loss(tmp_path):
    for name in encoded(tmp_path):
        for read in (read_image, open_image):
            array = read(tmp_path / f"{name}.tif").array
            np.testing.assert_array_equal(array[5:17, 9:50], PIXELS[5:17, 9:50], err_msg=name)


def test_jpeg(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    Pillow.fromarray(smooth).save(tmp_path / "a.tif", compression="jpeg")
    assert np.abs(read_image(tmp_path / "a.tif").array.astype(int) - smooth).max() <= 4


def test_a_codec_that_is_not_installed_is_told_with_what_to_install(tmp_path):
    encoded(tmp_path)
    script = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from aeanet_tf.io.read import read_image\n"
        "for name in ('lzw', 'packed', 'float', 'zlib'):\n"
        "    try:\n        print(read_image(name + '.tif').array.shape)\n"
        "    except ValueError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    *refused, read = done.stdout.splitlines()
    assert read == "(40, 50)" and len(refused) == 3
    assert all("pip install imagecodecs" in line for line in refused)

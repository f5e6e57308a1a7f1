"""PNG, BMP and JPEG give the pixels that scikit-image gives, and nothing that is not in them."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage.io import imread

from aeanet_tf.errors import InputError
from aeanet_tf.io.pictures import read_picture
from tests.hostile.makers_pictures import png, rows

COLOURS = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_pixels_are_those_of_scikit_image(tmp_path, mode, suffix):
    image = Image.fromarray(COLOURS)
    image = Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    try:
        image.save(tmp_path / f"a.{suffix}")
    except OSError:
        pytest.skip(f"{suffix} has no {mode}")
    found, expected = read_picture(tmp_path / f"a.{suffix}"), imread(tmp_path / f"a.{suffix}")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# Rows and columns of the seven passes of Adam7, by the PNG specification, section 8.2.
PASSES = [
    np.s_[0::8, 0::8],
    np.s_[0::8, 4::8],
    np.s_[4::8, 0::4],
    np.s_[0::4, 2::4],
    np.s_[2::4, 0::2],
    np.s_[0::2, 1::2],
]


@pytest.mark.parametrize("shape", [(9, 13), (1, 1), (4, 3), (16, 16)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_every_row_of_a_png_has_to_be_there(tmp_path, shape, interlaced):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    parts = [pixels[part] for part in (*PASSES, np.s_[1::2, :])] if interlaced else [pixels]
    data = b"".join(rows(part) for part in parts if part.size)
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels, data=zlib.compress(data), interlaced=interlaced))
    np.testing.assert_array_equal(read_picture(path), pixels)
    path.write_bytes(png(pixels, data=zlib.compress(data[:-1]), interlaced=interlaced))
    found = rf"{len(data) - 1} bytes of pixels in the PNG, expected {len(data)}; it is cut"
    with pytest.raises(InputError, match=rf"a\.png: (found {found}|not a readable image)"):
        read_picture(path)


def test_more_pixels_than_pillow_allows_are_read_where_memory_holds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), COLOURS)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr("aeanet_tf.memory.available_bytes", lambda: 0)
    monkeypatch.setattr("aeanet_tf.memory._LITTLE", 100)
    with pytest.raises(InputError, match=r"a\.png: found pixels of .* expected at most 0 bytes, which memory holds"):
        read_picture(tmp_path / "a.png")

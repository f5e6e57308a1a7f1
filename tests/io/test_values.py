"""Numbers of an image are those that ImageJ shows, and colours are no numbers."""

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import check_fits
from aeanet_tf.io.read import open_image, read_image

STORED = np.random.default_rng(0).integers(0, 2**16, (4, 30, 40)).astype(np.uint16)
STORED[0, 0, :4] = 0, 1, 32768, 65535
BYTES = np.random.default_rng(1).integers(0, 256, (30, 40)).astype(np.uint8)


def imagej(path, array, **metadata):
    axes = "ZYX"[-array.ndim :]
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes} | metadata)
    return path


@pytest.mark.parametrize(
    ("offset", "gain", "kind"),
    [(-32768.0, 1.0, np.int16), (-100.0, 2.0, np.int32), (0.0, -1.0, np.int32), (10.0, 0.125, np.float32)],
)
def test_a_linear_calibration_is_applied(tmp_path, offset, gain, kind):
    path = imagej(tmp_path / "a.tif", STORED, cf=0, c0=offset, c1=gain, vunit="gray value")
    expected = offset + gain * STORED.astype(np.float64)
    image = read_image(path)
    assert image.array.dtype == kind and image.axes == "ZYX"
    np.testing.assert_array_equal(image.array, expected)
    part = (slice(1, 3), slice(5, 20), slice(0, 9))
    np.testing.assert_array_equal(open_image(path).array[part], expected[part])


def test_signed_pixels_stay_signed(tmp_path):
    """As tifffile writes them, with or without the calibration that ImageJ gives its own copy of them."""
    signed = (STORED.astype(np.int32) - 32768).astype(np.int16)
    for metadata in ({}, {"cf": 0, "c0": -32768.0, "c1": 1.0}):
        np.testing.assert_array_equal(read_image(imagej(tmp_path / "a.tif", signed, **metadata)).array, signed)
    image = read_image(imagej(tmp_path / "a.tif", signed, cf=0, c0=-327.68, c1=0.01))
    np.testing.assert_allclose(image.array, signed * 0.01, atol=1e-4)


@pytest.mark.parametrize(
    "metadata", [{"cf": 20, "c0": 5.0, "c1": 2.0}, {"cf": 0, "c0": 0.0, "c1": 1.0}, {"cf": 0}, {"c0": 5.0}]
)
def test_what_calibrates_nothing_changes_nothing(tmp_path, metadata):
    image = read_image(imagej(tmp_path / "a.tif", STORED, **metadata))
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array, STORED)


def test_floats_are_not_calibrated(tmp_path):
    """ImageJ calibrates 8 and 16 bits only; CSBDeep and others write floats with the metadata of their input."""
    path = imagej(tmp_path / "a.tif", STORED.astype(np.float32), cf=0, c0=-32768.0, c1=1.0)
    np.testing.assert_array_equal(read_image(path).array, STORED)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"cf": 4, "c0": 1.0, "c1": 2.0}, "ImageJ's function 4, expected a straight line"),
        ({"cf": 21}, "ImageJ's function 21"),
        ({"cf": "x", "c0": 1.0, "c1": 2.0}, "ImageJ's function x"),
        ({"cf": 0, "c0": float("nan"), "c1": 1.0}, "c0=nan"),
        ({"cf": 0, "c0": "five", "c1": 1.0}, "c0='five'"),
        ({"cf": 0, "c0": 0.0, "c1": 0.0}, "c1 not 0"),
        ({"cf": 0, "c0": 0.0, "c1": 1e38}, "those of float32"),
    ],
)
def test_other_calibrations_are_refused(tmp_path, metadata, message):
    path = imagej(tmp_path / "a.tif", STORED, **metadata)
    with pytest.raises(InputError, match=f"a\\.tif: .*{message}"):
        open_image(path)


def test_white_for_0_is_said_and_changes_no_number(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", BYTES, photometric="miniswhite")
    for _ in range(2):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, BYTES)
    assert caplog.text.count("a.tif: is shown with white for 0 (MinIsWhite), which changes no number") == 1


def test_lookup_tables_of_microscopes_are_not_applied(tmp_path):
    ramp = np.zeros((3, 256), np.uint16)
    ramp[1] = np.arange(256) * 257
    fire = np.random.default_rng(2).integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "green.tif", BYTES, photometric="palette", colormap=ramp)
    tifffile.imwrite(tmp_path / "fire.tif", BYTES, photometric="palette", colormap=fire, description="ImageJ=1.54f\n")
    for name in ("green.tif", "fire.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array, BYTES)
    tifffile.imwrite(tmp_path / "picture.tif", BYTES, photometric="palette", colormap=fire)
    with pytest.raises(InputError, match=r"picture\.tif: found numbers of colours in a palette"):
        open_image(tmp_path / "picture.tif")


@pytest.mark.parametrize(("photometric", "name"), [("separated", "CMYK"), ("ycbcr", "YCbCr"), ("cielab", "CIELAB")])
def test_other_colours_are_refused(tmp_path, photometric, name):
    samples = 4 if photometric == "separated" else 3
    options = {"extratags": [(530, "H", 2, (1, 1))]} if photometric == "ycbcr" else {}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9, samples), np.uint8), photometric=photometric, **options)
    with pytest.raises(InputError, match=rf"a\.tif: found colours of {name}, expected grey levels"):
        open_image(tmp_path / "a.tif")


def test_grey_levels_stored_as_colours_are_grey_where_the_axes_say_so(tmp_path):
    grey = np.stack([BYTES] * 3, axis=-1)
    opaque = np.concatenate([grey, np.full((30, 40, 1), 255, np.uint8)], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="rgb")
    tifffile.imwrite(tmp_path / "planes.tif", np.moveaxis(grey, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([grey] * 4), photometric="rgb", metadata={"axes": "ZYXS"})
    Picture.fromarray(grey).save(tmp_path / "a.png")
    Picture.fromarray(opaque).save(tmp_path / "opaque.png")
    Picture.fromarray(opaque[..., 2:]).save(tmp_path / "two.png")
    for name in ("a.tif", "planes.tif", "a.png", "opaque.png", "two.png"):
        assert set(read_image(tmp_path / name).axes) == set("YXC")
        np.testing.assert_array_equal(read_image(tmp_path / name, "YX").array, BYTES)
    np.testing.assert_array_equal(read_image(tmp_path / "stack.tif", "ZYX").array, np.stack([BYTES] * 4))
    with pytest.raises(
        InputError, match=r"a\.png: found 3 channels, expected 1, .*; grey levels .* with axes without C"
    ):
        check_fits(read_image(tmp_path / "a.png"), "YXC", 1)
    # Three slices that were taken for colours.
    np.testing.assert_array_equal(read_image(tmp_path / "planes.tif", "ZYX").array, np.moveaxis(grey, -1, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", "ZYX").array, BYTES[None])
    with pytest.raises(InputError, match=r"shape \(30, 40\) does not fit axes ZYX"):
        read_image(tmp_path / "a.png", "ZYX")
    opaque[3, 4, 3] = 254
    Picture.fromarray(opaque).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear\.png: found pixels that are transparent, expected opaque ones"):
        read_image(tmp_path / "clear.png", "YX")
    grey[3, 4, 1] ^= 1
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="rgb")
    with pytest.raises(InputError, match=r"a\.tif: found colours, expected grey levels"):
        read_image(tmp_path / "a.tif", "YX")


@pytest.mark.parametrize("kind", [">u2", ">f4", "<f2", ">f2", "i1", "<i8", ">u8", ">f8", "?"])
def test_pixels_of_all_kinds_are_read_as_they_are(tmp_path, kind):
    pixels = (np.arange(30).reshape(5, 6) % 2 if kind == "?" else np.arange(30).reshape(5, 6)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=kind[0] if kind[0] in "<>" else None)
    image = read_image(tmp_path / "a.tif")
    assert image.array.dtype == pixels.dtype.newbyteorder("=") and image.array.dtype.isnative
    np.testing.assert_array_equal(image.array, pixels)


def test_complex_pixels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.complex64))
    with pytest.raises(InputError, match=r"a\.tif: found pixels of type complex64, expected integers or floats"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("value", "said"), [(2**24, 0), (2**24 + 1, 1), (-(2**40), 1)])
def test_integers_that_networks_do_not_tell_apart_are_said(tmp_path, caplog, value, said):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, value]], np.int64))
    for _ in range(2):
        assert read_image(tmp_path / "a.tif").array[0, 1] == value
    assert caplog.text.count("a.tif: holds integers beyond 16777216") == said

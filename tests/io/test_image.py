"""Images survive a round trip with their axes and calibration; files that would mislead are refused."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from aeanet_tf.errors import InputError
from aeanet_tf.io import tiff
from aeanet_tf.io.image import Image, image_stem
from aeanet_tf.io.read import find_images, read_image
from aeanet_tf.io.tiff import write_image

SIZES = {"T": 3, "Z": 4, "C": 2, "Y": 12, "X": 17}
AXES = ["YX", "XY", "ZYX", "TYX", "CYX", "YXC", "ZYXC", "CZYX", "TZYX", "TZCYX", "XYCZT", "ZTYXC"]


def numbered(axes, dtype=np.float32):
    shape = [SIZES[axis] for axis in axes]
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_every_combination_of_axes_comes_back_in_imagej_order(tmp_path):
    for number, axes in enumerate(AXES):
        path, array = tmp_path / f"{number}.tif", numbered(axes, np.uint16)
        write_image(path, array, axes)
        image = read_image(path)
        assert image.axes == "".join(sorted(axes, key="TZCYX".index))
        # einsum names the dimensions on its own, independently of the transposition under test
        expected = np.einsum(f"{axes.lower()}->{image.axes.lower()}", array)
        np.testing.assert_array_equal(image.array, expected, err_msg=axes)
        with tifffile.TiffFile(path) as tif:
            assert tif.is_imagej and tif.series[0].axes == image.axes


def test_calibration_is_what_imagej_reads_and_comes_back(tmp_path):
    path = tmp_path / "stack.tif"
    size = {"T": 30.0, "Z": 2.0, "Y": 0.25, "X": 0.1625}
    write_image(path, numbered("TZYX"), "TZYX", size, "um")
    with tifffile.TiffFile(path) as tif:
        metadata, tags = tif.imagej_metadata, tif.pages[0].tags
        assert (metadata["spacing"], metadata["unit"], metadata["finterval"]) == (2.0, "um", 30.0)
        assert (metadata["slices"], metadata["frames"]) == (4, 3)
        pixels, length = tags["XResolution"].value
        assert length / pixels == pytest.approx(0.1625, rel=1e-6)
    image = read_image(path)
    assert image.unit == "um" and image.path == path
    assert image.pixel_size == pytest.approx(size, rel=1e-6)


@pytest.mark.parametrize("unit", ["micron", "\\u00B5m", "um"])
def test_spellings_of_micrometre_are_one_unit(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", numbered("YX"), imagej=True, resolution=(4, 5), metadata={"unit": unit})
    image = read_image(tmp_path / "a.tif")
    assert image.unit == "um" and image.pixel_size == pytest.approx({"X": 0.25, "Y": 0.2})


def test_uncalibrated_files_have_no_pixel_size(tmp_path):
    tifffile.imwrite(tmp_path / "imagej.tif", numbered("YX"), imagej=True, resolution=(72, 72))
    tifffile.imwrite(tmp_path / "plain.tif", numbered("YX"), resolution=(72, 72), resolutionunit="INCH")
    for path in find_images(tmp_path):
        image = read_image(path)
        assert (image.axes, image.pixel_size, image.unit) == ("YX", {}, None)


def test_ome_calibration_is_in_the_unit_of_x(tmp_path):
    metadata = {
        "axes": "TZYX",
        "PhysicalSizeX": 325.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.325,
        "PhysicalSizeZ": 2,
        "PhysicalSizeZUnit": "µm",
        "TimeIncrement": 2,
        "TimeIncrementUnit": "min",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", numbered("TZYX"), metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif")
    assert (image.axes, image.unit) == ("TZYX", "nm")
    assert image.pixel_size == pytest.approx({"X": 325, "Y": 325, "Z": 2000, "T": 120})


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 1], np.bool_, np.uint8),
        ([0, 255], np.uint8, np.uint8),
        ([0, 127], np.int8, np.uint8),
        ([-1, 127], np.int8, np.float32),
        ([0, 65535], np.int64, np.uint16),
        ([0, 65536], np.int64, np.float32),
        ([-3, 5], np.int16, np.float32),
        ([0.5, -2], np.float16, np.float32),
        ([0.5, 1e-3], np.float64, np.float32),
    ],
)
def test_dtypes_become_what_imagej_reads_without_losing_values(tmp_path, values, dtype, expected):
    array = np.array(values * 6, dtype).reshape(3, 4)
    write_image(tmp_path / "a.tif", array, "YX")
    written = tifffile.imread(tmp_path / "a.tif")
    assert written.dtype == expected
    np.testing.assert_allclose(written, array.astype(np.float64), rtol=1e-7)


def test_a_file_beyond_the_classic_limit_has_one_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "_CLASSIC_TIFF_BYTES", 100)
    array = numbered("TZCYX", np.uint16)
    write_image(tmp_path / "large.tif", array, "TZCYX")
    with tifffile.TiffFile(tmp_path / "large.tif") as tif:
        assert tif.is_imagej and not tif.is_bigtiff and len(tif.pages) == 1
    np.testing.assert_array_equal(read_image(tmp_path / "large.tif").array, array)


def test_given_axes_name_what_the_file_does_not(tmp_path):
    # not of 4 planes: tifffile stores that as colour
    stack = numbered("ZYX").repeat(2, axis=0)
    tifffile.imwrite(tmp_path / "plain.tif", stack)
    tifffile.imwrite(tmp_path / "pages.tif", stack, metadata=None)
    for name in ("plain.tif", "pages.tif"):
        assert read_image(tmp_path / name, "tyx").axes == "TYX"
        with pytest.raises(InputError, match=rf"{name}.*\(8, 12, 17\).*--axes"):
            read_image(tmp_path / name)


def test_given_axes_overrule_a_mislabelled_stack_but_not_its_order(tmp_path):
    write_image(tmp_path / "time.tif", numbered("TYX"), "TYX")
    assert read_image(tmp_path / "time.tif", "ZYX").axes == "ZYX"
    write_image(tmp_path / "volume.tif", numbered("ZCYX"), "ZCYX")
    with pytest.raises(InputError, match="stores its axes as ZCYX"):
        read_image(tmp_path / "volume.tif", "CZYX")


def test_dimensions_of_size_one_follow_the_axes(tmp_path):
    tifffile.imwrite(tmp_path / "one.tif", numbered("ZYX")[:1])
    assert read_image(tmp_path / "one.tif").array.shape == (12, 17)
    assert read_image(tmp_path / "one.tif", "YX").array.shape == (12, 17)
    assert read_image(tmp_path / "one.tif", "ZYX").array.shape == (1, 12, 17)
    tifffile.imwrite(tmp_path / "column.tif", numbered("YX")[:, :1])
    assert read_image(tmp_path / "column.tif").array.shape == (12, 1)


def test_colour_is_a_channel_axis(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    imsave(tmp_path / "a.png", colour)
    imsave(tmp_path / "a.bmp", colour)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    imsave(tmp_path / "grey.png", colour[..., 0], check_contrast=False)
    for name in ("a.png", "a.bmp", "a.tif"):
        image = read_image(tmp_path / name)
        assert image.axes == "YXC"
        np.testing.assert_array_equal(image.array, colour)
    assert read_image(tmp_path / "grey.png").axes == "YX"
    with pytest.raises(InputError, match=r"a\.png: found colours, expected grey levels"):
        read_image(tmp_path / "a.png", "YX")


@pytest.mark.parametrize("axes", ["YXX", "ZY", "QYX", "SYX", ""])
def test_axes_that_mean_nothing_are_refused(tmp_path, axes):
    write_image(tmp_path / "a.tif", numbered("YX"), "YX")
    with pytest.raises(InputError, match="axes"):
        read_image(tmp_path / "a.tif", axes)
    with pytest.raises(InputError, match="axes"):
        write_image(tmp_path / "b.tif", np.zeros((4,) * len(axes)), axes)


def truncations(folder):
    stack = np.random.default_rng(0).integers(0, 60000, (6, 40, 50), dtype=np.uint16)
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "named.tif", stack, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "pages.tif", stack, metadata=None)
    tifffile.imwrite(folder / "packed.tif", stack, compression="zlib", metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "a.ome.tif", stack, metadata={"axes": "ZYX"})
    imsave(folder / "picture.png", (stack[0] // 256).astype(np.uint8))
    return sorted(folder.iterdir())


def test_a_truncated_file_never_becomes_a_smaller_image(tmp_path):
    refused = 0
    for path, fraction in itertools.product(truncations(tmp_path), (0.0, 0.01, 0.3, 0.8, 0.99)):
        content = path.read_bytes()
        whole = read_image(path, "YX" if path.suffix == ".png" else "ZYX").array
        cut = path.with_name("cut_" + path.name)
        cut.write_bytes(content[: int(len(content) * fraction)])
        for axes in ("ZYX", "YX", None):
            try:
                image = read_image(cut, axes)
            except InputError as error:
                refused += 1
                assert cut.name in str(error) and "\n" not in str(error)
            else:
                # only the directory behind the last pixel was cut off
                assert fraction == 0.99
                np.testing.assert_array_equal(image.array, whole)
    assert refused >= 6 * 4 * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite_are_refused(tmp_path, bad):
    array = numbered("YX")
    array[3, 4] = bad
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(InputError, match=r"a\.tif.*NaN or infinite"):
        read_image(tmp_path / "a.tif")


def test_complex_pixels_and_unknown_formats_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", numbered("YX").astype(np.complex64))
    with pytest.raises(InputError, match="complex64"):
        read_image(tmp_path / "a.tif")
    (tmp_path / "a.xyz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'\.xyz'"):
        read_image(tmp_path / "a.xyz")
    (tmp_path / "text.tif").write_text("not an image")
    with pytest.raises(InputError, match=r"text\.tif: not a readable TIFF"):
        read_image(tmp_path / "text.tif")
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        read_image(tmp_path / "none.tif")
    with pytest.raises(InputError, match="complex"):
        write_image(tmp_path / "b.tif", np.zeros((3, 3), complex), "YX")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": "ZYX"}, "do not fit"),
        ({"axes": "YX", "pixel_size": {"X": 0.1}}, "without a unit"),
        ({"axes": "YX", "pixel_size": {"X": -0.1}, "unit": "um"}, "positive"),
        ({"axes": "YX", "pixel_size": {"C": 1.0}, "unit": "um"}, "along C"),
    ],
)
def test_writing_refuses_what_does_not_fit(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / "a.tif", numbered("YX"), **arguments)
    with pytest.raises(InputError, match=r"\.tif"):
        write_image(tmp_path / "a.png", numbered("YX"), "YX")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", numbered("YX"), "YX")
    before = (tmp_path / "a.tif").read_bytes()

    def half_written(path, *_, **__):
        Path(path).write_bytes(b"II*")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiff.tifffile, "imwrite", half_written)
    with pytest.raises(InputError, match=r"a\.tif: cannot be written \(No space left"):
        write_image(tmp_path / "a.tif", numbered("ZYX"), "ZYX")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == before


def test_find_images_takes_files_folders_and_patterns(tmp_path):
    for name in ("b.tif", "a.PNG", "c.tiff", "notes.txt", "._b.tif", ".c.12.part.tif", "we[ird].tif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()

    def names(pattern):
        return [path.name for path in find_images(pattern)]

    assert names(tmp_path) == ["a.PNG", "b.tif", "c.tiff", "we[ird].tif"]
    assert names(str(tmp_path / "*")) == names(tmp_path)
    assert names(tmp_path / "we[ird].tif") == ["we[ird].tif"]
    assert names([tmp_path / "c.tiff", str(tmp_path / "*.tif*")]) == ["b.tif", "c.tiff", "we[ird].tif"]
    assert names(tmp_path / "notes.txt") == ["notes.txt"]


def test_find_images_says_what_it_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    for pattern, message in {
        "empty": "empty: the folder is empty",
        "texts": "texts: the folder has no image",
        "*.tif": r"\*\.tif: the pattern matches no image",
        "none.tif": r"none\.tif: no such file or folder",
    }.items():
        with pytest.raises(InputError, match=message):
            find_images(tmp_path / pattern)
    with pytest.raises(InputError, match="empty list"):
        find_images([])


def test_stem_and_image_defaults():
    assert [image_stem(name) for name in ("x/a.b.tif", "a.ome.tif", "a.OME.TIFF", "ome.tif")] == [
        "a.b",
        "a",
        "a",
        "ome",
    ]
    assert Image(np.zeros((2, 2)), "YX").pixel_size is not Image(np.zeros((2, 2)), "YX").pixel_size

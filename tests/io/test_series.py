"""Files that hold several images: which there are, how one is chosen, and what is not one."""

import pickle

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.image_path import ImagePath, check_series
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.series import find_series, series_of

READERS = [read_image, open_image]


def pixels(image):
    return image.array[tuple(slice(None) for _ in image.axes)]


def counted(*shape, start=0):
    return np.arange(start, start + np.prod(shape), dtype=np.uint16).reshape(shape)


def positions(path, count=3, shape=(4, 10, 12), **options):
    """An OME-TIFF of several positions, each with a pixel size of its own."""
    images = [counted(*shape, start=1000 * i) for i in range(count)]
    with tifffile.TiffWriter(path, ome=True) as tif:
        for i, image in enumerate(images):
            sizes = {"PhysicalSizeX": 0.1 * (i + 1), "PhysicalSizeXUnit": "µm"}
            tif.write(image, metadata={"axes": "ZYX", "Name": f"pos{i}", **sizes}, **options)
    return images


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=["plain", "zlib", "tiles"])
def test_a_position_is_chosen_by_its_number(tmp_path, options):
    path = tmp_path / "p.ome.tif"
    images = positions(path, **options)
    listed = series_of(path)
    assert [(one.index, one.name, one.shape, one.axes) for one in listed] == [
        (i, f"pos{i}", (4, 10, 12), "ZYX") for i in range(3)
    ]
    for read in READERS:
        for i, expected in enumerate(images):
            image = read(path, series=i)
            np.testing.assert_array_equal(pixels(image), expected)
            assert image.axes == "ZYX" and image.pixel_size["X"] == pytest.approx(0.1 * (i + 1))
            assert str(image.path) == f"{path} [series {i}]"
        with pytest.raises(InputError, match=r"p\.ome\.tif: holds 3 images \(0 'pos0' .*choose with --series N"):
            read(path)
        with pytest.raises(InputError, match="no series 3, the file holds 3 images, 0 to 2"):
            read(path, series=3)
        with pytest.raises(InputError, match=r"series: found -1, expected a number from 0$"):
            read(path, series=-1)


def test_a_chosen_position_can_be_read_in_another_process(tmp_path):
    images = positions(tmp_path / "p.ome.tif", compression="zlib")
    array = pickle.loads(pickle.dumps(open_image(tmp_path / "p.ome.tif", series=2))).array
    np.testing.assert_array_equal(array[1:3, 2:5, 7:9], images[2][1:3, 2:5, 7:9])


def test_each_image_of_a_folder_has_a_name_of_its_own(tmp_path):
    positions(tmp_path / "p.ome.tif", 2)
    tifffile.imwrite(tmp_path / "single.tif", counted(5, 6))
    found = find_series(tmp_path, "all")
    assert [image_stem(path) for path in found] == ["p_s0", "p_s1", "single"]
    assert [path.name for path in found] == ["p.ome.tif [series 0]", "p.ome.tif [series 1]", "single.tif"]
    np.testing.assert_array_equal(read_image(found[1]).array, read_image(tmp_path / "p.ome.tif", series=1).array)
    assert find_series(tmp_path) == [tmp_path / "p.ome.tif", tmp_path / "single.tif"]
    assert [image_stem(path) for path in find_series(tmp_path, 0)] == ["p_s0", "single"]
    with pytest.raises(InputError, match=r"single\.tif: found no series 1, the file holds one image"):
        find_series(tmp_path, 1)
    # As a prediction of the second image is called.
    tifffile.imwrite(tmp_path / "single_s1.tif", counted(5, 6))
    assert [image_stem(path) for path in find_series([tmp_path / "p.ome.tif", tmp_path / "single_s1.tif"], 1)] == [
        "p_s1",
        "single_s1",
    ]


@pytest.mark.parametrize("value", ["first", -1, True, 1.5])
def test_a_choice_that_means_nothing_is_refused(value):
    with pytest.raises(InputError, match=r"data\.series: found .*, expected a number from 0, or 'all'"):
        check_series("data.series", value)


@pytest.mark.parametrize(
    "options", [{}, {"metadata": None}, {"compression": "zlib"}, {"metadata": None, "compression": "lzw"}], ids=str
)
def test_appended_pages_are_a_stack(tmp_path, options):
    path = tmp_path / "a.tif"
    for i in range(5):
        tifffile.imwrite(path, counted(10, 12, start=200 * i), append=i > 0, **options)
    expected = np.stack([counted(10, 12, start=200 * i) for i in range(5)])
    for read in READERS:
        np.testing.assert_array_equal(pixels(read(path, "ZYX")), expected)
        with pytest.raises(InputError, match=r"shape \(5, 10, 12\), but the file does not name its axes; give them"):
            read(path)
    np.testing.assert_array_equal(open_image(path, "TYX").array[2:4, 3:5, 11:], expected[2:4, 3:5, 11:])
    assert len(series_of(path)) == 1


def test_appended_colour_pages_are_a_stack(tmp_path):
    for i in range(3):
        page = np.full((6, 7, 3), i, np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", page, append=i > 0, photometric="rgb")
    image = read_image(tmp_path / "a.tif", "ZYXC")
    assert image.array.shape == (3, 6, 7, 3) and image.array[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_appended_images_of_other_shapes_are_images_of_their_own(tmp_path):
    path = tmp_path / "a.tif"
    shapes = [(10, 12), (3, 20, 12), (10, 14)]
    for i, shape in enumerate(shapes):
        tifffile.imwrite(path, counted(*shape, start=i), append=i > 0, photometric="minisblack")
    assert [one.shape for one in series_of(path)] == shapes
    for i, shape in enumerate(shapes):
        axes = "ZYX"[-len(shape) :]
        np.testing.assert_array_equal(read_image(path, axes, series=i).array, counted(*shape, start=i))
    with pytest.raises(InputError, match="holds 3 images"):
        read_image(path)


@pytest.mark.parametrize("first", [True, False], ids=["in front", "behind"])
def test_a_thumbnail_is_not_the_image(tmp_path, first):
    path = tmp_path / "t.tif"
    pages = [(counted(5, 6), {"subfiletype": 1}), (counted(20, 24), {})]
    with tifffile.TiffWriter(path) as tif:
        for page, options in pages if first else pages[::-1]:
            tif.write(page, metadata=None, **options)
    for read in READERS:
        np.testing.assert_array_equal(pixels(read(path)), counted(20, 24))


def test_label_and_macro_of_a_slide_are_not_the_image(tmp_path):
    path = tmp_path / "t.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, shape in (("label image", (7, 8)), ("cells", (20, 24)), ("Macro", (5, 6))):
            tif.write(counted(*shape), metadata={"axes": "YX", "Name": name})
    np.testing.assert_array_equal(read_image(path).array, counted(20, 24))


@pytest.mark.parametrize("ome", [True, False])
def test_of_a_pyramid_the_full_resolution_is_read(tmp_path, ome):
    path = tmp_path / ("p.ome.tif" if ome else "p.tif")
    whole = counted(64, 48)
    with tifffile.TiffWriter(path, ome=ome) as tif:
        metadata = {"axes": "YX"} if ome else None
        tif.write(whole, subifds=1 if ome else None, metadata=metadata, tile=(16, 16))
        tif.write(whole[::2, ::2], subfiletype=1, metadata=metadata, tile=(16, 16))
    for read in READERS:
        np.testing.assert_array_equal(pixels(read(path)), whole)


def test_pages_that_the_metadata_leave_out_are_told(tmp_path, caplog):
    path = tmp_path / "a.tif"
    description = "ImageJ=1.53t\nimages=2\nframes=2\nhyperstack=true\n"
    tifffile.imwrite(path, counted(5, 6, 7), description=description, metadata=None, photometric="minisblack")
    assert read_image(path).array.shape == (2, 6, 7)
    assert "a.tif: 3 of its 5 pages belong to no image that its metadata name" in caplog.text


def test_of_other_formats_one_image_is_read(tmp_path):
    from skimage.io import imsave

    imsave(tmp_path / "a.png", np.zeros((5, 6), np.uint8), check_contrast=False)
    assert read_image(tmp_path / "a.png", series=0).array.shape == (5, 6)
    assert [image_stem(path) for path in find_series(tmp_path, "all")] == ["a"]
    with pytest.raises(InputError, match=r"a\.png: found no series 1"):
        read_image(tmp_path / "a.png", series=1)
    with pytest.raises(InputError, match=r"a\.png: found no series 2"):
        find_series(tmp_path, 2)


def test_a_path_says_which_image_is_meant(tmp_path):
    place = ImagePath(tmp_path / "a.ome.tif", 2)
    assert (place.suffix, place.parent, image_stem(place)) == (".tif", tmp_path, "a_s2")
    assert place.resolve() == ImagePath((tmp_path / "a.ome.tif").resolve(), 2)
    assert ImagePath.of(place) is place and ImagePath.of("a.tif") == ImagePath(ImagePath.of("a.tif").path)

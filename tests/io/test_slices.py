"""A folder of slices is one volume, in the order of the numbers in their names."""

import pickle

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import find_slice_folders, open_image, read_image
from aeanet_tf.io.series import find_series

VOLUME = np.random.default_rng(0).integers(0, 250, (12, 20, 30)).astype(np.uint8)


def slices(folder, name="cell_z{}.tif", numbers=range(12), volume=VOLUME):
    folder.mkdir(parents=True, exist_ok=True)
    for number, plane in zip(numbers, volume, strict=True):
        path = folder / name.format(number)
        if path.suffix == ".png":
            Picture.fromarray(plane).save(path)
        else:
            options = {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}
            tifffile.imwrite(path, plane, **options)
    return folder


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("cell_z{}.tif", range(12)),
        ("{:04}.png", range(95, 107)),
        ("day 3, cell 07, z={} um.png", range(0, 120, 10)),
        ("{}_488nm.tif", range(1, 13)),
    ],
)
def test_slices_follow_each_other_by_number(tmp_path, name, numbers):
    folder = slices(tmp_path / "a.b", name, numbers)
    image = open_image(folder)
    assert (image.axes, image.array.shape, image.array.dtype) == ("ZYX", VOLUME.shape, np.uint8)
    assert image.pixel_size == ({"Y": 0.25, "X": 0.25} if name.endswith("tif") else {})
    np.testing.assert_array_equal(read_image(folder).array, VOLUME)
    part = (slice(3, 11), slice(2, 9), slice(0, 30))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.array))[part], VOLUME[part])
    assert read_image(folder, "TYX").axes == "TYX" and image_stem(folder) == "a.b"


def test_colours_are_channels_of_each_slice(tmp_path):
    colours = np.stack([VOLUME, VOLUME // 2, VOLUME], axis=-1)
    folder = slices(tmp_path / "a", "z{}.png", volume=colours)
    image = read_image(folder)
    assert image.axes == "ZYXC"
    np.testing.assert_array_equal(image.array, colours)
    with pytest.raises(InputError, match=r"z0\.png: found colours"):
        read_image(folder, "ZYX")
    grey = slices(tmp_path / "grey", "z{}.png", volume=np.stack([VOLUME] * 3, axis=-1))
    np.testing.assert_array_equal(read_image(grey, "ZYX").array, VOLUME)


def test_a_missing_slice_is_refused_or_filled(tmp_path):
    folder = slices(tmp_path / "a")
    (folder / "cell_z5.tif").unlink()
    with pytest.raises(InputError, match=r"1 of 12 slices are missing, expected all of them; --allow-missing fills"):
        open_image(folder)
    expected = VOLUME.copy()
    expected[5] = 0
    np.testing.assert_array_equal(read_image(folder, allow_missing=True).array, expected)


def test_what_is_no_volume(tmp_path):
    for wrong, number, message in (
        ("gt_z1.tif", 1, r"names such as cell_z0\.tif and gt_z1\.tif, expected those of one volume"),
        ("cell_z01.tif", 1, r"cell_z1\.tif: has the same number as cell_z01\.tif|cell_z01.tif: has the same number"),
        ("cell_z1000.tif", 1, "not evenly spaced"),
        ("cell_z12.png", 1, "names such as .*, expected those of one volume"),
    ):
        folder = slices(tmp_path / wrong.replace(".", "_"))
        slices(folder, wrong, [number], VOLUME[:1])
        with pytest.raises(InputError, match=message):
            open_image(folder)
    folder = slices(tmp_path / "two", "c{0}_z{0}.tif")
    with pytest.raises(InputError, match="which differ in one number"):
        open_image(folder)
    folder = slices(tmp_path / "size")
    tifffile.imwrite(folder / "cell_z12.tif", VOLUME[0, 1:])
    with pytest.raises(
        InputError, match=r"cell_z12\.tif: found shape \(19, 30\) \(YX\), uint8, expected shape \(20, 30\)"
    ):
        open_image(folder)
    tifffile.imwrite(folder / "cell_z12.tif", VOLUME[0].astype(np.uint16))
    with pytest.raises(InputError, match=r"cell_z12\.tif: found .* uint16, expected .* uint8"):
        open_image(folder)
    with pytest.raises(InputError, match=r"axes YX, expected Z or T"):
        open_image(folder, "YX")
    for number in range(12):
        tifffile.imwrite(tmp_path / f"stack{number}.tif", VOLUME, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"stack0\.tif: found axes ZYX, expected Y and X"):
        open_image(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        open_image(tmp_path / "empty")


def test_volumes_are_found_as_folders(tmp_path):
    first, second = slices(tmp_path / "in" / "one"), slices(tmp_path / "in" / "two")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / "nothing").mkdir()
    assert find_slice_folders(tmp_path / "in") == find_slice_folders(str(tmp_path / "in" / "*")) == [first, second]
    assert find_slice_folders([first, first]) == [first]
    assert find_series(tmp_path / "in", slices=True) == [first, second]
    assert find_series(first, None, True, True) == [ImagePath(first, None, True)]
    with pytest.raises(InputError, match="series: found 'all', expected none with slices"):
        find_series(first, "all", slices=True)
    for missing in (tmp_path / "none", tmp_path / "in" / "nothing", first / "cell_z0.tif"):
        with pytest.raises(InputError, match="no folder with images"):
            find_slice_folders(missing)
    tifffile.imwrite(tmp_path / "in" / "overview.tif", VOLUME[0])
    with pytest.raises(InputError, match="images, and folders with images"):
        find_slice_folders(tmp_path / "in")


def test_a_slice_that_changed_is_noticed(tmp_path):
    array = open_image(slices(tmp_path / "a")).array
    tifffile.imwrite(tmp_path / "a" / "cell_z3.tif", VOLUME[0, 1:])
    with pytest.raises(InputError, match=r"cell_z3\.tif: found shape"):
        array[slice(2, 5), slice(0, 20), slice(0, 30)]

"""Slices of every kind of source are those that were written, one at a time, in the order of their numbers."""

import h5py
import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.sections import stack as serial_stack
from aeanet_tf.sections.stack import open_stack, parse_slices

STACK = np.random.default_rng(0).integers(0, 60000, (12, 20, 31), dtype=np.uint16)


def check(stack, expected):
    assert (len(stack), stack.shape, stack.dtype) == (len(expected), expected.shape[1:], expected.dtype)
    for index, image in enumerate(expected):
        read = stack.read(index)
        assert read.dtype == expected.dtype
        np.testing.assert_array_equal(read, image)


def hdf5(path, array=STACK, dataset="volumes/raw", **attributes):
    with h5py.File(path, "w") as file:
        file.create_dataset("volumes/labels/clefts", data=np.zeros(3))
        file.create_dataset(dataset, data=array).attrs.update(attributes)
    return path


def folder(path, images):
    path.mkdir()
    for name, image in images.items():
        imsave(path / name, image, check_contrast=False)
    return path


@pytest.mark.parametrize(
    ("text", "expected"), [("7,12-13", [7, 12, 13]), (" 3 - 4, 0,3", [0, 3, 4]), ("19", [19]), ("5-5", [5])]
)
def test_slices_are_numbers_and_ranges(text, expected):
    assert parse_slices(text, 20) == parse_slices(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1.5", "-1", "1-2-3", "3;4", "9" * 5000])
def test_other_texts_are_no_slices(text):
    with pytest.raises(InputError, match=r"--test: found .*, expected slices counted from 0, such as 7,12-13"):
        parse_slices(text, field="--test")


def test_ranges_are_within_the_stack_and_ascend():
    with pytest.raises(InputError, match=r"--missing: the range 9-7 ends before it begins, expected 7-9"):
        parse_slices("1, 9-7")
    with pytest.raises(InputError, match=r"--missing: there is no slice 30, expected 0 to 29 \(30 slices\)"):
        parse_slices("30", 30)
    with pytest.raises(InputError, match="no slice 99999999999"):
        parse_slices("0-99999999999", 30)
    with pytest.raises(InputError, match="100000000000 of them, expected fewer"):
        parse_slices("0-99999999999")
    assert parse_slices("29", 30) == [29]


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "YXZ", "XZY"])
def test_slices_of_a_tiff(tmp_path, axes):
    stored = STACK.transpose(["ZYX".index(axis.replace("T", "Z")) for axis in axes])
    tifffile.imwrite(tmp_path / "stack.tif", stored, metadata=None)
    stack = open_stack(tmp_path / "stack.tif", axes=axes)
    assert (stack.axes, stack.path) == (axes, tmp_path / "stack.tif")
    check(stack, STACK)


def test_pixel_size_comes_from_the_file(tmp_path):
    sizes = {"Z": 50.0, "Y": 4.0, "X": 4.0}
    write_image(tmp_path / "stack.tif", STACK, "ZYX", sizes, "nm")
    stack = open_stack(tmp_path / "stack.tif")
    assert (stack.axes, stack.pixel_size, stack.unit) == ("ZYX", pytest.approx(sizes), "nm")
    check(stack, STACK)


def test_a_channel_axis_of_one_is_dropped(tmp_path):
    stack = open_stack(hdf5(tmp_path / "a.h5", STACK[:, None], resolution=[40, 1, 5, 4]), axes="ZCYX")
    assert (stack.axes, stack.pixel_size) == ("ZYX", {"Z": 40.0, "Y": 5.0, "X": 4.0})
    check(stack, STACK)
    with pytest.raises(InputError, match=r"b.h5: found axes ZCYX, shape \(6, 2, 20, 31\)"):
        open_stack(hdf5(tmp_path / "b.h5", STACK.reshape(6, 2, 20, 31)), axes="ZCYX")


def test_slices_of_an_ome_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    writer = pytest.importorskip("ome_zarr.writer")
    group = zarr.open_group(str(tmp_path / "stack.zarr"), mode="w")
    writer.write_image(STACK, group, axes="zyx")
    check(open_stack(tmp_path / "stack.zarr"), STACK)


@pytest.mark.parametrize("name", ["cremi.hdf", "cremi.h5", "cremi.HDF5"])
def test_slices_of_hdf5_as_cremi_ships(tmp_path, name):
    stack = open_stack(hdf5(tmp_path / name, resolution=np.array([40.0, 4.0, 5.0])))
    assert (stack.axes, stack.pixel_size, stack.unit) == ("ZYX", {"Z": 40.0, "Y": 4.0, "X": 5.0}, "nm")
    check(stack, STACK)


def test_hdf5_with_other_axes_datasets_and_byte_order(tmp_path):
    stored = STACK.transpose(2, 1, 0)[None].astype(">u2")
    path = hdf5(tmp_path / "a.h5", stored, "main", resolution=[1, 5, 4, 40])
    stack = open_stack(path, axes="XYZ", dataset="main")
    assert stack.pixel_size == {"X": 5.0, "Y": 4.0, "Z": 40.0}
    check(stack, STACK)
    path = hdf5(tmp_path / "b.h5", resolution=[40, -4, 4])
    assert (open_stack(path).pixel_size, open_stack(path).unit) == ({}, None)


def test_what_is_wrong_with_an_hdf5_file_is_said(tmp_path):
    path = hdf5(tmp_path / "a.h5", dataset="raw")
    with pytest.raises(InputError, match=r"a.h5: no dataset 'volumes/raw' in it, .*: raw, volumes/labels/clefts"):
        open_stack(path)
    with pytest.raises(InputError, match="no dataset 'volumes' in it"):
        open_stack(path, dataset="volumes")
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(InputError, match=r"text.h5: not a readable HDF5 file"):
        open_stack(tmp_path / "text.h5")
    with pytest.raises(InputError, match=r"none.hdf: no such file"):
        open_stack(tmp_path / "none.hdf")
    tifffile.imwrite(tmp_path / "stack.tif", STACK)
    with pytest.raises(InputError, match=r"stack.tif: dataset 'raw' was given, expected an HDF5 file"):
        open_stack(tmp_path / "stack.tif", dataset="raw")


def test_files_of_a_folder_follow_each_other_by_number(tmp_path):
    names = [f"slice_{index}.png" for index in range(12)]
    path = folder(tmp_path / "slices", dict(zip(names, STACK, strict=True)))
    (path / "notes.txt").write_text("not a slice")
    stack = open_stack(path)
    assert stack.axes == "ZYX"
    check(stack, STACK)
    check(open_stack(path / "slice_?.png"), STACK[:10])
    assert open_stack(path, axes="TYX").axes == "TYX"


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (np.zeros((20, 30), np.uint16), r"shape \(20, 30\), uint16"),
        (np.zeros((20, 31), np.uint8), r"shape \(20, 31\), uint8"),
    ],
)
def test_files_of_a_folder_are_of_one_kind(tmp_path, other, found):
    path = folder(tmp_path / "slices", {"a2.png": STACK[0], "a10.png": other, "a3.png": STACK[1]})
    with pytest.raises(InputError, match=rf"a10.png: found {found}, expected shape \(20, 31\), uint16, as in .*a2.png"):
        open_stack(path)


def test_a_file_that_changes_later_is_found_out(tmp_path):
    path = folder(tmp_path / "slices", {f"{index}.png": STACK[index] for index in range(3)})
    stack = open_stack(path)
    imsave(path / "1.png", STACK[1, 1:], check_contrast=False)
    with pytest.raises(InputError, match=r"1.png: found shape \(19, 31\)"):
        stack.read(1)


def test_slices_of_a_folder_are_grey_2d_images(tmp_path):
    path = folder(tmp_path / "slices", {f"{index}.png": np.zeros((9, 8, 3), np.uint8) for index in range(3)})
    with pytest.raises(InputError, match=r"0.png: found axes YXC, expected YX, a grey image that is one slice"):
        open_stack(path)
    with pytest.raises(InputError, match=r"slices: found axes YX, expected ZYX"):
        open_stack(path, axes="YX")


def test_fewer_than_three_slices_and_other_axes_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "two.tif", STACK[:2], imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"two.tif: found 2 slices, expected at least 3"):
        open_stack(tmp_path / "two.tif")
    tifffile.imwrite(tmp_path / "colour.tif", STACK[:3], imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(
        InputError, match=r"colour.tif: found axes CYX, shape \(3, 20, 31\), expected Y, X and that along"
    ):
        open_stack(tmp_path / "colour.tif")
    check(open_stack(tmp_path / "colour.tif", axes="ZYX"), STACK[:3])
    tifffile.imwrite(tmp_path / "one.tif", STACK[0])
    with pytest.raises(InputError, match=r"one.tif: found axes YX, shape \(20, 31\)"):
        open_stack(tmp_path / "one.tif")
    tifffile.imwrite(tmp_path / "four.tif", STACK[None, :].repeat(2, 0), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"four.tif: found axes TZYX"):
        open_stack(tmp_path / "four.tif")


def test_a_slice_that_is_missing_or_not_finite_is_refused(tmp_path):
    floats = STACK.astype(np.float32)
    floats[4, 3, 2] = np.nan
    stack = open_stack(hdf5(tmp_path / "a.h5", floats))
    np.testing.assert_array_equal(stack.read(3), floats[3])
    with pytest.raises(InputError, match=r"a.h5: the image holds NaN"):
        stack.read(4)
    for index in (-1, 12):
        with pytest.raises(InputError, match=rf"a.h5: there is no slice {index}, expected 0 to 11 \(12 slices\)"):
            stack.read(index)


def test_no_more_than_a_slice_is_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "stack.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    read = []
    original = serial_stack.open_image

    def watched(*arguments):
        image = original(*arguments)
        image.array = Watched(image.array, read)
        return image

    monkeypatch.setattr(serial_stack, "open_image", watched)
    stack = open_stack(tmp_path / "stack.tif")
    stack.read(5)
    assert read == [(slice(5, 6), slice(0, 20), slice(0, 31))]


class Watched:
    def __init__(self, array, read):
        self.array, self.read, self.shape, self.dtype = array, read, array.shape, array.dtype

    def __getitem__(self, slices):
        self.read.append(slices)
        return self.array[slices]


def test_one_of_several_stacks_is_chosen(tmp_path):
    stacks = [STACK, STACK[::-1]]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for one in stacks:
            tif.write(one, metadata={"axes": "ZYX"}, photometric="minisblack")
    for number, expected in enumerate(stacks):
        check(open_stack(tmp_path / "a.ome.tif", series=number), expected)
    with pytest.raises(InputError, match="holds 2 images"):
        open_stack(tmp_path / "a.ome.tif")
    with pytest.raises(InputError, match=r"series: found 'all', expected a number from 0$"):
        open_stack(tmp_path / "a.ome.tif", series="all")
    folder(tmp_path / "slices", {f"{i}.png": one for i, one in enumerate(STACK)})
    with pytest.raises(InputError, match="series 1 was given, expected a file that holds several stacks"):
        open_stack(tmp_path / "slices", series=1)

"""CARE's data sets are read in either form in which they were published."""

import numpy as np
import pytest
import tifffile

from aeanet_tf.datasets import care
from aeanet_tf.datasets.care import care_test_images
from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from tests.datasets.published import write_care


@pytest.mark.parametrize("form", ["stacked", "folders"])
@pytest.mark.parametrize("projection", [False, True])
def test_both_forms_give_what_was_written(tmp_path, form, projection):
    written = write_care(tmp_path, projection, form, size=(6, 20, 24), patches=2)
    images = care_test_images(tmp_path)
    assert [image.name for image in images] == ["img_0", "img_1"]
    for image in images:
        assert image.conditions == ("C1", "C2", "C3")
        for condition in (*image.conditions, "GT"):
            found = image.read(condition)
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, written[image.name][condition])
    assert images[0].read("GT").ndim == (2 if projection else 3)
    assert images[0].path("C3").is_file()
    with pytest.raises(InputError, match=r"condition: found 'C4', expected one of C1, C2, C3, GT"):
        images[0].read("C4")


def test_the_other_names_of_folders_and_a_ground_truth_with_one_plane(tmp_path):
    test = tmp_path / "test_data"
    rng = np.random.default_rng(0)
    for folder, shape in {"C1": (4, 9, 8), "c2": (4, 9, 8), "Condition 3": (4, 9, 8), "gt": (1, 9, 8)}.items():
        write_image(test / folder / "a.tif", rng.integers(0, 99, shape).astype(np.uint16), "ZYX")
    (test / "README.txt").touch()
    (image,) = care_test_images(tmp_path)
    assert image.conditions == ("C1", "C2", "C3")
    assert image.read("C2").shape == (4, 9, 8) and image.read("GT").shape == (9, 8)


@pytest.mark.parametrize("metadata", [{}, {"axes": "TZYX"}, {"axes": "ZCYX"}])
def test_stacks_whose_axes_are_named_or_not(tmp_path, metadata):
    stack = np.random.default_rng(0).integers(0, 99, (4, 5, 8, 9)).astype(np.uint16)
    (tmp_path / "test_data").mkdir()
    # ImageJ's order of axes has the conditions behind z where they are channels.
    stored = stack.swapaxes(0, 1) if metadata == {"axes": "ZCYX"} else stack
    tifffile.imwrite(tmp_path / "test_data" / "a.tif", stored, imagej=bool(metadata), metadata=metadata)
    (image,) = care_test_images(tmp_path)
    for index, condition in enumerate(("C3", "C2", "C1", "GT")):
        np.testing.assert_array_equal(image.read(condition), stack[index])


def test_a_separate_ground_truth_is_preferred_to_that_of_the_stack(tmp_path):
    written = write_care(tmp_path, size=(4, 10, 12), images=1, patches=1)
    plane = np.arange(120, dtype=np.uint16).reshape(10, 12)
    write_image(tmp_path / "test_data" / "GT" / "img_0.tif", plane, "YX")
    (image,) = care_test_images(tmp_path)
    np.testing.assert_array_equal(image.read("GT"), plane)
    np.testing.assert_array_equal(image.read("C3"), written["img_0"]["C3"])


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    write_care(tmp_path, size=(4, 10, 12), images=1, patches=1)
    given, read = care.open_image, []

    def spying(*args):
        image = given(*args)
        source = image.array

        class Spy:
            shape = source.shape

            def __getitem__(self, slices):
                read.append(slices)
                return source[slices]

        image.array = Spy()
        return image

    monkeypatch.setattr(care, "open_image", spying)
    (image,) = care_test_images(tmp_path)
    assert not read
    image.read("C1")
    assert [slices[0] for slices in read] == [slice(2, 3)], "the third of the four volumes"


def test_what_is_no_such_data_set(tmp_path):
    with pytest.raises(InputError, match="test_data: no such folder"):
        care_test_images(tmp_path)
    test = tmp_path / "test_data"
    test.mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        care_test_images(tmp_path)
    tifffile.imwrite(test / "a.tif", np.zeros((3, 5, 8, 9), np.uint8))
    (image,) = care_test_images(tmp_path)
    with pytest.raises(
        InputError, match=r"a\.tif: found shape \(3, 5, 8, 9\).*expected 4 volumes \(C3, C2, C1, GT\) stacked"
    ):
        image.read("C1")
    volume = np.ones((3, 8, 9), np.uint8)
    write_image(test / "C1" / "a.tif", volume, "ZYX")
    with pytest.raises(InputError, match=r"test_data: has C1 but no folder GT"):
        care_test_images(tmp_path)
    write_image(test / "GT" / "b.tif", volume, "ZYX")
    with pytest.raises(InputError, match="1 of 1 images have no partner of the same name"):
        care_test_images(tmp_path)
    write_image(test / "GT" / "a.tif", volume, "ZYX")
    write_image(test / "C1" / "b.tif", volume[0], "YX")
    with pytest.raises(InputError, match=r"b\.tif: found shape \(8, 9\), expected a volume"):
        care_test_images(tmp_path)[1].read("C1")
    write_image(test / "condition_1" / "a.tif", volume, "ZYX")
    with pytest.raises(InputError, match=r"condition_1: is condition C1, as C1; expected one folder a condition"):
        care_test_images(tmp_path)

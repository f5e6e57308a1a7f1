"""Ready-made triplets: found in folders and by lists, in the order of their numbers, and refused if they are none."""

import imageio.v3 as imageio
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.sections.triplet_folders import find_triplets, read_triplet, split_of


def write_triplet(folder, seed=0, size=(32, 40), names=("im1.png", "im2.png", "im3.png"), dtype="uint8"):
    """Three images of noise; the arrays."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(seed).integers(0, 255, (len(names), *size)).astype(dtype)
    for name, image in zip(names, images, strict=True):
        imageio.imwrite(folder / name, image)
    return images


@pytest.fixture
def folder(tmp_path):
    """Two groups of triplets, as Vimeo's."""
    for number, name in enumerate(("1/2", "1/10", "1/1", "2/1")):
        write_triplet(tmp_path / "sequences" / name, number)
    (tmp_path / "tri_testlist.txt").write_text("2/1\n1/10\n\n")
    return tmp_path


def test_folders_are_found_at_any_depth_by_their_numbers(folder):
    found = find_triplets(folder / "sequences")
    assert [path.relative_to(folder / "sequences").as_posix() for path in found] == ["1/1", "1/2", "1/10", "2/1"]
    assert find_triplets(folder / "sequences" / "2" / "1") == [folder / "sequences" / "2" / "1"]


def test_a_list_has_an_order_of_its_own(folder):
    found = find_triplets(folder / "tri_testlist.txt")
    assert found == [folder / "sequences" / "2" / "1", folder / "sequences" / "1" / "10"]
    # Without the folder that Vimeo has, paths begin beside the list.
    beside = folder / "sequences" / "some.txt"
    beside.write_text("1/2")
    assert find_triplets(beside) == [folder / "sequences" / "1" / "2"]


def test_slices_are_in_the_order_of_their_numbers(tmp_path):
    images = write_triplet(tmp_path / "t", names=("z2.tif", "z10.tif", "z9.tif"))
    np.testing.assert_array_equal(read_triplet(tmp_path / "t"), images[[0, 2, 1]])


def test_three_equal_colours_are_grey_and_others_are_not(tmp_path):
    images = write_triplet(tmp_path / "t")
    for name, image in zip(("im1.png", "im2.png", "im3.png"), images, strict=True):
        imageio.imwrite(tmp_path / "t" / name, np.repeat(image[..., None], 3, axis=-1))
    np.testing.assert_array_equal(read_triplet(tmp_path / "t"), images)
    coloured = np.random.default_rng(1).integers(0, 255, (32, 40, 3)).astype("uint8")
    imageio.imwrite(tmp_path / "t" / "im2.png", coloured)
    with pytest.raises(InputError, match=r"im2\.png: found an image of 3 channels, expected a grey one"):
        read_triplet(tmp_path / "t")


def test_what_is_no_triplet_is_refused(folder, tmp_path):
    write_triplet(folder / "sequences" / "3", names=("a.png", "b.png"))
    with pytest.raises(InputError, match=r"3: found 2 images, expected three: the slices before"):
        find_triplets(folder / "sequences")
    (folder / "list.txt").write_text("4/1")
    with pytest.raises(InputError, match=r"4/1: found 0 images, expected three"):
        find_triplets(folder / "list.txt")
    (folder / "list.txt").write_text("\n")
    with pytest.raises(InputError, match=r"list\.txt: found an empty list"):
        find_triplets(folder / "list.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: found no folder with images below it"):
        find_triplets(tmp_path / "empty")
    with pytest.raises(InputError, match=r"nowhere: found neither a folder nor a list"):
        find_triplets(tmp_path / "nowhere")


def test_images_of_one_triplet_are_of_one_size(tmp_path):
    write_triplet(tmp_path / "t")
    imageio.imwrite(tmp_path / "t" / "im3.png", np.zeros((32, 41), "uint8"))
    with pytest.raises(InputError, match=r"im3\.png: found shape \(32, 41\), uint8, expected \(32, 40\), uint8"):
        read_triplet(tmp_path / "t")


def test_a_part_of_a_data_set_is_the_first_name_that_is_there(folder):
    assert split_of(folder, ("test", "tri_testlist.txt")) == folder / "tri_testlist.txt"
    assert split_of(folder, ("train",)) is None

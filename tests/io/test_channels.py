"""Channels in files of their own are one image, read in parts; what does not belong together is named."""

import pickle

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.channels import channel_paths, find_channel_images, open_channels
from aeanet_tf.io.read import find_images, open_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.normalizers import fit_normalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.frames import FrameSource

NAMES = ["T1", "T2", "FLAIR"]
SHAPE = (4, 9, 11)


def write(folder, stem="subject-9", shape=SHAPE, names=NAMES, axes="ZYX"):
    """One TIFF a channel, of different dtypes; the arrays as written."""
    rng, types = np.random.default_rng(0), ("uint8", "uint16", "float32")
    arrays = [(rng.random(shape) * 250).astype(dtype) for dtype, _ in zip(types, names, strict=False)]
    for name, array in zip(names, arrays, strict=False):
        write_image(folder / f"{stem}-{name}.tif", array, axes, {"X": 0.5, "Y": 0.5}, "um")
    return arrays


def test_an_image_has_its_files_as_channels(tmp_path):
    arrays = write(tmp_path)
    image = open_channels(tmp_path / "subject-9-T1.tif", NAMES)
    first = open_image(tmp_path / "subject-9-T1.tif")
    assert (image.axes, image.pixel_size, image.unit, image.path) == ("ZYXC", first.pixel_size, "um", first.path)
    array, whole = pickle.loads(pickle.dumps(image.array)), np.stack(arrays, axis=-1)
    assert (array.shape, array.ndim, array.dtype) == ((*SHAPE, 3), 4, np.float32)
    assert array.chunks == (*first.array.chunks, 1)
    for slices in (np.s_[:, :, :, :], np.s_[1:3, 2:5, :, 0:3], np.s_[0:2, :, 3:99, 1:2], np.s_[:, :, :, 3:]):
        found = array[slices]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, whole[slices])
    for wrong in (0, np.s_[:, :, :], np.s_[:, :, :, 0], np.s_[::2, :, :, :]):
        with pytest.raises(IndexError, match="slices"):
            array[wrong]
    integers = open_channels(tmp_path / "subject-9-T1.tif", NAMES[:2]).array
    assert integers.dtype == np.uint16 and integers[np.s_[:, :, :, :]].dtype == np.uint16
    assert open_channels(tmp_path / "subject-9-T1.tif", ["T1"]).array.shape == (*SHAPE, 1)
    assert open_channels(tmp_path / "subject-9-T1.tif", NAMES, "TYX").axes == "TYXC"


def test_only_the_files_of_the_channels_asked_for_are_read(tmp_path):
    arrays = write(tmp_path)
    image = open_channels(tmp_path / "subject-9-T1.tif", NAMES)
    (tmp_path / "subject-9-T2.tif").write_bytes(b"damaged")
    np.testing.assert_array_equal(image.array[np.s_[1:2, :, :, 2:3]][..., 0], arrays[2][1:2])
    with pytest.raises(InputError, match=r"subject-9-T2\.tif: "):
        image.array[np.s_[:, :, :, 1:2]]


@pytest.mark.parametrize("over", ["all", "nonzero"])
def test_the_network_is_given_them_normalised(tmp_path, over):
    whole = np.stack(write(tmp_path), axis=-1).astype(float)
    image = open_channels(tmp_path / "subject-9-T1.tif", NAMES)
    section = NormalizationSection(kind="standard", over=over)
    source = FrameSource(image, "ZYXC", (1, 1, 1), fit_normalizer(section, image, "ZYXC"))
    there = whole[(whole > 0).any(axis=-1)] if over == "nonzero" else whole.reshape(-1, 3)
    expected = (whole - there.mean(axis=0)) / there.std(axis=0)
    np.testing.assert_allclose(source[np.s_[1:4, 0:9, 2:11]], expected[1:4, :, 2:], rtol=1e-5, atol=1e-6)


def test_of_a_folder_only_the_first_channels_are_images(tmp_path):
    for stem in ("subject-10", "subject-9"):
        write(tmp_path, stem)
        write_image(tmp_path / f"{stem}-label.tif", np.zeros(SHAPE, np.uint8), "ZYX")
    found = find_channel_images(tmp_path, NAMES)
    assert [path.name for path in found] == ["subject-10-T1.tif", "subject-9-T1.tif"]
    assert find_channel_images([tmp_path / "*9-T*.tif"], NAMES) == found[1:]
    names = [path.name for path in channel_paths(found[0], NAMES)]
    assert names == ["subject-10-T1.tif", "subject-10-T2.tif", "subject-10-FLAIR.tif"]
    with pytest.raises(InputError, match=r"subject-9-T2\.tif: found no first channel among the 1 images, .*'T1' once"):
        find_channel_images(tmp_path / "subject-9-T2.tif", NAMES)
    # As BraTS names them.
    for name in ("a_t1", "a_t1ce", "a_t2"):
        write_image(tmp_path / f"{name}.tif", np.zeros(SHAPE, np.uint8), "ZYX")
    assert [path.name for path in find_channel_images(tmp_path, ["t1", "t1ce", "t2"])] == ["a_t1.tif"]
    assert len(channel_paths(tmp_path / "a_t1.tif", ["t1", "t1ce", "t2"])) == 3


def test_of_analyze_files_the_headers_are_images(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    arrays = [np.random.default_rng(i).integers(0, 900, SHAPE).astype(np.int16) for i in range(2)]
    for name, array in zip(NAMES, arrays, strict=False):
        nibabel.AnalyzeImage(array.T, None).to_filename(tmp_path / f"s-{name}.hdr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s-T1.hdr", "s-T1.img", "s-T2.hdr", "s-T2.img"]
    for pattern in (tmp_path, tmp_path / "*", tmp_path / "s-*"):
        assert [path.name for path in find_images(pattern)] == ["s-T1.hdr", "s-T2.hdr"]
        assert [path.name for path in find_channel_images(pattern, NAMES[:2])] == ["s-T1.hdr"]
    image = open_channels(tmp_path / "s-T1.hdr", NAMES[:2])
    assert (image.axes, image.unit) == ("ZYXC", "mm")
    np.testing.assert_array_equal(image.array[np.s_[:, 1:5, :, :]], np.stack(arrays, axis=-1)[:, 1:5])


def test_what_does_not_belong_together_is_named(tmp_path):
    write(tmp_path)
    write_image(tmp_path / "subject-9-T2.tif", np.zeros((4, 9, 12), np.uint8), "ZYX")
    first, expected = tmp_path / "subject-9-T1.tif", r"expected \(4, 9, 11\) \(ZYX\) as subject-9-T1\.tif has$"
    with pytest.raises(InputError, match=rf"subject-9-T2\.tif: found shape \(4, 9, 12\) \(ZYX\), {expected}"):
        open_channels(first, NAMES)
    write_image(tmp_path / "subject-9-T2.tif", np.zeros(SHAPE, np.uint8), "TYX")
    with pytest.raises(InputError, match=rf"subject-9-T2\.tif: found shape \(4, 9, 11\) \(TYX\), {expected}"):
        open_channels(first, NAMES)
    write_image(tmp_path / "subject-9-T2.tif", np.zeros(SHAPE, np.uint8), "CYX")
    with pytest.raises(InputError, match=r"subject-9-T2\.tif: found axes CYX, expected none for channels"):
        open_channels(first, NAMES)
    (tmp_path / "subject-9-T2.tif").unlink()
    with pytest.raises(InputError, match=r"subject-9-T2\.tif: no such file, expected channel 'T2' beside subject-9-T1"):
        open_channels(first, NAMES)
    for name, names in (("subject-9-T2.tif", NAMES), ("T1-T1.tif", NAMES), ("x-T1c.tif", ["T1", "T1c"])):
        with pytest.raises(InputError, match=rf"{name}: .* expected 'T1', the first of the channels .*, once"):
            channel_paths(tmp_path / name, names)
    with pytest.raises(InputError, match=r"none-T1\.tif: no such file, expected channel 'T1'"):
        channel_paths(tmp_path / "none-T1.tif", NAMES)
    for names in ([], ["T1", "T1"], ["T1", ""], "T1"):
        with pytest.raises(InputError, match=r"^channels: found .*, expected a list of different words"):
            channel_paths(first, names)


def test_an_image_without_its_first_channel_is_not_left_out(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    assert len(find_channel_images(tmp_path, NAMES)) == 2
    (tmp_path / "b-T1.tif").unlink()
    with pytest.raises(InputError, match=r"b-T1\.tif: no such file, expected channel 'T1' beside b-(T2|FLAIR)\.tif"):
        find_channel_images(tmp_path, NAMES)


def test_channels_of_another_place_are_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = np.zeros((4, 5, 6), np.float32)
    for name, affine in (("T1", [1, 2, 3]), ("T2", [-1, 2, 3]), ("T3", [1.001, 2, 3])):
        nibabel.Nifti1Image(array, np.diag([*affine, 1])).to_filename(tmp_path / f"a-{name}.nii")
    with pytest.raises(InputError, match=r"a-T2\.nii: found another affine than a-T1\.nii has, expected"):
        open_channels(tmp_path / "a-T1.nii", ["T1", "T2"])
    # What rounding of headers does is let pass, and Analyze states no orientation.
    assert open_channels(tmp_path / "a-T1.nii", ["T1", "T3"]).axes == "ZYXC"
    for name, zooms in (("T1", (1, 2, 3)), ("T2", (1, 2, 4))):
        image = nibabel.AnalyzeImage(array, None)
        image.header.set_zooms(zooms)
        image.to_filename(tmp_path / f"b-{name}.hdr")
    assert open_channels(tmp_path / "b-T1.hdr", ["T1", "T2"]).axes == "ZYXC"

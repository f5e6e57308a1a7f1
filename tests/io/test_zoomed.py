"""Planes between those of a volume, and volumes that are read along another axis than they are stored along."""

import pickle

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from aeanet_tf.errors import InputError
from aeanet_tf.io import slab
from aeanet_tf.io.image import Image
from aeanet_tf.io.nifti import read_nifti, with_planes, write_nifti
from aeanet_tf.io.slab import SlabArray
from aeanet_tf.io.zoomed import ZoomedArray, check_factor, plane_count, zoomed_image

VOLUME = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype("uint16")
ALL = (slice(None),)


@pytest.mark.parametrize("factor", [4, 2.7, 10 / 3, 1.5, 0.5])
def test_planes_between_are_interpolated_linearly_whatever_is_read_of_them(factor):
    zoomed = ZoomedArray(VOLUME, 0, factor)
    whole = zoomed[ALL * 3]
    places = np.arange(len(whole)) / factor
    assert 4 - 1 / factor < places[-1] <= 4 + 1e-6 and zoomed.shape == whole.shape
    grid = np.meshgrid(np.minimum(places, 4), np.arange(6), np.arange(7), indexing="ij")
    np.testing.assert_allclose(whole, map_coordinates(VOLUME.astype(float), grid, order=1, mode="nearest"), rtol=1e-6)
    for start in range(len(whole)):
        for stop in range(start + 1, len(whole) + 1):
            np.testing.assert_array_equal(zoomed[slice(start, stop), slice(2, 5), slice(None)], whole[start:stop, 2:5])


def test_planes_of_the_volume_stay_and_the_pixel_size_is_that_of_the_new_ones():
    image = zoomed_image(Image(VOLUME, "YZX", {"Z": 2.0, "Y": 0.5}, "um"), 4)
    assert image.axes == "YZX" and image.array.shape == (5, 21, 7) and image.pixel_size == {"Z": 0.5, "Y": 0.5}
    np.testing.assert_array_equal(image.array[ALL * 3][:, ::4], VOLUME)
    with pytest.raises(InputError, match="axes YX, expected a volume, with Z"):
        zoomed_image(Image(VOLUME[0], "YX"), 4)


def test_a_third_of_a_third_is_no_plane_less():
    assert [plane_count(n, f) for n, f in ((10, 1 / 3), (4, 10 / 3), (1, 5), (31, 0.1))] == [4, 11, 1, 4]


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 65, True, "4", None])
def test_what_is_no_factor_is_refused(factor):
    with pytest.raises(InputError, match=r"^--isotropic: found .*, expected a number above 0, at most 64"):
        check_factor("--isotropic", factor)


class Counted:
    """An array that remembers what was read of it."""

    def __init__(self, array, chunks=None):
        self.array, self.chunks, self.places = array, chunks, []
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __getitem__(self, slices):
        self.places.append(slices)
        return self.array[slices]


@pytest.mark.parametrize(("rows", "chunk", "reads"), [(6, 1, 1), (2, 1, 3), (4, 3, 2), (1, 1, 6), (0, 1, 6)])
def test_a_slab_is_read_once_for_all_its_rows(monkeypatch, rows, chunk, reads):
    monkeypatch.setattr(slab, "SLAB_BYTES", rows * 5 * 7 * 2)
    stored = Counted(VOLUME, (1, chunk, 7))
    array = SlabArray(stored, 1, (0, 1, 2))
    for row in range(6):
        for columns in (slice(0, 3), slice(3, 7)):
            part = (slice(1, 4), slice(row, row + 1), columns)
            np.testing.assert_array_equal(array[part], VOLUME[part])
    assert len(stored.places) == (reads if rows else 12)
    again = pickle.loads(pickle.dumps(SlabArray(VOLUME, 1, (0, 1, 2))))
    np.testing.assert_array_equal(again[ALL * 3], VOLUME)


def test_frames_of_a_slab_are_not_mixed_up():
    lapse = np.stack([VOLUME, VOLUME[::-1]])
    array = SlabArray(lapse, 2, (1, 2, 3))
    for row in range(2):
        for frame in (0, 1):
            part = (slice(frame, frame + 1), slice(None), slice(row, row + 1), slice(None))
            np.testing.assert_array_equal(array[part], lapse[part])


@pytest.mark.parametrize("form", ["sform", "qform", "both"])
def test_a_nifti_volume_has_the_new_planes_between_the_old_in_its_space(tmp_path, form):
    turned = np.array([[0.0, -0.5, 0, 3], [0.5, 0, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(VOLUME.T.astype("int16"), turned)
    image.set_sform(turned, 0 if form == "qform" else 4)
    image.set_qform(turned, 0 if form == "sform" else 1)
    image.to_filename(tmp_path / "a.nii.gz")
    like = with_planes(read_nifti(tmp_path / "a.nii.gz"), 4)
    write_nifti(tmp_path / "b.nii.gz", np.zeros(like.array.shape, "float32"), like)
    old, new = (nibabel.load(tmp_path / f"{name}.nii.gz") for name in "ab")
    assert new.shape == (7, 6, 17) and new.header.get_zooms() == (0.5, 0.5, 0.5)
    for k in range(5):
        there = nibabel.affines.apply_affine(old.affine, (1, 2, k))
        np.testing.assert_allclose(nibabel.affines.apply_affine(new.affine, (1, 2, 4 * k)), there, atol=1e-6)
    codes = [int(new.header[f"{name}_code"]) for name in ("sform", "qform")]
    assert codes == {"sform": [4, 0], "qform": [0, 1], "both": [4, 1]}[form]

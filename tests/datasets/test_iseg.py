"""Subjects of iSeg-2017 are read as published, cropped to the brain, and results go back to where they were."""

import numpy as np
import pytest

from aeanet_tf.datasets.iseg import CLASSES, LABELS, brain_box, iseg_subjects, read_subject
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.io.labels import to_labels
from aeanet_tf.io.nifti import read_nifti, write_nifti
from tests.datasets.published import write_iseg, write_mni_subject

nibabel = pytest.importorskip("nibabel")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iseg")
    return folder, write_iseg(folder, (1, 2, 10), unlabelled=(10,))


@pytest.fixture
def subject(tmp_path):
    """A folder with one subject, to damage."""
    write_iseg(tmp_path, (3,), size=(8, 9, 10))
    return tmp_path


def rewrite(path, array):
    nibabel.AnalyzeImage(array.T, None).to_filename(path)


def test_a_subject_is_read_as_it_was_written(data):
    folder, written = data
    assert iseg_subjects(folder) == [1, 2, 10]
    for number in (1, 2, 10):
        subject, (t1, t2, labels) = read_subject(folder, number), written[number]
        assert subject.number == number and subject.images.dtype == np.float32
        np.testing.assert_array_equal(subject.images, np.stack([t1, t2], axis=-1))
        np.testing.assert_array_equal(subject.template.affine, nibabel.load(folder / f"subject-{number}-T1.hdr").affine)
        if number == 10:
            assert subject.labels is None
        else:
            assert subject.labels.dtype == np.uint8 and set(np.unique(subject.labels)) == {0, 1, 2, 3}
            np.testing.assert_array_equal(subject.labels, labels)
            np.testing.assert_array_equal(
                to_labels(subject.labels, LABELS), nibabel.load(folder / f"subject-{number}-label.hdr").get_fdata().T[0]
            )
    assert len(CLASSES) == len(LABELS) == 4


def test_the_crop_holds_the_brain_and_nothing_to_spare(data):
    folder, written = data
    subject = read_subject(folder, 1)
    t1, t2, _ = written[1]
    places = np.argwhere((t1 > 0) | (t2 > 0))
    for axis, side in enumerate(subject.crop):
        assert side == slice(places[:, axis].min(), places[:, axis].max() + 1)
    images = np.zeros((4, 5, 6, 2))
    images[1, 2, 3, 1] = images[2, 2, 5, 0] = 1
    assert brain_box(images) == (slice(1, 3), slice(2, 3), slice(3, 6))


def test_labels_are_written_in_the_place_of_the_scan(data, tmp_path):
    subject = read_subject(data[0], 2)
    for name in ("labels.hdr", "labels.nii.gz"):
        write_nifti(tmp_path / name, to_labels(subject.labels, LABELS), subject.template)
        volume = read_nifti(tmp_path / name)
        np.testing.assert_array_equal(volume.affine, subject.template.affine)
        assert volume.pixel_size == subject.template.pixel_size == {"X": 1, "Y": 1, "Z": 1}
        scores = get_protocol("mri")(read_nifti(data[0] / "subject-2-label.hdr").array, volume.array)
        assert scores["dice_mean"] == 1


def test_wrong_subjects_are_named(subject):
    rewrite(subject / "subject-3-T2.hdr", np.ones((8, 9, 11), np.int16))
    with pytest.raises(
        InputError, match=r"subject-3-T2\.hdr: found shape \(8, 9, 11\).*expected \(8, 9, 10\) as subject-3-T1"
    ):
        read_subject(subject, 3)
    rewrite(subject / "subject-3-T2.hdr", np.ones((8, 9, 10), np.int16))
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[4, 5, 6] = 3
    rewrite(subject / "subject-3-label.hdr", labels)
    with pytest.raises(InputError, match=r"subject-3-label\.hdr: has the value 3, expected labels \[0, 10, 150, 250\]"):
        read_subject(subject, 3)
    rewrite(subject / "subject-3-label.hdr", labels[1:])
    with pytest.raises(InputError, match=r"subject-3-label\.hdr: found shape \(7, 9, 10\)"):
        read_subject(subject, 3)
    (subject / "subject-3-label.hdr").unlink()
    with pytest.raises(InputError, match=r"subject-3-label\.hdr: no such file"):
        read_subject(subject, 3)


def test_missing_files_are_named(subject):
    (subject / "subject-3-T1.img").unlink()
    with pytest.raises(InputError, match=r"subject-3-T1\.img: no such file"):
        read_subject(subject, 3)
    (subject / "subject-3-T2.hdr").unlink()
    (subject / "subject-3-T1.hdr").unlink()
    write_iseg(subject, (4,), size=(8, 9, 10))
    (subject / "subject-4-T2.hdr").unlink()
    # What is left of a subject makes it one that cannot be read, and not one that is not there.
    assert iseg_subjects(subject) == [3, 4]
    with pytest.raises(InputError, match=r"subject-4-T2\.hdr: no such file"):
        read_subject(subject, 4)
    with pytest.raises(InputError, match=r"subject-7-T1\.hdr: no such file"):
        read_subject(subject, 7)
    for name in ("T1", "T2"):
        rewrite(subject / f"subject-5-{name}.hdr", np.zeros((4, 4, 4), np.int16))
    with pytest.raises(InputError, match=r"subject-5-T1\.hdr and subject-5-T2\.hdr: no voxel is above 0"):
        read_subject(subject, 5)
    (subject / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no subject in it, expected subject-<i>-T1"):
        iseg_subjects(subject / "empty")
    with pytest.raises(InputError, match="none: no such folder"):
        iseg_subjects(subject / "none")


def test_real_anatomy_keeps_its_place(tmp_path):
    written = write_mni_subject(tmp_path)
    if written is None:
        pytest.skip("nilearn, which bundles the MNI152 template, is not installed")
    affine, labels = written
    subject = read_subject(tmp_path, 1)
    np.testing.assert_array_equal(subject.template.affine, affine)
    np.testing.assert_array_equal(subject.labels, labels)
    assert subject.template.pixel_size == {"X": 2, "Y": 2, "Z": 2}
    # Of a brain of 1.9 l, as the template's, grey matter is the most.
    volumes = np.bincount(labels.ravel()) * 8e-6
    assert 1.5 < volumes[1:].sum() < 2.2 and volumes[2] > volumes[3] > volumes[1] > 0.05
    assert subject.labels[subject.crop].size < 0.8 * labels.size
    write_nifti(tmp_path / "out.nii.gz", to_labels(subject.labels, LABELS), subject.template)
    out = read_nifti(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(out.affine, nibabel.load(tmp_path / "subject-1-T1.nii.gz").affine)
    assert get_protocol("segmentation")(read_nifti(tmp_path / "subject-1-label.nii.gz").array, out.array) == {
        "dice_0": 1,
        "dice_10": 1,
        "dice_150": 1,
        "dice_250": 1,
        "dice_mean": 1,
    }

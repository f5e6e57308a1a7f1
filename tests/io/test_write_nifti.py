"""Volumes written in parts are, finished, those of nibabel: voxels in place, the affine of the scan."""

import pickle

import numpy as np
import pytest

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.io.nifti import read_nifti, write_nifti
from aeanet_tf.io.write import ImageTarget
from tests.io.test_nifti import AFFINE, SHAPE, save

nibabel = pytest.importorskip("nibabel")

SIZES = {"X": SHAPE[0], "Y": SHAPE[1], "Z": SHAPE[2], "C": 4}


def values_of(axes, dtype="float32"):
    shape = tuple(SIZES[axis] for axis in axes)
    values = np.random.default_rng(0).random(shape)
    return (values * 200).astype(dtype) if np.dtype(dtype).kind == "u" else values.astype(dtype)


def fill(target, values, size=3):
    """In blocks, the last ones first."""
    counts = [-(-n // size) for n in values.shape]
    for index in reversed(list(np.ndindex(*counts))):
        part = tuple(slice(i * size, min((i + 1) * size, n)) for i, n in zip(index, values.shape, strict=True))
        target.write(part, values[part])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("axes", "dtype"), [("ZYX", "uint8"), ("XZY", "float32"), ("ZYXC", "float32"), ("CXYZ", "u1")])
@pytest.mark.parametrize(
    ("source", "name"), [("v.nii", "o.nii"), ("v.hdr", "o.nii.gz"), ("v.nii", "o.hdr"), ("v.hdr",) * 2]
)
def test_parts_make_the_volume_that_nibabel_reads(tmp_path, source, name, axes, dtype):
    save(tmp_path / source)
    values, out = values_of(axes, dtype), tmp_path / "out"
    target = ImageTarget.create(out / name, values.shape, axes, dtype=dtype, like=tmp_path / source)
    assert (target.path, target.shape, target.axes, target.dtype) == (out / name, values.shape, axes, np.dtype(dtype))
    fill(pickle.loads(pickle.dumps(target)), values)
    assert names(out) == [f".partial-{name}.npy"]
    target.finish()
    stem = name.split(".")[0]
    assert names(out) == ([f"{stem}.hdr", f"{stem}.img"] if name.endswith(".hdr") else [name])
    stored, scan = nibabel.load(out / name), nibabel.load(tmp_path / source)
    np.testing.assert_array_equal(stored.affine, scan.affine)
    assert stored.header.get_zooms()[:3] == scan.header.get_zooms() and stored.get_data_dtype() == np.dtype(dtype)
    assert isinstance(stored, nibabel.Nifti1Pair) == (source == "v.nii" or name == "o.nii.gz")
    letters = "xyzc" if "C" in axes else "xyz"
    np.testing.assert_array_equal(np.asanyarray(stored.dataobj), np.einsum(f"{axes.lower()}->{letters}", values))


def test_channels_are_the_fourth_dimension_of_a_file_written_at_once(tmp_path):
    values = values_of("ZYXC")
    for source, name in (("v.nii", "o.nii.gz"), ("v.hdr", "o.hdr")):
        like = read_nifti(save(tmp_path / source))
        write_nifti(tmp_path / name, values, like)
        stored = nibabel.load(tmp_path / name)
        assert stored.shape == (*SHAPE, 4)
        np.testing.assert_array_equal(stored.affine, like.affine)
        assert all(np.array_equal(stored.dataobj[..., c], values[..., c].T) for c in range(4))
    for wrong in (values[1:], values[..., None], values[..., :0], values[0]):
        with pytest.raises(InputError, match=r"o\.nii: found an array of shape .*, expected \(7, 6, 5\) as .*v\.hdr"):
            write_nifti(tmp_path / "o.nii", wrong, like)


def test_a_volume_of_one_slice_needs_no_z(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((5, 6, 1), np.int16), AFFINE)
    image.to_filename(tmp_path / "v.nii")
    values = values_of("YXC")
    target = ImageTarget.create(tmp_path / "o.nii", values.shape, "YXC", like=tmp_path / "v.nii")
    fill(target, values)
    target.finish()
    np.testing.assert_array_equal(nibabel.load(tmp_path / "o.nii").get_fdata()[:, :, 0], values.transpose(1, 0, 2))


def test_what_a_killed_run_left_is_taken_up_again(tmp_path):
    source, values = save(tmp_path / "v.nii"), values_of("ZYX")
    facts = {"path": tmp_path / "o.nii", "shape": values.shape, "axes": "ZYX", "tag": "abc", "like": source}
    assert ImageTarget.reopen(**facts) is None
    ImageTarget.create(**facts).write((slice(0, 4), slice(0, 6), slice(0, 5)), values[:4])
    assert names(tmp_path) == [".partial-abc-o.nii.npy", "v.nii"]
    for other in ({"tag": "x"}, {"dtype": "uint8"}, {"shape": (*values.shape, 2), "axes": "ZYXC"}):
        assert ImageTarget.reopen(**(facts | other)) is None
    target = ImageTarget.reopen(**facts)
    target.write((slice(4, 7), slice(0, 6), slice(0, 5)), values[4:])
    target.finish()
    np.testing.assert_array_equal(read_nifti(tmp_path / "o.nii").array, values)
    assert names(tmp_path) == ["o.nii", "v.nii"] and ImageTarget.reopen(**facts) is None
    again = ImageTarget.create(**facts)
    (tmp_path / ".partial-abc-o.nii.npy").write_bytes(b"no header")
    assert ImageTarget.reopen(**facts) is None
    again.discard()
    np.testing.assert_array_equal(read_nifti(tmp_path / "o.nii").array, values)
    # Begun anew it is all zero.
    ImageTarget.create(**facts).finish()
    assert not read_nifti(tmp_path / "o.nii").array.any() and names(tmp_path) == ["o.nii", "v.nii"]


def test_what_cannot_be_written_is_refused(tmp_path):
    source, shape = save(tmp_path / "v.nii"), SHAPE[::-1]
    for path, facts, message in (
        ("o.tif", (shape, "ZYX"), r"o\.tif: volumes are written as NIfTI or Analyze, expected a name in \.nii"),
        ("o.nii", (SHAPE, "ZYX"), r"o\.nii: found an array of shape \(5, 6, 7\), expected \(7, 6, 5\) as .*v\.nii has"),
        ("o.nii", (shape[1:], "YX"), r"o\.nii: found an array of shape \(1, 6, 5\), expected \(7, 6, 5\)"),
        ("o.nii", (shape, "ZYXC"), r"o\.nii: axes ZYXC do not fit the image's shape \(7, 6, 5\)"),
        ("o.nii", (shape, "TYX"), "axes: found 'TYX', expected different letters of CZYX"),
        ("o.nii", (shape, "ZYX", None, None, None, "", complex), r"o\.nii: found pixels of type complex128"),
    ):
        with pytest.raises(InputError, match=message):
            ImageTarget.create(tmp_path / "out" / path, *facts, like=source)
    with pytest.raises(InputError, match=r"none\.nii: no such file"):
        ImageTarget.create(tmp_path / "out" / "o.nii", shape, "ZYX", like=tmp_path / "none.nii")
    assert names(tmp_path) == ["v.nii"]
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"o\.nii: cannot be written"):
        ImageTarget.create(tmp_path / "file" / "o.nii", shape, "ZYX", like=source)
    target = ImageTarget.create(tmp_path / "o.nii", shape, "ZYX", like=source)
    with pytest.raises(ValueError, match="expected a region of step 1 within"):
        target.write((slice(0, 8), slice(0, 6), slice(0, 5)), np.zeros((8, 6, 5)))
    target.write((slice(0, 1), slice(0, 1), slice(0, 1)), np.full((1, 1, 1), np.nan))
    with pytest.raises(InputError, match=r"o\.nii: the image holds NaN"):
        target.finish()
    assert names(tmp_path) == [".partial-o.nii.npy", "file", "v.nii"], "what was computed is kept"

"""Volumes of NIfTI and Analyze keep their voxels and their place, and damage is named in one line."""

import gzip
import subprocess
import sys

import numpy as np
import pytest

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import InputError
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.nifti import read_nifti, write_nifti
from aeanet_tf.io.read import find_images, open_image, read_image

nibabel = pytest.importorskip("nibabel")

SHAPE = (5, 6, 7)
# Turned and sheared, as a scanner's oblique slices.
AFFINE = np.array([[1.9, 0.2, 0, -30], [-0.2, 1.4, 0.1, 12.5], [0, -0.1, 3.1, 7], [0, 0, 0, 1]])


def voxels(dtype=np.int16, shape=SHAPE):
    return np.random.default_rng(0).integers(0, 900, shape).astype(dtype)


def save(path, data=None, affine=AFFINE, kind=None):
    """Write with nibabel, data indexed [i, j, k]."""
    kind = kind or (nibabel.Spm2AnalyzeImage if path.suffix == ".hdr" else nibabel.Nifti1Image)
    data = voxels() if data is None else data
    image = kind(data, None if issubclass(kind, nibabel.Spm2AnalyzeImage) else affine)
    if issubclass(kind, nibabel.Spm2AnalyzeImage):
        image.header.set_zooms((1, 2, 3, 1)[: data.ndim])
    image.to_filename(path)
    return path


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.hdr"])
def test_voxels_are_in_the_order_of_the_file(tmp_path, name):
    volume = read_nifti(save(tmp_path / name))
    data = voxels()
    assert (volume.axes, volume.array.dtype, volume.unit) == ("ZYX", np.int16, "mm")
    assert all(
        volume.array[k, j, i] == data[i, j, k]
        for i in range(SHAPE[0])
        for j in range(SHAPE[1])
        for k in range(SHAPE[2])
    )
    sizes = dict(zip("XYZ", (1, 2, 3) if name == "v.hdr" else np.linalg.norm(AFFINE[:3, :3], axis=0), strict=True))
    assert volume.pixel_size == pytest.approx(sizes)
    np.testing.assert_allclose(volume.affine, nibabel.load(tmp_path / name).affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int64, bool])
@pytest.mark.parametrize("source", ["v.nii", "v.hdr", "pair.hdr"])
@pytest.mark.parametrize("target", ["out.nii", "new/out.nii.gz", "out.hdr"])
def test_what_is_written_has_the_affine_of_what_was_read(tmp_path, source, target, dtype):
    like = read_nifti(save(tmp_path / source, kind=nibabel.Nifti1Pair if source == "pair.hdr" else None))
    array = (like.array % 2 if dtype is bool else like.array % 100).astype(dtype)
    write_nifti(tmp_path / target, array, like)
    stored = nibabel.load(tmp_path / target)
    np.testing.assert_array_equal(stored.affine, nibabel.load(tmp_path / source).affine)
    assert stored.header.get_zooms() == nibabel.load(tmp_path / source).header.get_zooms()
    np.testing.assert_array_equal(stored.get_fdata(), array.T)
    again = read_nifti(tmp_path / target)
    assert again.array.dtype == {np.int64: np.int32, bool: np.uint8}.get(dtype, dtype)
    np.testing.assert_array_equal(again.array, array)
    names = {"out.nii": ["out.nii"], "new/out.nii.gz": ["out.nii.gz"], "out.hdr": ["out.hdr", "out.img"]}[target]
    written = {path.name for path in (tmp_path / target).parent.iterdir() if path.is_file()}
    assert written - {"v.nii", "v.hdr", "v.img", "pair.hdr", "pair.img"} == set(names)


def test_a_header_is_taken_over_but_for_what_the_scan_alone_has(tmp_path):
    image = nibabel.Nifti1Image(voxels(), AFFINE)
    image.header["cal_max"], image.header["descrip"] = 900, b"subject 3"
    image.set_sform(AFFINE, code=4)
    image.to_filename(tmp_path / "v.nii")
    like = read_nifti(tmp_path / "v.nii")
    write_nifti(tmp_path / "out.nii", like.array, like)
    header = nibabel.load(tmp_path / "out.nii").header
    assert (header["cal_max"], header["descrip"], header["sform_code"]) == (0, b"subject 3", 4)
    # The time is not in the file.
    write_nifti(tmp_path / "a.nii.gz", like.array, like)
    write_nifti(tmp_path / "b.nii.gz", like.array, like)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_one_frame_counts_as_a_volume_and_scaled_integers_are_floats(tmp_path):
    volume = read_nifti(save(tmp_path / "one.hdr", voxels()[..., None]))
    np.testing.assert_array_equal(volume.array, voxels().T)
    image = nibabel.Nifti1Image(voxels(), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    image.to_filename(tmp_path / "scaled.nii")
    # nibabel divides by the slope in writing.
    scaled = read_nifti(tmp_path / "scaled.nii")
    assert scaled.array.dtype == np.float32 and nibabel.load(tmp_path / "scaled.nii").dataobj.slope == 0.5
    np.testing.assert_allclose(scaled.array, nibabel.load(tmp_path / "scaled.nii").get_fdata().T)
    write_nifti(tmp_path / "labels.nii", voxels().T, scaled)
    np.testing.assert_array_equal(read_nifti(tmp_path / "labels.nii").array, voxels().T)
    assert read_nifti(save(tmp_path / "big.nii", voxels(">f4"))).array.dtype.isnative


def test_other_readers_know_the_files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    save(tmp_path / "a" / "s.x.nii.gz")
    save(tmp_path / "a" / "t.hdr")
    save(tmp_path / "b" / "s.x.nii")
    save(tmp_path / "b" / "t.nii")
    assert [path.name for path in find_images(tmp_path / "a")] == ["s.x.nii.gz", "t.hdr"]
    assert [image_stem(name) for name in ("s.x.nii.gz", "S.NII.GZ", "t.hdr")] == ["s.x", "S", "t"]
    assert [low.name for low, _ in pair_folders(tmp_path / "a", tmp_path / "b")] == ["s.x.nii.gz", "t.hdr"]
    for path in (tmp_path / "a" / "s.x.nii.gz", tmp_path / "a" / "t.hdr"):
        image, stored, volume = read_image(path), open_image(path), read_nifti(path)
        np.testing.assert_array_equal(image.array, volume.array)
        np.testing.assert_array_equal(stored.array[1:3, :, 2:4], volume.array[1:3, :, 2:4])
        assert image.pixel_size == stored.pixel_size == volume.pixel_size and image.unit == stored.unit == "mm"


def test_damage_is_named_in_one_line(tmp_path):
    save(tmp_path / "v.hdr")
    (tmp_path / "v.img").rename(tmp_path / "w.img")
    with pytest.raises(InputError, match=r"v\.img: no such file, expected the voxels of v\.hdr beside it$"):
        read_nifti(tmp_path / "v.hdr")
    (tmp_path / "v.img").write_bytes((tmp_path / "w.img").read_bytes()[:-9])
    save(tmp_path / "cut.nii")
    content = (tmp_path / "cut.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(content[:-100])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(content)[:-40])
    (tmp_path / "text.nii").write_text("no volume")
    for name in ("v.hdr", "cut.nii", "cut.nii.gz", "text.nii"):
        with pytest.raises(InputError, match=rf"{name}: not a readable NIfTI or Analyze volume \([^\n]+\)$"):
            read_nifti(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.nii: no such file"):
        read_nifti(tmp_path / "none.nii")


def test_what_is_no_volume_is_refused(tmp_path):
    data = voxels(np.float32)
    data[1, 2, 3] = np.nan
    for name, content, message in (
        ("nan.nii", data, "NaN or infinite"),
        ("frames.nii", voxels(shape=(4, 4, 4, 3)), r"3 frames, shape \(4, 4, 4, 3\), expected one volume"),
        ("complex.nii", voxels(np.complex64), "voxels of type complex64"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            read_nifti(save(tmp_path / name, content))


def test_what_does_not_fit_is_not_written(tmp_path):
    like = read_nifti(save(tmp_path / "v.nii"))
    for name, array, message in (
        ("out.nii", like.array[1:], r"shape \(6, 6, 5\), expected \(7, 6, 5\) as .*v\.nii has"),
        ("out.tif", like.array, "expected a name in .nii, .nii.gz or .hdr"),
        ("out.nii", like.array.astype(complex), "voxels of type complex128"),
        ("out.nii", like.array.astype(np.int64) * 2**40, "integers that fit into 32 bits"),
        ("out.nii", np.full(like.array.shape, np.inf), "NaN or infinite"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            write_nifti(tmp_path / name, array, like)
    # SPM puts an affine that Analyze cannot hold into a third file.
    nibabel.Spm2AnalyzeImage(voxels(), AFFINE).to_filename(tmp_path / "spm.hdr")
    turned = read_nifti(tmp_path / "spm.hdr")
    np.testing.assert_allclose(turned.affine, AFFINE)
    with pytest.raises(InputError, match=r"out\.hdr: Analyze cannot hold the affine"):
        write_nifti(tmp_path / "out.hdr", turned.array, turned)
    write_nifti(tmp_path / "turned.nii", turned.array, turned)
    np.testing.assert_allclose(read_nifti(tmp_path / "turned.nii").affine, AFFINE)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_nifti(tmp_path / "file" / "out.hdr", like.array, like)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_place_that_means_nothing_is_not_written_and_no_log_shows(tmp_path, capfd):
    image = nibabel.Nifti1Image(voxels(), None)
    image.header["pixdim"][1:4] = np.nan, np.inf, -1
    (tmp_path / "v.nii").write_bytes(bytes(image.header.binaryblock) + bytes(4) + voxels().tobytes(order="F"))
    content = bytearray((tmp_path / "v.nii").read_bytes())
    content[108:112], content[344:348] = np.float32(352).tobytes(), b"n+1\0"
    (tmp_path / "v.nii").write_bytes(content)
    like = read_nifti(tmp_path / "v.nii")
    np.testing.assert_array_equal(like.array, voxels().T)
    assert like.pixel_size == {"Z": 1.0}
    assert capfd.readouterr().err == ""
    with pytest.raises(InputError, match=r"out\.nii: the place of .*v\.nii cannot be written \([^\n]+\)$"):
        write_nifti(tmp_path / "out.nii", like.array, like)


def test_without_nibabel_one_line_says_what_to_install(tmp_path, monkeypatch):
    like = read_nifti(save(tmp_path / "x.nii"))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    wanted = r'x\.nii: nibabel is not installed; run pip install "aeanet-tf\[mri\]"$'
    with pytest.raises(InputError, match=rf"reading .*{wanted}"):
        read_image(tmp_path / "x.nii")
    with pytest.raises(InputError, match=rf"writing .*{wanted}"):
        write_nifti(tmp_path / "x.nii", like.array, like)


def test_nibabel_is_imported_only_when_it_is_needed():
    code = "import sys, aeanet_tf.io.nifti, aeanet_tf.datasets.iseg, aeanet_tf.io.read; print('nibabel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

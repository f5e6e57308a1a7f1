"""An image says which model made it, in every format that is written."""

import numpy as np
import pytest

from aeanet_tf.io.made_by import MadeBy, made_by
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget

IMAGE = np.random.default_rng(0).random((3, 8, 9)).astype("float32")
MAKER = MadeBy("nuclei", "0123456789ab")


def written(path, maker, **options):
    target = ImageTarget.create(path, IMAGE.shape, "ZYX", made_by=maker.line(), **options)
    target.write((slice(0, 3), slice(0, 8), slice(0, 9)), IMAGE)
    target.finish()
    return path


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr", "a.nii", "a.nii.gz", "a.hdr"])
def test_what_is_written_is_read(tmp_path, name):
    options = {}
    if name.startswith(("a.n", "a.h")):
        nibabel = pytest.importorskip("nibabel")
        kind = nibabel.AnalyzeImage if name == "a.hdr" else nibabel.Nifti1Image
        options["like"] = tmp_path / f"like{name[1:]}"
        kind(np.zeros((9, 8, 3), "uint8"), np.eye(4)).to_filename(options["like"])
        assert made_by(options["like"]) is None
    assert made_by(written(tmp_path / name, MAKER, **options)) == MAKER
    np.testing.assert_array_equal(read_image(tmp_path / name).array, IMAGE)
    long = MAKER._replace(model="Kerne μ " * 20)
    found = made_by(written(tmp_path / f"b{name[1:]}", long, **options))
    assert found.digest == MAKER.digest and found.model.startswith("Kerne \\u03bc Kerne") and len(long.line()) == 80


def test_a_begun_image_is_another_ones_for_another_model(tmp_path):
    other = MAKER._replace(model="other").line()
    ImageTarget.create(tmp_path / "a.zarr", (8, 9), "YX", made_by=MAKER.line())
    assert ImageTarget.reopen(tmp_path / "a.zarr", (8, 9), "YX", made_by=other) is None
    assert ImageTarget.reopen(tmp_path / "a.zarr", (8, 9), "YX", made_by=MAKER.line())


def test_other_files_say_nothing(tmp_path):
    write_image(tmp_path / "a.tif", IMAGE, "ZYX")
    (tmp_path / "b.tif").write_bytes(b"none")
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "d.nii.gz").write_bytes(b"none")
    assert [made_by(tmp_path / name) for name in ("a.tif", "b.tif", "c.zarr", "d.nii.gz", "e.tif", "f.png")] == [
        None
    ] * 6

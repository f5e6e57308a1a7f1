"""Whether the images of a training are still those that it began with."""

import os
import shutil

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs import training_files
from aeanet_tf.runs.data_sections import FoldersSection
from aeanet_tf.runs.training_files import check_images, images_remark, save_images
from tests.models import write_pairs


@pytest.fixture
def begun(tmp_path):
    """A model folder that knows of its images, the section and the files."""
    write_pairs(tmp_path / "data" / "low", tmp_path / "data" / "GT")
    section = FoldersSection(root=str(tmp_path / "data"), low="low", GT="GT")
    files = sorted((tmp_path / "data").rglob("*.tif"))
    (tmp_path / "m").mkdir()
    save_images(tmp_path / "m", section, files)
    return tmp_path / "m", section, files


def other_pixels(path, size=(24, 20)):
    """Write an image of the same size in bytes, with the time of the old one."""
    before = path.stat()
    write_image(path, np.random.default_rng(9).random(size).astype("float32"), "YX")
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def test_what_is_as_it_was_is_no_news(begun):
    folder, section, files = begun
    check_images(folder, section, files)
    assert images_remark(folder, section) == ""
    # Touched, and copied elsewhere with all of the data: the same images.
    os.utime(files[0])
    check_images(folder, section, files)
    moved = folder.parent / "moved"
    shutil.copytree(folder.parent / "data", moved)
    section = section.model_copy(update={"root": str(moved)})
    check_images(folder, section, sorted(moved.rglob("*.tif")))
    assert images_remark(folder, section) == ""


def test_changed_missing_and_new_images_are_named(begun):
    folder, section, files = begun
    other_pixels(files[4])
    with pytest.raises(InputError, match=r"m: holds an unfinished training of other images: low/b\.tif has changed; "):
        check_images(folder, section, files)
    assert images_remark(folder, section) == " of other images (low/b.tif has changed)"
    files[0].unlink()
    new = files[0].with_name("d.tif")
    new.write_bytes(b"new")
    expected = "GT/a.tif is missing, low/b.tif has changed, low/c.tif is no longer among them and 1 more"
    with pytest.raises(InputError, match=expected):
        check_images(folder, section, [new, *files[1:-1]])


def test_large_files_are_known_by_parts_and_folders_by_their_files(begun, monkeypatch):
    folder, section, files = begun
    monkeypatch.setattr(training_files, "_WHOLE", 256)
    zarr = folder.parent / "data" / "a.zarr"
    for name in ("0.0", "0.1", ".zarray"):
        (zarr / "0").mkdir(parents=True, exist_ok=True)
        (zarr / "0" / name).write_bytes(name.encode() * 100)
    save_images(folder, section, [*files, zarr])
    for file in (*files, zarr / "0" / ".zarray"):
        os.utime(file)
    check_images(folder, section, [*files, zarr])
    other_pixels(files[1])
    (zarr / "0" / "0.1").write_bytes(b"1.0" * 100)
    with pytest.raises(InputError, match=r"GT/b\.tif has changed, a\.zarr has changed"):
        check_images(folder, section, [*files, zarr])


@pytest.mark.parametrize("text", [None, "", "[]", "null", '{"a.tif": 3}', '{"a.tif": {"size": 1}}', "{" * 5000])
def test_of_a_record_that_is_damaged_or_missing_nothing_is_known(begun, text):
    folder, section, files = begun
    path = folder / training_files.FILE
    path.unlink()
    if text is not None:
        path.write_text(text)
    check_images(folder, section, files)
    assert images_remark(folder, section) == ""


def test_data_that_are_gone_are_no_news_of_a_trained_model(begun):
    folder, section, _ = begun
    assert images_remark(folder, section.model_copy(update={"root": "nowhere"})) == ""

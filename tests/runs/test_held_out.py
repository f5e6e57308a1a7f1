"""Which pairs a run finds, which of them it holds out, and that it says and keeps it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from aeanet_tf.datasets.pairs import read_npz
from aeanet_tf.errors import InputError
from aeanet_tf.runs import image_data
from aeanet_tf.runs.data_sections import FoldersSection, NpzSection
from aeanet_tf.runs.held_out import held_out_files, paired_images, say_held_out
from aeanet_tf.runs.image_data import load_folders, load_npz
from aeanet_tf.runs.training_files import FILE, save_images
from tests.models import write_pairs

NETWORK = SimpleNamespace(
    axes="YXC", n_channel_in=1, n_channel_out=1, train_patch_size=(8, 8), spec=SimpleNamespace(upscale=1)
)


@pytest.fixture
def data(tmp_path):
    write_pairs(tmp_path / "low", tmp_path / "GT", "abcdefg")
    return tmp_path


def section(data, **fields):
    return FoldersSection(**{"root": str(data), "low": "low", "GT": "GT", "normalization": {"kind": "none"}, **fields})


def held(data, **fields):
    """Names of the images that are held out of those of ``low``."""
    images = load_folders(section(data, **fields), NETWORK)
    every = [name.rpartition("/")[2][0] for part in images.names for name in part]
    assert sorted(every) == list("abcdefg") and len(images.X) + len(images.validation[0]) == 7
    return "".join(name.rpartition("/")[2][0] for name in images.names[1])


def test_images_to_validate_on_are_chosen_by_share_name_or_pattern(data):
    assert held(data) == "g", "a tenth of seven is one, the last by name"
    assert held(data, validation_split=0.5) == "defg"
    assert held(data, validation_images=["b.tif", "d"]) == "bd"
    assert held(data, validation_images=["[ac].tif", "low/f*"]) == "acf"
    with pytest.raises(InputError, match=r"data\.validation_images: found 'e\.tiff', .* such as e\.tif, or a pattern"):
        held(data, validation_images=["a", "e.tiff"])
    with pytest.raises(InputError, match=r"data\.validation_images: found all 7 images, expected some that are left"):
        held(data, validation_images=["*"])
    with pytest.raises(ValueError, match="validation_images: found beside validation_low"):
        section(data, validation_images=["a"], validation_low="low", validation_GT="GT")


def test_what_is_held_out_is_said_and_kept(data, tmp_path, caplog):
    chosen = section(data, validation_images=["b", "g"])
    images = load_folders(chosen, NETWORK)
    with caplog.at_level("INFO", "aeanet_tf"):
        say_held_out(chosen, images)
    said = "held out for validation, 2 of 7: b.tif, g.tif; data.validation_images chooses others"
    assert caplog.messages == [said]
    save_images(tmp_path, chosen, images.files, held_out_files(images))
    records = json.loads((tmp_path / FILE).read_text())
    assert {name for name, record in records.items() if record.get("validation") is True} == {"low/b.tif", "low/g.tif"}
    assert len(records) == 14


def test_of_many_only_some_are_named(data, caplog):
    chosen = section(data, validation_images=["*"])
    names = [f"{i}.tif" for i in range(30)]
    images = image_data.TrainingImages(["x"] * 9, [], (names, names), ([], names), files=names)
    with caplog.at_level("INFO", "aeanet_tf"):
        say_held_out(chosen, images)
    assert "30 of 39: 0.tif, 1.tif, 2.tif, 3.tif, 4.tif, ..., 29.tif;" in caplog.messages[0]


def test_patches_that_are_held_out_are_numbers_of_a_file(data, caplog):
    X = np.random.default_rng(0).random((25, 1, 8, 8)).astype(np.float32)
    np.savez(data / "p.npz", X=X, Y=X, axes="SCYX")
    chosen = NpzSection(root=str(data), npz="p.npz")
    images = load_npz(chosen, NETWORK)
    assert held_out_files(images) == {str(data / "p.npz"): "patch 23 to patch 24"}
    with caplog.at_level("INFO", "aeanet_tf"):
        say_held_out(chosen, images)
    assert "2 of 25: p.npz: patch 23, p.npz: patch 24" in caplog.messages[0]
    np.testing.assert_array_equal(read_npz(data / "p.npz")[1][0][..., 0], X[23:, 0])


def test_the_end_of_the_only_image_is_held_out(tmp_path, caplog):
    write_pairs(tmp_path / "low", tmp_path / "GT", "a", shape=(20, 40))
    chosen = section(tmp_path)
    images = load_folders(chosen, NETWORK)
    assert [x.shape for x in (*images.X, *images.validation[0])] == [(20, 32, 1), (20, 8, 1)]
    for parts in ((images.X, images.validation[0]), (images.Y, images.validation[1])):
        assert np.concatenate([part[0] for part in parts], 1).shape == (20, 40, 1)
    np.testing.assert_array_equal(images.validation[1][0], images.validation[0][0] / 2)
    assert held_out_files(images) == {str(tmp_path / "low" / "a.tif"): "X 32 to 39"}
    assert any("the only image: its end is held out" in message for message in caplog.messages)
    with pytest.raises(InputError, match=r"a\.tif: the only image, 40 pixels along X; expected 48, a patch to train"):
        load_folders(chosen, SimpleNamespace(**{**vars(NETWORK), "train_patch_size": (8, 24)}))


def test_the_end_of_the_only_volume_of_a_projection(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((5, 24, 16, 1)), rng.random((24, 16, 1))
    network = SimpleNamespace(axes="ZYXC", proj_axis="Z", train_patch_size=(5, 8, 8), spec=SimpleNamespace(upscale=1))
    X, Y, names, validation, others = image_data.split_image(section(tmp_path), network, [x], [y], ["a"])
    np.testing.assert_array_equal(np.concatenate([X[0], validation[0][0]], 1), x)
    np.testing.assert_array_equal(np.concatenate([Y[0], validation[1][0]], 0), y)
    assert (names, others) == (["a, Y 0 to 15"], ["a, Y 16 to 23"])


def test_names_that_differ_say_what_to_write(data):
    for i, path in enumerate(sorted((data / "GT").iterdir())):
        path.rename(path.with_name(f"{i}.tif"))
    with pytest.raises(
        InputError, match=r'; data\.match "order" pairs them in the order of their names, a\.tif with 0'
    ):
        paired_images(section(data), "low", "GT")
    assert len(paired_images(section(data, match="order"), "low", "GT")) == 7
    for side, number in (("low", 1), ("GT", 2)):
        for path in (data / side).iterdir():
            path.unlink()
        write_pairs(data / side, data / "unused", [f"c{number}_{name}" for name in "xy"])
    with pytest.raises(InputError, match=r'; write data\.low as "low/c1_\*\.\*" and data\.GT as "GT/c2_\*\.\*"; data'):
        paired_images(section(data), "low", "GT")
    pairs = paired_images(section(data), "low/c1*.*", "GT/c2*.*")
    assert [(low.name, gt.name) for low, gt in pairs] == [("c1_x.tif", "c2_x.tif"), ("c1_y.tif", "c2_y.tif")]
    with pytest.raises(InputError, match=r"c1_x\.tif: found as image and as its own ground truth"):
        paired_images(section(data), "low", "low")

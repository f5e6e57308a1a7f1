"""An image on both sides of the split is said, under whatever name it is there."""

import json
import logging
import os

import numpy as np
import pytest

from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.image_data import TrainingImages
from aeanet_tf.runs.split_check import warn_of_shared_images
from aeanet_tf.runs.train import load_data, model_config
from aeanet_tf.training.copies import shared_images
from tests.models import write_config, write_pairs


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.WARNING, "aeanet_tf")
    return caplog


def images(count, seed=0, shape=(12, 14, 1)):
    return list(np.random.default_rng(seed).random((count, *shape)).astype("float32"))


def test_equal_images_are_found_and_like_ones_are_not():
    train, held = images(5), images(3, seed=1)
    assert shared_images(train, held) == []
    held[1] = train[4].copy()
    # All but one pixel, which lies on no grid of samples; another shape of the same numbers.
    held[2] = train[3].copy()
    held[2][5, 7] += 1e-6
    held.append(train[0].reshape(14, 12, 1))
    assert shared_images(train, held) == [(4, 1)]
    assert shared_images(np.stack(train), np.stack(held[:3])) == [(4, 1)]


def test_constants_are_no_copies_and_sparse_images_are():
    blank, sparse = np.zeros((20, 20, 1), "float32"), np.zeros((20, 20, 1), "float32")
    sparse[7, 7] = 1
    other = np.zeros_like(sparse)
    other[7, 9] = 1
    assert shared_images([blank, other], [blank.copy(), sparse]) == []
    assert shared_images([blank, sparse, other], [blank, sparse.copy()]) == [(1, 1)]


def test_the_warning_names_both_and_counts_the_rest(said):
    X, Y = images(6), images(6, seed=1)
    names = [f"a{i}.tif" for i in range(6)], [f"b{i}.tif" for i in range(5)]
    warn_of_shared_images(TrainingImages(X, Y, (X[1:], Y[1:]), names))
    (message,) = said.messages
    assert message.startswith("data: 5 of 5 images to validate on are on both sides")
    assert "b0.tif is an image of training, a1.tif; b1.tif" in message and "; and 2 more;" in message
    said.clear()
    # Other inputs of the same truth; label images may be equal by chance.
    warn_of_shared_images(TrainingImages(X, Y, (images(1, 5), Y[2:3]), names), targets=False)
    assert not said.messages
    warn_of_shared_images(TrainingImages(X, Y, (images(1, 5), Y[2:3]), names))
    assert "b0.tif is the ground truth of an image of training, a2.tif" in said.text


def load(folder, *overrides):
    config = load_run_config(folder / "run.json", [f"data.root={folder / 'data'}", *overrides])
    return load_data(config.data, model_config(config))


@pytest.mark.parametrize("how", ["copy", "symbolic link", "hard link", "another format"])
def test_one_file_under_two_names(tmp_path, said, how):
    low, gt = tmp_path / "data/train/low", tmp_path / "data/train/GT"
    write_pairs(low, gt, "ab")
    write_config(tmp_path / "run.json")
    for folder in (low, gt):
        source, copy = folder / "a.tif", folder / "z.tif"
        if how == "copy":
            copy.write_bytes(source.read_bytes())
        elif how == "symbolic link":
            copy.symlink_to(source)
        elif how == "hard link":
            os.link(source, copy)
        else:
            write_image(folder / "z.tiff", read_image(source).array.astype("float32"), "YX", {"Y": 2, "X": 2}, "um")
    images = load(tmp_path)
    assert len(images.validation[0]) == 1
    assert (
        "z.tif" in said.text and "a.tif" in said.text and "1 of 1 images to validate on are on both sides" in said.text
    )
    assert {path.name for path in images.files} >= {"a.tif", "b.tif"}


def test_folders_patches_and_stacks(tmp_path, said):
    low, gt = tmp_path / "data/train/low", tmp_path / "data/train/GT"
    write_pairs(low, gt, "ab")
    write_config(tmp_path / "run.json")
    held = ("data.validation_low=train/low", "data.validation_GT=train/GT")
    load(tmp_path, *held)
    assert "2 of 2 images to validate on are on both sides" in said.text
    said.clear()
    patches = np.random.default_rng(0).random((10, 1, 16, 16)).astype("float32")
    patches[9] = patches[2]
    np.savez(tmp_path / "data" / "p.npz", X=patches, Y=patches, axes="SCYX")
    load(tmp_path, 'data={"kind": "npz", "root": "' + str(tmp_path / "data") + '", "npz": "p.npz"}')
    assert "p.npz: patch 9 is an image of training" in said.text and "p.npz: patch 2" in said.text
    said.clear()
    stack = np.random.default_rng(0).integers(0, 255, (6, 24, 20)).astype("uint8")
    stack[5] = stack[1]
    write_image(tmp_path / "data" / "stack.tif", stack, "ZYX")
    write_image(tmp_path / "data" / "labels.tif", (stack > 100).astype("uint8"), "ZYX")
    section = {"kind": "labels", "root": str(tmp_path / "data"), "stack": "stack.tif", "label_stack": "labels.tif"}
    section |= {"train_slices": "0-3", "validation_slices": "4-5"}
    write_config(tmp_path / "run.json", model={"n_channel_out": 2}, training={"loss": "cross_entropy"})
    config = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**config, "data": section}))
    images = load(tmp_path)
    assert "slice 5 is an image of training" in said.text and "slice 1" in said.text
    assert sorted(path.name for path in images.files) == ["labels.tif", "stack.tif"]


def test_ordinary_splits_say_nothing(tmp_path, said):
    write_pairs(tmp_path / "data/train/low", tmp_path / "data/train/GT")
    write_config(tmp_path / "run.json")
    load(tmp_path)
    assert not said.records

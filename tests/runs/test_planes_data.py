"""Stacks and time lapses as training data of models of images: each plane is a sample."""

from types import SimpleNamespace

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.data_sections import FoldersSection
from aeanet_tf.runs.held_out import held_out_files, say_held_out
from aeanet_tf.runs.image_data import load_folders

NETWORK = SimpleNamespace(
    axes="YXC", n_channel_in=1, n_channel_out=1, train_patch_size=(8, 8), spec=SimpleNamespace(upscale=1)
)
VOLUMES = SimpleNamespace(
    axes="ZYXC", n_channel_in=1, n_channel_out=1, train_patch_size=(2, 8, 8), spec=SimpleNamespace(upscale=1)
)


def write(folder, axes, shape, names="abc"):
    rng = np.random.default_rng(0)
    stacks = {side: rng.uniform(1, 2, (len(names), *shape)).astype(np.float32) for side in ("low", "GT")}
    for side, images in stacks.items():
        for name, image in zip(names, images, strict=True):
            write_image(folder / side / f"{name}.tif", image, axes)
    return stacks


def section(folder, kind="none", **fields):
    return FoldersSection(root=str(folder), low="low", GT="GT", normalization={"kind": kind}, **fields)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_planes_are_samples_and_images_are_held_out(tmp_path, axes, caplog):
    stacks = write(tmp_path, axes, (4, 20, 24))
    chosen = section(tmp_path)
    with caplog.at_level("INFO", "aeanet_tf"):
        images = load_folders(chosen, NETWORK)
        say_held_out(chosen, images)
    for found, held, side in ((images.X, images.validation[0], "low"), (images.Y, images.validation[1], "GT")):
        np.testing.assert_array_equal(np.stack(found)[..., 0], stacks[side][:2].reshape(8, 20, 24))
        np.testing.assert_array_equal(np.stack(held)[..., 0], stacks[side][2])
    assert images.names[0][5] == f"{tmp_path / 'low' / 'b.tif'}, {axes[0]} 1"
    assert f"8 planes along {axes[0]} of 2 images, each a sample: the model's axes are YXC" in caplog.messages
    assert "held out for validation, 4 of 12: c.tif" in caplog.text
    assert held_out_files(images) == {str(tmp_path / "low" / "c.tif"): f"{axes[0]} 0 to {axes[0]} 3"}


def test_planes_are_normalised_by_themselves(tmp_path):
    stacks = write(tmp_path, "TZCYX", (2, 3, 2, 20, 24))
    two = SimpleNamespace(**{**vars(NETWORK), "n_channel_in": 2, "n_channel_out": 2})
    images = load_folders(section(tmp_path, "percentile"), two)
    planes = stacks["low"][0].reshape(6, 2, 20, 24).transpose(0, 2, 3, 1)
    low, high = np.percentile(planes.astype(np.float64), (2, 99.8), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(np.stack(images.X[:6]), (planes - low) / (high - low), rtol=1e-4, atol=1e-5)
    assert images.names[0][4].endswith("a.tif, T 1, Z 1")


def test_frames_of_volumes_are_samples_of_models_of_volumes(tmp_path):
    stacks = write(tmp_path, "TZYX", (2, 3, 20, 24))
    images = load_folders(section(tmp_path), VOLUMES)
    np.testing.assert_array_equal(np.stack(images.X)[..., 0], stacks["low"][:2].reshape(4, 3, 20, 24))


def test_of_the_only_stack_the_same_end_of_all_planes_is_held_out(tmp_path, caplog):
    stacks = write(tmp_path, "ZYX", (3, 20, 40), "a")
    images = load_folders(section(tmp_path), NETWORK)
    np.testing.assert_array_equal(np.stack(images.X)[..., 0], stacks["low"][0][..., :32])
    np.testing.assert_array_equal(np.stack(images.validation[1])[..., 0], stacks["GT"][0][..., 32:])
    assert len([line for line in caplog.messages if "the only image: its end is held out" in line]) == 1


def test_stacks_of_other_sizes_are_no_pairs(tmp_path):
    write(tmp_path, "ZYX", (3, 20, 24))
    write_image(tmp_path / "GT" / "b.tif", np.zeros((2, 20, 24), np.float32), "ZYX")
    with pytest.raises(InputError, match=r"b\.tif: shape \(2, 20, 24\) \(ZYX\)"):
        load_folders(section(tmp_path), NETWORK)

"""Training images of isotropic restoration: planes of a coarse volume, from the volume alone."""

import json

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANetConfig
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.data_sections import IsotropicSection
from aeanet_tf.runs.isotropic_data import load_isotropic
from aeanet_tf.runs.train import train_run
from tests.models import EAGER, eager_tensorflow, write_config

SIZES = {"Z": 4.0, "Y": 1.0, "X": 1.0}
VOLUME = np.random.default_rng(0).gamma(2, 50, (5, 40, 61)).astype("float32")


def network(axes="YX", patch=(16, 24), **fields):
    return AEANetConfig(axes, preset="unet-care", train_patch_size=patch, **fields)


def section(folder, **fields):
    return IsotropicSection(root=str(folder), volumes="*.tif", **fields)


def test_of_one_volume_the_end_of_its_longer_side_is_validated_on(tmp_path):
    write_image(tmp_path / "a.tif", VOLUME, "ZYX", SIZES, "um")
    images = load_isotropic(section(tmp_path), network())
    low, high = np.percentile(VOLUME, (2, 99.8))
    normal = (VOLUME - low) / (high - low)
    # X 0 to 44 is trained on, 45 to 60 held out; columns are what is coarse.
    assert [y.shape for y in images.Y[:2]] == [(40, 45, 1), (45, 37, 1)] and len(images.Y) == 10
    np.testing.assert_allclose(images.Y[4][..., 0], normal[2, :, :45], atol=1e-5)
    np.testing.assert_allclose(images.Y[5][..., 0], normal[2, :37, :45].T, atol=1e-5)
    X, Y = images.validation
    assert [y.shape for y in Y] == 5 * [(16, 37, 1)]
    np.testing.assert_allclose(Y[3][..., 0], normal[3, :37, 45:].T, atol=1e-5)
    for x in [*images.X, *X]:
        np.testing.assert_allclose(np.diff(x[:, :9, 0], 2, axis=1)[:, [0, 1, 2, 4, 5, 6]], 0, atol=1e-6)
    assert images.names[1][0].endswith("a.tif, X 45 to 60, Z 0, coarse along Y")
    assert images.calibration == (SIZES, "um")


def test_of_several_volumes_the_last_are_held_out_and_factor_and_blur_can_be_given(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.tif", VOLUME, "ZYX")
    images = load_isotropic(section(tmp_path, factor=2, sigma=0), network())
    assert len(images.X) == len(images.validation[0]) == 10
    # Without blur every second column is what it was.
    np.testing.assert_allclose(images.X[0][:, ::2], images.Y[0][:, ::2], atol=1e-6)
    assert np.abs(images.X[0][:, 1::2] - images.Y[0][:, 1::2]).max() > 0.1


@pytest.mark.parametrize(
    ("sizes", "fields", "model", "message"),
    [
        ({}, {}, {}, r"a.tif: does not say its pixel sizes, expected data.factor"),
        (dict.fromkeys("ZYX", 1.0), {}, {}, "pixel size along Z over that along X: found 1, expected more than 1"),
        (SIZES, {}, {"patch": (16, 16)}, "16 x 16 with augment turns patches by 90 degrees"),
        (SIZES, {}, {"axes": "ZYX", "patch": (4, 16, 16)}, "^model.axes: found ZYX, expected YX"),
        (SIZES, {}, {"n_channel_out": 2}, "^model.n_channel_out: found 2, expected 1"),
        (SIZES, {}, {"patch": (16, 48)}, "the only volume, 61 pixels along X; expected 64"),
        (SIZES, {"psf": "a.tif"}, {}, "a.tif: "),
    ],
)
def test_what_is_refused(tmp_path, sizes, fields, model, message):
    write_image(tmp_path / "a.tif", VOLUME, "ZYX", sizes, "um" if sizes else None)
    with pytest.raises(InputError, match=message):
        load_isotropic(section(tmp_path, **fields), network(**model))


def test_one_blur_and_a_volume_at_least():
    with pytest.raises(ValueError, match="sigma: found beside psf"):
        IsotropicSection(volumes="a.tif", psf="b.tif", sigma=1)
    with pytest.raises(ValueError, match="volumes: missing"):
        IsotropicSection()


@EAGER
def test_a_model_is_trained_from_a_volume_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "data" / "a.tif", VOLUME, "ZYX", SIZES, "um")
    write_config(tmp_path / "run.json", training={"patch_size": [16, 24]})
    run = json.loads((tmp_path / "run.json").read_text())
    run["data"] = {"kind": "isotropic", "root": "data", "volumes": "a.tif"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    with eager_tensorflow():
        model = train_run(load_run_config("run.json"), verbose=0)
    assert model.config.axes == "YXC"
    files = json.loads((model.logdir / "training_images.json").read_text())
    assert files["a.tif"]["validation"].startswith("X 45 to 60, Z 0") and list(files) == ["a.tif"]

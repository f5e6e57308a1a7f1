"""Files of volumes that are coarse along Z: restored as in memory, with pixel sizes that say where planes lie."""

import json
import logging

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.io import slab, statistics
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANetConfig, IsotropicAEANet, UpsamplingAEANet
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.predict_files import predict_files
from tests.interop.example_models import randomise
from tests.models import NETWORK, contents
from tests.runs.test_large_files import Killed, as_zarr, loaded, stop_after

PERCENTILES = NormalizationSection()
VOLUME = np.random.default_rng(0).integers(0, 300, (4, 10, 13)).astype("uint16")
SIZES = {"Z": 2.0, "Y": 0.5, "X": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    """A probabilistic model of planes with one attention operator."""
    config = AEANetConfig("YX", preset="aeanet-em", network=NETWORK, probabilistic=True, train_loss="laplace")
    made = IsotropicAEANet(config, "planes", str(folder))
    randomise(made.keras_model)
    made.keras_model.save_weights(str(folder / "planes" / "weights_best.h5"))
    return made


@pytest.fixture(scope="module")
def expected(model):
    return model.predict_probabilistic(VOLUME, "ZYX", 4, planes="step")


@pytest.fixture(scope="module")
def volumes(folder):
    made = UpsamplingAEANet(
        AEANetConfig("ZYX", preset="unet-care", unet_n_first=4, unet_n_depth=2), "volumes", str(folder)
    )
    randomise(made.keras_model)
    return made


def close(found, wanted):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def write(path, array=VOLUME):
    """A volume in the format that a name ends in."""
    if path.suffix == ".zarr":
        as_zarr(path, array.astype("float32"), "ZYX")
    elif path.name.endswith(".nii.gz"):
        import nibabel

        nibabel.Nifti1Image(array.T.astype("int16"), np.diag([-0.5, 0.5, 2, 1])).to_filename(path)
    else:
        write_image(path, array, "ZYX", SIZES, "um")
    return path


@pytest.mark.parametrize(("name", "n_tiles"), [("a.tif", (2, 2, 3)), ("a.zarr", None), ("a.nii.gz", (1, 1, 2))])
def test_a_file_is_restored_as_in_memory(model, expected, tmp_path, monkeypatch, name, n_tiles):
    """In slabs of few rows, tiles, and results written in pieces."""
    monkeypatch.setattr(slab, "SLAB_BYTES", 3 * VOLUME[:, 0].nbytes)
    monkeypatch.setattr(statistics, "PIECE_BYTES", 4000)
    path = write(tmp_path / name)
    options = {"isotropic": 4, "n_tiles": n_tiles, "scale": True}
    written = predict_files(model, path, tmp_path / "out", PERCENTILES, **options)
    assert [p.name for p in written] == [name, name.replace("a.", "a_scale.")]
    close(loaded(written[0]), expected.mean())
    close(loaded(written[1]), expected.scale())
    image = open_image(written[0])
    old = open_image(path)
    assert image.axes == "ZYX" and image.unit == old.unit
    assert image.pixel_size == pytest.approx(old.pixel_size | {"Z": old.pixel_size["Z"] / 4})
    hidden = {p for p in contents(tmp_path / "out") if p.split("/")[0] not in {q.name for q in written}}
    assert not hidden


def test_a_lapse_with_axes_in_another_order_in_whole_numbers(model, tmp_path, caplog):
    lapse = np.stack([VOLUME, VOLUME[::-1] // 2], 1)
    as_zarr(tmp_path / "a.zarr", lapse.astype("float32"), "ZTYX")
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        written = predict_files(model, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, isotropic=2, dtype="uint16")
    found = open_image(written[0])
    wanted = model.predict(lapse, "ZTYX", 2, planes="step")
    assert sorted(found.axes) == sorted("TZYX") and found.array.dtype == "uint16"
    array = loaded(written[0]).transpose([found.axes.index(a) for a in "ZTYX"])
    assert array.shape == (7, 2, 10, 13) and np.abs(array - np.clip(np.rint(wanted), 0, None)).max() <= 1
    assert "each restored by itself" not in caplog.text


@pytest.mark.parametrize("count", [6, 60])
def test_a_run_that_was_killed_goes_on(model, expected, tmp_path, monkeypatch, count):
    """In the first view, whose 13 planes take 2 tiles in 2 sweeps each, and in the second, of 10 planes."""
    path, options = write(tmp_path / "a.tif"), {"isotropic": 4, "n_tiles": (2, 1, 1)}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, count)
        predict_files(model, path, tmp_path / "out", PERCENTILES, **options)
    again = stop_after(monkeypatch, -1)
    written = predict_files(model, path, tmp_path / "out", PERCENTILES, **options)
    assert len(again) == 4 * 23 - count
    close(loaded(written[0]), expected.mean())


def test_a_volume_is_upsampled_and_restored(volumes, tmp_path):
    path = write(tmp_path / "a.tif")
    written = predict_files(volumes, path, tmp_path / "out", PERCENTILES, upsample=3, n_tiles=(2, 1, 1))
    close(read_image(written[0]).array, volumes.predict(VOLUME.astype("float32"), "ZYX", 3, planes="step"))
    assert read_image(written[0]).pixel_size == pytest.approx(SIZES | {"Z": 2 / 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"isotropic": -1}, "^--isotropic: found -1, expected a number above 0"),
        ({"isotropic": 4, "upsample": 4}, "^--isotropic: found given with --upsample"),
        ({"isotropic": 4, "ensemble": "flips"}, "^--isotropic: found given with --ensemble"),
        ({"isotropic": 4, "context": "group"}, "^--isotropic: found given with --context group"),
        ({"upsample": 4}, "^--upsample: found a model of axes YXC, expected one that restores volumes"),
    ],
)
def test_options_that_do_not_go_together(model, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        predict_files(model, write(tmp_path / "a.tif"), tmp_path / "out", PERCENTILES, **options)
    assert not (tmp_path / "out").exists()


def test_images_and_models_that_are_refused(model, volumes, tmp_path):
    write_image(tmp_path / "plane.tif", VOLUME[0], "YX")
    write_image(tmp_path / "line.tif", VOLUME[:, :1], "ZYX")
    for name, message in (("plane", "'Z': 1, .*expected at least 2 along Z"), ("line", "'Y': 1")):
        with pytest.raises(InputError, match=message):
            predict_files(model, tmp_path / f"{name}.tif", tmp_path / "out", PERCENTILES, isotropic=4)
    with pytest.raises(
        InputError, match=r"^--isotropic: found a model of axes ZYXC, expected one that restores images"
    ):
        predict_files(volumes, write(tmp_path / "a.tif"), tmp_path / "out", PERCENTILES, isotropic=4)


def test_the_command(model, expected, folder, tmp_path, capsys):
    write(tmp_path / "a.tif")
    words = ["predict", "--model", str(folder / "planes"), "--input", str(tmp_path / "a.tif"), "--isotropic", "4"]
    assert main([*words, "--output", str(tmp_path / "b.tif")]) == 0
    close(loaded(tmp_path / "b.tif"), expected.mean())
    assert main([*words, "--output", str(tmp_path / "c.tif"), "--model", *2 * [str(folder / "planes")]]) == 2
    assert "--isotropic: found 2 models, expected one" in capsys.readouterr().err
    assert json.loads((folder / "planes" / "config.json").read_text())["axes"] == "YXC"

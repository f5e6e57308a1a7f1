"""Matched targets from a configuration to the photons of a prediction."""

import logging

import numpy as np
import pytest
from csbdeep.io import save_training_data
from scipy.ndimage import gaussian_filter

from aeanet_tf.cli.main import main
from aeanet_tf.datasets.samples import simulate_low_exposure
from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANetConfig
from aeanet_tf.models.training_data import training_data
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import train_run
from aeanet_tf.training import pairs
from tests.models import EAGER, eager_tensorflow, write_config

pytestmark = EAGER
PHOTONS, OFFSET = 40.0, 100.0
CARE = {
    "preset": "aeanet-care",
    "network": {"first_filters": 4, "depth": 2, "attention": {"shared_references": 4}},
}


def write_scenes(folder, names="abcd", shape=(48, 40), axes="YX"):
    """Few photons of a camera with an offset, and a truth of another camera: 0.3 of them, from 7 on."""
    rng = np.random.default_rng(0)
    for name in names:
        scene = gaussian_filter(rng.random(shape), 4)
        scene = 0.2 + 0.8 * (scene - scene.min()) / np.ptp(scene)
        # Bright images and dark ones.
        scene *= rng.uniform(0.5, 1)
        write_image(folder / "low" / f"{name}.tif", simulate_low_exposure(scene, rng, PHOTONS, 2, OFFSET), axes)
        write_image(folder / "GT" / f"{name}.tif", (0.3 * PHOTONS * scene + 7).astype("float32"), axes)


def photons(folder, name):
    """Mean number of photons that the scene has."""
    return (read_image(folder / "GT" / f"{name}.tif").array.mean() - 7) / 0.3


def test_predictions_have_the_photons_of_the_input(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "data" / "train", names="abcdefgh")
    write_scenes(tmp_path / "data" / "test", names="x")
    training = {"steps": 120, "steps_per_epoch": 60, "batch_size": 4, "learning_rate_cosine": {}, "clip_norm": 1}
    write_config(tmp_path / "run.json", model=CARE, training=training)
    ratios = {}
    for name, matched in (("matched", "true"), ("apart", "false")):
        changes = [f"data.match_targets={matched}", f"model.name={name}"]
        train = [word for change in changes for word in ("--set", change)]
        assert main(["train", "--config", "run.json", *train]) == 0
        predict = ["predict", "--model", f"models/{name}", "--input", "data/test/low", "--output", f"out/{name}"]
        assert main(predict) == 0
        found = read_image(tmp_path / "out" / name / "x.tif").array
        ratios[name] = (found.mean() - OFFSET) / photons(tmp_path / "data" / "test", "x")
    assert ratios["matched"] == pytest.approx(1, abs=0.02)
    # Percentiles of the truth are not those of its noisy image.
    assert abs(ratios["apart"] - 1) > 0.05


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "data" / "train")
    write_config(tmp_path / "run.json", model=CARE, data={"match_targets": True})
    return tmp_path


def run(*overrides):
    with eager_tensorflow():
        return train_run(load_run_config("run.json", overrides), verbose=0)


def test_a_pair_that_does_not_fit_is_named_and_nothing_written(workplace, capsys):
    noise = np.random.default_rng(5).random((48, 40)).astype("float32")
    for name, which in (("b", "training"), ("d", "validation")):
        path = workplace / "data" / "train" / "GT" / f"{name}.tif"
        before = path.read_bytes()
        write_image(path, noise, "YX")
        assert main(["train", "--config", "run.json"]) == 2
        (error,) = capsys.readouterr().err.strip().splitlines()
        assert f"low/{name}.tif: input and truth have a correlation of" in error, which
        assert "expected at least 0.1 to match targets; data.match_targets=false" in error
        assert not (workplace / "models").exists()
        path.write_bytes(before)
    run("training.steps=2")


def test_images_are_matched_once(workplace, monkeypatch):
    matched, fit = [], pairs.match_target
    monkeypatch.setattr(pairs, "match_target", lambda *pair: matched.append(pair[2]) or fit(*pair))
    run("training.steps=2")
    assert len(matched) == len(list((workplace / "data" / "train" / "GT").iterdir()))


def test_patches_are_matched_one_by_one_where_asked(workplace):
    rng = np.random.default_rng(1)
    Y = gaussian_filter(rng.random((12, 1, 16, 16)), (0, 0, 2, 2)).astype("float32")
    X = Y * rng.uniform(1, 5, (12, 1, 1, 1)).astype("float32") + 0.5
    save_training_data(str(workplace / "data" / "p.npz"), X, Y, "SCYX")
    npz = ["data.kind=npz", "data.npz=p.npz", "training.patch_size=null", "training.steps=2"]
    model = run(*npz)
    assert model.config.train_match_targets
    X[11] = -Y[11]
    save_training_data(str(workplace / "data" / "p.npz"), X, Y, "SCYX")
    with pytest.raises(InputError, match=r"p\.npz: patch 11: input and truth have a correlation of -1"):
        run(*npz, "model.name=other")
    assert not run(*npz, "model.name=other", "data.match_targets=false").config.train_match_targets


def test_what_has_no_intensities_in_common_is_refused(workplace):
    for overrides, message in (
        (["data.kind=labels"], "data: match_targets: true, expected false with kind 'labels', classes"),
        (["data.kind=label_free", "data.structure=dna"], "expected false with kind 'label_free', another unit"),
    ):
        with pytest.raises(InputError, match=message):
            run(*overrides)
    X, Y = np.ones((2, 8, 8, 1)), np.ones((2, 8, 8, 2))
    config = AEANetConfig("YX", 1, 2, train_match_targets=True)
    with pytest.raises(InputError, match="match_targets: True, expected False for this model"):
        training_data(config, X, Y, (X, Y))


def test_small_batches_of_batch_norm_are_warned_of(workplace, caplog):
    with caplog.at_level(logging.WARNING, "aeanet_tf"):
        run("training.steps=2")
        assert "batch norm" not in caplog.text
        run("training.steps=2", "model.name=em", "model.preset=aeanet-em")
    assert "batch norm with 2 patches a batch" in caplog.text


def test_options_of_a_configuration_reach_the_optimiser(workplace):
    changes = ["learning_rate_cosine={}", "clip_norm=0.5", "weight_decay=0.01", "average=0.9", "loss=charbonnier"]
    model = run("training.steps=4", "model.network.depth=3", *(f"training.{change}" for change in changes))
    assert model.spec.depth == 3 and model.spec.encoding_blocks == (1, 1, 0)
    optimizer = model.trained_network.optimizer
    assert type(optimizer).__name__ == "KernelAdamW" and optimizer.weight_decay == 0.01
    assert optimizer.global_clipnorm == 0.5 and optimizer.use_ema and optimizer.ema_momentum == 0.9
    # Warmed up and fallen to 0 after the 4 steps that there are.
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    assert model.trained_network.loss.__name__ == "charbonnier"
    with pytest.raises(InputError, match="learning_rate_decay, learning_rate_cosine: give at most one"):
        load_run_config(
            "run.json", ["training.learning_rate_cosine={}", 'training.learning_rate_decay={"rate":1,"steps":1}']
        )

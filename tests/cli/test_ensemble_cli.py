"""``aeanet predict`` with ``--ensemble`` and several models, or in one line why not."""

import re

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, Ensemble, SliceInterpolationConfig, SliceInterpolationNet
from aeanet_tf.models.folder import save_normalization
from aeanet_tf.models.preparation import NormalizationSection
from tests.models import NETWORK, contents

IMAGE = (np.random.default_rng(0).gamma(2, 50, (20, 18)) + np.linspace(0, 300, 18)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model folders: two of one task with different normalisations, and others."""
    folder = tmp_path_factory.mktemp("models")
    network = {"network": NETWORK, "preset": "aeanet-em"}
    made = {
        "one": AEANet(AEANetConfig("YX", train_seed=0, **network), "one", str(folder)),
        "two": AEANet(AEANetConfig("YX", train_seed=1, **network), "two", str(folder)),
        "label-free": AEANet(AEANetConfig("YX", train_seed=1, **network), "label-free", str(folder)),
        "uncertain": AEANet(AEANetConfig("YX", probabilistic=True, **network), "uncertain", str(folder)),
        "volumes": AEANet(AEANetConfig("ZYX", **network), "volumes", str(folder)),
        "slices": SliceInterpolationNet(
            SliceInterpolationConfig(network={"filters": 8, "blocks": 1}), "slices", str(folder)
        ),
    }
    for name, model in made.items():
        model.keras_model.save_weights(str(folder / name / "weights_best.h5"))
    save_normalization(folder / "two", NormalizationSection(kind="range", low=0, high=500))
    save_normalization(folder / "label-free", NormalizationSection(kind="standard"))
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("in/a.tif", IMAGE, "YX", {"Y": 0.1, "X": 0.1}, "um")
    return tmp_path


def predict(models, *arguments):
    return main(["predict", "--model", *map(str, models), "--input", "in", "--output", "out", *arguments])


def test_flips(folder, workplace, caplog):
    assert predict([folder / "one"], "--ensemble", "flips", "--n-tiles", "2", "1") == 0
    model = AEANet(None, "one", str(folder))
    found = read_image("out/a.tif")
    np.testing.assert_allclose(found.array, model.predict(IMAGE, "YX", ensemble="flips"), rtol=1e-4, atol=1e-3)
    assert np.abs(found.array - model.predict(IMAGE, "YX")).max() > 1
    assert found.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})
    assert list(contents(workplace / "out")) == ["a.tif"]
    assert "an ensemble of 8 (models: 1, orientations: 8)" in caplog.messages


def test_the_scale_of_flips(folder, workplace):
    assert predict([folder / "uncertain"], "--ensemble", "flips", "--scale") == 0
    expected = AEANet(None, "uncertain", str(folder)).predict_probabilistic(IMAGE, "YX", ensemble="flips")
    np.testing.assert_allclose(read_image("out/a_scale.tif").array, expected.scale(), rtol=1e-4)


@pytest.mark.parametrize("options", [(), ("--ensemble", "flips")])
def test_several_models_with_their_own_normalisation(folder, workplace, options):
    models = [folder / "one", folder / "two"]
    assert predict(models, *options) == 0
    assert sorted(contents(workplace / "out")) == ["a.tif", "a_disagreement.tif"]
    options = {"ensemble": options[1]} if options else {}
    expected = Ensemble.load(models).predict_with_disagreement(IMAGE, "YX", **options)
    for name, array in zip(("a", "a_disagreement"), expected, strict=True):
        np.testing.assert_allclose(read_image(f"out/{name}.tif").array, array, rtol=1e-3, atol=1e-3)
    # What is given is for all.
    assert predict(models, "--percentiles", "2", "99.8") == 0
    both = [AEANet(None, name, str(folder)).predict(IMAGE, "YX") for name in ("one", "two")]
    np.testing.assert_allclose(read_image("out/a.tif").array, np.mean(both, 0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(read_image("out/a_disagreement.tif").array, np.std(both, 0), rtol=1e-3, atol=1e-3)


def test_on_a_cluster(folder, workplace):
    """Workers add to the sums in place; here they are threads, `test_predict_cli` has processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        arguments = ["--ensemble", "flips", "--scheduler", cluster.scheduler_address, "--n-tiles", "2", "2"]
        assert predict([folder / "one"], *arguments) == 0
    expected = AEANet(None, "one", str(folder)).predict(IMAGE, "YX", ensemble="flips")
    np.testing.assert_allclose(read_image("out/a.tif").array, expected, rtol=1e-4, atol=1e-3)
    assert list(contents(workplace / "out")) == ["a.tif"]


@pytest.mark.parametrize(
    ("models", "arguments", "message"),
    [
        (["one", "volumes"], [], r"volumes: axes: found ZYXC, expected YXC as in .*one"),
        (["one", "uncertain"], [], r"uncertain: probabilistic: found True, expected False as in .*one"),
        (["one", "label-free"], [], r'label-free: normalization: found .*"standard".*, expected .*"percentile"'),
        (["one", "slices"], [], r"slices: a model that interpolates slices; use aeanet interpolate"),
        (["one", "none"], [], r"none: no such model folder"),
        (["one"], ["--ensemble", "flips-z"], "ensemble: found 'flips-z', expected 'flips': .* have no Z"),
        (["one"], ["--ensemble", "flips", "--n-tiles", "99", "1"], "n_tiles: 99 along Y, expected at most 10"),
        (["one", "two"], ["--scale"], "--scale: the model is not probabilistic"),
    ],
)
def test_what_does_not_fit_is_one_line(folder, workplace, capfd, models, arguments, message):
    before = contents(workplace)
    assert predict([folder / name for name in models], *arguments) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("aeanet: error: ") and re.search(message, error), error
    assert contents(workplace) == before and not (workplace / "out").exists()

"""Calibration of a model's scales on validation images, from the command line to the predictions that use it."""

import json
import re

import numpy as np
import pytest
from csbdeep.data import PercentileNormalizer
from scipy import stats

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, Ensemble
from aeanet_tf.models.folder import load_model
from aeanet_tf.runs.calibrate import calibrate
from aeanet_tf.runs.training_files import save_images
from tests.interop.example_models import randomise
from tests.models import EAGER, NETWORK, eager_tensorflow, write_config

NOTHING = ()
FACTORS = np.geomspace(0.05, 20, 1000)


def write_noisy(folder, names, seed=0, gain=1, offset=0):
    """Noisy images in ``low``, and the same, by default half as bright and without noise, in ``GT``."""
    rng = np.random.default_rng(seed)
    for name in names:
        truth = np.add.outer(np.linspace(0, 200, 24), 50 * np.sin(np.arange(20)))
        low = 2 * truth + 100 + rng.normal(0, 40, truth.shape)
        write_image(folder / "low" / f"{name}.tif", low.astype("float32"), "YX")
        write_image(folder / "GT" / f"{name}.tif", (gain * truth + offset).astype("float32"), "YX")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Validation and test images, two probabilistic models, and one that is not."""
    home = tmp_path_factory.mktemp("home")
    write_noisy(home / "val", "ab")
    # As bright as their inputs.
    write_noisy(home / "test", "xy", 1, 2, 100)
    network = {**NETWORK, "batch_norm": False, "output_offset": True}
    for name, seed in (("one", 1), ("two", 2)):
        config = AEANetConfig(
            "YX", probabilistic=True, preset="aeanet-em", network=network, train_seed=seed, train_match_targets=True
        )
        save(AEANet(config, name, str(home)), seed)
    save(AEANet(AEANetConfig("YX", preset="aeanet-em", network=NETWORK), "plain", str(home)), 3)
    return home


def save(model, seed):
    randomise(model.keras_model, seed)
    model.write_weights(model.logdir / "weights_best.h5")


@pytest.fixture
def place(home, monkeypatch):
    """The home without calibrations and results."""
    monkeypatch.chdir(home)
    for path in [*home.glob("*/calibration.json"), *home.glob("out*/*"), *home.glob("*/training_images.json")]:
        path.unlink()
    return home


def arrays(folder, end=""):
    return {name: read_image(f"{folder}/{name}{end}.tif").array for name in "xy"}


def predict(*arguments, model=("one",)):
    return main(["predict", "--model", *model, "--input", "test/low", "--output", "out", *arguments])


def factor_by_hand(model, folder):
    """With it intervals are best, in the intensities of the input: the truth as bright as the input shows it."""
    ratios = []
    for name in "ab":
        low, truth = (read_image(f"{folder}/{side}/{name}.tif").array.astype(float) for side in ("low", "GT"))
        gain, offset = np.polyfit(truth.ravel(), low.ravel(), 1)
        found = model.predict_probabilistic(low, "YX", PercentileNormalizer(2, 99.8), uncalibrated=True)
        ratios.append(abs(gain * truth + offset - found.mean()) / found.scale())
    levels, reached = np.linspace(0.05, 0.95, 19), 1 - np.exp(-np.array(ratios).ravel()[:, None] / FACTORS)
    shares = np.array([(reached < level).mean(0) for level in levels])
    return FACTORS[np.argmin(abs(shares - levels[:, None]).mean(0))]


def test_the_factor_is_kept_and_used(place, caplog, capsys):
    model = load_model("one")
    expected = factor_by_hand(model, "val")
    mean, scale = (
        getattr(model.predict_probabilistic(read_image("test/low/x.tif").array, "YX"), n)() for n in ("mean", "scale")
    )
    assert main(["calibrate", "--model", "one", "--input", "val/low", "--gt", "val/GT"]) == 0
    kept = json.loads((place / "one/calibration.json").read_text())
    assert kept["factor"] == pytest.approx(expected, rel=0.03) and abs(expected - 1) > 0.1
    assert kept["pixels"] == 2 * 24 * 20 and kept["data"] == "2 images (val/low)" and len(kept["images"]) == 4
    assert kept["error_after"] < kept["error_before"]
    printed = capsys.readouterr().out
    assert f"factor {kept['factor']:.4g} in one/calibration.json" in printed
    assert "next: aeanet predict --model one" in printed
    # The mean stays; the scale is multiplied, in Python and in files, in tiles or not.
    calibrated = load_model("one")
    found = calibrated.predict_probabilistic(read_image("test/low/x.tif").array, "YX")
    np.testing.assert_array_equal(found.mean(), mean)
    np.testing.assert_allclose(found.scale(), kept["factor"] * scale, rtol=1e-5)
    caplog.clear()
    assert predict("--scale", "--n-tiles", "2", "1") == 0
    np.testing.assert_allclose(arrays("out", "_scale")["x"], kept["factor"] * scale, rtol=1e-3)
    assert any(re.search(r"one: scale times .*, calibrated on 2 images \(val/low\) on 20", m) for m in caplog.messages)
    assert predict("--scale", "--uncalibrated", "--overwrite") == 0
    np.testing.assert_allclose(arrays("out", "_scale")["x"], scale, rtol=1e-3)
    # A second time it is fitted to what the network gives, not to what was calibrated.
    assert calibrate(calibrated, "val/low", "val/GT")[0].factor == pytest.approx(kept["factor"], rel=1e-6)


def test_other_weights_are_not_calibrated(place, caplog):
    calibrate(load_model("one"), "val/low", "val/GT")
    text = (place / "one/calibration.json").read_text()
    (place / "two/calibration.json").write_text(text)
    assert load_model("two").calibration is None
    assert "two/calibration.json: of other weights" in caplog.text
    (place / "one/calibration.json").write_text(text.replace('"factor": ', '"factor": -'))
    with pytest.raises(InputError, match=r"calibration.json: factor: found -.*, expected more than 0"):
        load_model("one")


def test_intervals_of_one_model(place):
    calibrate(load_model("one"), "val/low", "val/GT")
    assert predict("--scale", "--interval", "0.9") == 0
    for name, scale in arrays("out", "_scale").items():
        limits = stats.laplace.interval(0.9, arrays("out")[name], scale)
        for end, expected in zip(("_lower", "_upper"), limits, strict=True):
            np.testing.assert_allclose(arrays("out", end)[name], expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("more", [NOTHING, ("--ensemble", "flips", "--n-tiles", "2", "1")])
def test_files_of_an_ensemble_are_those_of_the_mixture(place, more):
    """With the scales of their networks, although each was calibrated by itself."""
    for name in ("one", "two"):
        calibrate(load_model(name), "val/low", "val/GT")
    assert predict("--scale", "--interval", "0.8", "--divergence", *more, model=("one", "two")) == 0
    ensemble = Ensemble.load(["one", "two"])
    options = {"ensemble": "flips"} if more else {}
    mixture = ensemble.predict_mixture(read_image("test/low/y.tif").array, "YX", **options)
    assert mixture.means.shape == (2, 24, 20)
    if not more:
        one = ensemble.models[0]
        found = one.predict_probabilistic(read_image("test/low/y.tif").array, "YX", uncalibrated=True)
        assert one.calibration is not None
        np.testing.assert_allclose(mixture.scales[0], found.scale(), rtol=1e-3)
    expected = {
        "": mixture.mean(),
        "_scale": mixture.scale(),
        "_disagreement": mixture.means.std(0),
        "_divergence": mixture.disagreement(),
        **dict(zip(("_lower", "_upper"), mixture.interval(0.8), strict=True)),
    }
    for end, values in expected.items():
        np.testing.assert_allclose(arrays("out", end)["y"], values, rtol=2e-3, atol=1e-3 * np.ptp(values), err_msg=end)
    assert sorted(path.name for path in (place / "out").glob("y*")) == sorted(f"y{end}.tif" for end in expected)
    one_distribution = ensemble.predict_probabilistic(read_image("test/low/y.tif").array, "YX", **options)
    np.testing.assert_allclose(one_distribution.scale(), mixture.scale(), rtol=1e-3)


def test_the_same_files_are_named(place, caplog):
    calibrate(load_model("one"), "val/low", "val/GT")
    assert not [record for record in caplog.records if "that the model was trained on" in record.message]
    assert main(["predict", "--model", "one", "--input", "val/low", "--output", "out", "--scale"]) == 0
    assert "2 of 2 images are those that the scale of one was calibrated on, such as val/low/a.tif" in caplog.text
    caplog.clear()
    assert predict("--scale") == 0 and "calibrated on, such as" not in caplog.text

    class Section:
        folder = staticmethod(lambda: place / "val")

    save_images(
        place / "one", Section, [place / "val/low/a.tif", place / "val/low/b.tif"], {str(place / "val/low/b.tif"): True}
    )
    calibrate(load_model("one"), "val/low", "val/GT")
    assert "1 of 4 files are images that the model was trained on, such as val/low/a.tif" in caplog.text


def test_evaluate_shows_what_the_calibration_does(place, capsys):
    """Predict with and without, and compare: the way of the documents."""
    main(["calibrate", "--model", "one", "--input", "val/low", "--gt", "val/GT"])
    errors = []
    for more in (("--uncalibrated",), ()):
        assert predict("--scale", "--overwrite", *more) == 0
        capsys.readouterr()
        chart = ("--calibration", "out_calibration.png")
        assert main(["evaluate", "--protocol", "plain", "--prediction", "out", "--gt", "test/GT", *chart]) == 0
        printed = capsys.readouterr().out
        errors.append(float(re.search(r"calibration, 960 pixels: expected calibration error (\S+)", printed)[1]))
        assert "chart in out_calibration.png, its numbers in out_calibration.csv" in printed
    assert errors[1] < 0.7 * errors[0]
    assert (place / "out_calibration.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("calibrate", "--model", "plain"),
            "plain: found a model that predicts no scale, expected a probabilistic one",
        ),
        (
            ("calibrate", "--model", "one", "--input", "val/low"),
            "--input, --gt: found one of them, expected both, or none",
        ),
        (("calibrate", "--model", "one"), "run.json"),
        (
            ("predict", "--model", "plain", "--input", "test/low", "--output", "no", "--interval", "0.9"),
            "not probabilistic",
        ),
        (
            ("predict", "--model", "one", "--input", "test/low", "--output", "no", "--interval", "90"),
            "found 90, expected a confidence",
        ),
        (
            ("predict", "--model", "one", "--input", "test/low", "--output", "no", "--divergence"),
            "--divergence: found one model",
        ),
        (
            ("evaluate", "--prediction", "test/low", "--gt", "test/GT", "--calibration", "c.png"),
            "x_scale.tif: no such file, expected the scale of x.tif",
        ),
        (
            ("evaluate", "--prediction", "test/low", "--gt", "test/GT", "--calibration", "test/low/c.png"),
            "test/low/c.png, in a folder of images, expected a file elsewhere",
        ),
        (
            ("evaluate", "--prediction", "test/low", "--gt", "test/GT", "--calibration", "c.pdf"),
            "expected the name of a .png",
        ),
        (
            ("evaluate", "--protocol", "em", "--prediction", "test/low", "--gt", "test/GT", "--calibration", "c.png"),
            "--calibration: found the protocol em, expected care or plain",
        ),
    ],
)
def test_what_cannot_be_done_is_said(place, capsys, arguments, message):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line
    assert not (place / "no").exists() and not (place / "one/calibration.json").exists()


@EAGER
def test_a_training_is_calibrated_on_what_it_held_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_noisy(tmp_path / "data", "abc")
    sections = {"model": {"probabilistic": True}, "training": {"steps": 2, "loss": "laplace"}}
    write_config(tmp_path / "c.json", data={"low": "low", "GT": "GT"}, **sections)
    with eager_tensorflow():
        assert main(["train", "--config", "c.json"]) == 0
        assert main(["calibrate", "--model", "models/m"]) == 0
    kept = json.loads((tmp_path / "models/m/calibration.json").read_text())
    assert kept["pixels"] == 24 * 20 and kept["data"] == "1 image (validation of its training)"
    # The input that was held out.
    assert len(kept["images"]) == 1
    with eager_tensorflow():
        assert main(["train", "--config", "c.json", "--overwrite"]) == 0
    assert not (tmp_path / "models/m/calibration.json").exists()

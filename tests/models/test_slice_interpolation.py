"""Slice interpolation from a stack: what the network is given, training, the way back to grey values, mistakes."""

import csv
import json

import numpy as np
import pytest
from csbdeep.data import NoNormalizer, PercentileNormalizer
from scipy.ndimage import gaussian_filter

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, SliceInterpolationConfig, SliceInterpolationNet
from aeanet_tf.models.folder import load_model
from aeanet_tf.models.slice_interpolation import prepare_pair
from aeanet_tf.models.training_data import training_data
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import load_data, model_config, train_run
from aeanet_tf.sections.alignment import to_common_histogram, to_midpoint
from aeanet_tf.training import CSVHistory, TripletSampler, TripletValidationSet, read_history
from aeanet_tf.training.interpolation_progress import InterpolationProgress
from tests.interop.example_models import randomise
from tests.models import EAGER, assert_same_weights, contents, eager_tensorflow
from tests.sections.test_triplets import tissue

pytestmark = EAGER

NETWORK = {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A stack of 9 slices that drift, and the configuration of a short training on it."""
    images = np.round(tissue(9, (60, 64), [(i - 4, 8 - 2 * i) for i in range(9)])).astype(np.uint8)
    write_image(tmp_path / "data" / "stack.tif", images, "ZYX", {"Z": 50, "Y": 4, "X": 4}, "nm")
    config = {
        "model": {"name": "m", "preset": "ssan", "axes": "YX", "n_channel_in": 2, "network": NETWORK},
        "data": {
            "kind": "slices",
            "root": "data",
            "stack": "stack.tif",
            "train_slices": "0-4",
            "validation_slices": "5-8",
            "triplets": {"window": None, "max_shift": 8},
            "normalization": {"kind": "range", "low": 0, "high": 255},
        },
        "training": {
            "steps": 4,
            "steps_per_epoch": 2,
            "batch_size": 2,
            "patch_size": [32, 32],
            "loss": "pixel",
            "learning_rate": 0.001,
        },
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(**config):
    model = SliceInterpolationNet(SliceInterpolationConfig(network={**NETWORK, **config}), "m", None)
    randomise(model.keras_model)
    return model


def neighbours(shift=0):
    """Two slices of one scene, the second to the left by ``shift``, darker, with a little noise each."""
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.normal(size=(64, 96)), 2)
    scene = 128 + 40 * scene / scene.std()
    first, second = scene[:, 8:80], 0.8 * scene[:, 8 + shift : 80 + shift]
    return tuple((image + rng.normal(size=image.shape)).astype("float32") for image in (first, second))


def test_training_from_the_command_line_gives_a_model_that_interpolates(workplace, capsys):
    assert main(["train", "--config", "run.json"]) == 0
    folder = workplace / "models" / "m"
    with open(folder / "triplets.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["slice"] for row in rows] == ["1", "2", "3", "6", "7"]
    assert all(row["accepted"] == "True" for row in rows)
    history = read_history(folder / "history.csv")
    assert np.isfinite([[row["loss"], row["val_loss"], row["val_middle_mae"]] for row in history]).all()
    model = load_model(folder)
    model.load_weights("weights_last.h5")
    # Figure 3: attention begins at 0, and is used more and more.
    units = model.keras_model.get_layer("attention").units.values()
    trained = {f"gamma_{unit.name}": float(unit.gamma) for unit in units}
    assert {name: history[-1][name] for name in trained} == pytest.approx(trained, rel=1e-5) and len(trained) == 3
    assert all(trained.values()) and not any(name.startswith("term_") for name in history[-1])
    model = load_model(folder)
    assert isinstance(model, SliceInterpolationNet)
    before, after = neighbours()
    found = model.interpolate(before, after)
    # The middle of the training's range, whatever that of these two slices is.
    pair = np.stack(to_common_histogram(*to_midpoint(before, after, 8)[:2]), -1) / 255
    expected = 255 * np.asarray(model.keras_model(pair[None]))[0, ..., 0]
    assert np.abs(found - expected).max() < 1e-3 * np.ptp(expected)


@pytest.mark.parametrize(
    "preset", ["ssan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sepconv", "flow-interpolation"))]
)
def test_a_run_killed_and_taken_up_again_gives_the_same(preset, workplace, caplog):
    caplog.set_level("INFO", "aeanet_tf")
    # Without attention, which takes long to run as it is written.
    plain = ["model.network.attention=none", f"model.preset={preset}"]
    train_run(load_run_config("run.json", ["model.name=whole", *plain]), verbose=0)
    with pytest.MonkeyPatch.context() as patch:

        def stop(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

        patch.setattr(CSVHistory, "on_epoch_begin", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            train_run(load_run_config("run.json", plain), verbose=0)
    # Where VGG-16 lies has nothing to do with the run.
    train_run(load_run_config("run.json", ["training.vgg_weights=elsewhere.h5", *plain]), verbose=0)
    assert "resuming after epoch 1 of 2" in caplog.text
    assert_same_weights(*(workplace / "models" / name / "weights_last.h5" for name in ("whole", "m")))


def test_terms_of_the_loss_are_logged(monkeypatch):
    """Means over the first slices to validate on, in whole batches: two of three of 3 each are enough for 5."""

    class Loss:
        kind = "style"

        def terms(self, y_true, y_pred):
            return {"pixel": (y_true[..., 0] - y_pred[..., 0]).mean(axis=(1, 2)), "feature": y_true[..., 1].max((1, 2))}

    class Network:
        layers = ()

        def predict_on_batch(self, x):
            return 2 * x[..., :1]

    monkeypatch.setattr("aeanet_tf.training.interpolation_progress.LOOKED_AT", 5)
    monkeypatch.setattr("aeanet_tf.training.interpolation_progress.gammas", lambda network: {"gamma_short": 0.5})
    rng = np.random.default_rng(0)
    X, Y = rng.random((9, 8, 8, 2)).astype("float32"), rng.random((9, 8, 8, 1)).astype("float32")
    logs = {"loss": 1.0}
    validation = TripletValidationSet(X, Y, max_positions=3 * 64)
    InterpolationProgress(Network(), Loss(), validation).on_epoch_end(0, logs)
    assert list(logs) == ["loss", "gamma_short", "term_pixel", "term_feature"] and logs["gamma_short"] == 0.5
    assert logs["term_pixel"] == pytest.approx((Y[:6] - 2 * X[:6, ..., :1]).mean(), rel=1e-4)
    assert logs["term_feature"] == pytest.approx(X[:6, ..., 0].max((1, 2)).mean(), rel=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        {"extractor": "unet", "resolutions": 3},
        {"siamese": False, "symmetric": False},
        {"extractor": "unet", "synthesis": "kernels", "attention": "none"},
        {"extractor": "unet", "synthesis": "flow", "attention": "none"},
    ],
)
def test_other_extractors_interpolate_slices_of_any_size(network):
    """Sides that a U-Net cannot halve are padded by reflection, on both sides."""
    before, after = (image[:50, :61] for image in neighbours())
    model = made(**network)
    found = model.interpolate(before, after, NoNormalizer(), max_shift=0, match_histograms=False)
    missing = [-n % d for n, d in zip((50, 61), model.spec.divisor, strict=True)]
    (top, _), (left, _), _ = padding = [(n // 2, n - n // 2) for n in (*missing, 0)]
    padded = np.pad(np.stack([before, after], -1), padding, mode="reflect")
    plain = np.asarray(model.keras_model(padded[None]))[0, top : top + 50, left : left + 61, 0]
    assert np.abs(found - plain).max() < 1e-4 * np.ptp(plain)


def test_dense_attention_is_validated_on_no_more_than_it_is_trained_on():
    rng = np.random.default_rng(0)
    X, Y = [rng.random((40, 48, 2))] * 2, [rng.random((40, 48, 1))] * 2
    for attention, size in (("dense", (16, 24)), ("sparse", (40, 48))):
        config = SliceInterpolationConfig(
            network={**NETWORK, "attention": attention}, train_patch_size=(16, 24), train_batch_size=1
        )
        assert training_data(config, X, Y, (X, Y))[1].size == size


@pytest.fixture
def triplet_folders(workplace):
    """The configuration of a training on ready-made triplets, 5 of which are there."""
    stack = tissue(7, (48, 56), [(0, 0)] * 7)
    for number in range(5):
        folder = workplace / "ready" / "train" / str(number)
        folder.mkdir(parents=True)
        for place in range(3):
            write_image(folder / f"im{place + 1}.tif", stack[number + place], "YX")
    config = json.loads((workplace / "run.json").read_text())
    normalization = config["data"]["normalization"]
    config["data"] = {"kind": "triplets", "root": "ready", "validation_split": 0.4, "normalization": normalization}
    (workplace / "ready.json").write_text(json.dumps(config))
    return stack


def test_ready_made_triplets_are_taken_as_they_are(triplet_folders):
    X, Y, (X_val, Y_val), _, records, *_ = loaded(load_run_config("ready.json"))
    assert (len(X), len(X_val), records) == (3, 2, None)
    stack = triplet_folders / 255
    for number, (x, y) in enumerate(zip([*X, *X_val], [*Y, *Y_val], strict=True)):
        np.testing.assert_allclose(x, np.stack([stack[number], stack[number + 2]], -1), atol=1e-6)
        np.testing.assert_allclose(y[..., 0], stack[number + 1], atol=1e-6)
    x = loaded(load_run_config("ready.json", ["data.match_histograms=true"])).X[0]
    before, after = to_common_histogram(triplet_folders[0], triplet_folders[2])
    np.testing.assert_allclose(x, np.stack([before, after], -1) / 255, atol=1e-6)


def test_a_network_is_trained_on_ready_made_triplets(triplet_folders, workplace):
    plain = ["model.network.attention=none", "data.validation=train"]
    with pytest.raises(InputError, match=r"data\.validation: .*train/0 is one of data\.train, expected other triplets"):
        train_run(load_run_config("ready.json", plain), verbose=0)
    assert len(loaded(load_run_config("ready.json", ["data.validation_split=0.01"])).validation[0]) == 1
    train_run(load_run_config("ready.json", plain[:1]), verbose=0)
    assert np.isfinite([row["val_loss"] for row in read_history(workplace / "models" / "m" / "history.csv")]).all()


def loaded(config):
    return load_data(config.data, model_config(config))


def test_what_the_network_is_given_of_a_stack(workplace):
    """The neighbours aligned to the slice between, all in the neighbours' common histogram, 255 as 1."""
    config = load_run_config("run.json")
    X, Y, (X_val, _), _, records, *_ = loaded(config)
    assert (len(X), len(X_val), len(records)) == (3, 2, 5)
    for x, y, record in zip(X, Y, records, strict=False):
        shifts = record.before_y, record.before_x, record.after_y, record.after_x
        # The scene changes, too, from slice to slice.
        assert np.abs(np.subtract(shifts, (1, -2, -1, 2))).max() <= 1
        size = record.height, record.width
        assert size >= (56, 58) and x.shape == (*size, 2) and y.shape == (*size, 1)
        for neighbour in (x[..., 0], x[..., 1]):
            assert np.corrcoef(neighbour.ravel(), y.ravel())[0, 1] > 0.5
            assert abs(neighbour.mean() - y.mean()) < 0.02 and abs(neighbour.std() - y.std()) < 0.02
        assert x.min() >= 0 and x.max() <= 1 and x.max() > 0.5


def test_percentiles_are_those_of_both_neighbours(workplace):
    """The slice between is not there in prediction, and has no say."""
    normalization = ["data.normalization={}", "data.triplets.match_histograms=false"]
    X, Y, *_ = loaded(load_run_config("run.json", normalization))
    plain = ['data.normalization={"kind": "none"}', "data.triplets.match_histograms=false"]
    raw_x, raw_y, *_ = loaded(load_run_config("run.json", plain))
    for x, y, a, b in zip(X, Y, raw_x, raw_y, strict=True):
        low, high = np.percentile(a, (2, 99.8))
        np.testing.assert_allclose(x, (a - low) / (high - low), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(y, (b - low) / (high - low), rtol=1e-4, atol=1e-5)


def test_batches_hold_the_neighbours_behind_the_slice_and_swap_them():
    config = SliceInterpolationConfig(network=NETWORK, train_seed=1, train_augment=True, train_batch_size=16)
    rng = np.random.default_rng(0)
    X, Y = rng.random((8, 12, 12, 2)), rng.random((8, 12, 12, 1))
    # The slice before is brighter, wherever it stands.
    X[..., 0] += 1
    sampler, validation = training_data(config, X, Y, (X, Y))
    assert isinstance(sampler, TripletSampler) and isinstance(validation, TripletValidationSet)
    swapped = []
    for x, y in [sampler[i] for i in range(8)]:
        np.testing.assert_array_equal(y[..., 1:], x)
        assert ((x[..., 0].min((1, 2)) >= 1) != (x[..., 1].min((1, 2)) >= 1)).all()
        swapped += list(x[..., 1].min((1, 2)) >= 1)
    assert 0.3 < np.mean(swapped) < 0.7
    x, y = validation[0]
    np.testing.assert_array_equal(y, np.concatenate([Y, X], -1)[: len(y)].astype("float32"))


def test_interpolate_is_alignment_histogram_network_and_the_way_back():
    model = made()
    before, after = neighbours(shift=6)
    moved = to_midpoint(before, after, 10)
    assert abs(moved[2].x) == 6
    for normalizer, low, high in ((None, 2, 99.8), (PercentileNormalizer(1, 90), 1, 90)):
        pair = np.stack(to_common_histogram(*moved[:2]), -1)
        low, high = np.percentile(pair, (low, high))
        expected = np.asarray(model.keras_model((pair[None] - low) / (high - low)))[0, ..., 0] * (high - low) + low
        found = model.interpolate(before, after, normalizer)
        assert found.dtype == np.float32 and found.shape == before.shape
        assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)
    plain = np.asarray(model.keras_model(np.stack([before, after], -1)[None]))[0, ..., 0]
    found = model.interpolate(before, after, NoNormalizer(), max_shift=0, match_histograms=False)
    assert np.abs(found - plain).max() < 1e-4 * np.ptp(plain)


def test_neighbours_swapped_give_the_same_slice():
    model = made()
    before, after = neighbours()
    one, other = model.interpolate(before, after), model.interpolate(after, before)
    assert np.abs(one - other).max() < 1e-4 * np.ptp(one)


def test_length_normalised_attention_is_tiled_exactly_and_sparse_attention_says_that_it_is_not(caplog):
    before, after = neighbours()
    model = made(attention="aea")
    whole, tiled = (model.interpolate(before, after, n_tiles=n) for n in (None, (2, 3)))
    assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(whole)
    assert "each tile has its own" not in caplog.text
    made().interpolate(before, after, n_tiles=(2, 3))
    assert "attention cannot be shared, each tile has its own" in caplog.text


def test_slices_with_channels_are_predicted_only():
    config = SliceInterpolationConfig(n_channel_in=6, n_channel_out=3, network=NETWORK)
    model = SliceInterpolationNet(config, "m", None)
    pair = np.random.default_rng(0).random((24, 20, 6))
    assert model.predict(pair, "YXC", NoNormalizer()).shape == (24, 20, 3)
    with pytest.raises(InputError, match="n_channel_out: 3"):
        model.interpolate(pair[..., :3], pair[..., 3:])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ((24, 20), (24, 21), r"after: shape \(24, 21\), expected \(24, 20\) as of the slice before"),
        ((24, 20, 2), (24, 20, 2), r"slice: shape \(24, 20, 2\), expected \(y, x\)"),
        ((24,), (24,), r"slice: shape \(24,\), expected \(y, x\)"),
    ],
)
def test_slices_that_do_not_fit(before, after, message):
    with pytest.raises(InputError, match=message):
        made().interpolate(np.zeros(before), np.zeros(after))


BAD = {
    "data.stack=null": "stack: missing",
    "data.stack=other.tif": "other.tif",
    'data.train_slices="0-12"': "data.train_slices: ",
    'data.train_slices="0-5"': "data.validation_slices: 5 is one of data.train_slices",
    'data.train_slices="a"': "data.train_slices: ",
    'data.train_slices="0,1,3,4"': "data.train_slices: ",
    "data.triplets.max_shift=16": "max_shift: found 16",
    "data.triplets.min_correlation=1.0": "no triplet is left",
    "data.triplets.windw=3": "windw",
    'data.normalization={"kind": "standard"}': "normalization.kind: 'standard' cannot be mapped back",
    "training.loss=mae": "training.loss: 'mae', expected one of pixel, feature, style for model.preset 'ssan'",
    "training.loss=style": "VGG-16",
    "training.vgg_weights=none.h5": "none.h5",
    "model.preset=aeanet-em": "data.kind: 'slices' does not fit model.preset 'aeanet-em'",
    "data.kind=sample": "stack: found 'stack.tif', expected none with kind 'sample'",
    'data={"kind": "sample"}': "data.kind: 'sample' does not fit model.preset 'ssan'",
    "model.n_channel_in=1": "model.n_channel_in, model.n_channel_out: 1 and 1, expected 2",
    "model.n_channel_out=2": "model.n_channel_in, model.n_channel_out: 2 and 2, expected 2",
    "model.network.filters=12": "filters: found 12, expected a multiple of 8",
    "training.patch_size=null": "training.patch_size: missing",
    "training.patch_size=[32,200]": "patch_size",
}


def test_values_that_the_normalisation_does_not_suit_are_warned_of(workplace, caplog):
    config = load_run_config("run.json", ['data.normalization={"kind": "none"}'])
    loaded(config)
    assert "data.normalization: slices are " in caplog.text and "expected about 0 to 1" in caplog.text
    caplog.clear()
    loaded(load_run_config("run.json"))
    assert "data.normalization" not in caplog.text


def test_a_shift_as_large_as_was_searched_is_warned_of(caplog):
    before, after = neighbours(shift=6)
    prepare_pair(before, after, 6, True)
    assert "two slices are 0, 6 pixels apart, as far as was searched" in caplog.text
    caplog.clear()
    prepare_pair(before, after, 7, True)
    assert "pixels apart" not in caplog.text


def test_a_side_beyond_what_a_graph_knows_is_refused():
    model, slices = made(), np.zeros((2, 4, 2**14 + 1), "float32")
    with pytest.raises(InputError, match=r"slice: shape \(4, 16385\), expected at most 16384 pixels a side"):
        model.interpolate(*slices, max_shift=0)


@pytest.mark.parametrize("override", BAD)
def test_a_mistake_is_one_line_and_leaves_nothing(override, workplace, capfd, monkeypatch):
    """ImageNet's weights are neither on disk nor to be had."""
    monkeypatch.setenv("KERAS_HOME", str(workplace / "keras"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    overrides = ["--set", override]
    if "vgg_weights" in override:
        overrides += ["--set", "training.loss=feature"]
    before = contents(workplace)
    assert main(["train", "--config", "run.json", *overrides]) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert error[-1].startswith("aeanet: error: ") and BAD[override] in error[-1]
    assert contents(workplace) == before


def unreachable(*_args, **_kwargs):
    raise OSError("no network")


def test_a_loss_of_slices_for_other_models_is_refused():
    config = load_run_config("quickstart", ["training.loss=pixel"])
    with pytest.raises(InputError, match=r"training.loss: 'pixel', expected one of mae, mse, charbonnier, laplace"):
        model_config(config)


def test_classes_say_which_preset_is_whose():
    with pytest.raises(InputError, match=r"'ssan' interpolates slices, use SliceInterpolationNet"):
        AEANetConfig("YX", 2, 1, preset="ssan")
    with pytest.raises(InputError, match=r"'aeanet-em' does not interpolate slices, use AEANet"):
        SliceInterpolationConfig(preset="aeanet-em")
    with pytest.raises(InputError, match=r"axes: 'ZYX' are 3 spatial axes, expected 2"):
        SliceInterpolationConfig("ZYX")
    assert not SliceInterpolationConfig(train_loss="mae").is_valid()
    assert SliceInterpolationConfig(train_loss="style").is_valid()
    assert not hasattr(AEANet, "interpolate")

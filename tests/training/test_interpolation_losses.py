import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks.keras_internals import keras_home
from aeanet_tf.training import interpolation_losses, vgg
from aeanet_tf.training.interpolation_losses import (
    InterpolationLoss,
    charbonnier,
    feature_loss,
    gram,
    middle_mae,
    middle_mse,
    style_balance_loss,
    style_balance_terms,
    style_loss,
)
from aeanet_tf.training.vgg import VGG_LAYERS, WEIGHTS_FILE, vgg_activations
from tests.datasets.http_server import closed_port, serving

SHAPES = [(3, 8, 6, 4), (3, 4, 3, 5)]


def _random(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


def _activations(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in SHAPES]


def _slices(channels=1, size=32, batch=2):
    return _random(batch, size, size, 3 * channels), _random(batch, size, size, channels, seed=1)


# The oracle: position by position and image by image, as the equations are printed.


def _gram(x):
    total = sum(np.outer(pixel, pixel) for pixel in x.astype("float64").reshape(-1, x.shape[-1]))
    return total / x.size


def _style(a, b):
    return np.array(
        [sum(np.linalg.norm(_gram(p[i]) - _gram(q[i])) ** 2 for p, q in zip(a, b, strict=True)) for i in range(3)]
    )


def _feature(a, b, batch=3):
    return np.array(
        [
            sum(np.linalg.norm(np.float64(p[i]) - q[i]) ** 2 / p[i].size for p, q in zip(a, b, strict=True))
            for i in range(batch)
        ]
    )


def _balance(predicted, middle, before, after, beta):
    total = 0
    for weight, j in zip(beta, (before, middle, after), strict=True):
        total += weight * np.sign(_style(predicted, j) - _style(middle, j)) * _style(predicted, j)
    return total


# The terms.


@pytest.mark.parametrize("channels", [1, 2])
def test_pixels_against_numpy(channels):
    y_true, y_pred = _slices(channels)
    d = y_pred.astype("float64") - y_true[..., :channels]
    np.testing.assert_allclose(charbonnier(y_true, y_pred), np.sqrt(d**2 + 1e-12).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(middle_mae(y_true, y_pred), np.abs(d).mean(-1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(middle_mse(y_true, y_pred), (d**2).mean(-1), rtol=1e-5, atol=1e-7)


def test_charbonnier_of_no_difference_is_epsilon_with_a_gradient():
    tf = pytest.importorskip("tensorflow")
    y_pred = tf.zeros((1, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        loss = charbonnier(tf.zeros((1, 2, 2, 3)), y_pred)
    np.testing.assert_allclose(loss, np.full((1, 2, 2), 1e-6), rtol=1e-5)
    np.testing.assert_array_equal(tape.gradient(loss, y_pred), np.zeros((1, 2, 2, 1)))


def test_gram_features_and_style_against_numpy():
    a, b = _activations(0), _activations(1)
    for one in a:
        np.testing.assert_allclose(gram(one), [_gram(image) for image in one], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(style_loss(a, b), _style(a, b), rtol=1e-5)
    np.testing.assert_allclose(feature_loss(a, b), _feature(a, b), rtol=1e-5)


@pytest.mark.parametrize("beta", [(0.1, 1, 0.1), (3, 0.5, 2)])
def test_style_balance_against_numpy(beta):
    lists = [_activations(seed) for seed in range(4)]
    lists[0] = [1.1 * one for one in lists[2]]  # Nearer to the slice before than the middle slice is.
    expected = _balance(*lists, beta)
    np.testing.assert_allclose(style_balance_loss(*lists, beta), expected, rtol=1e-5)
    signs = {np.sign(s) for j in (2, 3) for s in _style(lists[0], lists[j]) - _style(lists[1], lists[j])}
    assert signs == {-1, 1}
    # Of the true slice itself nothing is left but signs of zero.
    np.testing.assert_array_equal(style_balance_loss(lists[1], *lists[1:], beta), np.zeros(3))


def test_style_balance_takes_the_papers_beta():
    lists = [_activations(seed) for seed in range(4)]
    np.testing.assert_allclose(style_balance_loss(*lists), _balance(*lists, (0.1, 1, 0.1)), rtol=1e-5)


def test_the_sign_carries_no_gradient():
    tf = pytest.importorskip("tensorflow")
    others = middle, before, after = [[tf.constant(one) for one in _activations(seed)] for seed in range(1, 4)]
    predicted = [1.1 * one for one in before]
    signs = [np.sign(style_loss(predicted, j) - style_loss(middle, j)) for j in (before, after)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(predicted)
        loss = style_balance_loss(predicted, *others)
        fixed = style_loss(predicted, middle)
        for sign, j in zip(signs, (before, after), strict=True):
            fixed += 0.1 * sign * style_loss(predicted, j)
    for one, other in zip(tape.gradient(loss, predicted), tape.gradient(fixed, predicted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)


def test_terms_of_style_balance_are_those_of_figure_4():
    lists = predicted, middle, before, after = [_activations(seed) for seed in range(4)]
    terms = style_balance_terms(*lists)
    for term, j in zip(terms, (before, middle, after), strict=True):
        expected = np.sign(_style(predicted, j) - _style(middle, j)) * _style(predicted, j)
        np.testing.assert_allclose(term, expected, rtol=1e-5)


def test_terms_and_their_weights_make_the_loss(style):
    y_true, y_pred = _slices()
    terms = style.terms(y_true, y_pred)
    assert list(terms) == ["pixel", "feature", "style_before", "style_middle", "style_after"]
    weights = (1, 1, 1e5, 1e6, 1e5)
    total = sum(weight * np.asarray(term) for weight, term in zip(weights, terms.values(), strict=True))
    np.testing.assert_allclose(style(y_true, y_pred), total, rtol=1e-5)
    assert list(InterpolationLoss("pixel").terms(y_true, y_pred)) == ["pixel"]


# VGG-16.


@pytest.fixture(scope="module")
def network():
    return keras.applications.VGG16(include_top=False, weights=None)


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    """Laid out as the file that Keras publishes."""
    path = tmp_path_factory.mktemp("vgg") / "random.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{letter}_1:0" for letter, _ in zip("Wb", layer.weights, strict=False)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def style(weights):
    return InterpolationLoss("style", weights)


def test_layers(weights):
    model = vgg_activations(weights)
    assert VGG_LAYERS == ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3")
    assert [one.shape for one in model(_random(1, 33, 40, 1))] == [
        (1, 33, 40, 64),
        (1, 16, 20, 128),
        (1, 8, 10, 256),
        (1, 4, 5, 512),
    ]
    assert model.trainable_variables == []
    assert len(model.variables) == 2 * 10  # Nothing behind relu4_3.


@pytest.mark.parametrize("channels", [1, 3])
def test_activations_are_those_of_keras_with_its_preprocessing(channels, network, weights):
    images = _random(2, 32, 32, channels)
    prepared = keras.applications.vgg16.preprocess_input(255 * np.broadcast_to(images, (2, 32, 32, 3)))
    outputs = keras.Model(network.input, [network.get_layer(name).output for name in VGG_LAYERS])(prepared)
    given, scale = ((), 1 / 57.63) if channels == 1 else ((1,), 1)
    for one, expected in zip(vgg_activations(weights, *given)(images), outputs, strict=True):
        expected = scale * np.asarray(expected)
        assert expected.max() > 0
        np.testing.assert_allclose(one, expected, rtol=2e-4, atol=1e-5 * expected.max())


def test_weights_saved_by_keras_are_read(network, weights, tmp_path):
    path = tmp_path / "own.weights.h5"
    network.save_weights(path)
    images = _random(1, 32, 32, 1)
    for one, other in zip(vgg_activations(path)(images), vgg_activations(str(weights))(images), strict=True):
        np.testing.assert_array_equal(one, other)
    path.unlink()


def test_activations_are_float32_whatever_the_policy(weights):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = vgg_activations(weights)
        assert keras.config.dtype_policy().name == "mixed_float16"
        images = _random(1, 32, 32, 1).astype("float16")
        assert {keras.backend.standardize_dtype(one.dtype) for one in model(images)} == {"float32"}
    finally:
        keras.config.set_dtype_policy(policy)


def _one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"vgg_weights: found no file .*nowhere\.h5, expected VGG-16's weights") as e:
        InterpolationLoss("feature", tmp_path / "nowhere.h5")
    _one_line(e)


@pytest.mark.parametrize("name", ["other.weights.h5", "other.h5", "some.h5", "text.h5", "text.weights.h5", "a.png"])
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_file_that_is_not_vggs(name, weights, tmp_path):
    path = tmp_path / name
    if name == "some.h5":
        shutil.copy(weights, path)
        with h5py.File(path, "r+") as file:
            file["block1_conv1/block1_conv1_b_1:0"][3] = np.nan
    elif name.startswith("other"):
        other = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)])
        other.save_weights(path) if "weights" in name else other.save(path)
    else:
        path.write_text("<html>not found</html>")
    with pytest.raises(InputError, match=f"vgg_weights: .*{name} does not hold the weights of VGG-16") as e:
        vgg_activations(path)
    _one_line(e)


# Fetching the weights: nothing of it goes beyond this machine.


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server in the place of the published address, and an empty cache folder of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with serving(b"<html>please log in</html>") as server:
        monkeypatch.setattr(vgg, "WEIGHTS_URL", f"{server.url}/{WEIGHTS_FILE}")
        yield server


REFUSALS = {
    "refused": ({"status": 403}, "the server answers 403"),
    "broken": ({"break_at": 4}, "the connection broke off"),
    "another": ({}, "does not match the known hash"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_no_weights(case, server, tmp_path, capfd):
    changes, reason = REFUSALS[case]
    for name, value in changes.items():
        setattr(server, name, value)
    with pytest.raises(InputError) as e:
        InterpolationLoss("style")
    message = _one_line(e)
    assert message.startswith("vgg_weights: found no VGG-16 weights at ")
    for part in (str(tmp_path / "models" / WEIGHTS_FILE), reason, "training.vgg_weights", "'pixel'", "put it there"):
        assert part in message
    # The next try goes on from what has come.
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(".part" in name for name in left) and bool(left) == (case == "broken")
    assert capfd.readouterr() == ("", "")


def test_a_damaged_copy_is_not_trusted(server, monkeypatch, tmp_path):
    path = tmp_path / "models" / WEIGHTS_FILE
    path.parent.mkdir()
    path.write_bytes(b"half")
    monkeypatch.setattr(vgg, "WEIGHTS_URL", closed_port())
    with pytest.raises(InputError, match="found a damaged file") as e:
        vgg_activations()
    assert "no connection" in _one_line(e)
    assert path.read_bytes() == b"half"  # What we did not put there is not ours to remove.


def test_a_cache_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written.*training\.vgg_weights") as e:
        vgg_activations()
    _one_line(e)


def test_weights_are_fetched_once(server, weights, monkeypatch, capfd):
    server.content = weights.read_bytes()
    monkeypatch.setattr(vgg, "WEIGHTS_MD5", hashlib.md5(server.content).hexdigest())
    first = vgg.imagenet_weights()
    assert first.read_bytes() == server.content
    assert len(vgg_activations().outputs) == 4
    assert len(server.requests) == 1
    assert capfd.readouterr() == ("", "")
    first.unlink()


def test_the_file_is_the_one_that_keras_gets(monkeypatch):
    """Its address and MD5, by asking Keras's own downloading."""
    module = sys.modules[keras.applications.VGG16.__module__]
    asked = {}

    def get_file(name, url, **options):
        asked.update(options, name=name, url=url)
        raise FileNotFoundError

    monkeypatch.setattr(module.file_utils, "get_file", get_file)
    with pytest.raises(FileNotFoundError):
        keras.applications.VGG16(include_top=False)
    assert (asked["name"], asked["url"], asked["cache_subdir"]) == (WEIGHTS_FILE, vgg.WEIGHTS_URL, "models")
    assert asked["file_hash"] == vgg.WEIGHTS_MD5


def test_the_cache_folder_is_keras_own(monkeypatch):
    from keras.src.backend import config

    assert str(keras_home()) == config.keras_home()
    monkeypatch.setenv("KERAS_HOME", "elsewhere")
    assert keras_home() == Path("elsewhere")


# The whole.


@pytest.mark.parametrize("channels", [1, 3])
def test_the_total_is_the_weighted_sum(channels, style, monkeypatch):
    y_true, y_pred = _slices(channels)
    a = {"middle": y_true[..., :channels], "before": y_true[..., channels : 2 * channels]}
    a = {**a, "after": y_true[..., 2 * channels :], "predicted": y_pred}
    a = {name: [np.asarray(one) for one in style._phi(image)] for name, image in a.items()}
    pixel = np.sqrt((y_pred.astype("float64") - y_true[..., :channels]) ** 2 + 1e-12).mean(-1)
    feature = _feature(a["predicted"], a["middle"], batch=2)
    balance = np.asarray(style_balance_loss(a["predicted"], a["middle"], a["before"], a["after"]))
    np.testing.assert_allclose(style(y_true, y_pred), 1e6 * balance + feature + pixel.mean((1, 2)), rtol=1e-4)
    monkeypatch.setattr(interpolation_losses, "vgg_activations", lambda weights, scale: style._phi)
    monkeypatch.setattr(interpolation_losses, "_hidden", lambda model: model)
    np.testing.assert_allclose(InterpolationLoss("feature")(y_true, y_pred), feature + pixel.mean((1, 2)), rtol=1e-5)
    other = InterpolationLoss("style", None, 10, 20, 30, (1, 2, 3), "sum")
    balance = style_balance_loss(a["predicted"], a["middle"], a["before"], a["after"], (1, 2, 3))
    expected = 10 * np.asarray(balance) + 20 * feature + 30 * pixel.sum((1, 2))
    np.testing.assert_allclose(other(y_true, y_pred), expected, rtol=1e-4)


def test_pixel_needs_no_vgg(monkeypatch):
    monkeypatch.setattr(interpolation_losses, "vgg_activations", lambda *_: pytest.fail("VGG-16 was loaded"))
    y_true, y_pred = _slices(size=5)
    per_position = np.asarray(charbonnier(y_true, y_pred))
    np.testing.assert_allclose(InterpolationLoss("pixel")(y_true, y_pred), per_position.mean((1, 2)), rtol=1e-5)
    total = InterpolationLoss("pixel", pixel_weight=2, pixel_reduction="sum")
    np.testing.assert_allclose(total(y_true, y_pred), 2 * per_position.sum((1, 2)), rtol=1e-5)


def _tiny(channels=1):
    keras.utils.set_random_seed(0)
    outputs = keras.layers.Conv2D(channels, 3, padding="same")
    return keras.Sequential([keras.Input((32, 32, 2 * channels)), outputs])


def test_a_network_trains_with_style(style, tmp_path):
    model = _tiny()
    model.compile("adam", loss=style, metrics=[middle_mae, middle_mse], jit_compile=False)
    start = model.get_weights()
    x, y = _random(2, 32, 32, 2), _random(2, 32, 32, 3)
    history = model.fit(x, y, batch_size=1, validation_data=(x, y), verbose=0).history
    assert set(history) == {name for one in ("loss", "middle_mae", "middle_mse") for name in (one, f"val_{one}")}
    assert np.isfinite(list(history.values())).all()
    assert all((new != old).any() for new, old in zip(model.get_weights(), start, strict=True))
    predicted = np.asarray(model(x))
    assert history["val_loss"][0] == pytest.approx(np.asarray(style(y, predicted)).mean(), rel=1e-4)
    assert history["val_middle_mae"][0] == pytest.approx(np.abs(predicted - y[..., :1]).mean(), rel=1e-4)
    # VGG-16 is nowhere in it.
    assert sum(np.size(value) for value in model.variables) < 100
    model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size < 1e6


def test_a_network_trains_in_half_precision(style):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _tiny()
        model.compile("adam", loss=style, run_eagerly=True)
    finally:
        keras.config.set_dtype_policy(before)
    start = model.get_weights()
    assert np.isfinite(model.fit(_random(1, 32, 32, 2), _random(1, 32, 32, 3), verbose=0).history["loss"]).all()
    assert all((new != old).any() for new, old in zip(model.get_weights(), start, strict=True))


def test_a_compiled_model_reloads(tmp_path):
    model = _tiny()
    loss = InterpolationLoss("pixel", pixel_weight=3, beta=(1, 2, 3))
    model.compile("sgd", loss=loss, metrics=[middle_mae, middle_mse], jit_compile=False)
    x, y = _random(2, 32, 32, 2), _random(2, 32, 32, 3)
    before = model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").evaluate(x, y, verbose=0) == pytest.approx(before)
    assert InterpolationLoss.from_config(loss.get_config()).get_config() == loss.get_config()


# What does not fit.


def test_unfit_slices(style):
    _, y_pred = _slices()
    for loss in (charbonnier, style, middle_mae, middle_mse):
        with pytest.raises(InputError, match=r"found 1 target channels for 1 of the output, expected 3 \("):
            loss(y_pred, y_pred)
    with pytest.raises(InputError, match=r"found 2 channels, expected 1 \(grey\) or 3 \(RGB\)"):
        style(*_slices(2))
    with pytest.raises(InputError, match=r"found images of 6 x 6, expected 8 or more"):
        style(*_slices(size=6))
    assert np.isfinite(style(*_slices(size=8))).all()


def test_half_precision_is_computed_in_float32(style):
    y_true, y_pred = _slices()
    y_pred = y_pred.astype("float16")
    loss = np.asarray(style(y_true, y_pred))
    assert loss.dtype == np.float32
    np.testing.assert_array_equal(loss, style(y_true, y_pred.astype("float32")))


def test_unfit_arguments():
    with pytest.raises(InputError, match=r"^loss: found 'mae', expected one of 'pixel', 'feature', 'style'$"):
        InterpolationLoss("mae")
    with pytest.raises(InputError, match="pixel_reduction: found 'max', expected one of 'mean', 'sum'"):
        InterpolationLoss("pixel", pixel_reduction="max")
    with pytest.raises(InputError, match=r"beta: found .*expected three numbers"):
        InterpolationLoss("pixel", beta=(1, 2))


def test_no_tensorflow_is_imported():
    pytest.importorskip("jax")
    code = (
        "import sys, numpy as np; from aeanet_tf.training.interpolation_losses import InterpolationLoss as L; "
        "print(float(L('pixel')(np.ones((1, 4, 4, 3)), np.zeros((1, 4, 4, 1)))[0]), 'tensorflow' in sys.modules)"
    )
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1.0", "False"]

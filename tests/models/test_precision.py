"""Prediction in half precision: close to float32, the same in tiles, and no trace of it on the model."""

import keras
import numpy as np
import pytest
import tifffile

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.networks import build_network, presets
from aeanet_tf.prediction.machine import warn_if_emulated
from tests.interop.example_models import make_model
from tests.models import EAGER

IMAGE = np.random.default_rng(0).gamma(2, 50, (60, 44)).astype("float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    model = make_model("em", folder, "em")
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


def difference(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype == "float32"
    return np.abs(found - expected).max() / np.ptp(expected)


def test_half_precision_is_close_to_single(model):
    before = model.keras_model.get_weights()
    single, half = (model.predict(IMAGE, "YX", precision=p) for p in ("float32", "bfloat16"))
    assert 1e-5 < difference(half, single) < 3e-2
    assert all(np.array_equal(a, b) for a, b in zip(before, model.keras_model.get_weights(), strict=True))
    assert np.array_equal(model.predict(IMAGE, "YX"), single)
    assert keras.config.dtype_policy().name == "float32"


def test_tiles_give_what_the_whole_gives(model):
    whole = model.predict(IMAGE, "YX", precision="bfloat16")
    tiled = model.predict(IMAGE, "YX", n_tiles=(2, 2), precision="bfloat16")
    overlapping = model.predict(IMAGE, "YX", n_tiles=(2, 2), precision="bfloat16", tiling="overlap")
    # The contexts are float32: what is left is how they round in the matrix that positions are multiplied by.
    assert difference(tiled, whole) < 2e-2
    assert difference(overlapping, whole) > 0


def test_weights_that_change_are_followed(model):
    model.predict(IMAGE, "YX", precision="bfloat16")
    weights = model.keras_model.get_weights()
    try:
        model.keras_model.set_weights([0.5 * w for w in weights])
        assert difference(model.predict(IMAGE, "YX", precision="bfloat16"), model.predict(IMAGE, "YX")) < 3e-2
    finally:
        model.keras_model.set_weights(weights)


def test_probabilistic_models_and_stacks():
    model = make_model("probabilistic")
    stack = np.random.default_rng(0).random((6, 20, 24)).astype("float32")
    single, half = (model.predict_probabilistic(stack, "ZYX", precision=p) for p in ("float32", "bfloat16"))
    for found, expected in ((half.mean(), single.mean()), (half.scale(), single.scale())):
        assert 1e-5 < np.abs(found - expected).max() / np.ptp(expected) < 5e-2


def test_the_command(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", IMAGE)
    arguments = ["predict", "--model", str(model.logdir), "--input", "a.tif", "--output"]
    assert main([*arguments, "out", "--precision", "bfloat16"]) == 0
    found = tifffile.imread("out/a.tif")
    np.testing.assert_allclose(found, model.predict(IMAGE, "YX", precision="bfloat16"), rtol=1e-6, atol=1e-6)
    assert difference(found, model.predict(IMAGE, "YX")) > 1e-5
    with pytest.raises(SystemExit):
        main([*arguments, "out", "--precision", "int8"])


def test_training_in_half_precision_gives_a_model_in_single_precision(tiny, patches, tmp_path):
    X, Y = patches
    scores = {}
    for precision in ("float32", "bfloat16"):
        model = AEANet(tiny(train_precision=precision, train_epochs=3), precision, str(tmp_path))
        history = model.train(X[:40], Y[:40], (X[40:], Y[40:]), steps_per_epoch=5, verbose=0).history
        assert model.keras_model.compute_dtype == "float32"
        loaded = AEANet(None, precision, str(tmp_path))
        # The best weights are those of the network in half precision, evaluated in single precision.
        loss = np.abs(loaded.keras_model.predict(X[40:], verbose=0) - Y[40:]).mean()
        assert loss == pytest.approx(min(history["val_loss"]), rel=1e-2)
        scores[precision] = np.array(history["val_loss"])
    assert not np.array_equal(scores["float32"], scores["bfloat16"])
    np.testing.assert_allclose(scores["bfloat16"], scores["float32"], rtol=0.1)


def test_3d_networks_are_not_trained_in_half_precision_on_a_processor(tiny):
    model = AEANet(tiny("ZYX", train_precision="bfloat16"), "stacks", None)
    stacks = np.zeros((8, 16, 16, 16, 1), "float32")
    with pytest.raises(InputError, match="'bfloat16' for a 3D network, expected 'float32'"):
        model.train(stacks, stacks, (stacks, stacks))


def test_an_unknown_precision_is_refused(model):
    with pytest.raises(InputError, match="precision: found 'float8', expected one of float32, bfloat16"):
        model.predict(IMAGE, "YX", precision="float8")
    assert AEANetConfig("YX", train_precision="float8").is_valid(return_invalid=True) == (False, ("train_precision",))


def test_networks_compute_in_what_they_were_built_for():
    spec = presets["aeanet-em"].replace(first_filters=4)
    for precision in ("float32", "bfloat16"):
        network = build_network(spec, precision=precision)
        inner = next(layer for layer in network.layers if layer.name == "decoding_block_1.res_0")
        assert inner.convolution_1.compute_dtype == inner.batch_norm_2.norm.compute_dtype == precision
        assert network.layers[-1].compute_dtype == "float32"
        assert {w.dtype for w in network.weights} == {"float32"}


@pytest.mark.parametrize(
    ("flags", "slow"), [("fma avx512f", True), ("avx512f avx512_bf16", False), ("amx_bf16", False)]
)
def test_it_is_said_where_there_are_no_instructions_for_it(flags, slow, tmp_path, caplog):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    warn_if_emulated("bfloat16", tmp_path / "cpuinfo")
    assert ("will be slower than float32" in caplog.text) == slow
    caplog.clear()
    warn_if_emulated("float32", tmp_path / "cpuinfo")
    warn_if_emulated("bfloat16", tmp_path / "none")
    assert not caplog.text


@EAGER
@pytest.mark.usefixtures("eagerly")
def test_what_ends_a_training_reaches_the_network_that_predicts(tiny, patches, tmp_path):
    """A run that was killed after its last epoch has no epoch left; callbacks may change weights at the very end."""

    class Halved(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights([w / 2 for w in self.model.get_weights()])

    X, Y = patches
    model = AEANet(tiny(train_precision="bfloat16", train_checkpoint=None), "ends", None)
    model.prepare_for_training()
    model.callbacks.append(Halved())
    model.train(X[:8], Y[:8], (X[40:], Y[40:]), epochs=1, steps_per_epoch=1, verbose=0)
    trained = model.trained_network.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(trained, model.keras_model.get_weights(), strict=True))
    model.train(X[:8], Y[:8], (X[40:], Y[40:]), epochs=0, steps_per_epoch=1, verbose=0)
    assert all(np.array_equal(a / 2, b) for a, b in zip(trained, model.keras_model.get_weights(), strict=True))

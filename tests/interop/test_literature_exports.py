"""Networks from the literature: tiles that equal the whole image, and exports; each model is made once."""

import zipfile
from itertools import product

import keras
import numpy as np
import pytest

from aeanet_tf.interop.fiji import export_fiji, run_saved_model
from aeanet_tf.interop.onnx import export_onnx
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.networks import build_network
from aeanet_tf.prediction.plan import Budget, make_plan
from aeanet_tf.prediction.stages import OwnAttention, Stages, can_be_swept
from tests.interop.example_models import images, predictions, randomise, relative_error
from tests.networks.literature import SMALL, small
from tests.prediction.exact import predict_exact

POOLED = ("rcan", "rsgu-net")
# The others are made of layers that Keras has, or that these have, too; that of CE-Net takes long.
EXPORTED = (("rcan", "YX"), ("attention-unet", "ZYX"), ("dilated-unet", "YX"), ("rsgu-net", "YX"))


@pytest.fixture(scope="module")
def models():
    made = {}

    def get(name, axes="YX"):
        if (name, axes) not in made:
            config = AEANetConfig(axes, preset=name, network=SMALL[name], train_seed=0)
            made[name, axes] = AEANet(config, name, None)
            randomise(made[name, axes].keras_model)
        return made[name, axes]

    return get


def image_for(model):
    """Brighter to the right: each tile has another mean; long enough for tiles that do not read all of it."""
    rng, step = np.random.default_rng(1), model.spec.divisor[0]
    long = 4 * (model.receptive_radius[-1] // step + 2) * step - 3
    size = (*(2 * step + 1,) * (model.config.n_dim - 1), max(31, long))
    return (rng.random(size) + np.linspace(0, 2, size[-1])).astype("float32")


@pytest.mark.parametrize(("name", "axes"), [*((name, "YX") for name in SMALL), ("rcan", "ZYX")])
def test_tiles_equal_the_whole(name, axes, models):
    model = models(name, axes)
    image, n_tiles = image_for(model), (1,) * (len(axes) - 1) + (4,)
    whole = model.predict(image, axes, normalizer=None, tiling="whole")
    found = model.predict(image, axes, normalizer=None, n_tiles=n_tiles)
    assert np.abs(found - whole).max() < 1e-5 * np.ptp(whole)
    overlap = model.predict(image, axes, normalizer=None, n_tiles=n_tiles, tiling="overlap")
    assert (np.abs(overlap - whole).max() > 2e-5 * np.ptp(whole)) == (name in POOLED)


def test_kept_features_of_rcan_change_nothing_and_cost_nothing(models):
    model = models("rcan")
    image = image_for(model)[..., None]
    whole = np.asarray(model.keras_model(image[None]))[0]
    stages = Stages(model.keras_model, 8)
    found = predict_exact(model.keras_model, model.spec, image, (1, 3), stages)
    assert np.abs(found - whole).max() < 1e-5 * np.ptp(whole)
    own = OwnAttention(model.keras_model)
    assert sum(stage.cost for stage in stages.stages) == pytest.approx(own.stages[0].cost)
    # Two convolutions between one pooling and the next, and one more between groups.
    assert [stage.radius[0] for stage in stages.stages] == [3, 3, 3]


def test_many_poolings_are_swept_with_kept_features():
    spec = small("rcan", filters=32, blocks=8)
    network = build_network(spec)
    assert can_be_swept(network)
    plan = make_plan(OwnAttention(network), spec, [(512, 512)], Budget(1e8, disk=1e12))
    assert plan.shared and plan.kept == 32 and np.prod(plan.n_tiles) > 1


def check_exports(model, inputs, folder):
    """Both exports give what Python predicts."""
    expected = predictions(model, inputs)
    with zipfile.ZipFile(export_fiji(model, folder / "fiji")) as archive:
        archive.extractall(folder / "model")
    found = run_saved_model(folder / "model", [x[None] for x in inputs])
    for y, whole in zip(found, expected, strict=True):
        assert relative_error(y[0], whole) < 1e-5
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    session = runtime.InferenceSession(str(export_onnx(model, folder / "m.onnx")), providers=["CPUExecutionProvider"])
    for x, whole in zip(inputs, expected, strict=True):
        assert np.abs(session.run(None, {"input": x[None]})[0][0] - whole).max() < 1e-5 * np.ptp(whole)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        pytest.param(name, axes, marks=() if (name, axes) in EXPORTED else pytest.mark.slow)
        for name, axes in product(SMALL, ("YX", "ZYX"))
    ],
)
def test_exports_predict_what_python_predicts(name, axes, models, tmp_path):
    model = models(name, axes)
    check_exports(model, images(model, factors=((2, 2, 2), (3, 2, 4))), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edsr", "vdsr", "unet-plusplus"])
def test_exports_of_the_published_size(name, tmp_path):
    model = AEANet(AEANetConfig("YX", preset=name, train_seed=0), name, None)
    randomise(model.keras_model)
    check_exports(model, images(model, factors=((2, 3),)), tmp_path)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_saved_and_loaded(name, models, tmp_path):
    network = models(name).keras_model
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert [w.path for w in again.weights] == [w.path for w in network.weights]
    x = images(models(name), factors=((2, 3),))[0][None]
    np.testing.assert_allclose(again(x), network(x), rtol=1e-6, atol=1e-6)


def test_channel_attention_is_trained():
    config = AEANetConfig("YX", preset="rcan", network=SMALL["rcan"], train_batch_size=2, train_seed=0)
    model = AEANet(config, "rcan", None)
    layer = model.keras_model.get_layer("group_2.block_1.attention")
    before = [np.array(w) for w in layer.trainable_weights]
    x = np.random.default_rng(0).random((4, 16, 16, 1)).astype("float32")
    history = model.train(x, x**2, validation_data=(x, x**2), epochs=1, steps_per_epoch=3, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    assert all(np.abs(np.array(w) - b).max() > 0 for w, b in zip(layer.trainable_weights, before, strict=True))

"""Models that are trained beside a discriminator."""

import json
import logging

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.bioimageio_contents import documentation
from aeanet_tf.models import (
    AEANet,
    AEANetConfig,
    IsotropicAEANet,
    ProjectionAEANet,
    ProjectionAEANetConfig,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
)
from aeanet_tf.models.adversarial import ADVERSARIAL_FILE, DISCRIMINATOR_FILE, INVENTED, remove_adversarial
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.models.training_data import training_data
from aeanet_tf.models.training_memory import training_bytes
from aeanet_tf.training import read_history
from tests.models import EAGER, OPTIMISATION, eager_tensorflow

pytestmark = EAGER
SMALL = {"filters": 2, "depth": 1}
SETTINGS = {
    "preset": "unet-care",
    "network": {"first_filters": 2, "depth": 2},
    "train_epochs": 3,
    "train_steps_per_epoch": 2,
    "train_batch_size": 2,
    "train_baselines": False,
    **OPTIMISATION,
}
X = np.random.default_rng(0).random((6, 16, 16, 1), "float32")
DATA = {"X": X, "Y": X / 2, "validation_data": (X[:2], X[:2] / 2), "verbose": 0}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def make(folder, name="m", adversarial=SMALL, **changes):
    return AEANet(AEANetConfig("YX", **{**SETTINGS, "train_adversarial": adversarial, **changes}), name, folder)


def assert_equal(ones, others):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model that was trained without interruption, and the history."""
    model = make(str(tmp_path_factory.mktemp("whole")))
    return model, model.train(**DATA)


class _Killed(BaseException):
    pass


def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path):
    model, history = whole
    killed = make(str(tmp_path))

    def kill(epoch, logs=None):
        if epoch == 2:
            raise _Killed

    killed.prepare_for_training()
    killed.callbacks.append(keras.callbacks.LambdaCallback(on_epoch_begin=kill))
    with pytest.raises(_Killed):
        killed.train(**DATA)
    assert not (killed.logdir / DISCRIMINATOR_FILE).exists()
    resumed = make(str(tmp_path))
    again = resumed.train(**DATA, resume=True)
    assert again.history == history.history
    for one, other in zip((model, resumed), (resumed, model), strict=True):
        assert_equal(one.keras_model.get_weights(), other.keras_model.get_weights())
        trained, opposite = one.trained_network, other.trained_network
        assert_equal(trained.optimizer.variables, opposite.optimizer.variables)
        assert len(trained.further_variables) > len(trained.discriminator.weights)
        assert_equal(trained.further_variables, opposite.further_variables)
    for name in ("weights_last.h5", "history.csv"):
        assert (model.logdir / name).read_bytes() == (resumed.logdir / name).read_bytes()


def test_what_is_kept_and_told(whole, caplog):
    model, history = whole
    losses = {"loss", "mae", "mse"}
    expected = losses | {f"val_{name}" for name in losses} | {"adversarial_loss", "discriminator_loss"}
    assert set(history.history) == expected
    rows = read_history(model.logdir / "history.csv")
    assert all(0.3 < row[name] < 1.5 for row in rows for name in ("adversarial_loss", "discriminator_loss"))
    kept = keras.models.load_model(model.logdir / DISCRIMINATOR_FILE)
    assert_equal(kept.get_weights(), model.trained_network.discriminator.get_weights())
    record = json.loads((model.logdir / ADVERSARIAL_FILE).read_text())
    assert record["remark"] == INVENTED and record["parameters"] == kept.count_params()
    config = json.loads((model.logdir / "config.json").read_text())
    assert config["train_adversarial"] == {
        "weight": 0.01, "learning_rate": 2e-4, "filters": 2, "depth": 1, "conditional": True
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "aeanet_tf"):
        loaded = AEANet(None, "m", str(model.logdir.parent))
    assert "textures of its predictions are invented" in caplog.text
    text = documentation(loaded, "A network.", NormalizationSection())
    assert f"The network was {INVENTED}." in text
    # More steps of the same training go on with the discriminator there is.
    loaded.train(**DATA, epochs=3, resume=True)
    assert_equal(loaded.trained_network.further_variables, model.trained_network.further_variables)
    remove_adversarial(model.logdir)
    assert not [path for path in model.logdir.iterdir() if path.name in (ADVERSARIAL_FILE, DISCRIMINATOR_FILE)]


def test_without_weight_the_network_learns_what_it_learns_alone(whole):
    alone, beside = make(None, adversarial=None), make(None)
    beside.prepare_for_training()
    beside.trained_network.weight = 0.0
    histories = [model.train(**DATA).history for model in (alone, beside)]
    assert_equal(alone.keras_model.get_weights(), beside.keras_model.get_weights())
    for name, values in histories[0].items():
        assert histories[1][name] == values
    # And with a weight it learns something else.
    other = whole[0].trained_network.get_weights()
    pairs = zip(alone.keras_model.get_weights(), other, strict=True)
    assert max(np.abs(one - other).max() for one, other in pairs) > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_volumes_and_half_precision(dimension):
    half = {} if dimension == 3 else {"train_precision": "bfloat16"}
    adversarial = {**SMALL, "conditional": dimension == 3}
    fields = {**SETTINGS, **half, "train_adversarial": adversarial, "train_epochs": 1, "n_channel_in": 2}
    x = np.random.default_rng(1).random((4, *(4, 16, 8)[-dimension:], 2), "float32")
    model = AEANet(AEANetConfig("ZYX"[-dimension:], **fields, unet_residual=False), "m", None)
    history = model.train(x, x[..., :1], (x, x[..., :1]), verbose=0).history
    assert np.isfinite(history["discriminator_loss"]).all()
    opponent = model.trained_network.discriminator
    assert opponent.input_shape == (None, *(None,) * dimension, 3 if dimension == 3 else 1)
    assert opponent.compute_dtype == "float32" and len(opponent.get_weights()[0].shape) == dimension + 2


@pytest.mark.slow
def test_projections_are_judged_as_images():
    fields = {**SETTINGS, "preset": None, "network": {}, "unet_n_first": 2, "train_epochs": 1}
    fields["train_adversarial"] = {**SMALL, "conditional": False}
    x, y = np.random.default_rng(1).random((2, 8, 16, 16, 1), "float32"), np.zeros((2, 1, 16, 16, 1), "float32")
    model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", **fields), "m", None)
    history = model.train(x, y, (x, y), verbose=0).history
    assert np.isfinite(history["adversarial_loss"]).all()


def test_no_volume_is_judged_beside_its_projection():
    fields = {"train_adversarial": SMALL}
    with pytest.raises(InputError, match=r"adversarial\.conditional: found True, expected false for a model that proj"):
        ProjectionAEANetConfig("ZYX", **fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight", 0), ("weight", float("nan")), ("learning_rate", -1), ("filters", 0), ("depth", 7), ("conditional", 3),
     ("wieght", 1)],
)  # fmt: skip
def test_fields_that_are_wrong_are_named(field, value):
    with pytest.raises(InputError, match=rf"train_adversarial: {field}: ") as raised:
        AEANetConfig("YX", train_adversarial={field: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make_config", "reason"),
    [
        (lambda: AEANetConfig("YX", train_adversarial={}, train_target="noise2noise"), "noise of the targets"),
        (lambda: AEANetConfig("YX", train_adversarial={}, train_target="noise2void"), "noise of the targets"),
        (lambda: AEANetConfig("YX", train_adversarial={}, probabilistic=True), "distribution"),
        (lambda: AEANetConfig("YX", train_adversarial={}, train_devices=["CPU:0"]), "devices"),
        (lambda: SegmentationAEANetConfig("YX", n_channel_out=2, train_adversarial={}), "labels have no textures"),
        (lambda: SliceInterpolationConfig(train_adversarial={}), "losses of its own"),
        (
            lambda: IsotropicAEANet(AEANetConfig("YX", **SETTINGS, train_adversarial=SMALL), "m", None).train(**DATA),
            "two views",
        ),
    ],
)
def test_what_it_means_nothing_for_is_refused(make_config, reason):
    with pytest.raises(InputError, match=f"train_adversarial: found one, expected null.*{reason}"):
        make_config()


def test_patches_that_are_too_small_and_networks_compiled_by_hand_are_refused():
    with pytest.raises(InputError, match=r"adversarial\.depth: found 4, expected at most 3 for patches of \(16, 16\)"):
        make(None, adversarial={"depth": 4}).train(**DATA)
    model = make(None)
    model.keras_model.compile("adam", "mae")
    model.callbacks, model._model_prepared = [], True
    with pytest.raises(InputError, match="null where keras_model is compiled by hand"):
        model.train(**DATA)


def test_the_discriminator_is_in_the_estimate_of_memory():
    estimates = []
    for adversarial in (None, {"filters": 32, "depth": 3}):
        model = make(None, adversarial=adversarial)
        sampler, _ = training_data(model.config, X, X, (X, X))
        estimates.append(training_bytes(model, sampler))
    # At least its weights, gradients and Adam's moments.
    assert estimates[1] - estimates[0] > 16 * 4 * 4 * (32 * 64 + 64 * 128 + 128 * 256)

"""What scripts for CSBDeep do with its classes beyond ``train`` and ``predict``, with the class name changed."""

import json
import logging
from pathlib import Path

import keras
import numpy as np
import pytest
from csbdeep.internals.train import prepare_model
from csbdeep.models import Config

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig

pytestmark = pytest.mark.usefixtures("eagerly")


class MyConfig(Config):
    """A configuration with fields of a script's own, as N2V's has them."""

    def __init__(self, axes="YX", n_channel_in=1, n_channel_out=1, alpha=0.5, **kwargs):
        super().__init__(axes, n_channel_in, n_channel_out, **kwargs)
        self.alpha = alpha
        self.means = np.float32([1.5, 2])

    def doubled(self):
        return 2 * self.alpha


class MyModel(AEANet):
    """A class with a configuration of its own."""

    @property
    def _config_class(self):
        return MyConfig


FIELDS = {
    "unet_n_first": 4,
    "unet_n_depth": 1,
    "train_epochs": 2,
    "train_steps_per_epoch": 2,
    "train_batch_size": 2,
    "train_tensorboard": False,
}


@pytest.fixture
def part(patches):
    return [array[:4] for array in patches]


@pytest.mark.parametrize("cls", [AEANet, MyModel])
def test_fields_of_a_users_configuration_are_kept_with_the_model(cls, tmp_path):
    model = cls(MyConfig(alpha=3, unet_kern_size=7, **FIELDS), "m", str(tmp_path))
    assert model.config.alpha == 3 and model.config.doubled() == 6 and model.config.unet_kern_size == 7
    assert json.loads((tmp_path / "m" / "config.json").read_text())["means"] == [1.5, 2]
    again = cls(None, "m", str(tmp_path)).config
    assert (again.alpha, list(again.means), again.unet_n_first) == (3, [1.5, 2], 4)
    assert isinstance(again, AEANetConfig) and isinstance(again, MyConfig) == (cls is MyModel)


def test_fields_of_a_class_that_extends_ours_are_kept(tmp_path):
    class Extended(AEANetConfig):
        def __init__(self, axes="YX", note="none", **kwargs):
            super().__init__(axes, **kwargs)
            self.note = note

    AEANet(Extended(note="mitochondria", **FIELDS), "m", str(tmp_path))
    assert AEANet(None, "m", str(tmp_path)).config.note == "mitochondria"
    path = tmp_path / "m" / "config.json"
    path.write_text(path.read_text().replace('"train_epochs"', '"train_epoch"'))
    with pytest.raises(InputError, match="train_epoch: unknown key, did you mean train_epochs"):
        AEANet(None, "m", str(tmp_path))


def test_fields_that_json_cannot_hold_are_named(tmp_path):
    config = AEANetConfig("YX", allow_new_parameters=True, loader=open, path=Path("data"), **FIELDS)
    with pytest.raises(InputError, match=r"config.loader: found <.*>, expected what JSON can hold"):
        AEANet(config, "m", str(tmp_path))
    assert not list(tmp_path.rglob("config.json"))


def test_epsilon_is_the_earlier_name_of_min_delta(caplog):
    caplog.set_level(logging.INFO, "aeanet_tf")
    config = AEANetConfig("YX", train_reduce_lr={"factor": 0.5, "patience": 3, "epsilon": 0.25}, **FIELDS)
    assert config.train_reduce_lr == {"factor": 0.5, "patience": 3, "min_delta": 0.25}
    assert "train_reduce_lr: epsilon is called min_delta by now" in caplog.messages
    # Set later, as scripts do.
    config.train_reduce_lr = {"epsilon": 0.5}
    model = AEANet(config, "m", None)
    model.prepare_for_training()
    assert model.callbacks[0].min_delta == 0.5


@pytest.mark.parametrize(("name", "cls"), [("adam", keras.optimizers.Adam), ("sgd", keras.optimizers.SGD)])
def test_optimisers_by_name_have_the_learning_rate_of_the_configuration(name, cls):
    config = AEANetConfig("YX", train_learning_rate=0.25, train_learning_rate_cosine=None, **FIELDS)
    model = AEANet(config, "m", None)
    model.prepare_for_training(optimizer=name)
    optimizer = model.keras_model.optimizer
    assert type(optimizer) is cls and float(optimizer.learning_rate) == 0.25
    for wrong in ("adamant", 3):
        with pytest.raises(InputError, match=r"optimizer: found .*, expected a Keras optimiser, or the name of one"):
            model.prepare_for_training(optimizer=wrong)


class Seen(keras.callbacks.Callback):
    """Counts epochs."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def test_checkpoint_callbacks_of_a_class_are_used(tmp_path, part):
    class WithCheckpoints(AEANet):
        def _checkpoint_callbacks(self):
            self.seen = Seen()
            every = keras.callbacks.ModelCheckpoint(
                str(self.logdir / "epoch-{epoch}.weights.h5"), save_best_only=False, save_weights_only=True
            )
            return [*super()._checkpoint_callbacks(), every, self.seen]

    model = WithCheckpoints(AEANetConfig("YX", **FIELDS), "m", str(tmp_path))
    model.train(*part, validation_data=part, verbose=0)
    assert model.seen.epochs == 2
    files = {path.name for path in (tmp_path / "m").glob("*.h5")}
    assert files == {"weights_best.h5", "weights_last.h5", "epoch-1.weights.h5", "epoch-2.weights.h5"}


def test_without_checkpoints_the_last_weights_are_the_models(tmp_path, part):
    class Without(AEANet):
        def _checkpoint_callbacks(self):
            return []

    model = Without(AEANetConfig("YX", **FIELDS), "m", str(tmp_path))
    model.train(*part, validation_data=part, verbose=0)
    assert [path.name for path in (tmp_path / "m").glob("*.h5")] == ["weights_last.h5"]


def ten_times(y_true, y_pred):
    return 10 * keras.ops.mean(keras.ops.abs(y_true - y_pred))


def by_hand(model, seen):
    model.keras_model.compile(optimizer="sgd", loss=ten_times)
    model.callbacks = [seen]
    model._model_prepared = True


def with_csbdeeps_function(model, seen):
    model.callbacks = [*prepare_model(model.keras_model, keras.optimizers.SGD(), "mse"), seen]
    model._model_prepared = True


@pytest.mark.parametrize("prepare", [by_hand, with_csbdeeps_function])
def test_what_a_script_has_compiled_is_trained(prepare, tmp_path, part):
    model, seen = AEANet(AEANetConfig("YX", **FIELDS), "m", str(tmp_path)), Seen()
    prepare(model, seen)
    optimizer = model.keras_model.optimizer
    history = model.train(*part, validation_data=part, verbose=0)
    assert model.keras_model.optimizer is optimizer and int(optimizer.iterations) == 4
    assert seen.epochs == 2 and len(history.history["val_loss"]) == 2
    x, y = part
    if prepare is by_hand:
        own = 10 * np.abs(np.asarray(model.keras_model(x)) - y).mean()
        np.testing.assert_allclose(history.history["val_loss"][-1], own, rtol=1e-5)


def test_what_is_compiled_after_the_preparation_is_kept(part):
    model = AEANet(AEANetConfig("YX", **FIELDS), "m", None)
    model.prepare_for_training()
    model.keras_model.compile(optimizer="sgd", loss=ten_times)
    model.train(*part, validation_data=part, epochs=1, verbose=0)
    assert isinstance(model.keras_model.optimizer, keras.optimizers.SGD)


def test_a_class_prepares_itself(part):
    """As N2V's does, which calls nothing of CSBDeep's."""

    class Prepared(AEANet):
        def prepare_for_training(self, optimizer=None, **kwargs):
            by_hand(self, Seen())

    model = Prepared(AEANetConfig("YX", **FIELDS), "m", None)
    model.train(*part, validation_data=part, verbose=0)
    assert model.callbacks[0].epochs == 2


def test_a_model_that_is_not_compiled_says_so(part):
    model = AEANet(AEANetConfig("YX", **FIELDS), "m", None)
    model._model_prepared = True
    with pytest.raises(InputError, match=r"keras_model: found not compiled, expected keras_model.compile"):
        model.train(*part, validation_data=part, verbose=0)


def test_csbdeeps_way_of_prediction_counts_tiles_as_csbdeep(part):
    model, image = AEANet(AEANetConfig("YX", **FIELDS), "m", None), part[0][0, ..., 0]
    whole, scale = model._predict_mean_and_scale(image, "YX", None, None)
    assert scale is None
    with pytest.warns(UserWarning, match="n_tiles should be a tuple"):
        tiled, _ = model._predict_mean_and_scale(image, "YX", None, None, n_tiles=500)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_residual_that_channels_do_not_allow_is_found_by_is_valid():
    config = AEANetConfig("YX", n_channel_out=2, unet_residual=True)
    assert config.is_valid(return_invalid=True) == (False, ("unet_residual",))
    with pytest.raises(ValueError, match="unet_residual"):
        AEANet(config, "m", None)

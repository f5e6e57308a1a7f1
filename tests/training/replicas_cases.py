"""Training on two devices; ``test_replicas.py`` runs this in a process that TensorFlow gives two logical CPUs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.cli.main import main
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks import build_network, presets
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import train_run
from aeanet_tf.training import CSVHistory, PatchSampler, ValidationSet, get_loss, mae, mse, read_history
from aeanet_tf.training.devices import find_devices, make_strategy
from aeanet_tf.training.prefetching import prefetched
from aeanet_tf.training.replicas import ReplicatedModel
from tests.models import EAGER, NETWORK, assert_same_weights, eager_tensorflow, write_config, write_pairs

pytestmark = EAGER
DEVICES = find_devices(["CPU:0", "CPU:1"], 2)
# Nothing in it looks at a batch as a whole, so the number of devices makes no difference.
IMAGE_BY_IMAGE = {
    "first_filters": 4,
    "depth": 2,
    "encoding_blocks": [0, 0],
    "decoding_blocks": [0],
    "batch_norm": False,
    "attention": {"shared_references": 4, "batch_aware": False},
}


@pytest.fixture
def strategy():
    return make_strategy(*DEVICES)


@pytest.fixture
def eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with data, a configuration of 3 epochs, and the model trained from it on one device."""
    folder = tmp_path_factory.mktemp("runs")
    write_pairs(folder / "data" / "train" / "low", folder / "data" / "train" / "GT", "abc", (16, 16))
    # Two validation batches of 2 images each: the last has one image, and another one is lacking.
    write_pairs(folder / "data" / "val" / "low", folder / "data" / "val" / "GT", "abcde", (16, 16), seed=1)
    write_config(
        folder / "run.json",
        model={"network": IMAGE_BY_IMAGE, "name": "one", "basedir": str(folder / "models")},
        data={"root": str(folder / "data"), "validation_low": "val/low", "validation_GT": "val/GT"},
        # Each device clips the gradients of its own part.
        training={"batch_size": 4, "steps": 6, "kernel_l2": 0.1, "clip_norm": None},
    )
    with eager_tensorflow():
        train(folder)
    return folder


def train(folder, *overrides):
    return train_run(load_run_config(folder / "run.json", overrides), verbose=0)


def on_two(name):
    return [f"model.name={name}", 'training.devices=["CPU:0", "CPU:1"]']


def assert_same_training(folder, one, other):
    for name in ("weights_last.h5", "weights_best.h5"):
        assert_same_weights(folder / "models" / one / name, folder / "models" / other / name, 1e-5)
    rows, others = (read_history(folder / "models" / name / "history.csv") for name in (one, other))
    assert len(rows) == len(others) == 3
    for row, expected in zip(rows, others, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


def images(n, size=8, seed=0):
    return np.random.default_rng(seed).random((n, size, size, 1)).astype("float32")


def convolution():
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones")(image))


def test_each_replica_gets_its_part_of_every_batch(strategy):
    X = images(7)
    sampler = PatchSampler(X, X**2, 4, 2, seed=3)
    batches = strategy.experimental_distribute_dataset(prefetched(sampler.__getitem__, workers=3))
    for number, batch in zip(range(5), batches, strict=False):
        for values, expected in zip(batch, sampler[number], strict=True):
            parts = strategy.experimental_local_results(values)
            for part, half in zip(parts, np.split(expected, 2), strict=True):
                np.testing.assert_array_equal(part, half)


def test_two_strategies_in_one_process():
    """TensorFlow takes what the replicas of one exchange for what those of the other do."""
    for names, n in ((DEVICES, 3), (DEVICES[::-1], 5), (DEVICES, 7)):
        strategy = make_strategy(*names)

        @tf.function
        def add(strategy=strategy, n=n):
            total = lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(n))  # noqa: E731
            return strategy.run(total)

        for values in strategy.experimental_local_results(add()):
            np.testing.assert_array_equal(values, np.full(n, 2))


def test_two_devices_train_as_one(runs, caplog):
    overrides = [word for pair in on_two("two") for word in ("--set", pair)]
    assert main(["train", "--config", str(runs / "run.json"), *overrides]) == 0
    assert "devices CPU:0, CPU:1: 2 of the 4 patches of a batch on each" in caplog.messages
    assert_same_training(runs, "one", "two")


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(runs, monkeypatch, eagerly):
    for epochs, devices in enumerate(("null", '["CPU:0", "CPU:1"]'), start=1):
        with monkeypatch.context() as patch:
            patch.setattr(CSVHistory, "on_train_batch_end", stop_after(epochs))
            with pytest.raises(KeyboardInterrupt):
                train(runs, "model.name=both", f"training.devices={devices}")
    train(runs, "model.name=both")
    assert_same_training(runs, "one", "both")


def stop_after(epochs):
    def on_train_batch_end(self, batch, logs=None):
        if len(self.rows) == epochs:
            raise KeyboardInterrupt

    return on_train_batch_end


@pytest.mark.slow
def test_the_batch_aware_group_is_that_of_a_replica(strategy):
    spec = presets["aeanet-em"].with_depth(2).replace(first_filters=4, attention__shared_references=4, batch_norm=False)
    keras.utils.set_random_seed(4)
    network = build_network(spec)
    X, Y = images(4), images(4, seed=1)
    replicated = ReplicatedModel(lambda: build_network(spec), strategy)
    replicated.set_weights(network.get_weights())
    replicated.compile(keras.optimizers.SGD(1.0), mse)
    sampler = PatchSampler(X, Y, 4, 1, augment=False)
    # Where the order of the patches decides on the group, they have to be in that of the sampler.
    halves = step(network, zip(*(np.split(a, 2) for a in sampler[0]), strict=True))
    whole = step(network, [sampler[0]])
    replicated.fit(**sampler.fit_arguments(), validation_data=ValidationSet(X, Y, 2, 64), verbose=0)
    assert distance(replicated.get_weights(), halves) < 1e-5
    assert distance(whole, halves) > 1e-4


def step(network, parts):
    """The weights after a step of 1 against the mean of the gradients of parts of a batch."""
    gradients = []
    for x, y in parts:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(mse(y, network(x, training=True)))
        gradients.append(tape.gradient(loss, [v.value for v in network.trainable_variables]))
    return [
        v.numpy() - np.mean(g, axis=0)
        for v, g in zip(network.trainable_variables, zip(*gradients, strict=True), strict=True)
    ]


def distance(one, other):
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_validation_after_batch_norm_and_batch_aware_attention(eagerly):
    """What is reported is the loss of the weights kept, statistics included."""
    config = AEANetConfig(
        preset="aeanet-em",
        network=NETWORK,
        train_devices=DEVICES,
        train_batch_size=4,
        train_epochs=1,
        train_steps_per_epoch=3,
        train_seed=0,
        train_batch_norm_batches=0,
        train_learning_rate=0.01,
    )
    X, Y = images(9, 16), images(9, 16, 1)
    model = AEANet(config, basedir=None)
    history = model.train(X[3:], Y[3:], (X[:3], Y[:3]), verbose=0)
    assert not isinstance(model.keras_model, ReplicatedModel)
    model.keras_model.compile(loss=get_loss("mae"), jit_compile=False)
    _, validation = training_data(config, X[3:], Y[3:], (X[:3], Y[:3]))
    assert model.keras_model.evaluate(validation, verbose=0) == pytest.approx(history.history["val_loss"][0], rel=1e-5)


def test_moving_statistics_are_merged(strategy):
    def build():
        image = keras.Input((None, None, 1))
        return keras.Model(image, keras.layers.BatchNormalization()(image))

    model = ReplicatedModel(build, strategy)
    model.compile(keras.optimizers.SGD(0.0), mae)
    X = images(4)
    X[2:] += 5
    sampler = PatchSampler(X, X, 4, 1, augment=False)
    model.fit(**sampler.fit_arguments(), validation_data=ValidationSet(X, X, 1, 64), verbose=0)
    model.merge_statistics()
    mean, variance = model.layers[-1].moving_mean, model.layers[-1].moving_variance
    halves = np.split(sampler[0][0], 2)
    assert mean.numpy() == pytest.approx(0.01 * np.mean([half.mean() for half in halves]), rel=1e-4)
    assert variance.numpy() == pytest.approx(0.99 + 0.01 * np.mean([half.var() for half in halves]), rel=1e-4)
    for variable in (mean, variance):
        first, second = strategy.experimental_local_results(variable.value)
        assert first.numpy() == second.numpy()


def test_synchronised_batch_norm_trains_as_on_one_device(eagerly, caplog):
    """Its statistics are those of the whole batch: loss, weights and moving statistics agree with one device's."""
    caplog.set_level("INFO", "aeanet_tf")
    network = {**NETWORK, "attention": {"shared_references": 4, "batch_aware": False}}
    X, Y = images(8, 16), images(8, 16, 1)
    X[::2] *= 5
    weights, losses = {}, {}
    for name, fields in (
        ("one", {}),
        ("apart", {"train_devices": DEVICES}),
        ("together", {"train_devices": DEVICES, "train_synchronized_batch_norm": True}),
    ):
        config = AEANetConfig(
            preset="aeanet-em",
            network=network,
            train_batch_size=4,
            train_epochs=1,
            train_steps_per_epoch=2,
            train_seed=0,
            train_batch_norm_batches=1,
            **fields,
        )
        model = AEANet(config, basedir=None)
        # Adam would make much of gradients that are no more than rounding.
        model.prepare_for_training(keras.optimizers.SGD(0.01))
        losses[name] = model.train(X, Y, (X, Y), verbose=0).history["loss"][0]
        weights[name] = model.keras_model.get_weights()
    assert losses["together"] == pytest.approx(losses["one"], rel=1e-4)
    together, apart = (distance(weights[name], weights["one"]) for name in ("together", "apart"))
    assert together < 1e-3 and apart > 10 * together
    assert "batch-aware attention sees the patches of one device, not those of the others" in caplog.messages


def test_a_loss_that_is_not_a_number_ends_training(strategy):
    X = images(4)
    X[-1, 0, 0] = 1e30
    model = ReplicatedModel(convolution, strategy)
    model.compile(keras.optimizers.SGD(0.1), mae)
    history = model.fit(
        **PatchSampler(X, X, 4, 3).fit_arguments(),
        validation_data=ValidationSet(X, X, 1, 64),
        callbacks=[keras.callbacks.TerminateOnNaN()],
        epochs=2,
        verbose=0,
    )
    assert len(history.epoch) == 1
    assert not np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize("overflow", [False, True])
def test_half_precision(strategy, overflow):
    """Where one replica's gradients overflow, no replica takes the step."""
    X = images(4)
    X[-1] *= 1e30 if overflow else 1
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = ReplicatedModel(convolution, strategy)
        model.compile(keras.optimizers.SGD(0.1), mae)
    finally:
        keras.config.set_dtype_policy("float32")
    before = model.get_weights()
    sampler = PatchSampler(X, images(4, seed=1), 4, 1)
    model.fit(**sampler.fit_arguments(), validation_data=ValidationSet(X, X, 1, 64), verbose=0)
    moved = distance(model.get_weights(), before)
    assert (moved == 0) if overflow else (0 < moved < 1)

"""AEANet does what a CARE model does, called the same way."""

import keras
import numpy as np
import pytest
from csbdeep.models import CARE, Config

from aeanet_tf.errors import DivergedError, InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.prediction.stages import OwnAttention
from tests.models import EAGER


@pytest.fixture
def image():
    return np.random.default_rng(1).uniform(3, 9, (37, 46)).astype("float32")


def randomise(model, seed=0):
    """Weights of a network whose every part matters, statistics of batch norm included."""
    rng = np.random.default_rng(seed)
    for variable in model.keras_model.weights:
        value = rng.normal(0, 0.3, variable.shape) + (1 if "gamma" in variable.path else 0)
        variable.assign(abs(value) + 0.5 if "variance" in variable.path else value)
    return model


def test_is_a_care_model_and_takes_its_configuration():
    model = AEANet(Config("YX", unet_n_first=4, unet_n_depth=1), "m", basedir=None)
    assert isinstance(model, CARE)
    assert isinstance(model.config, AEANetConfig)
    assert model.spec.depth == 2 and model.spec.first_filters == 4 and model.spec.output_offset


def test_predict_equals_the_network_on_the_normalised_padded_image(tiny, image):
    model = randomise(AEANet(tiny(), basedir=None))
    low, high = np.percentile(image, (2, 99.8))
    # The network takes multiples of 4; CSBDeep pads by reflection, half on either side.
    padded = np.pad((image - low) / (high - low), ((1, 2), (1, 1)), "reflect")
    expected = np.asarray(model.keras_model(padded[None, ..., None]))[0, 1:-2, 1:-1, 0] * (high - low) + low
    found = model.predict(image, "YX")
    assert found.shape == image.shape
    # Random weights amplify rounding; a shift of one pixel would be off by the size of the image, about 5.
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(model.predict(image.T, "XY"), found.T, atol=2e-3)


def test_normalizer_and_resizer_can_be_switched_off(tiny, image):
    model = randomise(AEANet(tiny(n_channel_in=2, n_channel_out=3), basedir=None))
    stack = np.stack([image[:36, :44], image[1:, 2:]])
    found = model.predict(stack, "CYX", normalizer=None, resizer=None)
    expected = np.moveaxis(np.asarray(model.keras_model(np.moveaxis(stack, 0, -1)[None]))[0], -1, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_predict_probabilistic_gives_mean_and_scale(tiny, image):
    model = randomise(AEANet(tiny(probabilistic=True), basedir=None))
    prediction = model.predict_probabilistic(image, "YX")
    np.testing.assert_array_equal(prediction.mean(), model.predict(image, "YX"))
    assert prediction.scale().shape == image.shape and (prediction.scale() > 0).all()
    with pytest.raises(ValueError, match="not a probabilistic"):
        AEANet(tiny(), basedir=None).predict_probabilistic(image, "YX")


@pytest.mark.parametrize(("axes", "shape", "tiles"), [("YX", (160, 96), (3, 2)), ("ZYX", (8, 88, 72), (1, 2, 1))])
def test_tiles_of_a_network_without_attention_show_no_seam(tiny, axes, shape, tiles):
    """Only a halo as large as the receptive field gives this; batch norm makes every position matter."""
    model = randomise(AEANet(tiny(axes, preset="unet-em", unet_n_first=2, unet_n_depth=1), basedir=None))
    image = np.random.default_rng(2).random(shape).astype("float32")
    whole = model.predict(image, axes)
    assert model._axes_tile_overlap(axes + "C")[-1] == 0
    np.testing.assert_allclose(model.predict(image, axes, n_tiles=tiles), whole, rtol=1e-4, atol=1e-4)


def test_a_smaller_halo_would_show(tiny, monkeypatch):
    model = randomise(AEANet(tiny(preset="unet-em", unet_n_first=2, unet_n_depth=1), basedir=None))
    image = np.random.default_rng(2).random((160, 96)).astype("float32")
    whole = model.predict(image, "YX")
    stages = OwnAttention(model.keras_model)
    stages.stages[0].radius = (2, 2)
    monkeypatch.setattr(model, "stages", lambda plan, precision="float32": stages)
    assert np.abs(model.predict(image, "YX", n_tiles=(3, 2)) - whole).max() > 1e-3


def test_training_writes_the_folder_and_a_new_process_would_load_it(tiny, patches, image, tmp_path):
    X, Y = patches
    model = AEANet(tiny(train_tensorboard=True), "m", str(tmp_path))
    history = model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]))
    assert set(history.history) >= {"loss", "mse", "mae", "val_loss", "val_mse", "val_mae"}
    files = {p.name for p in (tmp_path / "m").iterdir()}
    assert files == {
        "config.json",
        "weights_best.h5",
        "weights_last.h5",
        "history.csv",
        "filters.json",
        "logs",
        "training_state.zip",
    }
    again = AEANet(None, "m", str(tmp_path))
    np.testing.assert_array_equal(again.predict(image, "YX"), model.predict(image, "YX"))
    # The network in hand is the best, not the last.
    best = min(history.history["val_loss"])
    loss = again.keras_model(X[:8]) - Y[:8]
    assert np.abs(loss).mean() == pytest.approx(best, rel=1e-4)


@EAGER
@pytest.mark.usefixtures("eagerly")
def test_training_on_does_not_lose_better_weights(tiny, patches, tmp_path):
    X, Y = patches
    # A learning rate that can be set.
    plateau = {"factor": 0.5, "patience": 10}
    model = AEANet(tiny(train_epochs=3, train_reduce_lr=plateau), "m", str(tmp_path))
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    best = [np.array(v) for v in model.keras_model.trainable_variables]
    model.keras_model.optimizer.learning_rate = 100.0
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), epochs=1, verbose=0)
    for a, b in zip(best, model.keras_model.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_load_weights_by_name(tiny, patches, image, tmp_path):
    model = randomise(AEANet(tiny(), "m", str(tmp_path)))
    model.keras_model.save_weights(str(tmp_path / "m" / "mine.h5"))
    expected = model.predict(image, "YX")
    randomise(model, 1)
    assert np.abs(model.predict(image, "YX") - expected).max() > 1e-3
    model.load_weights("mine.h5")
    np.testing.assert_array_equal(model.predict(image, "YX"), expected)


@pytest.mark.slow
def test_one_seed_fixes_weights_and_batches(tiny, patches):
    X, Y = patches
    runs = []
    for seed in (5, 5, 6):
        model = AEANet(tiny(train_seed=seed, train_augment=True), basedir=None)
        keras.random.normal((seed,))  # whatever the user's program drew before
        model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
        runs.append(np.concatenate([np.ravel(v) for v in model.keras_model.trainable_variables]))
    np.testing.assert_allclose(runs[1], runs[0], atol=1e-6)
    assert np.abs(runs[2] - runs[0]).max() > 1e-2


@EAGER
@pytest.mark.usefixtures("eagerly")
def test_training_on_crops_of_images_of_many_sizes(tiny, patches):
    rng = np.random.default_rng(3)
    images = [rng.random((*size, 1)).astype("float32") for size in ((40, 50), (33, 64), (70, 36))]
    model = AEANet(tiny(train_patch_size=(16, 32)), basedir=None)
    history = model.train(images, images, validation_data=(images[:2], images[:2]), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted_training(tiny, patches, tmp_path):
    X, Y = patches
    data = {"X": X[8:], "Y": Y[8:], "validation_data": (X[:8], Y[:8]), "verbose": 0}
    whole = AEANet(tiny(train_epochs=4), "whole", str(tmp_path))
    whole.train(**data)

    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    stopped = AEANet(tiny(train_epochs=4), "stopped", str(tmp_path))
    stopped.prepare_for_training()
    stopped.callbacks.append(Interruption())
    with pytest.raises(KeyboardInterrupt):
        stopped.train(**data)
    resumed = AEANet(tiny(train_epochs=4), "stopped", str(tmp_path))
    resumed.train(**data, resume=True)
    for a, b in zip(whole.keras_model.weights, resumed.keras_model.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=a.path)
    histories = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "stopped")]
    assert [len(h) for h in histories] == [5, 5]


def test_batch_norm_statistics_do_not_ruin_short_runs(tiny, patches):
    """With a momentum of 0.997, 30 steps leave the moving statistics where they began."""
    X, Y = patches
    X = 30 * X + 90  # far from mean 0 and variance 1, where the moving statistics begin
    losses = {}
    for batches in (0, 4):
        config = tiny(
            preset="aeanet-em",
            train_learning_rate=4e-4,
            train_batch_norm_batches=batches,
            train_epochs=3,
            train_steps_per_epoch=10,
        )
        model = AEANet(config, basedir=None)
        history = model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0).history
        losses[batches] = history["val_loss"][-1] / history["loss"][-1]
    assert losses[4] < 1.3 < 1.7 < losses[0]


@EAGER
@pytest.mark.usefixtures("eagerly")
def test_staircase_decay_reaches_the_optimiser(tiny, patches):
    X, Y = patches
    config = tiny(train_learning_rate=0.1, train_learning_rate_decay={"rate": 0.5, "steps": 3}, train_beta_1=0.5)
    model = AEANet(config, basedir=None)
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    optimizer = model.keras_model.optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.1 * 0.5**2)
    assert optimizer.beta_1 == 0.5 and optimizer.epsilon == 1e-8


@pytest.mark.slow
def test_plateau_lowers_the_learning_rate(tiny, patches):
    X, Y = patches
    reduce = {"factor": 0.1, "patience": 1, "min_delta": 1e9}
    model = AEANet(tiny(train_reduce_lr=reduce, train_learning_rate=0.01, train_epochs=3), basedir=None)
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    assert float(model.keras_model.optimizer.learning_rate) < 0.002


@EAGER
@pytest.mark.usefixtures("eagerly")
def test_a_users_optimiser_callbacks_and_augmenter_are_used(tiny, patches):
    X, Y = patches
    model = AEANet(tiny(train_epochs=1), basedir=None)
    model.prepare_for_training(optimizer=keras.optimizers.SGD(0.0))
    seen = []
    model.callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch)))
    before = [np.array(v) for v in model.keras_model.trainable_variables]
    calls = []
    model.train(
        X[8:], Y[8:], (X[:8], Y[:8]), 1, 2, lambda x, y: calls.append(x.shape) or (x[:16, :16], y[:16, :16]), verbose=0
    )
    assert seen == [0, 1] and set(calls) == {(32, 32, 1)}
    for a, b in zip(before, model.keras_model.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_training(tiny, patches):
    X, Y = patches
    model = AEANet(tiny(train_epochs=3), basedir=None)
    before = model.keras_model.get_weights()
    with pytest.raises(DivergedError) as error:
        model.train(np.full_like(X, np.nan), Y, validation_data=(X[:8], Y[:8]), verbose=0)
    assert (error.value.epoch, error.value.kept, error.value.history.epoch) == (1, 0, [0])
    for one, other in zip(before, model.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The same model takes right data.
    history = model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all() and len(history.epoch) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((4, 30, 32, 1))}, "30 along Y, expected a multiple of 4"),
        ({"validation_data": None}, "validation_data: expected a pair"),
        ({"X": [np.zeros((32, 32, 1))]}, "train_patch_size: missing"),
        ({"Y": np.zeros((47, 32, 32, 1))}, "X"),
    ],
)
def test_training_data_that_do_not_fit_are_refused(tiny, patches, change, message):
    X, Y = patches
    model = AEANet(tiny(), basedir=None)
    with pytest.raises(InputError, match=message) as error:
        model.train(**{"X": X, "Y": Y, "validation_data": (X[:4], Y[:4]), **change})
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_learned_query_trains_at_its_size_only(tiny, patches):
    X, Y = patches
    config = tiny(preset="learned-query-em", network={"input_size": [32, 32]}, train_epochs=1)
    model = AEANet(config, basedir=None)
    model.train(X, Y, validation_data=(X[:4], Y[:4]), verbose=0)
    assert model.predict(X[0, ..., 0], "YX").shape == (32, 32)
    other = AEANet(tiny(preset="learned-query-em", network={"input_size": [64, 64]}), basedir=None)
    with pytest.raises(InputError, match=r"size \(32, 32\), expected \(64, 64\)"):
        other.train(X, Y, validation_data=(X[:4], Y[:4]))

import json

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import (
    AveragedWeights,
    BestWeights,
    CSVHistory,
    PatchSampler,
    ReestimateBatchNorm,
    ResumableState,
    ValidationSet,
    adam,
    mae,
    read_history,
    reduce_on_plateau,
    staircase,
    warmup_cosine,
)

STEPS = 3


def _model(rate, channels=2):
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Conv2D(channels, 3, padding="same"),
            keras.layers.BatchNormalization(momentum=0.997),
            keras.layers.Dropout(0.3, seed=3),
            keras.layers.Conv2D(1, 1),
        ]
    )
    options = {"clip_norm": 0.5, "weight_decay": 1e-2} if rate in ("averaged", "decayed") else {}
    options |= {"average": 0.8} if rate == "averaged" else {}
    schedules = {"staircase": staircase(1e-2, 0.5, 4), "averaged": warmup_cosine(1e-2, 12)}
    schedules["decayed"] = schedules["averaged"]
    model.compile(adam(schedules.get(rate, 1e-2), **options), mae)
    return model


def _train(folder, epochs, rate="plateau", stop=None, state=None):
    """One process's life: everything new, the state restored, trained up to ``epochs``."""
    images = [np.random.default_rng(i).uniform(size=(12, 10, 1)).astype("float32") for i in range(3)]
    model = _model(rate)
    state = state or ResumableState(folder / "state")
    sampler = PatchSampler(images, images, 2, STEPS, (6, 6), seed=2)
    callbacks = [
        *([AveragedWeights()] if rate == "averaged" else []),
        ReestimateBatchNorm(lambda: sampler.sample(2), until_step=100),
        # So demanding that the rate falls every second epoch: waiting must carry over a stop after any epoch.
        *([reduce_on_plateau(patience=2, min_delta=10)] if rate == "plateau" else []),
        BestWeights(folder / "best.weights.h5"),
        CSVHistory(folder / "history.csv"),
        *(stop or []),
        state,
    ]
    first = state.restore(model, callbacks)
    sampler.start = first * STEPS
    model.fit(
        **sampler.fit_arguments(),
        validation_data=ValidationSet(images, images, div_by=2),
        callbacks=callbacks,
        initial_epoch=first,
        epochs=epochs,
        verbose=0,
    )
    return model, first, callbacks


def _assert_same(folder_a, model_a, folder_b, model_b):
    for a, b in zip(model_a.get_weights(), model_b.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    for a, b in zip(model_a.optimizer.variables, model_b.optimizer.variables, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=0, atol=1e-6)
    rows_a, rows_b = read_history(folder_a / "history.csv"), read_history(folder_b / "history.csv")
    assert len(rows_a) == len(rows_b)
    for a, b in zip(rows_a, rows_b, strict=True):
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize("rate", ["plateau", "staircase"])
def test_resumed_equals_uninterrupted(tmp_path, rate):
    a, b = tmp_path / "a", tmp_path / "b"
    whole, first, callbacks = _train(a, 5, rate)
    assert first == 0
    assert _train(b, 2, rate)[1] == 0
    assert _train(b, 3, rate)[1] == 2  # one epoch only: the plateau's waiting spans two processes
    resumed, first, others = _train(b, 5, rate)
    assert first == 3
    _assert_same(a, whole, b, resumed)
    assert others[-3].best == pytest.approx(callbacks[-3].best, abs=1e-6)
    rates = [row["learning_rate"] for row in read_history(a / "history.csv")]
    assert rates[0] > rates[3] > 0  # the learning rate did change in between


class _Killed(BaseException):
    pass


class _KillAt(keras.callbacks.Callback):
    """Stops when an epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise _Killed


def test_averaged_weights_resume(tmp_path):
    """The weights of training and their average, which change places at every validation, are both carried on."""
    a, b = tmp_path / "a", tmp_path / "b"
    whole, _, _ = _train(a, 4, "averaged")
    for epoch in (1, 3):
        with pytest.raises(_Killed):
            _train(b, 4, "averaged", [_KillAt(epoch)])
    resumed, first, _ = _train(b, 4, "averaged")
    assert first == 3
    _assert_same(a, whole, b, resumed)
    # What is kept is what was validated: the average, which training's own weights are not.
    images = [np.random.default_rng(i).uniform(size=(12, 10, 1)).astype("float32") for i in range(3)]
    best = min(row["val_loss"] for row in read_history(a / "history.csv"))
    whole.load_weights(a / "best.weights.h5")
    found = whole.evaluate(ValidationSet(images, images, div_by=2), verbose=0)
    assert found == pytest.approx(best, abs=1e-6)
    plain, _, _ = _train(tmp_path / "c", 4, "decayed")
    assert np.abs(plain.get_weights()[0] - whole.get_weights()[0]).max() > 1e-3


class _Kill(ResumableState):
    """Stops, as a kill would, at the n-th replacement of a file that the state makes in one epoch."""

    epoch, moment = 1, "json"

    def save(self, epoch):
        import aeanet_tf.training.resume as module

        if epoch <= self.epoch:
            return super().save(epoch)
        original = module.write_text, self._remove, module.replacing

        def die(*args, **kwargs):
            raise _Killed

        def half(path):
            path.with_name(f".partial-{path.name}").write_text("half")
            raise _Killed

        try:
            if self.moment == "weights":
                module.replacing = half
            elif self.moment == "json":
                module.write_text = die
            else:
                self._remove = die
            super().save(epoch)
        finally:
            module.write_text, self._remove, module.replacing = original


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, _train(folder, 3)[0]


@pytest.mark.parametrize(("moment", "expected"), [("weights", 1), ("json", 1), ("cleaning", 2)])
def test_killed_between_the_files(tmp_path, three_epochs, moment, expected):
    (a, whole), b = three_epochs, tmp_path
    state = _Kill(b / "state")
    state.moment = moment
    with pytest.raises(_Killed):
        _train(b, 3, state=state)
    assert len(read_history(b / "history.csv")) == 2  # the history is ahead of the state
    resumed, first, _ = _train(b, 3)
    assert first == expected
    _assert_same(a, whole, b, resumed)
    names = sorted(p.name for p in (b / "state").iterdir())
    assert len(names) == 2 and names[1] == "state.json"
    assert json.loads((b / "state" / "state.json").read_text())["weights"] == names[0]


def test_a_loss_that_is_no_number_is_not_saved(tmp_path):
    state = ResumableState(tmp_path)
    model = _model("plateau")
    assert state.restore(model, [state]) == 0
    state.set_model(model)
    model.optimizer.build(model.trainable_variables)
    state.on_epoch_end(0, {"loss": 1.0})
    state.on_epoch_end(1, {"loss": float("nan")})
    assert ResumableState.restore(state, model, [state]) == 1
    state.clear()
    assert not tmp_path.exists() and state.restore(model, [state]) == 0


def test_bad_use_and_bad_files(tmp_path):
    state = ResumableState(tmp_path)
    model = _model("plateau")
    with pytest.raises(InputError, match="callbacks: found no ResumableState at the end"):
        state.restore(model, [state, BestWeights(tmp_path / "b.h5")])
    with pytest.raises(RuntimeError, match="restore"):
        state.on_train_begin()
    state.restore(model, [state])
    state.set_model(model)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(7)
    state.save(1)
    other = _model("plateau")
    other.compile(keras.optimizers.SGD(), "mse")
    with pytest.raises(InputError, match="found weights of another model"):
        state.restore(other, [state])
    other = _model("plateau", channels=3)
    with pytest.raises(InputError, match="found weights of another model") as error:
        state.restore(other, [state])
    assert "\n" not in str(error.value)
    state.path.write_text("{}")
    with pytest.raises(InputError, match=r"state.json: found no training state"):
        state.restore(model, [state])

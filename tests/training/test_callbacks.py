import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import BestWeights, CSVHistory, read_history


def _feed(callback, logs, first=0):
    callback.on_train_begin()
    for epoch, values in enumerate(logs, start=first):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, dict(values))


def _saver(calls):
    def save(path):
        calls.append(path)
        with open(path, "w") as file:
            file.write(str(len(calls)))

    return save


def test_best_weights_follow_the_validation_loss(tmp_path):
    calls = []
    best = BestWeights(tmp_path / "new" / "weights_best.h5", _saver(calls))
    losses = [3.0, 4.0, float("nan"), 2.0, 2.0]
    _feed(best, [{"loss": -i, "val_loss": v} for i, v in enumerate(losses)])
    assert best.best == 2.0 and len(calls) == 2
    assert best.path.read_text() == "2"
    assert [p.name for p in best.path.parent.iterdir()] == ["weights_best.h5"]


def test_best_weights_without_validation_and_with_rare_validation(tmp_path):
    calls = []
    best = BestWeights(tmp_path / "best.h5", _saver(calls))
    _feed(best, [{"loss": 1.0}, {"loss": 0.5}])
    assert best.best == 0.5 and len(calls) == 2
    _feed(best, [{"loss": 0.4, "val_loss": 9.0}, {"loss": 0.1}, {"loss": 0.1, "val_loss": 8.0}])
    assert best.best == 8.0 and len(calls) == 4


def test_best_weights_survive_a_failed_save(tmp_path):
    best = BestWeights(tmp_path / "best.h5", _saver([]))
    _feed(best, [{"loss": 1.0}])

    def fail(path):
        open(path, "w").close()
        raise OSError("disk full")

    best.save = fail
    with pytest.raises(InputError, match=r"best.h5: cannot be written \(disk full\)"):
        _feed(best, [{"loss": 0.5}])
    assert best.path.read_text() == "1" and best.best == 1.0


def test_best_weights_of_the_model_in_training(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    path = tmp_path / "best.weights.h5"
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[BestWeights(path)])
    expected = model.get_weights()
    model.set_weights([0 * w for w in expected])
    model.load_weights(path)
    for a, b in zip(expected, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_history_rows_and_columns(tmp_path):
    path = tmp_path / "logs" / "history.csv"
    history = CSVHistory(path)
    _feed(history, [{"loss": 0.1, "learning_rate": 1e-3}, {"loss": 1 / 3, "val_loss": 2, "learning_rate": 5e-4}])
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss,learning_rate"
    assert lines[1] == "0,0.1,,0.001"
    rows = read_history(path)
    assert (
        rows
        == history.rows
        == [
            {"epoch": 0, "loss": 0.1, "learning_rate": 1e-3},
            {"epoch": 1, "loss": 1 / 3, "val_loss": 2.0, "learning_rate": 5e-4},
        ]
    )


def test_history_after_a_resumption_has_every_epoch_once(tmp_path):
    path = tmp_path / "history.csv"
    _feed(CSVHistory(path), [{"loss": float(i), "learning_rate": 1.0} for i in range(4)])
    # Killed while epoch 3 was done but its state not saved: training goes on with epoch 2.
    _feed(CSVHistory(path), [{"loss": 10.0 + i, "learning_rate": 1.0} for i in (2, 3)], first=2)
    assert [(row["epoch"], row["loss"]) for row in read_history(path)] == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0)]
    _feed(CSVHistory(path), [{"loss": 7.0, "learning_rate": 1.0}])
    assert [row["epoch"] for row in read_history(path)] == [0]


def test_history_of_a_real_fit_matches_keras_and_its_schedule(tmp_path):
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    x = np.ones((4, 2), "float32")
    history = CSVHistory(tmp_path / "history.csv")
    found = model.fit(x, x[:, :1], batch_size=2, epochs=3, verbose=0, callbacks=[history]).history
    assert [row["loss"] for row in history.rows] == found["loss"]
    np.testing.assert_allclose([row["learning_rate"] for row in history.rows], [0.05, 0.025, 0.0125])


def test_a_file_that_is_no_history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("name,loss\nx,y\n")
    with pytest.raises(InputError, match=r"history\.csv: found no training history") as error:
        read_history(path)
    assert "\n" not in str(error.value)
    assert read_history(tmp_path / "absent.csv") == []

"""How long trainings are, and what is said of it."""

import itertools
import logging

import keras
import numpy as np
import pytest

from aeanet_tf.training import PatchSampler, ProgressBar, StopAtStep, TrainingTime
from aeanet_tf.training.progress import duration


@pytest.fixture(scope="module")
def network():
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    network.compile("sgd", "mae")
    return network


def fit(network, steps, each, callbacks, verbose=0):
    X = np.ones((4, 4, 4, 1), "float32")
    epochs = -(-steps // each)
    arguments = {**PatchSampler(X, X, 2, each).fit_arguments(), "epochs": epochs, "verbose": verbose}
    return network.fit(**arguments, validation_data=(X, X), callbacks=callbacks)


@pytest.mark.parametrize(("steps", "each"), [(5, 2), (4, 2), (1, 3)])
def test_exactly_the_steps_that_were_asked_for(network, steps, each):
    begun = int(network.optimizer.iterations)
    history = fit(network, steps, each, [StopAtStep(steps)])
    assert int(network.optimizer.iterations) - begun == steps
    assert len(history.history["val_loss"]) == -(-steps // each), "the last epoch is validated, too"


class Clock:
    """Seconds that pass when a step or a validation ends."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


def run(monkeypatch, remaining, epochs, step, between, first=100.0):
    """The calls of a ``fit`` whose first step takes long."""
    clock = Clock()
    monkeypatch.setattr("aeanet_tf.training.progress.time", clock)
    said = []
    for epoch, steps in enumerate(epochs):
        remaining.on_epoch_begin(epoch)
        for batch in range(steps):
            clock.now += first if epoch == batch == 0 else step
            remaining.on_train_batch_end(batch)
            said.append(remaining.seconds_left(batch + 1))
        remaining.on_test_begin()
        # Two batches, the first of which compiles once.
        for batch, seconds in enumerate((between / 2 + (50.0 if epoch == 0 else 0.0), between / 2)):
            clock.now += seconds
            remaining.on_test_batch_end(batch)
        remaining.on_epoch_end(epoch)
    return said


def test_the_time_is_that_of_two_steps_without_the_first(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "aeanet_tf")
    # A validation of 6 times a batch is estimated at 2 steps, and takes 10.
    remaining = TrainingTime(12, 5, 6, every_epoch=True)
    said = run(monkeypatch, remaining, [5, 5, 2], 2.0, 20.0)
    assert said[:2] == [None, None]
    # 9 steps of 2 seconds and 3 validations of 4.
    assert said[2] == pytest.approx(9 * 2 + 3 * 4)
    assert caplog.messages[0] == "about 30 seconds left for 12 steps and their validations"
    # Once one was seen: 7 steps, 2 validations of 20 seconds.
    assert caplog.messages[1:] == ["5 of 12 steps are done, about 54 seconds left",
                                   "10 of 12 steps are done, about 24 seconds left"]  # fmt: skip


def test_short_epochs_are_timed_together_and_short_trainings_not_told_of(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "aeanet_tf")
    said = run(monkeypatch, TrainingTime(6, 2, 0), [2, 2, 2], 2.0, 0.0)
    assert said[:2] == [None, None] and said[2:4] == pytest.approx([3 * 2, 2 * 2])
    assert caplog.messages == ["about 4 seconds left for 6 steps and their validations"]
    caplog.clear()
    run(monkeypatch, TrainingTime(3, 3, 0), [3], 2.0, 0.0)
    assert not caplog.messages


def test_the_bar_shows_the_minutes_left_and_the_steps_of_the_last_epoch(network, capfd, monkeypatch):
    remaining = TrainingTime(5, 3, 1)
    ticks = itertools.count(0, 60.0)
    monkeypatch.setattr("aeanet_tf.training.progress.time.monotonic", lambda: next(ticks))
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    fit(network, 5, 3, [StopAtStep(5), ProgressBar(remaining), remaining], verbose=1)
    printed = capfd.readouterr().out
    assert "minutes_left: " in printed and "3/3" in printed and "2/2" in printed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (100, "2 minutes"), (12600, "3.5 hours"), (2e5, "2.3 days")],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(seconds, words):
    assert duration(seconds) == words

"""How far a training is: exactly the steps that were asked for, and the time that is left."""

import logging
import time

import keras

logger = logging.getLogger("aeanet_tf")

_TIMED = 2
# A forward pass, of a training step.
_FORWARD = 1 / 3


class StopAtStep(keras.callbacks.Callback):
    """Callback: end training after so many steps, also within an epoch, which is validated then like any other.

    Args:
        steps: of this ``fit``.
    """

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left <= 0:
            # Keras looks at it when the step is done.
            self.model.stop_training = True


class TrainingTime(keras.callbacks.Callback):
    """Callback: say how long a training will take once two steps have been timed, and after each epoch what is left.

    The first step of all, which compiles the network, is not timed. The steps timed are those of the training itself.
    Put it behind the callbacks whose time counts.

    Args:
        steps: of this ``fit``.
        epoch_steps: steps of an epoch; the last one may have fewer.
        validation: work of a validation, in training steps: positions validated over positions of a batch.
        every_epoch: whether a line is logged after each epoch.
    """

    # Keras may call it from a thread, when the step is done, and begin the next one meanwhile.
    async_safe = True

    def __init__(self, steps, epoch_steps, validation, every_epoch=False):
        super().__init__()
        self.steps, self.epoch_steps, self.every_epoch = steps, epoch_steps, every_epoch
        self._validation, self._timed, self._said = validation * _FORWARD, [], False
        self._done = 0
        self._begun = self._step = self._between = None
        self._ends, self._tests = {}, []

    def steps_of_epoch(self):
        """Steps of the epoch that runs."""
        return min(self.epoch_steps, self.steps - self._done)

    def seconds_left(self, in_epoch=0):
        """Estimate of what is left when so many steps of the epoch are done; ``None`` before two steps were timed."""
        if self._step is None:
            return None
        left = self.steps - self._done - in_epoch
        validations = -(-(self.steps - self._done) // self.epoch_steps)
        between = self._validation * self._step if self._between is None else self._between
        return left * self._step + validations * between

    def on_epoch_begin(self, epoch, logs=None):
        self._begun, self._ends = time.monotonic(), {}

    def on_train_batch_end(self, batch, logs=None):
        self._ends[batch] = now = time.monotonic()
        if not self._said and batch - 1 in self._ends:
            self._timed.append(now - self._ends[batch - 1])
            if len(self._timed) >= _TIMED:
                self._said, self._step = True, sum(self._timed) / len(self._timed)
                if self.steps > 2 * _TIMED:
                    total = duration(self.seconds_left(batch + 1))
                    logger.info("about %s left for %d steps and their validations", total, self.steps)

    def on_test_begin(self, logs=None):
        if self._between is None:
            self._tests = [time.monotonic()]

    def on_test_batch_end(self, batch, logs=None):
        if self._between is None:
            self._tests.append(time.monotonic())

    def on_epoch_end(self, epoch, logs=None):
        first, last = min(self._ends, default=0), max(self._ends, default=0)
        if last > first:
            self._step = (self._ends[last] - self._ends[first]) / (last - first)
        if self._ends:
            # The first batch of the first validation compiles, too.
            compiled, self._tests = _first_beyond_second(self._tests), []
            self._between = time.monotonic() - self._ends[last] - compiled
        self._done += last + 1
        left = self.seconds_left()
        if self.every_epoch and left is not None and self._done < self.steps:
            logger.info("%d of %d steps are done, about %s left", self._done, self.steps, duration(left))


def _first_beyond_second(times):
    """By how much the first of the intervals between times is longer than the second."""
    return max(0.0, 2 * times[1] - times[0] - times[2]) if len(times) > 2 else 0.0


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Callback: Keras's progress bar of an epoch, with the minutes that are left of the training.

    Args:
        remaining: a `TrainingTime`.
    """

    def __init__(self, remaining):
        super().__init__()
        self._remaining = remaining

    def on_epoch_begin(self, epoch, logs=None):
        self.target = self._remaining.steps_of_epoch()
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        left = self._remaining.seconds_left(batch + 1)
        shown = {} if left is None else {"minutes_left": round(left / 60, 1)}
        super().on_train_batch_end(batch, {**(logs or {}), **shown})


def duration(seconds):
    """Seconds as people say them: ``"40 seconds"``, ``"12 minutes"``, ``"3.5 hours"``, ``"2.1 days"``."""
    for size, name, least in ((86400, "days", 48 * 3600), (3600, "hours", 5400), (60, "minutes", 90)):
        if seconds >= least:
            number = seconds / size
            return f"{number:.0f} {name}" if name == "minutes" else f"{number:.1f} {name}"
    return f"{seconds:.0f} seconds" if seconds >= 1.5 else "1 second"

"""What a window shows of a training while it runs, and its stop."""

from typing import Any, NamedTuple

import keras

from aeanet_tf.models.training_report import ShownImages
from aeanet_tf.napari.watch import Progress, Stopped
from aeanet_tf.reports.facts import Example
from aeanet_tf.training import read_history


class Learned(NamedTuple):
    """What is known after a validation.

    Attributes:
        history: rows of `aeanet_tf.training.read_history`, from the beginning of the training.
        steps: between two validations.
        example: the first validation image, with the prediction ``last`` of it.
        segments: whether that is one of classes.
    """

    history: list[dict[str, Any]]
    steps: int
    example: Example
    segments: bool


class LiveTraining(keras.callbacks.Callback):
    """Callback: tells a `Watch` of every step and validation, and ends the training where it asks for it.

    Args:
        model, sampler, validation: what is trained, see `aeanet_tf.training.watching.watched`.
        watch: the `Watch`.
    """

    # It looks at no loss of a step, so none has to be waited for.
    async_safe = True

    def __init__(self, model, sampler, validation, watch):
        super().__init__()
        # Keras gives a callback the network as ``model``.
        self.owner, self.sampler, self.validation, self.watch = model, sampler, validation, watch
        self.epoch, self.shown = 0, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps, epochs = self.sampler.steps, self.params["epochs"]
        done = self.epoch * steps + batch + 1
        self.watch.tell(Progress(f"step {done} of {epochs * steps}", done / (epochs * steps)))
        if self.watch.stopped:
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self.watch.tell(Progress("validating"))

    def on_epoch_end(self, epoch, logs=None):
        if self.shown is None:
            self.shown = ShownImages(self.owner, self.validation, (), self.sampler.positions)
        self.shown.predict("last")
        history = read_history(self.owner.logdir / "history.csv")
        self.watch.tell(Learned(history, self.sampler.steps, self.shown.examples[0], self.owner.segments))

    def on_train_end(self, logs=None):
        """Leave before the training is taken for finished: what it can go on with stays."""
        if self.watch.stopped:
            raise Stopped

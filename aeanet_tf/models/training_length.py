"""How long a training of an `AEANet` is, where it begins, and what of it has been done."""

import logging
import math
from dataclasses import dataclass, replace

from aeanet_tf.models.hardware import hardware
from aeanet_tf.training import (
    DIVERGED_FILE,
    FINISHED_FILE,
    ProgressBar,
    ResumableState,
    StopAtStep,
    StopEarly,
    TrainingTime,
    take_up,
)

logger = logging.getLogger("aeanet_tf")


def prepared_state(folder, resume):
    """The `ResumableState` of the folder of a model.

    Args:
        folder: of an `AEANet`.
        resume: whether to go on with the training there: with an interrupted one, or else with one that has ended.
            Otherwise what is left of either goes.
    """
    state, finished = ResumableState(folder / "resume"), folder / FINISHED_FILE
    if not resume:
        state.clear()
        finished.unlink(missing_ok=True)
    elif not state.path.exists() and finished.exists():
        take_up(finished, state)
    (folder / DIVERGED_FILE).unlink(missing_ok=True)
    return state


@dataclass(frozen=True)
class TrainingLength:
    """The length of a training.

    Attributes:
        total: optimiser steps in all, those of earlier runs of the same training counted.
        left: steps that are still to be done.
        each: steps of an epoch; the last one may have fewer.
        first: epochs that are done.
        device: what computes, in words.
    """

    total: int
    left: int
    each: int
    first: int
    device: str

    @classmethod
    def of(cls, model, each, epochs, steps, done):
        """The length of the next training of a model.

        Args:
            model: the `AEANet`.
            each: steps of an epoch.
            epochs: in all; the configuration's by default.
            steps: in all, in place of epochs.
            done: epochs and steps of an interrupted run, ``(0, 0)`` where it begins anew.
        """
        first, begun = done
        if steps is None:
            epochs = model.config.train_epochs if epochs is None else epochs
            left = max(0, epochs - first) * each
        else:
            left = max(0, steps - begun)
        if not first and model.trained_network is not None:
            # Another call of train.
            begun = int(model.trained_network.optimizer.iterations.numpy())
        return cls(begun + left, left, each, first, hardware(model.config.train_devices, model.config.train_precision))

    @property
    def epochs(self):
        """Epochs in all."""
        return self.first + math.ceil(self.left / self.each)

    def callbacks(self, sampler, validation, verbose):
        """Callbacks that keep to the length, and tell what is left of it; ``verbose`` is Keras's."""
        positions = validation.image_count * math.prod(validation.size)
        remaining = TrainingTime(self.left, self.each, positions / sampler.positions, verbose == 2)
        return [StopAtStep(self.left), *([ProgressBar(remaining)] if verbose else []), remaining]

    def restored(self, model, state, callbacks):
        """The length when the state of an interrupted run has been read, into the model and the callbacks."""
        state.target = self.total
        first = state.restore(model.trained_network, callbacks)
        if not first:
            return self
        if model.trained_network is not model.keras_model:
            model.keras_model.set_weights(model.trained_network.get_weights())
        early = next((callback for callback in callbacks if isinstance(callback, StopEarly)), None)
        if early is not None and early.stopped_epoch:
            if state.saved_target == self.total:
                # Killed behind its last epoch.
                return replace(self, left=0)
            state.carry(early, wait=0, stopped_epoch=0)
        return self

    def tell(self, batch_size):
        """Log what is to be done, and on what."""
        if self.first:
            logger.info("resuming after epoch %d of %d", self.first, self.epochs)
        if not self.left:
            return
        validations, last = self.epochs - self.first, self.left - (self.epochs - self.first - 1) * self.each
        facts = self.left, batch_size, validations, "" if validations == 1 else "s", self.each
        end = f", the last one after {last}" if validations > 1 and last < self.each else ""
        logger.info("%d steps of %d patches, %d validation%s, one every %d steps%s", *facts, end)
        logger.info("computing on %s", self.device)

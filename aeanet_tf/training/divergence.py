"""Trainings that diverge: found at the end of an epoch, the weights of the epoch before kept."""

import json
import math
from pathlib import Path

import keras
import numpy as np

from aeanet_tf.errors import DivergedError
from aeanet_tf.files import read_json, write_text

DIVERGED_FILE = "diverged.json"
"""In a model folder: that its training diverged, and when."""

ADVICE = "a lower training.learning_rate or training.clip_norm helps"


def not_finite(model, logs):
    """What is no finite number after an epoch: a loss of ``logs``, or weights; ``None`` where all is well.

    Args:
        model: the Keras model in training; ``None`` to look at the logs alone.
        logs: of the epoch, in which losses count, ``val_loss`` and those of adversarial training among them.
    """
    for name in ("loss", "val_loss", "adversarial_loss", "discriminator_loss"):
        value = float((logs or {}).get(name, 0.0))
        if not math.isfinite(value):
            return f"{name} is {value:g}"
    for variable in [] if model is None else model.weights:
        if "float" in str(variable.dtype) and not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            return f"the weights {variable.path} are not finite"
    return None


class StopAtDivergence(keras.callbacks.Callback):
    """Callback: end training after an epoch that gave no finite numbers, and keep what the network was before.

    Put it behind what validates, and what gives ``network`` its weights.

    Args:
        network: of which the weights are kept: the one in training, or one that has its weights after an epoch.

    Attributes:
        epoch: the one that diverged, counted from 1; ``None`` for none.
        reason: what was not finite.
        good: how many epochs were good, earlier runs of the same training counted.
        weights: arrays, as after the last good epoch; as they were at the start where there was none.
    """

    def __init__(self, network):
        super().__init__()
        self._network, self.good = network, 0
        self.epoch = self.reason = self.weights = None

    def begin(self, epochs):
        """Keep the weights there are, which are those after so many epochs."""
        self.good, self.weights = epochs, self._network.get_weights()
        self.epoch = self.reason = None

    def on_epoch_end(self, epoch, logs=None):
        self.reason = not_finite(self._network, logs)
        if self.reason is None:
            self.good, self.weights = epoch + 1, self._network.get_weights()
        else:
            self.epoch = epoch + 1
            self.model.stop_training = True


def diverged_error(epoch, epochs, reason, kept, folder=None, history=None):
    """The `DivergedError` of a training of so many ``epochs``; other arguments as `StopAtDivergence` has them."""
    where = "" if folder is None else f"{folder}: "
    rest = f"the weights of epoch {kept} are kept" if kept else "nothing was learned before"
    return DivergedError(
        f"{where}training diverged in epoch {epoch} of {epochs} ({reason}); {rest}; {ADVICE}", epoch, kept, history
    )


def note_divergence(folder, error, epochs, reason):
    """Keep in a model folder that its training diverged."""
    facts = {"epoch": error.epoch, "epochs": epochs, "reason": reason, "kept": error.kept}
    write_text(Path(folder) / DIVERGED_FILE, json.dumps(facts, indent=1) + "\n")


def noted_divergence(folder):
    """The `DivergedError` that a model folder tells of, ``None`` where its training has not diverged."""
    path = Path(folder) / DIVERGED_FILE
    try:
        facts = read_json(path)
        return diverged_error(facts["epoch"], facts["epochs"], facts["reason"], facts["kept"], folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""Callbacks that keep files: the best weights and the history, whole after a kill at any moment."""

import csv
import math
from pathlib import Path

import keras

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing, write_rows
from aeanet_tf.networks.keras_internals import holds_average, set_holds_average
from aeanet_tf.training.divergence import not_finite


class StopAtNaN(keras.callbacks.TerminateOnNaN):
    """Callback: end training where the loss is not a number, without waiting for the loss of every step.

    Keras's ``TerminateOnNaN`` fetches it before the next step is begun, which leaves a GPU idle meanwhile. This one
    looks at it in a thread, so that training ends with the step or a few later; the weights are lost with the first.
    """

    async_safe = True


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Callback: validate, save and leave behind the average of the weights that the optimiser keeps (``use_ema``).

    From the end of an epoch to the beginning of the next one the network has the averaged weights, so callbacks after
    this one save these; training goes on with its own.

    Attributes: ``averaged``, whether the network has the average now; it survives a resumption
    (`ResumableState`), whose weights are then the average and those of training its second copy.
    """

    def __init__(self):
        super().__init__(swap_on_epoch=True)

    averaged = property(holds_average, set_holds_average)


class BestWeights(keras.callbacks.Callback):
    """Callback: save the weights whenever the monitored loss reaches a new minimum.

    Without a validation in ``fit`` the training ``loss`` is monitored; an epoch that is not validated
    (``validation_freq``) does not count once one has been. An epoch that diverged (`not_finite`) never counts.

    Args:
        path: file to write, replaced atomically: it always holds complete weights.
        save: function of a file name that writes the weights, such as ``model.save_weights`` (which demands a
            ``path`` that ends in ``.weights.h5``). None for the weights of the model in training.
        monitor: name of the loss in the logs, ``"val_loss"``.

    Attributes: ``best``, the lowest value so far, None before the first; it survives a resumption
    (`ResumableState`).
    """

    def __init__(self, path, save=None, monitor="val_loss"):
        super().__init__()
        self.path, self.save, self.monitor = Path(path), save, monitor
        self.best, self.monitored = None, None

    def on_epoch_end(self, epoch, logs=None):
        name = self.monitor if self.monitor in logs else "loss"
        if not_finite(self.model, logs):
            return
        if self.monitored == self.monitor != name:
            return
        if self.monitored != name:
            # The first validated epoch: a training loss is nothing to compare it with.
            self.monitored, self.best = name, None
        value = float(logs[name])
        if math.isfinite(value) and (self.best is None or value < self.best):
            with replacing(self.path) as partial:
                (self.save or self.model.save_weights)(str(partial))
            self.best = value


class CSVHistory(keras.callbacks.Callback):
    """Callback: a CSV file, one row an epoch, replaced atomically, without double rows after a resumption.

    Columns: ``epoch`` (from 0, as Keras counts), ``loss``, the metrics, ``val_loss`` and so on,
    ``learning_rate`` (that of the epoch's last step, before a plateau lowers it if this callback comes
    after ``ReduceLROnPlateau``). A value that an epoch does not have stays empty. When ``fit`` begins with
    epoch e, rows from e on are dropped: with ``initial_epoch=0`` the file begins anew.

    Args:
        path: the CSV file; its folder is made if absent.

    Attributes: ``rows``, a list of dictionaries of numbers, complete over all resumptions.
    """

    def __init__(self, path):
        super().__init__()
        self.path = Path(path)
        self.rows = []
        self._begun = False

    def on_train_begin(self, logs=None):
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self._begun:
            self._begun = True
            self.rows = [row for row in read_history(self.path) if row["epoch"] < epoch] if epoch else []

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in (logs or {}).items()}
        rate = values.pop("learning_rate", None)
        if rate is None:
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.rows.append({"epoch": epoch, **values, "learning_rate": rate})
        # Columns in order of appearance, the learning rate last.
        columns = dict.fromkeys(name for row in self.rows for name in row if name != "learning_rate")
        write_rows(self.path, [*columns, "learning_rate"], self.rows)


def read_history(path):
    """Rows of a file that `CSVHistory` wrote, dictionaries of numbers; none where the file is absent.

    Empty cells are left out. Raises ``InputError`` for a file that is no such table.
    """
    path = Path(path)
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        try:
            rows = [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]
            return [{**row, "epoch": int(row["epoch"])} for row in rows]
        except (KeyError, TypeError, ValueError, OverflowError, csv.Error) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{path}: found no training history ({reason}), expected its CSV table") from None

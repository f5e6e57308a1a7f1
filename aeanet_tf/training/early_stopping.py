"""Trainings that end when the validation loss no longer falls."""

import logging
import math

import keras

logger = logging.getLogger("aeanet_tf")


class StopEarly(keras.callbacks.EarlyStopping):
    """Callback: end training when the lowest validation loss is ``patience`` validations old, and say so.

    Keras's ``EarlyStopping`` on ``val_loss``, which leaves the weights as they are: those of the lowest loss are kept
    by `BestWeights`. What it has waited survives a resumption (`ResumableState`).

    Args:
        patience: number of validations.
        min_delta: by how much a loss has to be lower to count as lower.
    """

    def __init__(self, patience, min_delta=0.0):
        super().__init__(monitor="val_loss", mode="min", patience=patience, min_delta=min_delta)

    def on_epoch_end(self, epoch, logs=None):
        # What diverged is for others to stop, and no loss is NaN's neighbour.
        if math.isfinite(float((logs or {}).get("val_loss", math.nan))):
            super().on_epoch_end(epoch, logs)
        if self.stopped_epoch:
            logger.info("stopped early: %s", self.reason)

    @property
    def reason(self):
        """Why the training was stopped, in words."""
        # Keras has the sign of what counts as lower.
        by = f" by more than {abs(self.min_delta):g}" if self.min_delta else ""
        count = f"{self.wait} validation{'s' * (self.wait != 1)}"
        lowest = f"the lowest was {float(self.best):.4g}, in epoch {self.best_epoch + 1}"
        return f"the validation loss has not fallen{by} for {count}; {lowest}"

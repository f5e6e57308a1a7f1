"""The time that the steps of ``fit`` take, taken from within."""

from time import perf_counter

import keras


class StepClock(keras.callbacks.Callback):
    """Callback: the seconds from the beginning of an epoch to the end of its last training batch.

    So batches, steps and what callbacks do at every step count; validation, and what callbacks do at the end of an
    epoch (files of weights, batch norm statistics), do not.

    Attributes: ``seconds``, a list with one entry an epoch.
    """

    # Keras may then go on with the next batch meanwhile, as it would without this callback.
    async_safe = True

    def __init__(self):
        super().__init__()
        self.seconds = []
        self._start = None

    def on_epoch_begin(self, epoch, logs=None):
        self._start = perf_counter()
        self.seconds.append(0.0)

    def on_train_batch_end(self, batch, logs=None):
        # Of the last batch in the end.
        self.seconds[-1] = perf_counter() - self._start

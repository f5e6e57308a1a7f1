"""Validation of images that are larger than memory: in tiles that share the attention of the whole image."""

import logging
from functools import partial
from math import prod

import keras
import numpy as np

from aeanet_tf.models.predict_arrays import plan_images, run_until_it_fits
from aeanet_tf.prediction.job import Frame, Job, cut_evenly
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.liveness import tile_bytes
from aeanet_tf.prediction.options import PredictionOptions
from aeanet_tf.prediction.plan import Budget
from aeanet_tf.prediction.sweeps import ArrayTarget, run_job

logger = logging.getLogger("aeanet_tf")

# Positions of which losses are computed at a time.
_PIECE = 1 << 20


def validation_bytes(model, validation):
    """Predicted peak memory of evaluating a batch of a `ValidationSet` in one piece, see `tile_bytes`."""
    own = model.stages(None)
    return validation.batch_size * tile_bytes(own.graph, own.stages[0], validation.size)


class TiledValidation(keras.callbacks.Callback):
    """Callback: what Keras's validation would give, ``val_loss`` and the metrics, with the memory of a tile.

    The network's attention is that of the whole image, as in `AEANet.predict`; where tiles cannot share it each has its
    own. Put it behind what gives the model its weights, and before what reads the logs.

    Args:
        model: an `AEANet`.
        validation: a `ValidationSet`.
        losses: name in the logs, ``"loss"`` among them, -> function of ``(y_true, y_pred)`` that gives a value for each
            position.
        memory: bytes for a tile and the features that are kept between the sweeps.
    """

    def __init__(self, model, validation, losses, memory):
        super().__init__()
        self._restoration, self._validation, self._losses = model, validation, losses
        self._budget, self._options = Budget(memory), PredictionOptions()
        # Now, so that what does not fit is said before training begins.
        logger.info("validation: %s", self._plan(None, True).line(on_disk=False))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in self.measured().items()})

    def measured(self):
        """Name -> mean over all images, which have one size."""
        rows = []
        for index in range(len(self._validation)):
            x, y = self._validation[index]
            rows += [self._means(*pair) for pair in zip(y, self.predict(x), strict=True)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def predict(self, x, training=False):
        """The network's output for a batch ``(n, *spatial, channels)``, as the network itself gives it."""
        outputs = []
        for image in x:
            run = partial(self._run, image)
            outputs.append(run_until_it_fits(self._restoration, self._plan, run, 1))
        return np.stack(outputs)

    def _plan(self, tiles, together):
        return plan_images(self._restoration, self._options, [self._validation.size], self._budget, tiles, together)

    def _run(self, image, plan):
        model = self._restoration
        stages, size, step = model.stages(plan), image.shape[:-1], model.spec.divisor
        edges = cut_evenly(size, plan.tiles_for(size, step), step)
        target = ArrayTarget(size, stages.graph)
        run_job(Job(stages, model.spec, [Frame(image, target, edges, edges)], Features(), plan.batch))
        return target.array

    def _means(self, y, predicted):
        """The means of the losses of an image, taken over pieces of it along its first axis."""
        rows = max(1, _PIECE // prod(predicted.shape[1:-1]))
        sums = dict.fromkeys(self._losses, 0.0)
        for start in range(0, len(y), rows):
            piece = [array[None, start : start + rows] for array in (y, predicted)]
            for name, loss in self._losses.items():
                values = keras.ops.convert_to_numpy(loss(*piece))
                sums[name] += float(values.mean(dtype=float)) * len(y[start : start + rows])
        return {name: total / len(y) for name, total in sums.items()}

"""Batch norm statistics from training batches, for runs too short for the moving averages.

With the papers' momentum of 0.997 the moving statistics still remember their initial values after thousands
of steps (0.997^1000 = 5%), which ruins validation and prediction until then.
"""

import contextlib

import keras
import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.networks.keras_internals import flattened_layers


def batch_norm_layers(model):
    """Every batch norm layer of ``model``, however deeply nested, that learns its statistics."""
    # A frozen layer uses its moving statistics in training too: they are not estimates to renew.
    layers = (layer for layer in flattened_layers(model) if isinstance(layer, keras.layers.BatchNormalization))
    return [layer for layer in layers if layer.trainable]


def synchronise(model):
    """Have every batch norm layer of ``model`` normalise by the patches of all replicas together, in training.

    To Keras this is ``BatchNormalization(synchronized=True)``; it acts on TensorFlow, within a strategy. SSAN paper,
    section "Parameters in SSAN".
    """
    for layer in batch_norm_layers(model):
        layer.synchronized = True


def reestimate(model, batches, run=None):
    """Set the moving mean and variance of every batch norm layer to the average over ``batches``.

    The batches are sent through the model in training mode; a layer's new moving mean (variance) is the
    plain average of the means (biased variances) of its input over them, one batch counting as much as
    another. Weights and the layers' momentum stay as they are. Frozen layers and models without batch norm
    are left alone.

    Args:
        model: a built Keras model, compiled or not.
        batches: iterable of input batches, each what ``model(x)`` takes, such as ``sampler.sample(16)``.
        run: `training_pass` of the model, of an earlier call with the same layers frozen.

    Returns the number of batch norm layers. Raises ``InputError`` where ``batches`` is empty. If anything
    raises, the former statistics are put back.
    """
    layers = batch_norm_layers(model)
    if not layers:
        return 0
    run = training_pass(model) if run is None else run
    variables = [variable for layer in layers for variable in layer.non_trainable_variables]
    with _restored(layers):
        for layer in layers:
            # Its statistics are then those of the last batch.
            layer.momentum = 0.0
        seen = []
        for batch in batches:
            run(batch)
            seen.append([np.array(variable, "float64") for variable in variables])
        expect(seen, "batches", "none", "at least one batch to estimate batch norm statistics from")
        for variable, *values in zip(variables, *seen, strict=True):
            variable.assign(np.mean(values, axis=0))
    return len(layers)


def training_pass(model):
    """A function of an input batch that sends it through ``model`` in training mode, for what that does to its state.

    On TensorFlow it is compiled; what layers do in Python, such as reading their momentum, is done at the first call.
    """

    def run(batch):
        model(batch, training=True)

    if keras.backend.backend() != "tensorflow":
        return run
    import tensorflow as tf

    return tf.function(run, autograph=False, reduce_retracing=True)


@contextlib.contextmanager
def _restored(layers):
    """Put the momenta back, and where the block raises the statistics too."""
    momenta = [layer.momentum for layer in layers]
    statistics = [[np.array(v) for v in layer.non_trainable_variables] for layer in layers]
    for layer in layers:
        # Zero times an infinite old value would be no number.
        layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
        layer.moving_variance.assign(np.ones(layer.moving_variance.shape))
    try:
        yield
    except BaseException:
        for layer, values in zip(layers, statistics, strict=True):
            for variable, value in zip(layer.non_trainable_variables, values, strict=True):
                variable.assign(value)
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


class ReestimateBatchNorm(keras.callbacks.Callback):
    """Callback: `reestimate` at the end of every epoch of ``fit`` while the run is young.

    It acts before the epoch's validation, so ``val_loss`` is that of the re-estimated statistics; without
    validation, at the epoch's end. Put it before callbacks that save the model. Training itself is not
    affected: it normalises by the batch at hand.

    Args:
        batches: function without arguments that gives the input batches, such as
            ``lambda: sampler.sample(16)``; it is not called for a model without batch norm.
        until_step: last optimiser step at which to act; beyond it the moving averages are good by themselves.
    """

    def __init__(self, batches, until_step):
        super().__init__()
        self.batches, self.until_step = batches, until_step
        self._due, self._run = False, None

    def on_epoch_begin(self, epoch, logs=None):
        self._due = True

    def on_train_begin(self, logs=None):
        # Layers may have been frozen since the last training.
        self._run = training_pass(self.model)

    def on_test_begin(self, logs=None):
        self._act()

    def on_epoch_end(self, epoch, logs=None):
        self._act()

    def _act(self):
        # Only once an epoch, and not where evaluate is called outside fit.
        due, self._due = self._due, False
        if due and int(self.model.optimizer.iterations.numpy()) <= self.until_step and batch_norm_layers(self.model):
            reestimate(self.model, self.batches(), self._run)

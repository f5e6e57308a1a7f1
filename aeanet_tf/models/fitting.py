"""What `AEANet.train` fits with: the optimiser, the network beside the model's where one is needed, the callbacks."""

import logging

import keras
import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.models.adversarial import adversarial_model
from aeanet_tf.models.config import plateau_arguments
from aeanet_tf.networks import build_network
from aeanet_tf.prediction.machine import warn_if_emulated
from aeanet_tf.training import (
    AveragedWeights,
    CSVHistory,
    ReestimateBatchNorm,
    StopAtNaN,
    StopEarly,
    adam,
    reduce_on_plateau,
    staircase,
    warmup_cosine,
)
from aeanet_tf.training.accumulation import AccumulatingModel
from aeanet_tf.training.batch_norm import synchronise
from aeanet_tf.training.devices import find_devices, log_devices, make_strategy
from aeanet_tf.training.optimisation import penalise_kernels
from aeanet_tf.training.replicas import CollectWeights, ReplicatedModel

logger = logging.getLogger("aeanet_tf")


def learning_rate(config, steps):
    """A configuration's learning rate, or its schedule over the ``steps`` of the training."""
    rate = config.train_learning_rate
    if config.train_learning_rate_decay is not None:
        return staircase(rate, **config.train_learning_rate_decay)
    if config.train_learning_rate_cosine is not None:
        return warmup_cosine(rate, steps, **config.train_learning_rate_cosine)
    return rate


def default_optimizer(config, steps):
    """Adam with a configuration's `learning_rate` and betas."""
    return adam(
        learning_rate(config, steps),
        config.train_beta_1,
        config.train_beta_2,
        clip_norm=config.train_clip_norm,
        weight_decay=config.train_weight_decay,
        average=config.train_average,
    )


def network_to_train(model, spec):
    """The network of an `AEANet`; or one beside it, in half precision, with replicas or another end (the ``spec`` that
    losses see), whose weights it is given after each epoch: what predicts and exports knows nothing of these. With
    adversarial training it has a discriminator; where gradients are accumulated, steps of several parts."""
    config = model.config
    devices, precision = find_devices(config.train_devices, config.train_batch_size), config.train_precision
    warn_if_emulated(precision)

    def build():
        own = spec.kind == "own"
        expect(not own, "train_precision, train_devices", "one of both", "none of both for a network of your own")
        return build_network(spec, precision=precision)

    if devices is not None:
        log_devices(devices, config.train_batch_size, config.train_synchronized_batch_norm)
        network = ReplicatedModel(build, make_strategy(*devices))
        if config.train_synchronized_batch_norm:
            synchronise(network)
    else:
        network = model.keras_model if precision == "float32" and spec == model.spec else build()
    penalise_kernels(network, config.train_kernel_l2)
    if config.train_accumulate == 1:
        return adversarial_model(model, network)
    patches = config.train_batch_size // config.train_accumulate
    logger.info("each step has %d parts of %d patches, whose gradients are averaged", config.train_accumulate, patches)
    return AccumulatingModel(network, config.train_accumulate)


def prepared_callbacks(model):
    """The callbacks of all runs of a model, which its user may add to."""
    config, callbacks = model.config, [StopAtNaN()]
    if config.train_reduce_lr is not None:
        callbacks.insert(0, reduce_on_plateau(**{"verbose": 1, **plateau_arguments(config.train_reduce_lr)}))
    if config.train_early_stopping is not None:
        callbacks.append(StopEarly(**config.train_early_stopping))
    if model.basedir is not None and config.train_tensorboard:
        logs = str(model.logdir / "logs")
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False, profile_batch=0))
    return callbacks


def run_callbacks(model, sampler, validation, measured, divergence):
    """The callbacks of a run in their order, but those of its length and the one that makes it resumable.

    Args:
        model, sampler, validation: an `AEANet` prepared for training, its batches, a `ValidationSet`.
        measured: callbacks that add to the logs of an epoch what is to be in the history.
        divergence: a `StopAtDivergence`.
    """
    config, callbacks, replicas = model.config, [*measured, divergence, *model.callbacks], 1
    trained = model.trained_network
    if trained is not model.keras_model:
        callbacks.insert(0, CollectWeights(model.keras_model))
        replicas = 1 if config.train_synchronized_batch_norm else getattr(trained, "replicas", 1)
    if trained.optimizer.use_ema:
        # Before whatever looks at the weights of an epoch.
        callbacks.insert(0, AveragedWeights())
    batches = config.train_batch_norm_batches
    if batches and config.restoration.batch_norm:
        until = round(10 / (1 - config.restoration.momentum))

        def sample():
            return [part for batch in sampler.sample(batches) for part in np.split(batch, replicas)]

        callbacks.insert(0, ReestimateBatchNorm(sample, until_step=until))
    if model.basedir is None:
        return callbacks
    if config.train_tensorboard:
        # Matplotlib with it, as with the report, which only training needs.
        from aeanet_tf.models.tensorboard_images import TensorBoardImages

        callbacks.append(TensorBoardImages(model, sampler, validation, model.logdir / "logs" / "images"))
    return [*callbacks, *model.checkpoints, CSVHistory(model.logdir / "history.csv")]

"""The network of a model, ready to be trained: compiled by `AEANet`, or by its user as CSBDeep's scripts do."""

import logging

import keras

from aeanet_tf.errors import InputError, expect
from aeanet_tf.models.fitting import default_optimizer, learning_rate, network_to_train, prepared_callbacks

logger = logging.getLogger("aeanet_tf")


def prepare(model, optimizer, metrics):
    """See `AEANet.prepare_for_training`."""
    config = model.config
    optimizer = getattr(config, "train_optimizer", None) if optimizer is None else optimizer
    if isinstance(optimizer, str):
        optimizer = _named(optimizer, config)
    known = optimizer is None or isinstance(optimizer, keras.optimizers.Optimizer)
    expect(known, "optimizer", type(optimizer).__name__, "a Keras optimiser, or the name of one")
    # Those that a learning rate of ours ends with; of a user's optimiser nothing is known.
    model.steps = config.train_epochs * config.train_steps_per_epoch if optimizer is None else None
    model.trained_network = network_to_train(model, model._trained_spec)
    metrics = [model._loss(name) for name in (model.default_metrics if metrics is None else metrics)]
    model.losses = {"loss": model._loss(config.train_loss), **{metric.__name__: metric for metric in metrics}}
    _compile(model, default_optimizer(config, model.steps) if optimizer is None else optimizer)
    model.callbacks = prepared_callbacks(model)
    # The same for all calls of train: a second one does not overwrite better weights of the first.
    model.checkpoints = model.checkpoint_callbacks()
    model.prepared = True


def _named(name, config):
    """The optimiser of a name with the configuration's learning rate; ``None`` for Adam, which is ours."""
    if name.lower() == "adam":
        logger.info("optimizer: 'adam' is Adam with the learning rate of the configuration, as by default")
        return None
    # Over all epochs of the configuration.
    rate = learning_rate(config, config.train_epochs * config.train_steps_per_epoch)
    try:
        return keras.optimizers.get({"class_name": name, "config": {"learning_rate": rate}})
    except (ValueError, TypeError):
        raise InputError(f"optimizer: found {name!r}, expected a Keras optimiser, or the name of one") from None


def make_ready(model, steps):
    """See `AEANet.make_ready`."""
    if not model.prepared:
        model.trained_network = None
        model.prepare_for_training()
    if model.trained_network is None:
        _take_over(model)
    elif model.trained_network.optimizer is not model.compiled_with:
        # The user has compiled it anew since.
        model.compiled_with, model.steps, model.losses = model.trained_network.optimizer, None, None
    if model.steps in (None, steps):
        return
    model.steps, network = steps, model.trained_network
    if model.config.train_learning_rate_cosine is not None:
        kept = [variable.numpy() for variable in network.optimizer.variables]
        _compile(model, default_optimizer(model.config, steps))
        network.optimizer.build(network.trainable_variables)
        # One that has not been built has fewer.
        for variable, value in zip(network.optimizer.variables, kept, strict=False):
            variable.assign(value)


def _take_over(model):
    """Train the network as the user has compiled it, with the user's callbacks and no others that save weights."""
    network = model.keras_model
    adversarial, parts = model.config.train_adversarial is not None, model.config.train_accumulate
    expect(not adversarial, "train_adversarial", "one", "null where keras_model is compiled by hand")
    expect(parts == 1, "train_accumulate", parts, "1 where keras_model is compiled by hand")
    expect(network.compiled, "keras_model", "not compiled", "keras_model.compile(...) where _model_prepared is True")
    model.trained_network, model.compiled_with = network, network.optimizer
    model.steps, model.losses, model.checkpoints = None, None, []
    model.callbacks = list(getattr(model, "callbacks", []))


def _compile(model, optimizer):
    loss, *metrics = model.losses.values()
    # Keras 3 would compile with XLA where it may, which takes longer on a CPU.
    model.trained_network.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    model.compiled_with = model.trained_network.optimizer

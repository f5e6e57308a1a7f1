"""What networks cost in time, and one budget of it: how many steps each does in so many minutes."""

import json
import logging
import time
from functools import partial

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import read_json, write_text

logger = logging.getLogger("aeanet_tf")

# Steps before and while the clock runs, and how often all networks are gone through: what else the machine does
# for a while is to slow none of them alone.
WARM, TIMED, ROUNDS = 2, 4, 3


def steps_in(minutes, seconds):
    """Whole optimiser steps of ``seconds`` each in ``minutes``, at least 1."""
    return max(1, int(60 * minutes / seconds))


def seconds_per_step(path, candidates):
    """Seconds of a training step of each candidate on this machine by its key: measured once and kept.

    All candidates are timed in turn, several rounds; the least median of a round counts. Reading data and validation
    are not in it.

    Args:
        path: JSON file that keeps them; those in it are not measured again.
        candidates: dict of a key to a function without arguments that gives ``(network, x, y)``, a compiled Keras model
            and a training batch.
    """
    kept = read_json(path) if path.is_file() else {}
    missing = {key: make for key, make in candidates.items() if key not in kept}
    if missing:
        logger.info("timing training steps: %s", ", ".join(missing))
        ready = {key: make() for key, make in missing.items()}
        for network, x, y in ready.values():
            for _ in range(WARM):
                network.train_on_batch(x, y)
        rounds = [
            {key: median_seconds(partial(network.train_on_batch, x, y)) for key, (network, x, y) in ready.items()}
            for _ in range(ROUNDS)
        ]
        kept |= {key: min(medians[key] for medians in rounds) for key in ready}
        write_text(path, json.dumps(kept, indent=2) + "\n")
    return {key: kept[key] for key in candidates}


def median_seconds(function, calls=TIMED):
    """Median seconds of so many calls of a function without arguments."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def seconds_per_call(path, candidates):
    """Seconds of a function of each candidate on this machine by its key: measured once and kept.

    Args:
        path: JSON file that keeps them; those in it are not measured again.
        candidates: dict of a key to a function without arguments that gives the function to be timed. One candidate at
            a time is in memory.

    Returns:
        The median of `TIMED` calls after one that is not counted.
    """
    kept = read_json(path) if path.is_file() else {}
    for key, make in candidates.items():
        if key not in kept:
            function = make()
            function()
            kept[key] = median_seconds(function)
            write_text(path, json.dumps(kept, indent=2) + "\n")
    return {key: kept[key] for key in candidates}


def random_batch(batch_size, patch_size, channels=(1, 1)):
    """Input and target of a training step whose values do not matter, float32 ``(batch, *spatial, channels)``."""
    rng = np.random.default_rng(0)
    return tuple(rng.random((batch_size, *patch_size, n), "float32") for n in channels)


def training_step(config):
    """What `seconds_per_step` times of a `RunConfig`: its network, compiled for training, and a batch."""
    from aeanet_tf.models.folder import model_class
    from aeanet_tf.runs.train import model_config

    network = model_config(config)
    model = model_class(network.spec.model_kind)(network, config.model.name, None)
    model.prepare_for_training()
    channels = config.model.n_channel_in, config.model.n_channel_out
    return model.trained_network, *random_batch(config.training.batch_size, config.training.patch_size, channels)


def steps_of(config):
    """The steps of a `RunConfig`.

    Raises:
        InputError: its length is in epochs, which are of other steps for each size of batches.
    """
    training = config.training
    if training.epochs is not None:
        raise InputError(
            f"training.epochs: found {training.epochs:g}, expected training.steps, of which all methods have as many"
        )
    return training.steps


def of_length(config, steps):
    """A `RunConfig` of at most so many steps in as many epochs as it has, but at least one step an epoch."""
    epochs = -(-steps_of(config) // config.training.steps_per_epoch)
    length = max(1, steps // epochs)
    training = config.training.model_copy(update={"steps": length * epochs, "steps_per_epoch": length})
    return config.model_copy(update={"training": training})

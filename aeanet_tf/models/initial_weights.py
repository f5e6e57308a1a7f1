"""Weights that a network starts from: those of another model, as far as names and shapes are the same."""

import logging
from contextlib import contextmanager

import keras

from aeanet_tf.errors import InputError
from aeanet_tf.models.folder import load_model, weight_files
from aeanet_tf.paths import named_path
from aeanet_tf.training import seed_everything
from aeanet_tf.training.optimisation import kept_generators

logger = logging.getLogger("aeanet_tf")

# Variables that are named in the log where there is nothing to start them from.
_MOST_NAMED = 10


def source_model(source):
    """The model to start from.

    Args:
        source: the folder of a trained or imported model, of which the best weights are taken; or one of the files of
            weights in it, such as ``models/NAME/weights_last.h5``.

    Raises:
        InputError: as `load_model`.
    """
    path = named_path(source)
    if path.suffix in (".h5", ".hdf5") and path.parent.is_dir() and path in weight_files(path.parent):
        return load_model(path.parent, path.name)
    return load_model(path)


def common_weights(network, model, name):
    """The weights of a model that a network can start from; what is taken and what is not is logged.

    A variable is taken where the network has one of the same name and shape, whatever else differs: channels of the
    output, number of references, operators, a projection before the network.

    Args:
        network: Keras model of `aeanet_tf.networks.build_network`.
        model: an `AEANet`.
        name: of the model, for messages.

    Returns:
        Dict of the name of a variable, its ``path``, to its value.

    Raises:
        InputError: no kernel has the name and shape of one of the network.
    """
    there = {variable.path: variable for variable in model.keras_model.weights}
    taken, missing = {}, {}
    for variable in network.weights:
        other, shape = there.get(variable.path), tuple(variable.shape)
        if other is None:
            missing[variable.path] = "not there"
        elif tuple(other.shape) != shape:
            missing[variable.path] = f"shape {tuple(other.shape)} there, {shape} here"
        else:
            taken[variable.path] = keras.ops.convert_to_numpy(other)
    if not any(value.ndim > 1 for value in taken.values()):
        path, reason = next(iter(missing.items()))
        raise InputError(f"{name}: found no kernel of the name and shape of one here, expected some; {path}: {reason}")
    _report(network, taken, missing, name)
    return taken


def assign(network, weights):
    """Set the variables of a network by name, as `common_weights` gives them; others stay as they are."""
    for variable in network.weights:
        if variable.path in weights:
            variable.assign(weights[variable.path])


def differing_fields(here, there, prefix=""):
    """Fields of two specs that differ, of those that both have: dotted name -> (value here, value there).

    Args:
        here, there: specs as nested dicts.
        prefix: of the names.
    """
    differing = {}
    for key in [key for key in here if key in there and here[key] != there[key]]:
        if isinstance(here[key], dict) and isinstance(there[key], dict):
            differing |= differing_fields(here[key], there[key], f"{prefix}{key}.")
        else:
            differing[f"{prefix}{key}"] = here[key], there[key]
    return differing


def _report(network, taken, missing, name):
    values = [sum(v.shape.num_elements() for v in network.weights if v.path in part) for part in (taken, missing)]
    logger.info(
        "initial weights of %s: %d of %d variables, %d of %d values: %s",
        name,
        len(taken),
        len(taken) + len(missing),
        values[0],
        sum(values),
        ", ".join(_blocks(network, taken)),
    )
    if missing:
        named = [f"{path} ({reason})" for path, reason in list(missing.items())[:_MOST_NAMED]]
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        logger.info("initial weights of %s: left as drawn: %s%s", name, ", ".join(named), more)


def _blocks(network, taken):
    """The parts of a network of which something is taken, with how much where it is not all."""
    blocks = {}
    for variable in network.weights:
        blocks.setdefault(variable.path.replace(".", "/").split("/")[0], []).append(variable.path)
    for block, paths in blocks.items():
        found = sum(path in taken for path in paths)
        if found:
            yield block if found == len(paths) else f"{block} ({found} of {len(paths)})"


@contextmanager
def seeded(config):
    """Draw first weights by the seed of a configuration: it is of the network, not of what a script draws besides."""
    if config is None or config.train_seed is None:
        yield
        return
    with kept_generators():
        seed_everything(config.train_seed)
        yield

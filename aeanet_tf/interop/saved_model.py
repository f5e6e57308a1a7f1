"""Export as a SavedModel of TensorFlow 2, which runs without this package."""

import logging
from pathlib import Path

import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing_folder
from aeanet_tf.interop.tracing import prediction_function

logger = logging.getLogger("aeanet_tf")


def export_saved_model(model, path):
    """Write the network of a model as a SavedModel folder of the TensorFlow in use.

    The signature ``serving_default`` maps ``input``, float32 ``(batch, *spatial, channels)``, to ``output``; the
    attribute ``serve`` of the loaded object is the same as a function of one tensor. Sizes are free, in multiples of
    the network's divisor. Weights are variables of the loaded object.

    Args:
        model: an `AEANet` or one of its siblings.
        path: the folder. A SavedModel that is there is replaced.

    Returns:
        The path written.

    Raises:
        InputError: ``path`` is a file or a folder that holds something else, or cannot be written.
    """
    path = Path(path)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: found a name that is not UTF-8, expected one that TensorFlow takes") from None
    replaceable = path.is_dir() and (not any(path.iterdir()) or (path / "saved_model.pb").is_file())
    if path.exists() and not replaceable:
        raise InputError(f"{path}: exists and is no SavedModel, expected a new folder")
    module = _module(model.keras_model)
    with replacing_folder(path) as temporary:
        tf.saved_model.save(module, str(temporary), signatures={"serving_default": module.signature})
    logger.info("%s written, a SavedModel of TensorFlow %s", path, tf.__version__)
    return path


def _module(network):
    """The network with its functions for images of any size."""
    module = tf.Module()
    module.network = network
    module.serve, specification = prediction_function(network)
    module.signature = tf.function(
        lambda input: {"output": module.serve(input)}, input_signature=[specification], autograph=False
    )
    return module

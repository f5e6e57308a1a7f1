"""Export as one ``.keras`` file of Keras's own layers, which loads without this package."""

import logging
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.interop.portable import portable_network

logger = logging.getLogger("aeanet_tf")


def export_keras(model, path):
    """Write the network of a model, for prediction, as a ``.keras`` file.

    The file holds `portable_network`: ``keras.models.load_model(path)`` reads it on any backend, wherever Keras 3 is
    installed.

    Args:
        model: an `AEANet` or one of its siblings.
        path: of the file, which must end with ``.keras``.

    Returns:
        The path written.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: ends with {path.suffix or 'no suffix'}, expected .keras, which Keras asks for")
    network = portable_network(model.keras_model)
    with replacing(path) as temporary:
        network.save(temporary)
    logger.info("%s written, %.1f MB", path, path.stat().st_size / 1e6)
    return path

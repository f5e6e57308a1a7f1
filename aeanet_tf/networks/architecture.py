"""A Keras network as text: its layers and how they are connected, without weights and without code."""

import json

import keras

from aeanet_tf.errors import InputError, one_line


def written(network):
    """The JSON of a functional network, which `network_of` reads.

    Raises:
        InputError: it has what JSON cannot hold.
    """
    try:
        return network.to_json()
    # Layers that do not say how they are made, and whatever their own code raises.
    except Exception as error:
        raise InputError(
            f"network: cannot be written as text ({one_line(error, 200)}), expected layers with get_config"
        ) from error


def network_of(text):
    """The network of the JSON that `written` gives.

    Only Keras's layers and ours are made, and those that are registered with
    ``keras.saving.register_keras_serializable``; code, such as that of a Lambda, is not run.

    Raises:
        InputError: other JSON, or layers that are not known here.
    """
    try:
        return keras.models.model_from_json(text)
    except Exception as error:
        names = _of_other_code(json.loads(text))
        reason = ", ".join(names) if names else one_line(error, 120)
        raise InputError(f"network: layers that cannot be made without their code ({reason})") from error


def _of_other_code(architecture):
    """Names of the classes in an architecture that neither Keras nor this package has, and of code."""
    found, waiting = {}, [architecture]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name, module, registered = (part.get(key) for key in ("class_name", "module", "registered_name"))
            known = str(module or "keras").partition(".")[0] in ("keras", "builtins")
            ours = str(registered).startswith("aeanet_tf>")
            if isinstance(name, str) and (name in ("Lambda", "__lambda__") or not (known or ours)):
                found["Lambda" if name == "__lambda__" else name] = None
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return sorted(found)

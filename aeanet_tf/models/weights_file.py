"""Files of weights, where they become those of a network: the border that damaged and foreign files stop at."""

import hashlib
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line

# Optimisers keep some values for each weight, and HDF5 a little of its own.
_COPIES, _SLACK = 8, 2**20
_DEEPEST = 64


def load_weights(network, path):
    """Give a network the weights of a file, Keras's (``.weights.h5``) or CSBDeep's (any other ``.h5``).

    Args:
        network: Keras model.
        path: of the file.

    Raises:
        InputError: no file, a damaged one, or weights of another network. The network then has no weights to use.
    """
    _load(network, path, lambda file: network.load_weights(str(path)))


def load_ordered_weights(network, path):
    """Give a network the weights of a file of CSBDeep's, whatever its layers are called and however they are nested.

    They are taken in the order in which the layers stand in the file, which is that of the network's own; so were they
    written by Keras since its second version, with TensorFlow 1, too. A file in the format of Keras 3
    (``.weights.h5``) is read by Keras.

    Args:
        network, path: see `load_weights`.

    Raises:
        InputError: as `load_weights`.
    """

    def take(file):
        # Where a whole model was saved.
        group = file.get("model_weights", file)
        if not _names(group, "layer_names"):
            network.load_weights(str(path))
            return
        layers = [group[name] for name in _names(group, "layer_names")]
        found = [layer[name] for layer in layers for name in _names(layer, "weight_names")]
        expect(len(found) == len(network.weights), "weights", f"{len(found)} arrays", len(network.weights))
        for array, variable in zip(found, network.weights, strict=True):
            expect(array.shape == tuple(variable.shape), array.name, f"shape {array.shape}", tuple(variable.shape))
        network.set_weights([array[()] for array in found])

    _load(network, path, take)


def _names(group, attribute):
    """A list of names that Keras keeps as an attribute, in parts where it is long."""
    if attribute in group.attrs:
        names = [group.attrs[attribute]]
    else:
        parts = (f"{attribute}{i}" for i in range(len(group.attrs)))
        names = [group.attrs[part] for part in parts if part in group.attrs]
    return [name.decode() if isinstance(name, bytes) else name for part in names for name in part]


def _load(network, path, take):
    """Check a file of weights, and ``take(file)`` them."""
    import h5py

    path = Path(path)
    expect(path.is_file(), path, "no such file", "the weights of a model")
    room = _COPIES * sum(4 * variable.shape.num_elements() for variable in network.weights) + _SLACK
    try:
        with h5py.File(path, "r") as file:
            _check_claims(file, room)
            take(file)
    # HDF5 and Keras raise whatever the damaged bytes lead them to.
    except Exception as error:
        raise InputError(f"{path}: damaged, or not the weights of this network ({one_line(error, 200)})") from error


def _check_claims(file, room):
    """Refuse a file whose arrays claim more than ``room`` bytes in all, before one is read, and links in it.

    Keras makes none: links to other files would be followed, those in a circle without an end.
    """
    import h5py

    seen, waiting = {file["/"]}, [("", file, 0)]
    while waiting:
        place, group, depth = waiting.pop()
        expect(depth < _DEEPEST, place, "groups nested too deeply", f"at most {_DEEPEST}")
        for name in group:
            inner = f"{place}/{name}"
            expect(isinstance(group.get(name, getlink=True), h5py.HardLink), inner, "a link", "a group or an array")
            found = group[name]
            expect(found not in seen, inner, "what stands elsewhere in the file, too", "it once")
            seen.add(found)
            if isinstance(found, h5py.Group):
                waiting.append((inner, found, depth + 1))
                continue
            plain = isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu" and not found.is_virtual
            expect(plain and not found.external, inner, "something else", "an array of numbers")
            room -= found.nbytes
            expect(room >= 0, inner, f"an array of {found.nbytes} bytes", "no more than the network has")


def network_digest(model):
    """A digest of the network and the weights of an `AEANet`."""
    digest = hashlib.sha256(model.spec.model_dump_json().encode())
    for weights in model.keras_model.get_weights():
        digest.update(np.ascontiguousarray(weights))
    return digest.hexdigest()

"""Whether the memory of this machine holds a network, asked before it is built."""

from aeanet_tf.errors import InputError
from aeanet_tf.networks.size import kernel_weights
from aeanet_tf.prediction.machine import available_bytes

# Weights in memory for each that the network has: read beside the network's own; with gradients and Adam's moments.
LOADED, TRAINED = 2, 4
_BYTES = 4


def check_size(spec, copies=TRAINED):
    """Refuse a network whose weights alone would not fit into the memory that is available.

    Args:
        spec: of the network.
        copies: of the weights, `TRAINED` or `LOADED`.

    Raises:
        InputError: they do not fit.
    """
    count = kernel_weights(spec)
    needed, available = _BYTES * copies * count, available_bytes()
    if needed > available:
        raise InputError(
            f"network: {count:.3g} weights take {needed / 1e9:.3g} GB, expected at most {available / 1e9:.3g} GB, the "
            "memory that is available; fewer filters, resolutions or references take less"
        )

"""Devices to train on and precisions to compute in, as configurations name them; nothing heavy is imported."""

import re

PRECISIONS = ("float32", "bfloat16")
"""What the layers of a network can compute in."""

# CPUs are made as they are named, so there cannot be any number of them.
_NAME = re.compile(r"GPU:(0|[1-9][0-9]{0,2})|CPU:([0-9]|[1-5][0-9]|6[0-3])")
MOST_DEVICES = 1024
_EXPECTED = 'a number of GPUs from 1, or a list of different names such as ["GPU:0", "GPU:1"]'


def count_devices(devices):
    """How many devices are asked for: 1 for ``None``, TensorFlow's own choice.

    Args:
        devices: ``None``, a whole number of GPUs, or a list of names such as ``"GPU:0"`` or ``"CPU:1"``.

    Raises:
        ValueError: neither of these; one line with what was found and expected, without the field's name.
    """
    if devices is None:
        return 1
    if isinstance(devices, int) and not isinstance(devices, bool) and 1 <= devices <= MOST_DEVICES:
        return devices
    if isinstance(devices, (list, tuple)) and devices:
        named = all(isinstance(name, str) and _NAME.fullmatch(name) for name in devices)
        if named and len(set(devices)) == len(devices):
            return len(devices)
    raise ValueError(f"found {devices!r:.200}, expected {_EXPECTED}")


def check_share(devices, batch_size):
    """Check that the batches can be shared out evenly.

    Args:
        devices: as for `count_devices`.
        batch_size: patches in a batch of all devices together.

    Raises:
        ValueError: as `count_devices`, or the number of devices does not divide the batch.
    """
    count = count_devices(devices)
    if batch_size % count:
        raise ValueError(f"found {count} devices, expected a number that divides the batch size {batch_size}")

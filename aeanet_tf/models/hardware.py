"""What computes, in words."""

import platform

from aeanet_tf.training.prefetching import usable_cores


def hardware(devices=None, precision=None):
    """The processor with its cores, or the GPUs that TensorFlow sees.

    Args:
        devices: those that a training asks for, see `find_devices`; ``None`` for TensorFlow's own choice.
        precision: named, too, where it is given.
    """
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if isinstance(devices, int):
        found = found[:devices]
    elif devices is not None:
        numbers = [int(name[4:]) for name in devices if name.startswith("GPU")]
        found = [device for i, device in enumerate(found) if i in numbers]
    if found:
        text = ", ".join(tf.config.experimental.get_device_details(d).get("device_name", d.name) for d in found)
    else:
        text = f"processor ({platform.machine()}, {usable_cores()} cores), no GPU"
    return text if precision is None else f"{text}, {precision}"

"""The devices of this machine to train on, and TensorFlow's strategy for them."""

import contextlib
import functools
import itertools
import logging

import keras

from aeanet_tf.device_names import check_share
from aeanet_tf.errors import InputError, expect

logger = logging.getLogger("aeanet_tf")
_numbers = itertools.count(1)


def find_devices(devices, batch_size, prefix="train_"):
    """Names of the devices that a training asks for, all of which this machine has.

    CPUs beyond the first are logical ones, on the same cores: they show on a workstation that a configuration works
    before it goes to a machine with GPUs. They are made here where TensorFlow has not been used yet; afterwards it
    makes no more.

    Args:
        devices: ``None`` for TensorFlow's own choice, a number n for the first n GPUs, or a list of names such as
            ``["GPU:0", "GPU:1"]`` or ``["CPU:0", "CPU:1"]``.
        batch_size: patches in a batch of all devices together.
        prefix: what the names of the two fields begin with in messages: ``"train_"`` or ``"training."``.

    Returns:
        A list of names, ``None`` for ``None``.

    Raises:
        InputError: something else than that, devices that the machine does not have, a batch size that their number
            does not divide, or another Keras backend than TensorFlow.
    """
    field = f"{prefix}devices"
    try:
        check_share(devices, batch_size)
    except ValueError as error:
        raise InputError(f"{field}: {error}") from None
    if devices is None:
        return None
    backend = keras.backend.backend()
    expect(backend == "tensorflow", field, repr(devices), f"null: Keras runs on {backend}, not TensorFlow")
    names = [f"GPU:{i}" for i in range(devices)] if isinstance(devices, int) else list(devices)
    _make_logical_cpus(max((int(name[4:]) + 1 for name in names if name.startswith("CPU")), default=0))
    there = _logical_devices()
    missing = [name for name in names if name not in there]
    known = f"some of {', '.join(there)}, which this machine has"
    expect(not missing, field, f"{', '.join(missing)}, which are not there", known)
    return names


@functools.cache
def make_strategy(*names):
    """The ``tf.distribute.MirroredStrategy`` of these devices, one for a process; the first replica is on the first."""
    import tensorflow as tf

    # TensorFlow numbers what replicas exchange from the same start in every strategy and confuses those of two
    # (tensorflow#62790), unless they begin elsewhere.
    begin = {"_collective_key_base": 1000 * next(_numbers)}
    return type("MirroredStrategy", (tf.distribute.MirroredStrategy,), begin)(list(names))


def log_devices(names, batch_size, synchronized=False):
    """Tell which devices share the batches, and what that means; ``synchronized``: batch norm sees all of a batch."""
    share = batch_size // len(names)
    logger.info("devices %s: %d of the %d patches of a batch on each", ", ".join(names), share, batch_size)
    if len(names) > 1:
        seeing = "batch-aware attention sees" if synchronized else "batch norm and batch-aware attention see"
        logger.info("%s the patches of one device, not those of the others", seeing)


def _make_logical_cpus(count):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    there = tf.config.get_logical_device_configuration(cpu) or [cpu]
    if len(there) < count:
        # TensorFlow that is in use already keeps its devices.
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def _logical_devices():
    import tensorflow as tf

    return [
        device.name.removeprefix("/device:")
        for kind in ("GPU", "CPU")
        for device in tf.config.list_logical_devices(kind)
    ]

"""One seed for everything random."""

import keras

from aeanet_tf.errors import InputError


def seed_everything(seed):
    """Seed Python's ``random``, NumPy's global generator and the backend's, hence the initial weights.

    :class:`~aeanet_tf.training.PatchSampler` has a seed of its own and does not depend on this one. Same
    seed, same library versions and same CPU give the same run. On a GPU some kernels add in an order that
    varies; TensorFlow makes them deterministic, and slower, with
    ``tf.config.experimental.enable_op_determinism()``, which is a setting of the process and hence the
    caller's (``models``) to make. Nothing makes two different machines agree to the last bit.

    Raises ``InputError`` unless ``seed`` is a whole number from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= int(seed) < 2**32:
        raise InputError(f"seed: found {seed!r}; expected a whole number from 0 to {2**32 - 1}")
    keras.utils.set_random_seed(int(seed))

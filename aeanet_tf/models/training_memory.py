"""What memory a training takes, estimated before its first step; and what is left for its validation."""

import logging
from contextlib import suppress
from math import prod

from aeanet_tf.device_names import count_devices
from aeanet_tf.errors import InputError
from aeanet_tf.memory import SHARE, available_bytes, limited_bytes
from aeanet_tf.models.adversarial import adversarial_bytes
from aeanet_tf.models.tiled_validation import TiledValidation, validation_bytes
from aeanet_tf.prediction.liveness import POOL, all_bytes
from aeanet_tf.prediction.machine import RESERVE, on_accelerator
from aeanet_tf.training.prefetching import ahead

logger = logging.getLogger("aeanet_tf")

# Measured by benchmarks/training_memory.py on Linux, x86: a step takes about what its layers give in all. What is more
# than so many times the memory there is is refused: estimates were up to 1.42 times what was measured.
CERTAIN = 1.5
_THREADS = 3 * RESERVE
LESS = (
    "a larger training.accumulate, a smaller training.patch_size, training.batch_size or network.first_filters takes "
    "less"
)


def training_bytes(model, sampler):
    """Predicted peak memory of a training step, beyond what the process holds when the network is built.

    What the layers give for the patches of a batch, and its gradients; weights, gradients and what the optimiser keeps
    of each; the same of a discriminator; batches made ahead. It is a simple estimate, see docs/training.md; terms of a
    loss that has a network of its own (SSAN's VGG-16) are not in it.

    Args:
        model: an `AEANet`.
        sampler: a `PatchSampler`.
    """
    own, config = model.stages(None), model.config
    on_one = -(-sampler.batch_size // (count_devices(config.train_devices) * config.train_accumulate))
    half = 0.5 if config.train_precision != "float32" else 1.0
    activations = half * on_one * all_bytes(own.graph, own.stages[0], sampler.patch_size)
    # The gradient, and what Adam keeps.
    copies = 3 + (config.train_average is not None)
    weights = 4 * copies * sum(prod(v.shape) for v in model.keras_model.trainable_variables)
    channels = config.n_channel_in + config.n_channel_out * model.spec.upscale ** len(sampler.patch_size)
    weights += adversarial_bytes(config, on_one, sampler.patch_size)
    return activations + weights + 4 * ahead(sampler.threads) * sampler.positions * channels


def check_memory(model, sampler):
    """Log what memory a training is estimated to take.

    Returns:
        Bytes that are left for the validation.

    Raises:
        MemoryError: it is clearly more than there is. On a GPU, whose memory is another, nothing is refused.
    """
    needed = training_bytes(model, sampler)
    if on_accelerator():
        logger.info("training takes about %.2f GB by estimate", needed / 1e9)
        return None
    left = available_bytes() + model.memory.pool
    logger.info("training takes about %.2f GB by estimate, %.2f GB are available", needed / 1e9, left / 1e9)
    if needed > CERTAIN * left:
        raise MemoryError(
            f"training takes about {needed / 1e9:.2f} GB by estimate, and {left / 1e9:.2f} GB are available; {LESS}"
        )
    # Threads reserve address space that they do not use, and TensorFlow ends the process where one gets none.
    limit = limited_bytes()
    if needed + _THREADS > limit:
        raise MemoryError(
            f"training takes about {needed / 1e9:.2f} GB by estimate and {_THREADS / 1e9:g} GB for TensorFlow's "
            f"threads, and the limit of the process (ulimit -v, -d) leaves {limit / 1e9:.2f} GB; raise it, or {LESS}"
        )
    # Beside what a step takes, which stays in TensorFlow's pool, two functions are traced and threads started.
    return max(0, SHARE * left - POOL * needed - 2 * RESERVE)


def prepared_validation(model, sampler, validation, memory):
    """How to validate: a `TiledValidation` where a batch of a `ValidationSet` does not fit into ``memory`` whole, and
    ``None`` where Keras is to do it. What is no larger than a batch of training fits.

    Losses of models that segment or interpolate are not of single positions, nor need those of networks be that a user
    has compiled: their images are cropped instead. So are
    those of which not even the smallest tiles fit.
    """
    no_larger = validation.batch_size * prod(validation.size) <= sampler.positions
    if no_larger or memory is None or validation_bytes(model, validation) <= memory:
        return None
    # Of a user's own losses it is not known.
    if model.losses and not (model.segments or model.interpolates):
        with suppress(InputError):
            return TiledValidation(model, validation, model.losses, memory)
    validation.crop(sampler.patch_size)
    size = " x ".join(map(str, validation.size))
    logger.warning("validation images do not fit into memory: they are cropped to %s about their centre", size)
    return None

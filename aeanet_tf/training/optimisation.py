"""Optimisers, learning rates, regularisation and seeds: those of the papers, and those that restore best soon."""

import inspect
import numbers
import random
from contextlib import contextmanager

import keras
import numpy as np

from aeanet_tf.errors import InputError, expect


def _positive(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
        raise InputError(f"{name}: found {value!r}, expected a number above 0")
    return float(value)


def staircase(initial, rate, steps):
    """Learning rate ``initial * rate ** floor(step / steps)``, a Keras schedule over optimiser steps.

    The papers: 4e-4, halved every 10,000 steps (paired EM); 4e-4, times 0.7 every 10,000 (CARE data).

    Args:
        initial: learning rate of the first step.
        rate: factor after every ``steps`` optimiser steps.
        steps: whole number of optimiser steps between two changes.

    Raises ``InputError`` for a value that is not above 0, or ``steps`` that is no whole number.
    """
    expect(_positive("steps", steps) == int(steps), "steps", repr(steps), "a whole number")
    return keras.optimizers.schedules.ExponentialDecay(
        _positive("initial", initial), int(steps), _positive("rate", rate), staircase=True
    )


def warmup_cosine(peak, steps, warmup=0.1, final=0.0):
    """Learning rate that rises in a line to ``peak`` over the first steps and falls as half a cosine to the last.

    The rise begins at ``peak / 100``: Adam's first steps, whose moments are of few gradients, are as large as any.

    Args:
        peak: the highest learning rate.
        steps: optimiser steps of the whole training; afterwards it stays where it has come to.
        warmup: share of the steps that it rises over, 0 to less than 1.
        final: share of the peak that is left at the end, 0 to less than 1.

    Returns:
        A ``keras.optimizers.schedules.CosineDecay``.

    Raises ``InputError`` for a value out of these ranges, or ``steps`` that is no whole number.
    """
    expect(_positive("steps", steps) == int(steps), "steps", repr(steps), "a whole number")
    for name, value in (("warmup", warmup), ("final", final)):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
            raise InputError(f"{name}: found {value!r}, expected a share, at least 0 and below 1")
    peak, rising = _positive("peak", peak), min(round(warmup * steps), int(steps) - 1)
    falling = keras.optimizers.schedules.CosineDecay
    if not rising:
        return falling(peak, int(steps), alpha=float(final))
    return falling(peak / 100, int(steps) - rising, alpha=float(final), warmup_target=peak, warmup_steps=rising)


def adam(
    learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, *, clip_norm=None, weight_decay=None, average=None, **kwargs
):
    """Adam as the original TensorFlow 1 programs ran it, with what has been found to help since, each off by default.

    ``epsilon`` defaults to 1e-8, TensorFlow 1's value, where Keras 3 has 1e-7: with images scaled to [0, 1]
    gradients get small enough for that to change the steps. Both put it beside the square root of the raw
    second moment ("epsilon hat"), so the value carries over.

    Args:
        learning_rate: a number, or a schedule such as `staircase` or `warmup_cosine` returns.
        beta_1: 0.9; the CARE and label-free runs of the papers used 0.5.
        beta_2, epsilon: as above.
        clip_norm: the norm of all gradients together that is not exceeded; ``None`` for no limit.
        weight_decay: AdamW's: share of each kernel, times the learning rate, that a step takes away; biases and the
            other vectors are left alone. ``None`` for Adam.
        average: momentum of an exponential moving average of the weights, such as 0.99, which Keras keeps beside them;
            `AveragedWeights` validates and saves it. ``None`` for none.
        kwargs: further arguments of ``keras.optimizers.Adam``.

    Raises ``InputError`` for a learning rate, an epsilon, a norm or a decay that is not above 0, or an average that is
    not between 0 and 1.
    """
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = _positive("learning_rate", learning_rate)
    kwargs |= {"beta_1": beta_1, "beta_2": beta_2, "epsilon": _positive("epsilon", epsilon)}
    if clip_norm is not None:
        kwargs["global_clipnorm"] = _positive("clip_norm", clip_norm)
    if average is not None:
        if not (isinstance(average, numbers.Real) and 0 < average < 1):
            raise InputError(f"average: found {average!r}, expected a number between 0 and 1")
        kwargs |= {"use_ema": True, "ema_momentum": float(average)}
    if weight_decay is None:
        return keras.optimizers.Adam(learning_rate, **kwargs)
    return KernelAdamW(learning_rate, weight_decay=_positive("weight_decay", weight_decay), **kwargs)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class KernelAdamW(keras.optimizers.AdamW):
    """AdamW that decays kernels alone: not biases, the vectors of batch norm, or shared references.

    Of Keras's AdamW a copy made from its configuration (several devices train with one) would forget that.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "nl_library"])


def reduce_on_plateau(**params):
    """Callback that lowers the learning rate where the validation loss no longer falls, CSBDeep's default.

    ``params`` are those of ``keras.callbacks.ReduceLROnPlateau``; absent ones are CSBDeep's (``factor``
    0.5, ``patience`` 10 epochs, ``min_delta`` 0), so ``reduce_on_plateau(**config.train_reduce_lr)`` takes
    its dictionary. It needs an optimiser with a plain learning rate: Keras cannot change a schedule.

    Raises ``InputError`` for a parameter that the callback does not have.
    """
    accepted = set(inspect.signature(keras.callbacks.ReduceLROnPlateau).parameters) - {"kwargs"}
    unknown = sorted(set(params) - accepted)
    expect(not unknown, "reduce_lr", ", ".join(unknown), f"some of {', '.join(sorted(accepted))}")
    return keras.callbacks.ReduceLROnPlateau(**{"factor": 0.5, "patience": 10, "min_delta": 0, **params})


def penalise_kernels(network, factor):
    """Add ``factor * sum(kernel^2) / 2``, over all kernels, to the loss that a network is trained with.

    Kernels are those of convolutions, projections and the convolutions of attention; biases, batch norm and shared
    references are not among them. The half is that of TensorFlow 1's ``l2_loss``, with which the published factor of
    Non-local U-Nets, 2e-6, goes (Wang et al. 2020, in their program).

    Args:
        network: a Keras model.
        factor: of the penalty; 0 for none.
    """
    penalty = keras.regularizers.L2(factor / 2) if factor else None
    for variable in network.trainable_variables:
        if variable.name == "kernel":
            variable.regularizer = penalty


def seed_everything(seed):
    """Seed Python's ``random``, NumPy's global generator and the backend's, hence the initial weights.

    `PatchSampler` has a seed of its own and does not depend on this one. Same
    seed, same library versions and same CPU give the same run. On a GPU some kernels add in an order that
    varies; TensorFlow makes them deterministic, and slower, with
    ``tf.config.experimental.enable_op_determinism()``, which is a setting of the process and hence the
    caller's (``models``) to make. Nothing makes two different machines agree to the last bit.

    Raises ``InputError`` unless ``seed`` is a whole number from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= int(seed) < 2**32:
        raise InputError(f"seed: found {seed!r}, expected a whole number from 0 to {2**32 - 1}")
    keras.utils.set_random_seed(int(seed))


@contextmanager
def kept_generators():
    """Leave Python's ``random`` and NumPy's global generator as they were before the block."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002

"""Optimiser and learning rates of the papers."""

import inspect
import numbers

import keras

from aeanet_tf.errors import InputError


def _positive(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
        raise InputError(f"{name}: found {value!r}; expected a number above 0")
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
    if _positive("steps", steps) != int(steps):
        raise InputError(f"steps: found {steps!r}; expected a whole number")
    return keras.optimizers.schedules.ExponentialDecay(
        _positive("initial", initial), int(steps), _positive("rate", rate), staircase=True
    )


def adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **kwargs):
    """Adam as the original TensorFlow 1 programs ran it.

    ``epsilon`` defaults to 1e-8, TensorFlow 1's value, where Keras 3 has 1e-7: with images scaled to [0, 1]
    gradients get small enough for that to change the steps. Both put it beside the square root of the raw
    second moment ("epsilon hat"), so the value carries over.

    Args:
        learning_rate: a number, or a schedule such as :func:`staircase` returns.
        beta_1: 0.9; the CARE and label-free runs of the papers used 0.5.
        beta_2, epsilon: as above.
        kwargs: further arguments of ``keras.optimizers.Adam``, such as ``clipnorm``.

    Raises ``InputError`` for a learning rate or an epsilon that is not above 0.
    """
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = _positive("learning_rate", learning_rate)
    epsilon = _positive("epsilon", epsilon)
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)


def reduce_on_plateau(**params):
    """Callback that lowers the learning rate where the validation loss no longer falls, CSBDeep's default.

    ``params`` are those of ``keras.callbacks.ReduceLROnPlateau``; absent ones are CSBDeep's (``factor``
    0.5, ``patience`` 10 epochs, ``min_delta`` 0), so ``reduce_on_plateau(**config.train_reduce_lr)`` takes
    its dictionary. It needs an optimiser with a plain learning rate: Keras cannot change a schedule.

    Raises ``InputError`` for a parameter that the callback does not have.
    """
    accepted = set(inspect.signature(keras.callbacks.ReduceLROnPlateau.__init__).parameters) - {
        "self",
        "kwargs",
    }
    unknown = sorted(set(params) - accepted)
    if unknown:
        raise InputError(f"reduce_lr: found {', '.join(unknown)}; expected some of {', '.join(sorted(accepted))}")
    return keras.callbacks.ReduceLROnPlateau(**{"factor": 0.5, "patience": 10, "min_delta": 0, **params})

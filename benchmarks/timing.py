"""Times programs against each other: in one process, in turn, after warm-up; medians, quartiles, ratios.

The speed of a machine drifts (other work, clock rates) by more than what is to be told apart. So all programs of a
comparison run in every round, A B C A B C, and a drift meets them alike. Ratios are those of the medians; the quartiles
of the ratios within the rounds tell how far they are to be trusted.
"""

import math
import sys
from time import perf_counter

import numpy as np

FEWEST_ROUNDS = 3
SHORT = 1.0


def clocked(function, least=0.05):
    """A measurement of ``function()``: called without arguments it gives the seconds that one call takes.

    Results are waited for (`wait`). A short function is called several times in a row, for a measurement to last about
    ``least`` seconds by the time that the call before it took, and the mean is given.
    """
    calls = 1

    def measure():
        nonlocal calls
        start = perf_counter()
        for number in range(calls):
            wait(function(), among_more=number + 1 < calls)
        seconds = (perf_counter() - start) / calls
        calls = max(1, math.ceil(least / max(seconds, 1e-9)))
        return seconds

    return measure


def wait(result, among_more=False):
    """Return when ``result`` is computed: a GPU is handed work and computes on its own.

    Args:
        result: arrays.
        among_more: whether another call follows that will be waited for. TensorFlow works in order, so this one need
            not be; JAX may work at several at a time on a CPU, so it is.
    """
    # Not imported for the sake of it: functions without Keras are timed, too.
    keras = sys.modules.get("keras")
    backend = keras and keras.backend.backend()
    if backend == "jax":
        import jax

        jax.block_until_ready(result)
    elif backend == "tensorflow" and not among_more:
        import tensorflow as tf

        tf.test.experimental.sync_devices()


def alternate(measures, rounds, seconds=math.inf, warm_up=True):
    """Run measurements in turn.

    Args:
        measures: name -> function without arguments that gives seconds, see `clocked`.
        rounds: how often, at least `FEWEST_ROUNDS` unless fewer are asked for.
        seconds: no further round begins after this time, warm-up not counted.
        warm_up: run each once before, short ones twice, which does not count: the first time traces, the second tells
            `clocked` how long a short call takes. Not for measurements that have a process of their own.

    Returns:
        name -> list of seconds, one a round.
    """
    for measure in measures.values() if warm_up else ():
        if measure() < SHORT:
            measure()
    times = {name: [] for name in measures}
    start = perf_counter()
    for number in range(rounds):
        if number >= FEWEST_ROUNDS and perf_counter() - start > seconds:
            break
        for name, measure in measures.items():
            times[name].append(measure())
    return times


def summary(times, baseline):
    """Medians, quartiles and ratios.

    Args:
        times: of `alternate`.
        baseline: name of the program that the others are compared with.

    Returns:
        name -> ``{"seconds": all of them, "median", "quartiles": [25 %, 75 %], "ratio": of the median to that of the
        baseline, "ratio_quartiles": of the ratios within a round}``.
    """
    found = {}
    for name, values in times.items():
        ratios = np.divide(values, times[baseline])
        found[name] = {
            "seconds": list(map(float, values)),
            "median": float(np.median(values)),
            "quartiles": _quartiles(values),
            "ratio": float(np.median(values) / np.median(times[baseline])),
            "ratio_quartiles": _quartiles(ratios),
        }
    return found


def _quartiles(values):
    return [float(value) for value in np.quantile(values, (0.25, 0.75))]

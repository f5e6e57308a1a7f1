"""Means with confidence intervals, and tests of one method against another on the same images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError


class Interval(NamedTuple):
    """A mean and the half width of its confidence interval: ``mean ± half_width``, of ``n`` values."""

    mean: float
    half_width: float
    n: int


class PairedTest(NamedTuple):
    """Result of a paired t-test: the statistic t, the one-tailed p value, and the number of pairs ``n``."""

    statistic: float
    p_value: float
    n: int


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of a sample and the confidence interval of that mean by Student's t distribution.

    The half width is t(level, n - 1) s / sqrt(n), s the standard deviation with n - 1.

    Args:
        values: one number an image, or a run.
        level: probability that the interval holds the mean, between 0 and 1.

    Returns:
        Mean, half width (NaN for a single value: it says nothing on the spread) and n.

    Raises:
        InputError: there are no values, one is NaN or infinite (a perfect image's PSNR, say; what to do with it is the
            caller's to decide), or the level is not between 0 and 1.
    """
    sample = _sample(values, "values")
    if not 0 < level < 1:
        raise InputError(f"level: found {level}, expected a number between 0 and 1, such as 0.95")
    n = len(sample)
    if n < 2:
        return Interval(float(sample.mean()), float("nan"), n)
    from scipy.stats import t

    half_width = t.ppf((1 + level) / 2, n - 1) * sample.std(ddof=1) / np.sqrt(n)
    return Interval(float(sample.mean()), float(half_width), n)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of a - b with its confidence interval; the numbers of an image stand at the same place in both.

    Raises:
        InputError: as `mean_interval`, or the two are of different length.
    """
    first, second = _pair(a, b)
    return mean_interval(first - second, level)


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> PairedTest:
    """One-tailed paired t-test of whether ``a`` exceeds ``b`` on average.

    The null hypothesis is that the mean of a - b is at most 0; a small p value speaks for a mean above it. Give the
    scores the other way round where smaller is better.

    Returns:
        t, p and n. Both t and p are NaN where a and b are equal throughout: t is then 0 / 0.

    Raises:
        InputError: there are fewer than two pairs, lengths differ, or a number is NaN or infinite.
    """
    from scipy.stats import ttest_rel

    first, second = _pair(a, b)
    if len(first) < 2:
        raise InputError(f"paired t-test: found {len(first)} pair, expected at least 2")
    if np.array_equal(first, second):
        return PairedTest(float("nan"), float("nan"), len(first))
    result = ttest_rel(first, second, alternative="greater")
    return PairedTest(float(result.statistic), float(result.pvalue), len(first))


def _pair(a: Sequence[float], b: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    first, second = _sample(a, "first values"), _sample(b, "second values")
    if len(first) != len(second):
        raise InputError(f"paired values: found {len(first)} and {len(second)}, expected one of each an image")
    return first, second


def _sample(values: Sequence[float], name: str) -> np.ndarray:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise InputError(f"{name}: found an array of shape {sample.shape}, expected a list of at least one number")
    if not np.isfinite(sample).all():
        position = int(np.flatnonzero(~np.isfinite(sample))[0])
        raise InputError(f"{name}: number {position} is {sample[position]}, expected finite numbers")
    return sample

"""Means with confidence intervals, and tests of one method against another on the same images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError

# Of Student's t distribution: 2.5 % lie above it, and as many below its negative.
_QUANTILE = 0.975


class Interval(NamedTuple):
    """A mean and the half width of its 95 % confidence interval: ``mean ± half_width``."""

    mean: float
    half_width: float


class PairedTest(NamedTuple):
    """Result of a paired t-test: the statistic t and the one-tailed p value."""

    statistic: float
    p_value: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of a sample and the 95 % confidence interval of that mean by Student's t distribution.

    The half width is t(0.975, n - 1) s / sqrt(n), s the standard deviation with n - 1.

    Args:
        values: one number an image, or a run.

    Returns:
        Mean and half width (NaN for a single value: it says nothing on the spread).

    Raises:
        InputError: there are no values, or one is NaN or infinite (a perfect image's PSNR, say; what to do with it is
            the caller's to decide).
    """
    from scipy.stats import t

    sample = _sample(values, "values")
    n, half_width = len(sample), float("nan")
    if n > 1:
        half_width = t.ppf(_QUANTILE, n - 1) * sample.std(ddof=1) / np.sqrt(n)
    return Interval(float(sample.mean()), float(half_width))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Mean of a - b with its confidence interval; the numbers of an image stand at the same place in both.

    Raises:
        InputError: as `mean_interval`, or the two are of different length.
    """
    first, second = _pair(a, b)
    return mean_interval(first - second)


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> PairedTest:
    """One-tailed paired t-test of whether ``a`` exceeds ``b`` on average.

    The null hypothesis is that the mean of a - b is at most 0; a small p value speaks for a mean above it. Give the
    scores the other way round where smaller is better.

    Returns:
        t and p. Both are NaN where a and b are equal throughout: t is then 0 / 0.

    Raises:
        InputError: there are fewer than two pairs, lengths differ, or a number is NaN or infinite.
    """
    from scipy.stats import ttest_rel

    first, second = _pair(a, b)
    if len(first) < 2:
        raise InputError(f"paired t-test: found {len(first)} pair, expected at least 2")
    if np.array_equal(first, second):
        return PairedTest(float("nan"), float("nan"))
    result = ttest_rel(first, second, alternative="greater")
    return PairedTest(float(result.statistic), float(result.pvalue))


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

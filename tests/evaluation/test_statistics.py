"""Intervals and tests against SciPy and against numbers from tables of the t distribution."""

import numpy as np
import pytest
from scipy import stats

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.statistics import mean_interval, paired_difference, paired_t_test

A = [31.2, 28.4, 30.9, 33.3, 29.1, 30.0]
B = [30.7, 28.0, 31.0, 32.1, 28.2, 29.9]


def test_the_interval_is_that_of_scipy():
    mean, half_width = mean_interval(A)
    expected = stats.t.interval(0.95, len(A) - 1, loc=np.mean(A), scale=stats.sem(A))
    assert (mean - half_width, mean + half_width) == pytest.approx(expected)


def test_the_interval_by_hand():
    # s = 1, t(0.975, 2) = 4.303 of any table.
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 4.303 / 3**0.5), abs=1e-3)
    assert mean_interval([5.0, 5.0]) == (5, 0)


def test_a_single_value_has_no_interval():
    mean, half_width = mean_interval([3.5])
    assert mean == 3.5 and np.isnan(half_width)


def test_the_difference_is_taken_pair_by_pair():
    difference = np.subtract(A, B)
    assert paired_difference(A, B) == mean_interval(difference)
    # The pairs go together, so this is far narrower than the intervals of either.
    assert paired_difference(A, B).half_width < mean_interval(A).half_width / 2


def test_the_test_is_one_tailed():
    result = paired_t_test(A, B)
    expected = stats.ttest_1samp(np.subtract(A, B), 0, alternative="greater")
    assert result == pytest.approx((expected.statistic, expected.pvalue))
    assert result.p_value < 0.05
    assert paired_t_test(B, A).p_value == pytest.approx(1 - result.p_value)


def test_the_test_by_hand():
    # Differences 1, 2, 3: t = 2 / (1 / sqrt 3). With two degrees of freedom p = 1/2 - t / (2 sqrt(t^2 + 2)).
    t = 2 * 3**0.5
    assert paired_t_test([1, 2, 3], [0, 0, 0]) == pytest.approx((t, 0.5 - t / (2 * (t**2 + 2) ** 0.5)))


def test_equal_numbers_give_no_test():
    result = paired_t_test(A, A)
    assert np.isnan(result.statistic) and np.isnan(result.p_value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), r"values: found an array of shape \(0,\), expected a list of at least one number"),
        (lambda: mean_interval([[1, 2]]), r"shape \(1, 2\)"),
        (lambda: mean_interval([1, np.nan]), "values: number 1 is nan, expected finite numbers"),
        (lambda: paired_difference([1, 2], [1, 2, 3]), "paired values: found 2 and 3"),
        (lambda: paired_difference([1, 2], [np.inf, 3]), "second values: number 0 is inf"),
        (lambda: paired_t_test([1], [2]), "paired t-test: found 1 pair, expected at least 2"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

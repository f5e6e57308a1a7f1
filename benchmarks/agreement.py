"""Programs that are timed against each other have to compute the same, which is checked before."""

import numpy as np


class DisagreementError(AssertionError):
    """Two programs compute different things: their times are not to be compared."""


def difference(found, expected):
    """Largest absolute difference of two arrays relative to the range of the second (to its size, if constant)."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    if found.size != expected.size:
        raise DisagreementError(f"found {found.shape}, expected {expected.shape}")
    scale = np.ptp(expected) or np.abs(expected).max() or 1.0
    return float(np.abs(found.ravel() - expected.ravel()).max() / scale)


def check_agreement(results, reference, tolerance):
    """Raise `DisagreementError` where a program gives something else than ``reference`` does.

    Args:
        results: name of the program -> list of arrays, the same number of them for all programs. Shapes may differ as
            those of weights do (a 1x1 kernel, a matrix), not the order of the numbers.
        reference: name of the program that the others are compared with.
        tolerance: of `difference`.

    Returns:
        The largest `difference`.
    """
    largest = 0.0
    for name, arrays in results.items():
        for i, (found, expected) in enumerate(zip(arrays, results[reference], strict=True)):
            value = difference(found, expected)
            # Written so that a NaN is no agreement.
            if not value <= tolerance:
                raise DisagreementError(f"{name}: result {i} is {value:.1e} off {reference}, expected {tolerance:.0e}")
            largest = max(largest, value)
    return largest

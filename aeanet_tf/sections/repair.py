"""How a run of missing slices is filled by halving the gap again and again.

A network that predicts the slice between two others knows the middle of a gap only. Other places are reached by
recursion: the middle first, then the middle between it and a neighbour, and so on, which gives dyadic places. For a
run whose places are not dyadic the nearest ones are taken (our choice; no published method says).
"""

from collections.abc import Callable, Iterable

import numpy as np

Interpolate = Callable[[np.ndarray, np.ndarray], np.ndarray]


def runs(missing: Iterable[int]) -> list[tuple[int, int]]:
    """Missing slices in a row, as first and last number of each run; ``missing`` is ascending, each number once."""
    grouped: list[tuple[int, int]] = []
    for number in missing:
        if grouped and number == grouped[-1][1] + 1:
            grouped[-1] = (grouped[-1][0], number)
        else:
            grouped.append((number, number))
    return grouped


def positions(n: int) -> list[float]:
    """Places in the gap, from 0 (slice before) to 1 (slice after), at which ``n`` missing slices are interpolated.

    The k-th slice belongs at k / (n + 1); the places are the nearest ones that d = ceil(log2(n + 1)) halvings reach,
    j / 2^d. They all differ: 1/2 for one slice; 1/4, 3/4 for two; 1/4, 1/2, 3/4 for three.

    Raises:
        ValueError: ``n`` is below 1.
    """
    steps, numerators = _dyadic(n)
    return [numerator / steps for numerator in numerators]


def fill_run(before: np.ndarray, after: np.ndarray, n: int, interpolate: Interpolate) -> list[np.ndarray]:
    """Interpolate ``n`` missing slices between two known ones.

    Every slice is interpolated from the two that halve the gap around it, known or interpolated before; none that
    is not needed, and none twice.

    Args:
        before: the known slice before them, of shape (Y, X).
        after: the known slice after them, of the same shape.
        n: how many are missing.
        interpolate: gives the slice in the middle of two.

    Returns:
        The slices, in their order, as ``interpolate`` gives them, at the places that `positions` tells.

    Raises:
        ValueError: ``n`` is below 1.
    """
    steps, numerators = _dyadic(n)
    known = {0: before, steps: after}

    def slice_at(numerator: int) -> np.ndarray:
        if numerator not in known:
            # The lowest bit is the distance to the two that this one halves.
            half = numerator & -numerator
            known[numerator] = interpolate(slice_at(numerator - half), slice_at(numerator + half))
        return known[numerator]

    return [slice_at(numerator) for numerator in numerators]


def _dyadic(n: int) -> tuple[int, list[int]]:
    """2^d and the j of the places j / 2^d."""
    if n < 1:
        raise ValueError(f"n: found {n}, expected at least one missing slice")
    steps = 1 << n.bit_length()
    # Rounded; no place lies half-way between two.
    return steps, [(2 * k * steps + n + 1) // (2 * (n + 1)) for k in range(1, n + 1)]

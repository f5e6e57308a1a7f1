"""Runs of missing slices are filled by halving the gap between the known ones."""

import numpy as np
import pytest

from aeanet_tf.sections.repair import fill_run, positions, runs


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1 / 2]),
        (2, [1 / 4, 3 / 4]),
        (3, [1 / 4, 1 / 2, 3 / 4]),
        (4, [1 / 4, 3 / 8, 5 / 8, 3 / 4]),
        (7, [k / 8 for k in range(1, 8)]),
    ],
)
def test_places_are_the_nearest_that_halving_reaches(n, expected):
    assert positions(n) == expected


@pytest.mark.parametrize("n", range(1, 70))
def test_places_differ_rise_and_are_the_nearest_ones(n):
    found = positions(n)
    depth = int(np.ceil(np.log2(n + 1)))
    grid = np.arange(2**depth + 1) / 2**depth
    wanted = np.arange(1, n + 1) / (n + 1)
    np.testing.assert_array_equal(found, grid[np.abs(grid[None] - wanted[:, None]).argmin(1)])
    assert len(found) == n and found[0] > 0 and found[-1] < 1 and (np.diff(found) > 0).all()


def counted():
    calls = []

    def middle(before, after):
        calls.append((float(before[0, 0]), float(after[0, 0])))
        return (before + after) / 2

    return middle, calls


@pytest.mark.parametrize("n", range(1, 20))
def test_a_linear_interpolation_gives_the_places_themselves(n):
    middle, calls = counted()
    found = fill_run(np.zeros((2, 3)), np.ones((2, 3)), n, middle)
    assert [float(one[0, 0]) for one in found] == positions(n)
    assert all(one.shape == (2, 3) for one in found)
    assert len(set(calls)) == len(calls) < 2 ** n.bit_length()


def test_only_what_is_needed_is_interpolated_once():
    expected = {
        1: [(0, 1)],
        2: [(0, 1), (0, 1 / 2), (1 / 2, 1)],
        3: [(0, 1), (0, 1 / 2), (1 / 2, 1)],
        # neither 1/8 nor 7/8
        4: [(0, 1), (0, 1 / 2), (1 / 4, 1 / 2), (1 / 2, 1), (1 / 2, 3 / 4)],
    }
    for n, pairs in expected.items():
        middle, calls = counted()
        fill_run(np.zeros((1, 1)), np.ones((1, 1)), n, middle)
        assert sorted(calls) == sorted(pairs)


def test_less_than_one_slice_is_a_mistake():
    with pytest.raises(ValueError, match="n: found 0"):
        positions(0)
    with pytest.raises(ValueError, match="n: found -1"):
        fill_run(np.zeros((1, 1)), np.ones((1, 1)), -1, np.maximum)


def test_missing_slices_in_a_row_are_a_run():
    assert runs([]) == []
    assert runs([7, 12, 13, 15, 16, 17]) == [(7, 7), (12, 13), (15, 17)]

"""Missing slices are found to lie between known ones, and runs of them are filled by halving the gap."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.slice_repair import check_missing, fill_run, positions, runs


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
    with pytest.raises(ValueError, match="n: got 0"):
        positions(0)
    with pytest.raises(ValueError, match="n: got -1"):
        fill_run(np.zeros((1, 1)), np.ones((1, 1)), -1, np.maximum)


def test_missing_slices_in_a_row_are_a_run():
    assert runs([]) == []
    assert runs([7, 12, 13, 15, 16, 17]) == [(7, 7), (12, 13), (15, 17)]


def test_missing_slices_are_sorted_and_counted_once():
    assert check_missing([13, 7, 12, 7], 15) == [7, 12, 13]
    assert check_missing([], 15) == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ([3, 30], r"^--missing: slice 30, expected 0 to 29: the stack has 30 slices$"),
        ([-1], "slice -1, expected 0 to 29"),
        ([0, 4], "slice 0 is the first of the stack, expected slices with one before and one after"),
        ([4, 29], "slice 29 is the last of the stack"),
        (range(30), "all 30 slices"),
    ],
)
def test_slices_without_two_neighbours_are_refused(missing, message):
    with pytest.raises(InputError, match=message):
        check_missing(missing, 30)


def test_the_option_is_named():
    with pytest.raises(InputError, match=r"^--test: slice 5, expected 0 to 4"):
        check_missing([5], 5, "--test")

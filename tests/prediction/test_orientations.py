"""Orientations are the group that they are said to be, for arrays and for what is read in parts."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.orientations import FlippedArray, Orientation, mirrored, orientations


def seen(turns, array, axes, net_axes):
    """What a network that wants ``net_axes`` is given in each orientation."""
    found = []
    for turn in turns:
        names = turn.axes(axes)
        found.append(turn.turned(array, axes).transpose([names.index(a) for a in net_axes]))
    return found


@pytest.mark.parametrize(("axes", "net_axes"), [("YX", "YX"), ("XY", "YX"), ("TYX", "TYX"), ("YCX", "YXC")])
def test_flips_are_all_turns_and_reflections(axes, net_axes):
    array = np.random.default_rng(0).random([{"Y": 3, "X": 4, "T": 2, "C": 2}[a] for a in axes])
    plain = array.transpose([axes.index(a) for a in net_axes])
    y, x = net_axes.index("Y"), net_axes.index("X")
    expected = [np.rot90(one, k, (y, x)) for one in (plain, plain.swapaxes(y, x)) for k in range(4)]
    found = seen(orientations("flips", net_axes, True), array, axes, net_axes)
    assert len({one.tobytes() + bytes(one.shape) for one in found}) == 8
    assert {one.tobytes() + bytes(one.shape) for one in found} == {one.tobytes() + bytes(one.shape) for one in expected}
    np.testing.assert_array_equal(found[0], plain)


def test_z_doubles_them_and_a_grid_that_differs_halves_them():
    assert len(orientations("flips", "ZYX", True)) == 8
    both = orientations("flips-z", "ZYX", True)
    assert len(set(both)) == 16 and sum("Z" in turn.flipped for turn in both) == 8
    assert orientations("flips", "YX", False) == [Orientation(False, f) for f in ("", "X", "Y", "YX")]
    assert orientations(None, "YX", True) == [Orientation()]


def test_what_is_turned_is_turned_back():
    array = np.random.default_rng(0).random((2, 3, 4, 5))
    for turn in orientations("flips-z", "ZYX", True):
        there = turn.turned(array, "ZYTX")
        np.testing.assert_array_equal(turn.flipped_back(there, turn.axes("ZYTX")), array)
        # Of a projection, with channels that the image lacks.
        projected = turn.flipped_back(there.sum(0)[..., None], turn.axes("YTX"))
        np.testing.assert_allclose(projected[..., 0], array.sum(0))


def test_parts_are_read_where_they_lie():
    array = np.random.default_rng(0).random((5, 6, 7))
    read = []

    class Lazy:
        shape, ndim, dtype, chunks = array.shape, array.ndim, array.dtype, (1, 2, 3)

        def __getitem__(self, slices):
            read.append(slices)
            return array[slices]

    flipped = FlippedArray(Lazy(), (0, 2))
    assert (flipped.shape, flipped.ndim, flipped.dtype, flipped.chunks) == ((5, 6, 7), 3, array.dtype, (1, 2, 3))
    part = slice(1, 3), slice(0, 6), slice(4, 7)
    np.testing.assert_array_equal(flipped[part], array[::-1, :, ::-1][part])
    assert read == [(slice(2, 4), slice(0, 6), slice(0, 3))]
    assert mirrored(mirrored(part, array.shape, (0, 2)), array.shape, (0, 2)) == part


@pytest.mark.parametrize(
    ("ensemble", "axes", "message"),
    [
        ("rotations", "YX", "ensemble: found 'rotations', expected one of flips, flips-z"),
        ("flips-z", "YX", "ensemble: found 'flips-z', expected 'flips': the model's axes YX have no Z"),
    ],
)
def test_others_are_refused(ensemble, axes, message):
    with pytest.raises(InputError, match=message):
        orientations(ensemble, axes, True)

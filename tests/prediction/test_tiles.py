import numpy as np
import pytest

from aeanet_tf.prediction.job import cut_evenly, tiles


def cut(size, n_tiles, divisor, radius):
    return tiles(size, cut_evenly(size, n_tiles, divisor), divisor, radius)


@pytest.mark.parametrize(
    ("size", "n_tiles", "divisor", "radius"),
    [
        ((100, 76), (3, 2), (4, 4), (22, 22)),
        ((7, 96, 80), (1, 6, 5), (1, 16, 16), (0, 87, 87)),
        ((8,), (2,), (4,), (1,)),
    ],
)
def test_inner_parts_cover_the_image_once_and_begin_on_the_grid(size, n_tiles, divisor, radius):
    found = cut(size, n_tiles, divisor, radius)
    assert len(found) == np.prod(n_tiles)
    covered = np.zeros(size, int)
    for tile in found:
        covered[tile.target] += 1
        assert all(
            start % step == 0 and stop % step == 0 for (start, stop), step in zip(tile.read, divisor, strict=True)
        )
    assert (covered == 1).all()


def test_halos_reach_as_far_as_the_radius_but_not_beyond_the_image():
    first, middle, last = cut((120,), (3,), (4,), (22,))
    assert (first.read, first.inner) == (((0, 64),), ((0, 40),))
    assert (middle.read, middle.inner) == (((16, 104),), ((24, 64),))
    assert (last.read, last.inner) == (((56, 120),), ((24, 64),))


def test_tiles_differ_by_one_step_at_most():
    widths = {tile.inner[0][1] - tile.inner[0][0] for tile in cut((100,), (7,), (4,), (0,))}
    assert widths == {12, 16}


def test_inner_parts_off_the_grid_read_from_the_grid():
    """The last stage may cut as the chunks of a file are cut."""
    first, last = tiles((120,), [[1, 57, 118]], (8,), (22,))
    assert (first.read, first.inner) == (((0, 80),), ((1, 57),))
    assert (last.read, last.inner) == (((32, 120),), ((25, 86),))
    assert (first.target, last.target) == ((slice(1, 57),), (slice(57, 118),))

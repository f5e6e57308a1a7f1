"""Simulated tissue: what is said of it holds, and a seed gives it again."""

import numpy as np
import pytest

from aeanet_tf.datasets.simulated import INSIDE, MEMBRANE, epithelium, fluorescent_tissue, grow_cells, serial_sections


@pytest.fixture(scope="module")
def sections():
    return serial_sections((6, 96, 96), seed=3)


@pytest.mark.parametrize(("shape", "size"), [((80, 90), (20, 20)), ((24, 48, 60), (12, 24, 24))])
def test_walls_are_where_cells_meet(shape, size):
    cells, wall = grow_cells(shape, size, seed=1)
    assert cells.shape == wall.shape == shape and wall.dtype == np.float32 and wall.min() >= 0
    # As many as fit, and those that are cut off at the borders.
    across = np.divide(shape, size)
    assert 0.7 * np.prod(across) < len(np.unique(cells)) < np.prod(across + 2)
    for axis in range(len(shape)):
        first, second = (np.take(cells, range(*ends), axis) for ends in ((0, shape[axis] - 1), (1, shape[axis])))
        nearest = np.minimum(*(np.take(wall, range(*ends), axis) for ends in ((0, shape[axis] - 1), (1, shape[axis]))))
        # Half a pixel of the last axis, in shares of a cell, and what the deformation makes of it.
        assert nearest[first != second].max() < 3 * size[-1] / size[axis]
        assert np.median(nearest[first != second]) < 0.5 * np.median(nearest[first == second])


def test_a_seed_gives_the_same_and_another_one_something_else(sections):
    np.testing.assert_array_equal(serial_sections((6, 96, 96), seed=3)[0], sections[0])
    assert (serial_sections((6, 96, 96), seed=4)[1] != sections[1]).mean() > 0.1


def test_fluorescent_tissue_has_bright_walls():
    tissue = fluorescent_tissue((12, 40, 48), seed=2)
    _, wall = grow_cells((12, 40, 48), (12, 28, 28), seed=2)
    assert tissue.dtype == np.float32 and tissue.min() >= 0 and tissue.max() == 1
    assert tissue[wall < 0.5].mean() > 3 * tissue[wall > 5].mean()


def test_the_sheet_is_in_the_volume_and_debris_is_not_in_the_sheet():
    volume, sheet = epithelium((20, 64, 80), seed=5)
    assert volume.shape == (20, 64, 80) and sheet.shape == (64, 80) and 0 <= volume.min() <= volume.max() <= 1
    bright = sheet > 0.8
    # Where it is brightest it has its own brightness, which may lie between two planes.
    assert (volume.max(axis=0)[bright] > 0.9 * sheet[bright]).all()
    height = volume.argmax(axis=0)[bright]
    assert 3 <= height.min() <= height.max() - 3 <= 8
    # A maximum along z shows the debris, too.
    assert (volume.max(axis=0) > sheet + 0.2).mean() > 0.02


def test_sections_have_dark_membranes_and_mitochondria_that_are_none(sections):
    images, labels = sections
    assert images.dtype == labels.dtype == np.uint8 and set(np.unique(labels)) == {MEMBRANE, INSIDE}
    assert 0.1 < (labels == MEMBRANE).mean() < 0.4
    inside, membranes = images[labels == INSIDE], images[labels == MEMBRANE]
    assert np.median(inside) - np.median(membranes) > 30
    assert (inside < 130).mean() > 0.01
    # Neighbours resemble each other more than distant ones.
    near, far = (np.corrcoef(images[0].ravel(), images[n].ravel())[0, 1] for n in (1, 5))
    assert near > 0.3 and near > far + 0.1

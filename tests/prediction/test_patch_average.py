"""Averages of overlapping patches are those of NumPy's sums over the whole image, and few rows are held for them."""

from itertools import product

import numpy as np
import pytest

from aeanet_tf.prediction.patch_average import averaged_patches, averaging_bytes, patch_starts

CASES = [
    # shape, size, step, batch; a step that does not divide, an image shorter than the patch, one that is the patch
    ((13, 17, 2), (5, 6), (2, 4), 3),
    ((16, 16, 1), (8, 8), (8, 8), 1),
    ((4, 19, 2), (6, 5), (1, 3), 4),
    ((9, 3, 1), (4, 5), (3, 5), 100),
    ((11, 8, 10, 2), (4, 4, 4), (1, 2, 3), 7),
    ((7, 9, 5, 3), (5, 3, 8), (5, 3, 7), 2),
    ((6, 6, 6, 1), (6, 6, 6), (2, 2, 2), 1),
    ((1, 9, 9, 1), (3, 4, 4), (2, 2, 2), 5),
]


class Source:
    """An image that is read in parts, and how far along the first axis it was."""

    def __init__(self, array):
        self.array, self.shape, self.seen, self.values = array, array.shape, 0, 0

    def __getitem__(self, slices):
        values = self.array[slices]
        self.seen, self.values = max(self.seen, slices[0].stop), self.values + values.size
        return values


def image(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def position_dependent(patches):
    """Two classes; what a patch gives depends on where in it a position lies, and on the patch as a whole."""
    ramp = np.arange(patches[0, ..., 0].size, dtype=np.float32).reshape(patches.shape[1:-1])
    whole = patches.mean(axis=tuple(range(1, patches.ndim)), keepdims=True)
    first = patches[..., 0] * (1 + ramp) + whole[..., 0]
    return np.stack([first, patches[..., -1] - ramp / 7], axis=-1)


def brute_force(array, predict, size, step):
    size = [min(n, s) for n, s in zip(array.shape, size, strict=False)]
    starts = []
    for n, s, d in zip(array.shape, size, step, strict=False):
        along = [a for a in range(0, n, d) if a + s <= n]
        starts.append(along if along[-1] + s == n else [*along, n - s])
    sums, counts = np.zeros((*array.shape[:-1], 2)), np.zeros((*array.shape[:-1], 1))
    for at in product(*starts):
        place = tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))
        sums[place] += predict(array[place][None])[0]
        counts[place] += 1
    assert counts.min() >= 1
    return sums / counts


@pytest.mark.parametrize(("shape", "size", "step", "batch"), CASES)
def test_every_position_is_the_mean_of_the_patches_that_cover_it(shape, size, step, batch):
    array, source, lines, given = image(shape), Source(image(shape)), [], []

    def predict(patches):
        given.append(patches.shape)
        assert patches.dtype == np.float32
        return position_dependent(patches)

    result, row = np.full((*shape[:-1], 2), np.nan, np.float32), 0
    for slices, values in averaged_patches(source, predict, size, step, batch, lambda *line: lines.append(line)):
        assert slices[0].start == row and slices[0].stop > row
        assert slices[1:] == tuple(slice(0, n) for n in shape[1:-1])
        assert values.dtype == np.float32 and values.shape == (slices[0].stop - row, *shape[1:-1], 2)
        result[slices], row = values, slices[0].stop
    assert row == shape[0]
    np.testing.assert_allclose(result, brute_force(array, position_dependent, size, step), rtol=2e-5, atol=2e-5)
    assert source.values == array.size, "each value is read once"
    assert lines == [("overlapping patches", len(given))] * len(given)
    counts = [len(patch_starts(*along)) for along in zip(shape, size, step, strict=False)]
    in_row = [min(batch, np.prod(counts[1:], dtype=int) - i) for i in range(0, np.prod(counts[1:], dtype=int), batch)]
    assert [n for n, *_ in given] == in_row * counts[0]
    assert {patch[1:-1] for patch in given} == {tuple(min(n, s) for n, s in zip(shape, size, strict=False))}


def test_what_depends_on_a_position_alone_is_left_as_it_is():
    array = image((21, 18, 19, 2))
    pieces = averaged_patches(array, lambda patches: 3 * patches**2, (8, 8, 8), (2, 2, 2), 16)
    result = np.concatenate([values for _, values in pieces])
    np.testing.assert_allclose(result, 3 * array**2, rtol=1e-5)


def test_rows_are_given_as_soon_as_no_patch_is_to_come():
    source = Source(image((40, 9, 1)))
    starts, held = [], []
    for slices, values in averaged_patches(source, lambda patches: patches, (8, 4), (3, 4)):
        starts.append(slices[0].start)
        held.append(source.seen - slices[0].start)
        # What was given is the caller's.
        values[...] = np.nan
    assert starts == [*range(0, 32, 3), 32] and set(held) == {8}
    source = Source(image((40, 9, 1)))
    (first, *_), values = next(averaged_patches(source, lambda patches: patches, (8, 4), (3, 4)))
    assert first == slice(0, 3) and source.seen == 8
    np.testing.assert_allclose(values, source.array[:3], rtol=1e-6)


def test_memory_is_that_of_the_rows_and_not_of_the_image():
    tracemalloc = pytest.importorskip("tracemalloc")
    shape, size = (128, 64, 64, 1), (8, 8, 8)
    source, classes = Source(np.zeros(shape, np.float32)), 4
    bound = averaging_bytes(shape, size, classes)
    assert bound == 4 * 8 * 64 * 64 * (1 + 2 * 4) and averaging_bytes((3, 5, 2), (8, 8), 3) == 4 * 3 * 5 * 8

    def predict(patches):
        return np.repeat(patches, classes, -1)

    tracemalloc.start()
    for _ in averaged_patches(source, predict, size, (4, 8, 8), 8):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the rows: batches, weights and slices.
    assert peak < bound + 2**19 < 4 * classes * 64 * 64 * 128 / 2


def test_patches_begin_every_step_and_end_with_the_image():
    assert patch_starts(32, 8, 8) == [0, 8, 16, 24]
    assert patch_starts(33, 8, 8) == [0, 8, 16, 24, 25]
    assert patch_starts(8, 8, 3) == patch_starts(5, 8, 3) == [0]
    assert patch_starts(144, 32, 8) == list(range(0, 113, 8))

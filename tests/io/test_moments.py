"""Mean and standard deviation of images read in pieces are NumPy's of the whole."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io import moments
from aeanet_tf.io import statistics as percentiles
from aeanet_tf.io.moments import streamed_mean_std


class Lazy:
    """An array that is read in parts only, and counts them."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.reads = array, chunks, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, slices):
        self.reads += 1
        return self.array[slices]


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "int32", "float32", "float64"])
@pytest.mark.parametrize("axes", ["ZYX", "ZCYX"])
def test_pieces_give_what_the_whole_gives(monkeypatch, dtype, axes):
    monkeypatch.setattr(percentiles, "PIECE_BYTES", 400)
    monkeypatch.setattr(moments, "_BLOCK", 37)
    rng = np.random.default_rng(0)
    array = (rng.random([{"Z": 5, "C": 3, "Y": 12, "X": 17}[a] for a in axes]) * 99).astype(dtype)
    lazy, lines = Lazy(array, (2, *(1 for _ in axes[1:]))), []
    mean, std = streamed_mean_std(lazy, axes, progress=lambda *line: lines.append(line))
    across = tuple(i for i, a in enumerate(axes) if a != "C")
    np.testing.assert_allclose(mean, np.atleast_1d(array.astype(float).mean(axis=across)), rtol=1e-12)
    np.testing.assert_allclose(std, np.atleast_1d(array.astype(float).std(axis=across)), rtol=1e-10)
    assert lazy.reads == len(lines) >= 3 and set(lines) == {("mean and standard deviation", len(lines))}


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "int32", "float32"])
@pytest.mark.parametrize(
    ("axes", "chunks"), [("ZYX", (2, 3, 17)), ("ZCYX", (2, 1, 1, 1)), ("CZYX", None), ("ZYXC", (5, 3, 4, 1))]
)
def test_of_what_is_not_empty_all_channels_count(monkeypatch, dtype, axes, chunks):
    monkeypatch.setattr(percentiles, "PIECE_BYTES", 400)
    monkeypatch.setattr(moments, "_BLOCK", 37)
    rng = np.random.default_rng(0)
    array = rng.random((5, 12, 17, 3)) * 99
    # Where a channel alone is empty it counts, and so it does where it is negative beside one above 0.
    array[:, 3:, :9] = 0
    array[2:, ..., 1] = -4 if dtype in ("int32", "float32") else 0
    array = (array if "C" in axes else array[..., :1]).astype(dtype)
    there = array.astype(float)[(array > 0).any(axis=-1)]
    assert 0 < len(there) < 5 * 12 * 17
    kept = np.einsum(f"zyxc->{axes.lower()}", array) if "C" in axes else array[..., 0]
    lazy = kept if chunks is None else Lazy(kept, chunks)
    mean, std = streamed_mean_std(lazy, axes, over="nonzero")
    np.testing.assert_allclose(mean, there.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, there.std(axis=0), rtol=1e-10)
    assert chunks is None or lazy.reads >= 3


def test_nothing_above_0_is_refused_and_so_is_what_is_not_finite_beside_it():
    with pytest.raises(InputError, match=r"^a\.tif: no position is above 0, expected some"):
        streamed_mean_std(np.full((4, 5), -1), "YX", "a.tif", over="nonzero")
    image = np.ones((30, 40), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        image[20, 3] = value
        with pytest.raises(InputError, match=r"^a\.tif: the image holds NaN or infinite values"):
            streamed_mean_std(image, "YX", "a.tif", over="nonzero")
    with pytest.raises(InputError, match=r"^over: got 'brain', expected 'all' or 'nonzero'"):
        streamed_mean_std(image, "YX", over="brain")


def test_a_large_offset_costs_no_digits():
    values = np.random.default_rng(0).normal(1e9, 1, (200, 300))
    mean, std = streamed_mean_std(values, "YX")
    assert mean == pytest.approx(values.mean(), rel=1e-15) and std == pytest.approx(values.std(), rel=1e-6)
    assert streamed_mean_std(np.full((3, 4), 7, np.uint8), "YX") == (7, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    image = np.zeros((30, 40), np.float32)
    image[20, 3] = value
    with pytest.raises(InputError, match=r"^a\.tif: the image holds NaN or infinite values"):
        streamed_mean_std(image, "YX", "a.tif")


def test_arrays_that_are_no_images():
    with pytest.raises(InputError, match="image: the image is empty"):
        streamed_mean_std(np.zeros((0, 3)), "YX")
    with pytest.raises(InputError, match="image: pixels of type complex128"):
        streamed_mean_std(np.zeros((2, 3), complex), "YX")

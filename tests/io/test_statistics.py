"""Percentiles of images read in pieces are those of the whole image."""

import pickle

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io import statistics
from aeanet_tf.io.statistics import streamed_mean_std, streamed_percentiles

WANTED = [0, 2, 33.3, 50, 99.8, 100]
DTYPES = "bool u1 u2 u4 u8 i1 i2 i4 i8 f2 f4 f8 >u2 >f4 >i8".split()


class Lazy:
    """An array that is only sliced, and remembers how."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.read = array, chunks, []
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, slices):
        assert len(slices) == self.ndim
        self.read.append(slices)
        return np.ascontiguousarray(self.array[slices])


def bits(dtype, shape, seed=0):
    """Values over the whole range of a dtype, with its extremes, zeros of both signs and subnormals."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    if dtype.kind == "b":
        return raw[..., 0] > 128
    values = raw.view(dtype)[..., 0].copy()
    if dtype.kind == "f":
        info = np.finfo(dtype.newbyteorder("="))
        # Half the range, so that the difference of two neighbours is finite, too.
        values[~np.isfinite(values) | (abs(values) > info.max / 4)] = -0.0
        values.flat[:6] = [info.smallest_subnormal, -info.smallest_subnormal, info.max / 4, -info.max / 4, 0.0, -1.0]
    else:
        info = np.iinfo(dtype)
        values.flat[:2] = [info.min, info.max]
    return values


def expected(array, q=WANTED):
    return np.percentile(array.astype(np.float64).ravel(), q)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_gives_numpys_percentiles(dtype):
    array = bits(dtype, (61, 43))
    found = streamed_percentiles(array, "YX", WANTED)
    assert found.shape == (len(WANTED), 1) and found.dtype == np.float64
    np.testing.assert_allclose(found[:, 0], expected(array), rtol=1e-13)
    if np.dtype(dtype).kind != "b":
        # Of an odd number of values these are values of the array, without interpolation.
        exact = streamed_percentiles(array, "YX", [0, 50, 100])[:, 0]
        np.testing.assert_array_equal(exact, np.sort(array.ravel())[[0, array.size // 2, -1]].astype(np.float64))


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
def test_ties_and_values_that_share_their_leading_digits(dtype):
    rng = np.random.default_rng(1)
    tied = rng.integers(0, 3, (40, 50)).astype(dtype)
    close = (1000 + rng.integers(0, 200, (40, 50)) * (1e-3 if dtype[0] == "f" else 1)).astype(dtype)
    for array in (tied, close, np.zeros((5, 7), dtype)):
        np.testing.assert_allclose(streamed_percentiles(array, "YX", WANTED)[:, 0], expected(array), rtol=1e-14)


def test_tiny_images_and_one_pixel():
    for size in range(1, 6):
        array = np.random.default_rng(size).standard_normal((1, size), np.float32)
        np.testing.assert_allclose(streamed_percentiles(array, "YX", WANTED)[:, 0], expected(array), rtol=1e-14)


@pytest.mark.parametrize("axes", ["CYX", "YXC", "YCX", "TZCYX"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_channels_are_apart_and_images_are_read_in_chunks(axes, dtype, monkeypatch):
    sizes = {"T": 2, "Z": 3, "C": 3, "Y": 21, "X": 18}
    array = bits(dtype, [sizes[a] for a in axes])
    channels = np.moveaxis(array, axes.index("C"), 0)
    wanted = np.stack([expected(channel) for channel in channels], 1)
    chunk = {"T": 1, "Z": 1, "C": 2, "Y": 8, "X": 5}
    # Room for one chunk, for some, and for the image.
    for room in (1, 2000, 2**26):
        monkeypatch.setattr(statistics, "PIECE_BYTES", room)
        lazy, lines = Lazy(array, tuple(chunk[a] for a in axes)), []
        found = streamed_percentiles(lazy, axes, WANTED, progress=lambda *line: lines.append(line))  # noqa: B023
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
        passes = 1 if dtype == "u2" else 2
        assert len(lines) == len(lazy.read) == lines[0][1]
        assert [line for line, _ in lines[:: len(lines) // passes]] == [
            f"percentiles, pass {n + 1} of {passes}" for n in range(passes)
        ]
        # Each pass covers every pixel once, and every piece begins at a chunk.
        seen = np.zeros(array.shape, int)
        for slices in lazy.read:
            seen[slices] += 1
            assert all(s.start % chunk[a] == 0 for s, a in zip(slices, axes, strict=True))
        assert (seen == passes).all()
        assert len(lazy.read) > passes or room == 2**26


def test_numpy_arrays_are_read_in_pieces_without_their_strides(monkeypatch):
    monkeypatch.setattr(statistics, "PIECE_BYTES", 500)
    array = bits("f4", (40, 30))
    for view in (array.T, array[::2, ::-1]):
        np.testing.assert_allclose(streamed_percentiles(view, "YX", WANTED)[:, 0], expected(view), rtol=1e-14)


def test_blocks_within_a_piece_add_up(monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK", 7)
    array = bits("f4", (10, 31))
    np.testing.assert_allclose(streamed_percentiles(array, "YX", WANTED)[:, 0], expected(array), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(dtype, value):
    array = np.zeros((4, 5), dtype)
    array.flat[0], array.flat[1] = np.finfo(dtype).max, np.finfo(dtype).min
    assert streamed_percentiles(array, "YX", [0])[0, 0] == np.finfo(dtype).min
    array[3, 4] = value
    with pytest.raises(InputError, match=r"^a\.tif: the image holds NaN or infinite values, expected finite ones$"):
        streamed_percentiles(array, "YX", [50], path="a.tif")
    with pytest.raises(InputError, match=r"^image: "):
        streamed_percentiles(array, "YX", [50])


def test_what_has_no_percentiles_is_refused():
    with pytest.raises(InputError, match="complex64, expected integers or floats"):
        streamed_percentiles(np.zeros((2, 2), np.complex64), "YX", [50])
    with pytest.raises(InputError, match=r"empty, its shape is \(0, 2\)"):
        streamed_percentiles(np.zeros((0, 2)), "YX", [50])
    for wrong in (-1, 100.5, np.nan):
        with pytest.raises(InputError, match=r"percentiles: .*expected numbers from 0 to 100"):
            streamed_percentiles(np.zeros((2, 2)), "YX", [50, wrong])


class Counted:
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
    monkeypatch.setattr(statistics, "PIECE_BYTES", 400)
    monkeypatch.setattr(statistics, "_CONVERTED", 37)
    rng = np.random.default_rng(0)
    array = (rng.random([{"Z": 5, "C": 3, "Y": 12, "X": 17}[a] for a in axes]) * 99).astype(dtype)
    lazy, lines = Counted(array, (2, *(1 for _ in axes[1:]))), []
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
    monkeypatch.setattr(statistics, "PIECE_BYTES", 400)
    monkeypatch.setattr(statistics, "_CONVERTED", 37)
    rng = np.random.default_rng(0)
    array = rng.random((5, 12, 17, 3)) * 99
    # Where a channel alone is empty it counts, and so it does where it is negative beside one above 0.
    array[:, 3:, :9] = 0
    array[2:, ..., 1] = -4 if dtype in ("int32", "float32") else 0
    array = (array if "C" in axes else array[..., :1]).astype(dtype)
    there = array.astype(float)[(array > 0).any(axis=-1)]
    assert 0 < len(there) < 5 * 12 * 17
    kept = np.einsum(f"zyxc->{axes.lower()}", array) if "C" in axes else array[..., 0]
    lazy = kept if chunks is None else Counted(kept, chunks)
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
    with pytest.raises(InputError, match=r"^over: found 'brain', expected one of 'all', 'nonzero'"):
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
    with pytest.raises(InputError, match="image: found pixels of type complex128"):
        streamed_mean_std(np.zeros((2, 3), complex), "YX")


class Elsewhere:
    """Workers that have nothing but what is sent to them; see `Cluster.each`."""

    def __init__(self, at_once):
        self.at_once, self.parts = at_once, 0

    def each(self, function, items):
        for start in range(0, len(items), self.at_once):
            sent = pickle.loads(pickle.dumps((function, items[start : start + self.at_once])))
            self.parts += 1
            yield len(sent[1]), pickle.loads(pickle.dumps(sent[0](sent[1])))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_workers_find_the_same_percentiles(dtype, monkeypatch):
    monkeypatch.setattr(statistics, "PIECE_BYTES", 400 * np.dtype(dtype).itemsize)
    array = bits(dtype, (50, 40, 2))
    seen, workers = [], Elsewhere(2)
    found = streamed_percentiles(
        Lazy(array, (10, 10, 1)), "YXC", WANTED, None, lambda *facts: seen.append(facts), workers
    )
    np.testing.assert_array_equal(found, streamed_percentiles(array, "YXC", WANTED))
    passes = max(1, np.dtype(dtype).itemsize // 2)
    # Pieces of one channel: one that a part lacks has no least value there.
    assert workers.parts == 5 * passes and len(seen) == seen[0][1] == 10 * passes


@pytest.mark.parametrize("over", ["all", "nonzero"])
def test_workers_find_the_same_mean_and_deviation(over, monkeypatch):
    monkeypatch.setattr(statistics, "PIECE_BYTES", 3200)
    array = np.random.default_rng(5).normal(1000, 3, (50, 40, 2)) * (np.arange(50) % 3 > 0)[:, None, None]
    workers = Elsewhere(3)
    lazy = Lazy(array, (10, 10, 1))
    for found, alone in zip(
        streamed_mean_std(lazy, "YXC", over=over, workers=workers),
        streamed_mean_std(lazy, "YXC", over=over),
        strict=True,
    ):
        np.testing.assert_allclose(found, alone, rtol=1e-12)
    assert workers.parts > 2


def test_workers_find_what_is_not_finite():
    array = np.ones((30, 30), "float32")
    array[17, 3] = np.inf
    for function in (streamed_mean_std, lambda *args, **kwargs: streamed_percentiles(*args, [2], "a.tif", **kwargs)):
        with pytest.raises(InputError, match="NaN or infinite"):
            function(array, "YX", workers=Elsewhere(1))

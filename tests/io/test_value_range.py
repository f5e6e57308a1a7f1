"""The range to normalise by: percentiles where they differ, wider ones where they coincide."""

import logging

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.value_range import measurable, streamed_range, wider_percentiles


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.WARNING, "aeanet_tf")
    return caplog


def sparse(share, value=3000, background=0, size=100, dtype="uint16"):
    """A square image of which a share of the pixels, from the middle on, has a value."""
    image = np.full(size * size, background, dtype)
    image[image.size // 2 :][: round(share * image.size)] = value
    return image.reshape(size, size)


def range_of(image, axes="YX", percentiles=(2, 99.8)):
    return [values.tolist() for values in streamed_range(image, axes, percentiles, "a.tif")]


def test_percentiles_that_differ_are_taken_as_they_are(said):
    image = np.random.default_rng(0).integers(0, 4000, (50, 60)).astype("uint16")
    low, high = np.percentile(image, (2, 99.8))
    assert range_of(image) == [[low], [high]]
    # A hot pixel far above them is no reason for others.
    image[3, 3] = 65535
    low, high = np.percentile(image, (2, 99.8))
    assert range_of(image) == [[low], [high]] and not said.records


@pytest.mark.parametrize(
    ("image", "expected", "what"),
    [
        (sparse(0.001), (0, 3000), "percentiles 0.2 and 99.98"),
        (sparse(0.00015, size=1000), (0, 3000), "percentiles 0.02 and 99.998"),
        # One pixel of 64 x 64, of which percentile 99.98 is 0.18 of the way to it.
        (sparse(1 / 4096, 5000, 100, 64), (100, 100 + 4900 * (4095 * 0.9998 - 4094)), "percentiles 0.2 and 99.98"),
        (sparse(1e-6, 5000, 100, 1000), (100, 5000), "minimum and maximum"),
        # Saturated, with some darker pixels; a background that was subtracted, of both signs.
        (sparse(0.001, 10, 255, dtype="uint8"), (10, 255), "percentiles 0.02 and 99.998"),
        (sparse(0.001, 300.5, -1.5, dtype="float32"), (-1.5, 300.5), "percentiles 0.2 and 99.98"),
        (sparse(0.001, True, False, dtype=bool), (0, 1), "percentiles 0.2 and 99.98"),
        # Types whose differences NumPy would wrap.
        (sparse(0.001, 127, -128, dtype="int8"), (-128, 127), "percentiles 0.2 and 99.98"),
        (sparse(0.001, 2**62, -(2**62), dtype="int64"), (-(2.0**62), 2.0**62), "percentiles 0.2 and 99.98"),
    ],
)
def test_percentiles_that_coincide_give_way_to_wider_ones(said, image, expected, what):
    low, high = range_of(image)
    assert (*low, *high) == pytest.approx(expected, rel=1e-9)
    (message,) = said.messages
    assert message.startswith("a.tif: percentiles 2 and 99.8 coincide") and what in message


def test_what_rounding_leaves_between_two_percentiles_is_no_range(said):
    # Percentile 99.8 of 501 values lies 1e-13 of the way from the background to the signal.
    image = np.zeros((1, 501), "float32")
    image[0, 500] = 1e6
    between = np.percentile(image.astype("float64"), 100 * (499 + 1e-13) / 500)
    assert 0 < between < 1e-6
    low, high = range_of(image, percentiles=(2, 100 * (499 + 1e-13) / 500))
    assert low == [0] and high[0] > 1e4 and len(said.messages) == 1


@pytest.mark.parametrize(
    ("dtype", "outlier"),
    [("uint16", 65535), ("uint32", 2**32 - 1), ("int64", -(2**60)), ("float32", 1e30), ("float32", -3.4e38)],
)
def test_an_absurd_pixel_does_not_take_the_scale_from_all_others(said, dtype, outlier):
    """What wrapped below 0, a fill value: the percentiles differ as they did before."""
    image = np.random.default_rng(0).integers(90, 110, (80, 80)).astype(dtype)
    image[7, 7] = outlier
    low, high = np.percentile(image.astype("float64"), (2, 99.8))
    assert range_of(image) == [[low], [high]] and not said.records
    # Not so what rounding leaves of a background, beside real signal.
    noisy = np.random.default_rng(0).random((80, 80)) * 1e-12
    noisy[:3, :20] = 3000
    assert range_of(noisy)[1] == [3000] and not said.records
    noisy[0, 10:] = noisy[1:3] = 0
    assert range_of(noisy)[1][0] == pytest.approx(3000) and len(said.records) == 1


def test_each_channel_has_its_own_and_constants_have_none(said):
    rng = np.random.default_rng(0)
    image = np.stack([rng.integers(0, 200, (100, 100)), sparse(0.001), np.full((100, 100), 7)]).astype("uint16")
    for axes, array in (("CYX", image), ("YXC", np.moveaxis(image, 0, -1))):
        said.clear()
        low, high = range_of(array, axes)
        expected = np.percentile(image[0], (2, 99.8))
        assert (low, high) == ([expected[0], 0, 7], [expected[1], 3000, 7])
        assert [message.split(":")[0] for message in said.messages] == ["a.tif, channel 1", "a.tif, channel 2"]
        assert "constant, 7 everywhere" in said.messages[1]


def test_the_fallback_reads_once_more_and_only_then():
    class Counted:
        shape, dtype, ndim, chunks = (100, 100), np.dtype("uint16"), 2, (100, 100)
        reads = 0

        def __init__(self, array):
            self.array = array

        def __getitem__(self, slices):
            self.reads += 1
            return self.array[slices]

    for array, expected in ((np.arange(10000).reshape(100, 100), 1), (sparse(0), 1), (sparse(0.001), 2)):
        counted = Counted(array.astype("uint16"))
        streamed_range(counted, "YX", (2, 99.8))
        assert counted.reads == expected


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39, -1e300])
def test_what_float32_cannot_hold_is_refused(wrong):
    image = np.zeros((20, 20))
    image[3, 4] = wrong
    expected = "NaN or infinite" if not np.isfinite(wrong) else "expected at most 3.4e.38, as float32 holds"
    with pytest.raises(InputError, match=rf"^a\.tif: .*{expected}"):
        range_of(image)


def test_differences_below_float32_are_refused_and_small_ones_are_a_range(said):
    image = np.random.default_rng(0).random((20, 20))
    with pytest.raises(InputError, match=r"^a\.tif: found values that differ by .*e-301, expected more than 1.18e-38"):
        range_of(image * 1e-300)
    low, high = range_of(image * 1e-30)
    assert (*low, *high) == pytest.approx(1e-30 * np.percentile(image, (2, 99.8))) and not said.records


def test_wider_percentiles_end_with_the_extremes():
    for low, high in ((0, 100), (2, 99.8), (0, 50), (99.99, 99.999)):
        pairs = wider_percentiles(low, high)
        assert pairs[-1] == (0, 100)
        assert all(a <= low and b >= high for a, b in pairs)


def test_numpy_computes_the_percentiles_of_what_is_measurable():
    """NumPy 2 wraps differences of signed integers, overflows in float16, and knows none of bool."""
    for array in (
        np.array([-128] * 50 + [127] * 50, "int8"),
        np.array([-30000] * 50 + [30000] * 50, "int16"),
        np.array([-(2**31)] * 50 + [2**31 - 1] * 50, "int32"),
        np.array([-(2**62)] * 50 + [2**62] * 50, "int64"),
        np.arange(60000).astype("float16"),
        np.arange(100) > 50,
    ):
        expected = np.percentile(array.astype("float64"), 49.9)
        assert np.percentile(measurable(array), 49.9) == pytest.approx(expected, rel=1e-5)
    kept = np.arange(5, dtype="int16")
    assert measurable(kept) is kept

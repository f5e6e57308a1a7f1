"""The normaliser is CSBDeep's, number by number, and gives finite ones where CSBDeep's does not."""

import pickle

import numpy as np
import pytest
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import Image
from aeanet_tf.models.normalizers import (
    RangeNormalizer,
    StandardNormalizer,
    fit_normalizer,
    make_normalizer,
    normalized,
)
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.preparation import NormalizationSection
from tests.io.test_value_range import sparse


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("axes", ["YX", "CYX", "YXC"])
def test_the_numbers_are_csbdeeps(dtype, axes):
    rng = np.random.default_rng(0)
    image = (rng.random([{"C": 2, "Y": 40, "X": 31}[a] for a in axes]) * 100).astype(dtype)
    image.flat[7] = 120  # A hot pixel.
    for options in ({}, {"pmin": 1, "pmax": 90}, {"dtype": np.float64}, {"clip": True}):
        own, theirs = SafePercentileNormalizer(**options), PercentileNormalizer(**options)
        normal = own.before(image, axes)
        expected = theirs.before(image, axes)
        assert normal.dtype == expected.dtype
        np.testing.assert_array_equal(normal, expected)
        for found, wanted in zip(own.after(normal, normal, axes), theirs.after(normal, normal, axes), strict=True):
            np.testing.assert_array_equal(found, wanted)


SPARSE = {
    "one cell": sparse(0.001),
    "hot pixel": sparse(1e-4, 5000, 100),
    "saturated": sparse(0.001, 10, 255, dtype="uint8"),
    "subtracted": sparse(0.001, 80.25, -3.5, dtype="float32"),
    "float16": sparse(0.001, 60000, -60000, dtype="float16"),
    "bool": sparse(0.001, True, False, dtype=bool),
    "wrapping": sparse(0.001, 127, -128, dtype="int8"),
    "constant": sparse(0, background=500),
    "constant float": sparse(0, background=0.1, dtype="float64"),
    "zeros": sparse(0),
    # Ranges that exist in float64 and not in float32.
    "large": 1e9 + np.arange(10000).reshape(100, 100) % 40,
    "int64": (10**15 + np.arange(10000) % 40).reshape(100, 100),
    "wide": np.linspace(-3e38, 3e38, 10000).reshape(100, 100),
    "small": np.linspace(0, 1e-25, 10000).reshape(100, 100).astype("float32"),
}


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.filterwarnings("error")
def test_every_image_becomes_finite_numbers_and_comes_back(name):
    """In arrays as in files, piece by piece: what comes back is the image, to what float32 holds of it."""
    image = SPARSE[name]
    normalizer = SafePercentileNormalizer()
    normal = normalizer.before(image, "YX")
    assert normal.dtype == np.float32 and np.isfinite(normal).all() and np.abs(normal).max() <= 1e6
    values = image.astype("float64")
    if np.ptp(values):
        # Whatever there is to see, is there to see.
        assert 0.1 < np.ptp(normal) < 1e4
        np.testing.assert_allclose((values - values.min()) / np.ptp(values), (normal - normal.min()) / np.ptp(normal),
                                   atol=1e-6)  # fmt: skip
    else:
        assert not normal.any()
    back, scale = normalizer.after(normal, np.full_like(normal, 0.1), "YX")
    tolerance = 1e-6 * max(np.ptp(values), np.spacing(np.float32(np.abs(values).max())) * 1e6)
    np.testing.assert_allclose(back, values, atol=tolerance, rtol=1e-6)
    assert np.isfinite(scale).all()
    fitted = fit_normalizer(NormalizationSection(), Image(image, "YX", path="a.tif"), "YXC")
    fitted, late = (pickle.loads(pickle.dumps(fitted)) for _ in range(2))
    for rows in (slice(60, 100), slice(0, 60)):
        piece = fitted.before(image[rows, :, None], "YXC")[..., 0]
        np.testing.assert_allclose(piece, normal[rows], rtol=1e-5, atol=1e-6)
        # By a worker that has not seen the image.
        there, _ = late.after(piece[..., None], None, "YXC")
        np.testing.assert_allclose(there[..., 0], back[rows], atol=tolerance, rtol=1e-5)


def test_of_a_constant_whatever_is_predicted_comes_back_as_the_constant():
    normalizer = SafePercentileNormalizer()
    assert not normalizer.before(np.full((8, 8), 7, "uint16"), "YX").any()
    mean, scale = normalizer.after(np.float32([[0.3, -2]]), np.float32([[1, 2]]), "YX")
    assert mean.tolist() == [[7, 7]] and scale.tolist() == [[0, 0]]


def test_one_channel_does_not_change_another():
    rng = np.random.default_rng(0)
    ordinary = rng.integers(0, 1000, (100, 100))
    image = np.stack([ordinary, sparse(0.001)], axis=-1).astype("uint16")
    normal = SafePercentileNormalizer().before(image, "YXC")
    expected = PercentileNormalizer().before(ordinary.astype("uint16"), "YX")
    np.testing.assert_allclose(normal[..., 0], expected, rtol=1e-6)
    assert set(np.unique(normal[..., 1])) == {0, 1}


def test_csbdeeps_own_is_replaced_where_it_is_given_and_still_knows_its_image():
    given = PercentileNormalizer(1, 99)
    safe = SafePercentileNormalizer.of(given)
    image = np.arange(100.0).reshape(10, 10)
    safe.before(image, "YX")
    assert (given.mi.item(), given.ma.item()) == pytest.approx(tuple(np.percentile(image, (1, 99))))
    np.testing.assert_array_equal(given.after(image, None, "YX")[0], safe.after(image, None, "YX")[0])

    class Mine(PercentileNormalizer):
        pass

    for other in (Mine(), RangeNormalizer(0, 1), None):
        assert SafePercentileNormalizer.of(other) is other


def test_a_constant_has_deviation_0_however_its_mean_is_rounded(caplog):
    image = np.full((100, 100, 2), 0.1)
    image[..., 1] = np.arange(10000).reshape(100, 100)
    expected = (image[..., 1] - 4999.5) / np.sqrt((10000**2 - 1) / 12)
    fitted = fit_normalizer(NormalizationSection(kind="standard"), Image(image, "YXC", path="a.tif"), "YXC")
    for normal in (normalized(StandardNormalizer(), image, "YXC", "a.tif"), fitted.before(image, "YXC")):
        assert np.abs(normal[..., 0]).max() < 1e-12
        np.testing.assert_allclose(normal[..., 1], expected, rtol=1e-5, atol=1e-6)
    assert caplog.messages == ["a.tif: constant, in some channel at least; it is taken as 0"] * 2


def test_what_is_not_finite_once_it_is_normalised_is_refused_by_name():
    section = NormalizationSection(kind="range", low=0, high=1e-30)
    image = np.full((4, 4), 1e20, "float32")
    with pytest.raises(InputError, match=r"^a\.tif: values of 1e\+20 to 1e\+20 are not finite once"):
        normalized(make_normalizer(section), image, "YX", "a.tif")

    class Broken(PercentileNormalizer):
        def before(self, x, axes):
            return x / np.zeros(1, "float32")

    with pytest.raises(InputError, match=r"^image: values of"):
        normalized(Broken(), image, "YX", None)

"""Normalisation of a run: forth for training, forth and back for prediction."""

import pickle

import numpy as np
import pytest
from csbdeep.data import NoNormalizer, PercentileNormalizer
from csbdeep.utils import move_image_axes

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import Image
from aeanet_tf.models.normalizers import (
    OneWayNormalizer,
    RangeNormalizer,
    StandardNormalizer,
    fit_normalizer,
    make_normalizer,
)
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.image_data import network_image


def test_a_range_is_mapped_to_0_and_1_and_back():
    image = np.array([[10, 60], [110, 210]], np.uint8)
    normalizer = RangeNormalizer(10, 110)
    normal = normalizer.before(image, "YX")
    np.testing.assert_allclose(normal, [[0, 0.5], [1, 2]], rtol=1e-6)
    assert normal.dtype == np.float32
    mean, scale = normalizer.after(normal, np.full((2, 2), 0.1, np.float32), "YX")
    np.testing.assert_allclose(mean, image, rtol=1e-6)
    np.testing.assert_allclose(scale, 10, rtol=1e-6)  # A scale is stretched and not shifted.
    assert normalizer.after(normal, None, "YX")[1] is None
    assert normalizer.do_after


def test_every_kind_has_its_normalizer():
    percentile = make_normalizer(NormalizationSection(low=1, high=99))
    assert isinstance(percentile, PercentileNormalizer) and (percentile.pmin, percentile.pmax) == (1, 99)
    default = make_normalizer(NormalizationSection())
    assert (default.pmin, default.pmax) == (2, 99.8), "CSBDeep's"
    ranged = make_normalizer(NormalizationSection(kind="range", low=0, high=255))
    assert ranged.before(np.array([255], np.uint8), "X") == pytest.approx(1)
    assert isinstance(make_normalizer(NormalizationSection(kind="standard")), StandardNormalizer)
    none = make_normalizer(NormalizationSection(kind="none"))
    assert isinstance(none, NoNormalizer) and not none.do_after


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("axes", ["YX", "CYX", "YXC"])
def test_a_fitted_normalizer_does_to_pieces_what_csbdeep_does_to_the_image(dtype, axes):
    rng = np.random.default_rng(0)
    array = (rng.random([{"C": 3, "Y": 40, "X": 31}[a] for a in axes]) * 120).astype(dtype)
    whole = PercentileNormalizer(3, 99)
    net = move_image_axes(array, axes, "YXC", True)
    expected = whole.before(net, "YXC")
    fitted = fit_normalizer(NormalizationSection(low=3, high=99), Image(array, axes), "YXC")
    fitted = pickle.loads(pickle.dumps(fitted))
    assert fitted.do_after and (fitted.pmin, fitted.pmax) == (3, 99)
    # Backwards, since nothing may depend on the order.
    mean, scale = rng.standard_normal((2, *net.shape)).astype(np.float32)
    for rows in (slice(25, 40), slice(0, 25)):
        piece = fitted.before(net[rows], "YXC")
        assert piece.dtype == np.float32
        np.testing.assert_allclose(piece, expected[rows], rtol=1e-5, atol=1e-6)
        for found, wanted in zip(
            fitted.after(mean[rows], scale[rows], "YXC"), whole.after(mean, scale, "YXC"), strict=True
        ):
            np.testing.assert_allclose(found, wanted[rows], rtol=1e-5, atol=1e-4)
    assert fitted.after(mean, None, "YXC")[1] is None
    other = fitted.before(np.moveaxis(net, -1, 0), "CYX")
    np.testing.assert_allclose(other, np.moveaxis(expected, -1, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", ["YXC", "CYX"])
def test_standardised_images_have_mean_0_and_deviation_1_in_every_channel(axes):
    rng = np.random.default_rng(0)
    image = np.moveaxis(rng.random((40, 31, 2)) * (5, 300) + (1000, -7), -1, axes.index("C"))
    normalizer = StandardNormalizer()
    normal = normalizer.before(image, axes)
    assert normal.dtype == np.float32
    across = tuple(i for i, a in enumerate(axes) if a != "C")
    np.testing.assert_allclose(normal.mean(axis=across), 0, atol=1e-6)
    np.testing.assert_allclose(normal.std(axis=across), 1, rtol=1e-5)
    np.testing.assert_array_equal(normalizer.before(np.full((4, 5, 1), 9, np.uint8), "YXC"), 0)
    # Its unit is not that of the input.
    assert not normalizer.do_after
    with pytest.raises(ValueError, match="not mapped back"):
        normalizer.after(normal, None, axes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("axes", ["YX", "CYX"])
def test_a_fitted_standard_normalizer_does_to_pieces_what_is_done_to_the_image(dtype, axes):
    array = (np.random.default_rng(0).random([{"C": 2, "Y": 40, "X": 31}[a] for a in axes]) * 120).astype(dtype)
    net = move_image_axes(array, axes, "YXC", True)
    expected = StandardNormalizer().before(net, "YXC")
    section, lines = NormalizationSection(kind="standard"), []
    fitted = fit_normalizer(section, Image(array, axes), "YXC", lambda *line: lines.append(line))
    assert lines == [("mean and standard deviation", 1)]
    fitted = pickle.loads(pickle.dumps(fitted))
    assert not fitted.do_after
    for rows in (slice(25, 40), slice(0, 25)):
        piece = fitted.before(net[rows], "YXC")
        assert piece.dtype == np.float32
        np.testing.assert_allclose(piece, expected[rows], rtol=1e-6, atol=1e-6)
    other = fitted.before(np.moveaxis(net, -1, 0), "CYX")
    np.testing.assert_allclose(other, np.moveaxis(expected, -1, 0), rtol=1e-6, atol=1e-6)


def head(axes="ZYXC", dtype=np.uint16):
    """T1 and T2 of a round head without its skull, and the voxels that are not empty."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in (11, 14, 13)), indexing="ij"))
    there = np.linalg.norm(places, axis=0) < 0.7
    rng = np.random.default_rng(0)
    image = np.where(there[..., None], rng.random((*there.shape, 2)) * (200, 3000) + (30, 500), 0)
    # A voxel of one channel only belongs to the head.
    image[there & (places[0] > 0.5), 0] = 0
    return move_image_axes(image.astype(dtype), "ZYXC", axes, True), there


@pytest.mark.parametrize("axes", ["ZYXC", "CZYX"])
def test_the_head_has_mean_0_and_deviation_1_cropped_or_not(axes):
    image, there = head(axes)
    normalizer = make_normalizer(NormalizationSection(kind="standard", over="nonzero"))
    normal = normalizer.before(image, axes)
    assert normal.dtype == np.float32 and not normalizer.do_after
    for c in range(2):
        given, found = (np.moveaxis(values, axes.index("C"), 0)[c] for values in (image, normal))
        values = given[there].astype(float)
        mean = sum(values.tolist()) / values.size
        deviation = (sum((value - mean) ** 2 for value in values.tolist()) / values.size) ** 0.5
        # What is empty is mapped as the head is.
        np.testing.assert_allclose(found, (given - mean) / deviation, rtol=1e-5, atol=1e-6)
        assert found[there].mean() == pytest.approx(0, abs=1e-6) and found[there].std() == pytest.approx(1, rel=1e-5)
    box = [slice(2, -2)] * 3
    box.insert(axes.index("C"), slice(None))
    assert there.sum() == (there[2:-2, 2:-2, 2:-2]).sum() < there[2:-2, 2:-2, 2:-2].size
    np.testing.assert_allclose(normalizer.before(image[tuple(box)], axes), normal[tuple(box)], rtol=1e-6, atol=1e-7)
    # Over all voxels it would not be so.
    assert np.abs(StandardNormalizer().before(image[tuple(box)], axes) - normal[tuple(box)]).max() > 0.1


def test_what_is_fitted_over_the_head_does_the_same_to_pieces():
    image, _ = head()
    section = NormalizationSection(kind="standard", over="nonzero")
    expected = make_normalizer(section).before(image, "ZYXC")
    fitted = pickle.loads(pickle.dumps(fit_normalizer(section, Image(np.moveaxis(image, -1, 1), "ZCYX"), "ZYXC")))
    for rows in (slice(7, 11), slice(0, 7)):
        np.testing.assert_allclose(fitted.before(image[rows], "ZYXC"), expected[rows], rtol=1e-6, atol=1e-7)
    # Without a channel axis, and where a channel has one value.
    plain = make_normalizer(section).before(np.array([[0, 3, 5]]), "YX")
    np.testing.assert_allclose(plain, [[-4, -1, 1]])
    np.testing.assert_array_equal(make_normalizer(section).before(np.full((3, 4, 5, 2), 7.0), "ZYXC"), 0)
    empty = np.zeros((3, 4))
    with pytest.raises(InputError, match=r"^image: no position is above 0"):
        make_normalizer(section).before(empty, "YX")
    with pytest.raises(InputError, match=r"^a\.hdr: no position is above 0"):
        fit_normalizer(section, Image(empty, "YX", path="a.hdr"), "YXC")
    with pytest.raises(InputError, match=r"^a\.hdr: no position is above 0"):
        network_image(Image(empty, "YX", path="a.hdr"), "YXC", 1, make_normalizer(section))


def test_one_way_there_is_no_way_back():
    image = np.arange(12).reshape(3, 4)
    other = RangeNormalizer(2, 6)
    normalizer = pickle.loads(pickle.dumps(OneWayNormalizer(other)))
    np.testing.assert_array_equal(normalizer.before(image, "YX"), other.before(image, "YX"))
    np.testing.assert_array_equal(normalizer(image, "YX"), (image - 2) / 4)
    assert other.do_after and not normalizer.do_after
    with pytest.raises(ValueError, match="not mapped back"):
        normalizer.after(image, None, "YX")


def test_only_percentiles_and_moments_read_the_image():
    image = Image(None, "YX")
    ranged = fit_normalizer(NormalizationSection(kind="range", low=1, high=3), image, "YXC")
    assert (ranged.low, ranged.high) == (1, 3)
    assert isinstance(fit_normalizer(NormalizationSection(kind="none"), image, "YXC"), NoNormalizer)
    lines = []
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    fit_normalizer(NormalizationSection(), Image(array, "YX"), "YXC", lambda *line: lines.append(line))
    assert lines == [("percentiles, pass 1 of 2", 2), ("percentiles, pass 2 of 2", 2)]
    array[0, 0] = np.inf
    with pytest.raises(InputError, match=r"^a\.tif: the image holds NaN or infinite values"):
        fit_normalizer(NormalizationSection(), Image(array, "YX", path="a.tif"), "YXC")


@pytest.mark.parametrize(("low", "high"), [(0, 1e39), (-1e39, 0), (-3e38, 3e38), (0, 1e-39), (1e300, 2e300)])
def test_a_range_is_one_that_float32_holds(low, high):
    with pytest.raises(ValueError, match="are no range that float32 holds"):
        NormalizationSection(kind="range", low=low, high=high)

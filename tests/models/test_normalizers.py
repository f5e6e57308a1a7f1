"""Normalisation of a run: forth for training, forth and back for prediction."""

import numpy as np
import pytest
from csbdeep.data import NoNormalizer, PercentileNormalizer

from aeanet_tf.models.normalizers import RangeNormalizer, make_normalizer
from aeanet_tf.models.run_config import NormalizationSection


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
    assert normalizer.do_after and not RangeNormalizer(0, 1, do_after=False).do_after


def test_every_kind_has_its_normalizer():
    percentile = make_normalizer(NormalizationSection(low=1, high=99))
    assert isinstance(percentile, PercentileNormalizer) and (percentile.pmin, percentile.pmax) == (1, 99)
    default = make_normalizer(NormalizationSection())
    assert (default.pmin, default.pmax) == (2, 99.8), "CSBDeep's"
    ranged = make_normalizer(NormalizationSection(kind="range", low=0, high=255))
    assert ranged.before(np.array([255], np.uint8), "X") == pytest.approx(1)
    none = make_normalizer(NormalizationSection(kind="none"))
    assert isinstance(none, NoNormalizer) and not none.do_after

"""Mixtures of Laplace distributions against SciPy: sums of its distributions, and numerical integration."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from aeanet_tf.prediction.mixtures import LaplaceMixture, laplace_interval

RNG = np.random.default_rng(0)
MEANS, SCALES = RNG.normal(0, 2, (3, 4, 5)), RNG.gamma(4, 0.25, (3, 4, 5))
MIXTURE = LaplaceMixture(MEANS, SCALES)
PIXEL = (1, 2)


def members(pixel=PIXEL):
    return tuple(array[(slice(None), *pixel)] for array in (MEANS, SCALES))


def integral(function, means):
    """Over all that matters, in pieces between the means, where a Laplace density has its tips."""
    edges = [-60, *sorted(means), 60]
    return sum(integrate.quad(function, *ends, limit=200)[0] for ends in pairwise(edges))


def test_density_and_moments():
    means, scales = members()
    density = lambda x: stats.laplace.pdf(x, means, scales).mean()  # noqa: E731
    pixel = MIXTURE[PIXEL]
    assert pixel.pdf(0.3) == pytest.approx(density(0.3)) and np.exp(pixel.logpdf(0.3)) == pytest.approx(density(0.3))
    mean = integral(lambda x: x * density(x), means)
    variance = integral(lambda x: (x - mean) ** 2 * density(x), means)
    assert pixel.mean() == pytest.approx(mean) and MIXTURE.mean()[PIXEL] == pytest.approx(mean)
    assert MIXTURE.std()[PIXEL] == pytest.approx(np.sqrt(variance))
    assert MIXTURE.scale()[PIXEL] == pytest.approx(np.sqrt(variance / 2))
    assert pixel.cdf(0.3) == pytest.approx(integral(lambda x: density(x) * (x < 0.3), [*means, 0.3]), abs=1e-6)
    assert pixel.cdf(0.3) + pixel.sf(0.3) == pytest.approx(1)


@pytest.mark.parametrize("q", [0.01, 0.3, 0.5, 0.999])
def test_quantiles_are_the_inverse_of_the_distribution(q):
    means, scales = MEANS.astype("float32"), SCALES.astype("float32")
    found = LaplaceMixture(means, scales).ppf(q)
    assert found.dtype == np.float32 and found.shape == (4, 5)
    np.testing.assert_allclose(stats.laplace.cdf(found, MEANS, SCALES).mean(0), q, atol=1e-6)


def test_intervals_are_central_and_those_of_one_member_its_own():
    low, high = MIXTURE.interval(0.9)
    np.testing.assert_allclose(MIXTURE.cdf(high) - MIXTURE.cdf(low), 0.9, atol=1e-7)
    np.testing.assert_allclose(MIXTURE.cdf(low), 0.05, atol=1e-7)
    expected = stats.laplace.interval(0.9, MEANS[0], SCALES[0])
    np.testing.assert_allclose(LaplaceMixture(MEANS[:1], SCALES[:1]).interval(0.9), expected, rtol=1e-6)
    np.testing.assert_allclose(laplace_interval(MEANS[0], SCALES[0], 0.9), expected)
    with pytest.raises(ValueError, match="q: found 1"):
        MIXTURE.ppf(1)


@pytest.mark.parametrize("pixel", [(0, 0), (1, 2), (3, 4)])
def test_the_disagreement_is_the_mean_divergence_from_the_mixture(pixel):
    """Of CARE's paper: Kullback-Leibler divergences, normalised by the logarithm of the number of members."""
    means, scales = members(pixel)

    def term(x, i):
        own = stats.laplace.logpdf(x, means, scales)
        return np.exp(own[i]) * (own[i] - np.log(np.exp(own).mean()))

    expected = np.mean([integral(lambda x, i=i: term(x, i), means) for i in range(3)]) / np.log(3)
    assert 0.01 < expected < 0.9
    assert MIXTURE.disagreement()[pixel] == pytest.approx(expected, abs=5e-3)


def test_members_that_are_equal_agree_and_distant_ones_do_not():
    same = LaplaceMixture(np.zeros((2, 3)), np.ones((2, 3)))
    apart = LaplaceMixture([np.zeros(3), np.full(3, 1e4)], np.ones((2, 3)))
    np.testing.assert_allclose(same.disagreement(), 0, atol=1e-9)
    np.testing.assert_allclose(apart.disagreement(), 1, atol=1e-6)
    assert not LaplaceMixture(np.ones((1, 3)), np.ones((1, 3))).disagreement().any()


def test_samples_have_the_distribution():
    pixel = LaplaceMixture(*(np.repeat(values[:, None], 100000, 1) for values in members()))
    sample = pixel.rvs(0)
    assert sample.shape == pixel.shape == (100000,)
    for q in (0.1, 0.5, 0.9):
        assert (sample < MIXTURE[PIXEL].ppf(q)).mean() == pytest.approx(q, abs=5e-3)
    first, second = MIXTURE.sampling_generator(2, 0)
    assert first.shape == (4, 5) and (first != second).all()


def test_it_is_indexed_as_an_image():
    assert MIXTURE.shape == (4, 5) and MIXTURE.ndim == 2 and MIXTURE.size == 20 and len(MIXTURE) == 4
    np.testing.assert_array_equal(MIXTURE[1:3, 2].mean(), MEANS.mean(0)[1:3, 2])
    with pytest.raises(ValueError, match=r"shapes \(3, 4, 5\) and \(4, 5\)"):
        LaplaceMixture(MEANS, SCALES[0])

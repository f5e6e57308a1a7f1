"""Sums that are updated member by member against NumPy's statistics of all members together."""

import numpy as np
import pytest

from aeanet_tf.prediction.ensemble_statistics import EnsembleStatistics


def summed(statistics, means, scales=None):
    state = None
    for member, mean in enumerate(means):
        scale = None if scales is None else scales[member]
        before = state and {name: array.copy() for name, array in state.items()}
        new = statistics.update(state, member, mean, scale)
        assert tuple(new) == statistics.fields
        # Once more gives the same, and nothing was changed: a tile may be written twice.
        again = statistics.update(state, member, mean, scale)
        assert all((new[name] == again[name]).all() for name in new)
        assert state is None or all((state[name] == before[name]).all() for name in state)
        state = new
    return statistics.results(state)


def predictions(models, turns, offset=0.0):
    rng = np.random.default_rng(0)
    of_models = rng.normal(0, 2, (models, 1, 50, 3))
    return (offset + of_models + rng.normal(0, 1, (models, turns, 50, 3))).astype("float32")


@pytest.mark.parametrize(("models", "turns"), [(1, 1), (1, 8), (2, 1), (5, 1), (3, 4), (2, 16)])
def test_mean_and_deviation_of_the_models(models, turns):
    x = predictions(models, turns)
    found = summed(EnsembleStatistics(models, turns, disagreement=models > 1), x.reshape(-1, 50, 3))
    assert found.scale is None and found.mean.dtype == np.float32
    np.testing.assert_allclose(found.mean, x.mean((0, 1)), atol=1e-5)
    if models == 1:
        assert found.disagreement is None
    else:
        np.testing.assert_allclose(found.disagreement, x.mean(1).std(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("models", "turns"), [(1, 8), (4, 1), (2, 4)])
def test_the_scale_keeps_the_variance_of_the_mixture(models, turns):
    x = predictions(models, turns)
    b = np.random.default_rng(1).gamma(2, 0.5, x.shape).astype("float32")
    found = summed(EnsembleStatistics(models, turns, scale=True), x.reshape(-1, 50, 3), b.reshape(-1, 50, 3))
    variance = np.mean(2 * b.astype(float) ** 2 + x.astype(float) ** 2, (0, 1)) - x.astype(float).mean((0, 1)) ** 2
    np.testing.assert_allclose(found.scale, np.sqrt(variance / 2), rtol=1e-5)
    # And so does a sample of it.
    rng = np.random.default_rng(2)
    sample = rng.laplace(x[:, :, 0, 0, None], b[:, :, 0, 0, None], (models, turns, 200000))
    assert np.sqrt(sample.var() / 2) == pytest.approx(found.scale[0, 0], rel=0.02)


def test_one_member_is_its_own_distribution():
    x, b = predictions(1, 1)[0, 0], np.full((50, 3), 0.7, "float32")
    found = summed(EnsembleStatistics(1, 1, scale=True), [x], [b])
    np.testing.assert_array_equal(found.mean, x)
    np.testing.assert_allclose(found.scale, b, rtol=1e-6)


@pytest.mark.parametrize("turns", [1, 8])
def test_intensities_with_an_offset_do_not_cancel(turns):
    """16 bit intensities around 60000: squares of them have no digits left for a deviation of 2."""
    x = predictions(4, turns, offset=60000)
    b = np.full(x.shape, 0.01, "float32")
    statistics = EnsembleStatistics(4, turns, scale=True, disagreement=True)
    found = summed(statistics, x.reshape(-1, 50, 3), b.reshape(-1, 50, 3))
    exact = x.astype("float64")
    np.testing.assert_allclose(found.disagreement, exact.mean(1).std(0), rtol=2e-2, atol=1e-2)
    np.testing.assert_allclose(found.scale, np.sqrt(exact.var((0, 1)) / 2 + b[0, 0] ** 2), rtol=2e-2, atol=1e-2)
    assert not np.isnan(found.scale).any()


def test_what_agrees_has_no_disagreement():
    x = np.full((9, 2), 12345.678, "float32")
    found = summed(EnsembleStatistics(3, 8, disagreement=True), [x] * 24)
    np.testing.assert_array_equal(found.mean, x)
    assert not found.disagreement.any()

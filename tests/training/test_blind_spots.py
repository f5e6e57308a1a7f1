"""Which pixels are hidden from a network, by what, and what the loss sees of them."""

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import PatchSampler
from aeanet_tf.training.blind_spots import BlindSpots
from aeanet_tf.training.noisy_patches import (
    HiddenPixelLoss,
    HiddenPixelSampler,
    HiddenPixelValidationSet,
    SwappingSampler,
)


def numbered(shape):
    """A patch whose values are the places of its pixels."""
    return np.arange(np.prod(shape), dtype="float32").reshape(*shape, 1)


def moves(spots, shape, rounds, seed=0):
    """Of many patches: places of replaced pixels, and where their values come from, both ``(n, ndim)``; counts of how
    often each pixel was hidden."""
    rng, patch = np.random.default_rng(seed), numbered(shape)
    places, sources, counts = [], [], np.zeros(shape, int)
    for _ in range(rounds):
        seen, hidden = spots.hide(rng, patch)
        changed = seen[..., 0] != patch[..., 0]
        places.append(np.argwhere(changed))
        sources.append(np.stack(np.unravel_index(seen[changed][:, 0].astype(int), shape), -1))
        counts += hidden
    return np.concatenate(places), np.concatenate(sources), counts


@pytest.mark.parametrize(("shape", "share", "radius"), [((16, 12), 0.25, 2), ((8, 8, 8), 0.125, 1)])
def test_pixels_are_hidden_evenly_by_others_nearby(shape, share, radius):
    rounds = 1000 if len(shape) == 2 else 400
    places, sources, counts = moves(BlindSpots(share, radius), shape, rounds)
    steps = sources - places
    assert steps.any(axis=1).all(), "never by itself"
    assert np.abs(steps).max() == radius
    assert len(places) == counts.sum(), "what is hidden is replaced, and nothing else"
    # Boxes are whole here: each pixel is hidden with this chance, in one box, independently of other rounds.
    expected, deviation = rounds * share, np.sqrt(rounds * share * (1 - share))
    assert abs(counts.mean() - expected) < 1e-9
    assert np.abs(counts - expected).max() < 4.5 * deviation
    assert counts.std() < 1.3 * deviation
    # In the middle of a patch each of the other pixels takes the place equally often.
    middle = steps[((places >= radius) & (places < np.array(shape) - radius)).all(axis=1)]
    found = np.unique(middle, axis=0, return_counts=True)[1]
    kinds = (2 * radius + 1) ** len(shape) - 1
    assert len(found) == kinds
    # Those in the same box are never hidden together, hence drawn a little more often than others.
    assert 0.8 < found.min() * kinds / len(middle) < found.max() * kinds / len(middle) < 1.4


def test_no_hidden_pixel_is_shown_elsewhere():
    """What the loss sees has no copy in the input: neither at its place nor as the value of another pixel."""
    rng, patch = np.random.default_rng(1), numbered((20, 20))
    for _ in range(50):
        seen, hidden = BlindSpots(0.4, 2).hide(rng, patch)
        assert not np.isin(patch[hidden], seen).any()
        np.testing.assert_array_equal(seen[~hidden], patch[~hidden])


def test_lines_of_correlated_noise_are_hidden_whole():
    spots, patch = BlindSpots(0.01, 2, axis=1, extent=3), numbered((24, 40))
    rng = np.random.default_rng(0)
    for _ in range(50):
        seen, hidden = spots.hide(rng, patch)
        expected = np.zeros(hidden.shape, bool)
        for y, x in np.argwhere(hidden):
            expected[y, max(0, x - 3) : x + 4] = True
        np.testing.assert_array_equal(seen[..., 0] != patch[..., 0], expected)
        rows = seen[..., 0].astype(int) // 40
        assert (rows != np.arange(24)[:, None])[expected].all(), "by values of other lines"


def test_shares_that_leave_too_little_are_refused():
    with pytest.raises(InputError, match=r"blind_spots\.share"):
        BlindSpots(0.6)
    with pytest.raises(InputError, match=r"at most 0\.1"):
        BlindSpots(0.2, axis=0, extent=2)
    with pytest.raises(InputError, match="expected more pixels"):
        BlindSpots(0.5).hide(np.random.default_rng(0), numbered((1, 1)))


def images(count=3, shape=(12, 14), channels=2):
    rng = np.random.default_rng(5)
    return [rng.random((*shape, channels)).astype("float32") for _ in range(count)]


def test_batches_of_hidden_pixels_turn_with_their_targets():
    X = images()
    data = {"patch_size": (8, 8), "seed": 3}
    sampler = HiddenPixelSampler(X, X, 4, 5, spots=BlindSpots(0.2), **data)
    x, y = sampler[2]
    assert x.shape == (4, 8, 8, 2) and y.shape == (4, 8, 8, 3)
    weights = y[..., 2]
    np.testing.assert_allclose(weights.mean(axis=(1, 2)), 1, rtol=1e-6)
    hidden = weights > 0
    np.testing.assert_array_equal(x[~hidden], y[..., :2][~hidden])
    assert (x[hidden] != y[..., :2][hidden]).any(axis=-1).all()
    # A function of seed and step alone, as all batches.
    resumed = HiddenPixelSampler(X, X, 4, 5, spots=BlindSpots(0.2), start=2, **data)
    for one, other in zip(resumed[0], (x, y), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(sampler[3][0], x)
    with pytest.raises(InputError, match="augmenter"):
        HiddenPixelSampler(X, X, 4, 5, spots=BlindSpots(0.2), augment=lambda x, y: (x, y), **data)


def test_lines_turn_with_the_patch():
    """Noise along X is hidden along X of the image, also where patches are turned by 90 degrees."""
    X = [numbered((16, 16))]
    sampler = HiddenPixelSampler(X, X, 8, 1, (16, 16), spots=BlindSpots(0.005, 2, axis=1, extent=4))
    x, y = sampler[0]
    turned = 0
    for seen, target in zip(x, y, strict=True):
        rows, replaced = target[..., 0].astype(int) // 16, seen[..., 0] != target[..., 0]
        for row in np.unique(rows[replaced]):
            assert replaced[rows == row].sum() >= 5
        turned += int(rows[0, 0] != rows[0, 1])
    assert 0 < turned < 8


def test_validation_hides_the_same_pixels_every_time():
    X = images(5)
    sets = [HiddenPixelValidationSet(X, X, 4, most, spots=BlindSpots(0.2)) for most in (None, 300)]
    batches = [np.concatenate([part[i][0] for i in range(len(part))]) for part in sets]
    np.testing.assert_array_equal(batches[0], batches[1])
    whole = np.concatenate([sets[1].images(i)[0] for i in range(len(sets[1]))])
    np.testing.assert_array_equal(whole, np.stack([x[:, 1:13] for x in X]))
    assert 0.05 < (batches[0] != whole).any(axis=-1).mean() < 0.3


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_only_hidden_pixels_have_a_gradient(name):
    import tensorflow as tf

    X = images(channels=1)
    x, y = HiddenPixelSampler(X, X, 2, 1, (8, 8), spots=BlindSpots(0.2))[0]
    loss = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(HiddenPixelLoss(name)))
    prediction = tf.Variable(x + 0.25)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(y, prediction))
    hidden, error = y[..., 1] > 0, (x + 0.25 - y[..., :1])[..., 0]
    each = error**2 if name == "mse" else np.abs(error)
    np.testing.assert_allclose(value, np.mean([e[h].mean() for e, h in zip(each, hidden, strict=True)]), rtol=1e-5)
    gradient = tape.gradient(value, prediction).numpy()[..., 0]
    assert (gradient[~hidden] == 0).all() and (gradient[hidden] != 0).all()


def test_either_image_of_a_pair_is_the_input():
    X = images(4, channels=1)
    Y = [x + 10 for x in X]
    x, y = SwappingSampler(X, Y, 40, 1, (8, 8), seed=1)[0]
    swapped = x.mean(axis=(1, 2, 3)) > 5
    assert 8 <= swapped.sum() <= 32
    np.testing.assert_allclose(np.abs(x - y), 10, rtol=1e-5)
    np.testing.assert_array_equal(np.where(swapped, y.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3))) < 5, True)
    # Those who are trained with truth draw as before.
    plain = PatchSampler(X, Y, 4, 1, (8, 8), seed=1)
    assert (plain[0][0].mean(axis=(1, 2, 3)) < 5).all()

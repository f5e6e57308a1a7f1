import random

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import adam, reduce_on_plateau, seed_everything, staircase, warmup_cosine


def test_staircase_of_the_paper():
    schedule = staircase(4e-4, 0.5, 10_000)
    steps = [0, 9_999, 10_000, 19_999, 20_000, 119_999]
    rates = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(rates, [4e-4, 4e-4, 2e-4, 2e-4, 1e-4, 4e-4 / 2**11], rtol=1e-6)


def test_warmup_and_cosine():
    schedule = warmup_cosine(2e-3, 100, warmup=0.1, final=0.05)
    rates = np.array([float(schedule(step)) for step in range(101)])
    rising = 2e-5 + (2e-3 - 2e-5) * np.arange(11) / 10
    falling = 2e-3 * (0.05 + 0.95 * (1 + np.cos(np.pi * np.arange(91) / 90)) / 2)
    np.testing.assert_allclose(rates, [*rising[:10], *falling], rtol=1e-5)
    assert float(schedule(500)) == pytest.approx(1e-4)
    plain = warmup_cosine(1.0, 4, warmup=0)
    np.testing.assert_allclose([float(plain(s)) for s in range(5)], [1, 0.853553, 0.5, 0.146447, 0], atol=1e-6)
    # One step has no room to rise.
    assert float(warmup_cosine(1.0, 1, warmup=0.9)(0)) == 1


def _step(gradients, names=("kernel", "bias"), **options):
    """Changes of two weights of 1 by one step of `adam`."""
    weights = [keras.Variable(np.ones(3, "float32"), name=name) for name in names]
    optimizer = adam(0.1, **options)
    optimizer.build(weights)
    optimizer.apply([keras.ops.convert_to_tensor(np.asarray(g, "float32")) for g in gradients], weights)
    return optimizer, [np.asarray(keras.ops.convert_to_numpy(weight)) - 1 for weight in weights]


def test_gradients_are_clipped_by_their_common_norm():
    # Adam's first step does not see a gradient's length; with a large epsilon it does.
    def first(gradient):
        return -0.1 * np.sqrt(0.001) * gradient / (np.sqrt(0.001) * gradient + 1)

    long, short = [30, 0, 0], [0, 40, 0]
    _, (a, b) = _step([long, short], epsilon=1.0, clip_norm=5.0)
    np.testing.assert_allclose(a, [first(3), 0, 0], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(b, [0, first(4), 0], rtol=1e-3, atol=1e-7)
    _, (a, _) = _step([long, short], epsilon=1.0)
    assert a[0] == pytest.approx(first(30), rel=1e-3)


def test_weight_decay_is_of_kernels_alone():
    zero = [[0, 0, 0]] * 2
    _, (kernel, bias) = _step(zero, weight_decay=0.5)
    np.testing.assert_allclose(kernel, -0.1 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(bias, 0)
    _, (references, _) = _step(zero, names=("nl_library", "beta"), weight_decay=0.5)
    np.testing.assert_array_equal(references, 0)
    # Also of a copy.
    optimizer, _ = _step(zero, weight_decay=0.5)
    copy = type(optimizer).from_config(optimizer.get_config())
    bias = keras.Variable(np.ones(3, "float32"), name="bias")
    copy.build([bias])
    copy.apply([keras.ops.zeros(3)], [bias])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bias), 1)


def test_the_average_is_kept_beside_the_weights():
    optimizer, _ = _step([[1, 1, 1]] * 2, average=0.75)
    weights = optimizer._trainable_variables
    first = np.asarray(keras.ops.convert_to_numpy(weights[0]))
    optimizer.apply([keras.ops.ones(3)] * 2)
    optimizer.finalize_variable_values(weights)
    second = first - 0.1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights[0]), 0.75 * first + 0.25 * second, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [{}, {"epsilon": 1e-3}])
def test_adam_against_its_formula_in_tensorflow_1(epsilon):
    """Three steps with gradients of epsilon's size, where 1e-8 and Keras's 1e-7 differ by a factor."""
    rng = np.random.default_rng(0)
    size = epsilon.get("epsilon", 1e-8)
    weight = keras.Variable(np.ones(4, "float32"))
    optimizer = adam(1e-2, beta_1=0.5, **epsilon)
    optimizer.build([weight])
    expected, m, v = np.ones(4), 0.0, 0.0
    for step in range(1, 4):
        gradient = (rng.normal(size=4) * size).astype("float32")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient.astype(float) ** 2
        rate = 1e-2 * np.sqrt(1 - 0.999**step) / (1 - 0.5**step)
        expected = expected - rate * m / (np.sqrt(v) + size)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=2e-6)
    assert np.abs(expected - 1).max() > 1e-4


def test_adam_takes_a_schedule():
    assert float(adam(staircase(1e-3, 0.5, 10)).learning_rate) == pytest.approx(1e-3)


def test_plateau_defaults_are_csbdeeps():
    csbdeep = pytest.importorskip("csbdeep.models")
    ours, theirs = reduce_on_plateau(), csbdeep.Config("YX").train_reduce_lr
    assert (ours.factor, ours.patience, ours.min_delta) == (theirs["factor"], theirs["patience"], theirs["min_delta"])
    changed = reduce_on_plateau(patience=3, monitor="loss")
    assert (changed.factor, changed.patience, changed.monitor) == (0.5, 3, "loss")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: staircase(0, 0.5, 10), "initial: found 0"),
        (lambda: staircase(1e-3, 0.5, 2.5), "steps: found 2.5"),
        (lambda: warmup_cosine(0, 10), "peak: found 0"),
        (lambda: warmup_cosine(1e-3, 2.5), "steps: found 2.5"),
        (lambda: warmup_cosine(1e-3, 10, warmup=1), "warmup: found 1, expected a share"),
        (lambda: warmup_cosine(1e-3, 10, final=-1), "final: found -1, expected a share"),
        (lambda: adam(1e-3, clip_norm=0), "clip_norm: found 0"),
        (lambda: adam(1e-3, weight_decay=-1), "weight_decay: found -1"),
        (lambda: adam(1e-3, average=1), "average: found 1, expected a number between 0 and 1"),
        (lambda: adam("fast"), "learning_rate: found 'fast'"),
        (lambda: adam(1e-3, epsilon=0), "epsilon: found 0"),
        (lambda: reduce_on_plateau(patiense=3), "reduce_lr: found patiense, expected some of"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_same_seed_same_weights_and_numbers():
    def draw(seed):
        seed_everything(seed)
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        return np.concatenate([layer.get_weights()[0].ravel(), np.random.rand(2), [random.random()]])  # noqa: NPY002

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.isclose(draw(1), draw(2)).any()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, True])
def test_bad_seed(seed):
    with pytest.raises(InputError, match="seed: found"):
        seed_everything(seed)

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import adam, reduce_on_plateau, staircase


def test_staircase_of_the_paper():
    schedule = staircase(4e-4, 0.5, 10_000)
    steps = [0, 9_999, 10_000, 19_999, 20_000, 119_999]
    rates = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(rates, [4e-4, 4e-4, 2e-4, 2e-4, 1e-4, 4e-4 / 2**11], rtol=1e-6)


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
        (lambda: adam("fast"), "learning_rate: found 'fast'"),
        (lambda: adam(1e-3, epsilon=0), "epsilon: found 0"),
        (lambda: reduce_on_plateau(patiense=3), "reduce_lr: found patiense; expected some of"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()

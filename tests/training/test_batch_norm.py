import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import ReestimateBatchNorm, reestimate


def _model():
    block = keras.Sequential(
        [
            keras.layers.Conv2D(2, 1, use_bias=False, name="second"),
            keras.layers.BatchNormalization(momentum=0.997, epsilon=1e-5, name="deep"),
        ]
    )
    inputs = keras.Input((4, 5, 1))
    x = keras.layers.Conv2D(3, 1, name="first")(inputs)
    x = keras.layers.ReLU(6)(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="top")(x))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(block(x)))
    model.compile("adam", "mse")
    return model, model.get_layer("top"), block.get_layer("deep"), block.get_layer("second")


def _batches(n=4):
    rng = np.random.default_rng(0)
    return [rng.normal(i, 1 + i, size=(2 + i % 2, 4, 5, 1)).astype("float32") for i in range(n)]


def _statistics(model, top, second, batches):
    """Averages over the batches of mean and biased variance at both layers, in NumPy."""
    kernel, bias = (np.asarray(w, float) for w in model.get_layer("first").get_weights())
    gamma, beta = (np.asarray(w, float) for w in top.get_weights()[:2])
    results = []
    for batch in batches:
        a = batch @ kernel[0, 0] + bias
        mean, variance = a.mean((0, 1, 2)), a.var((0, 1, 2))
        h = np.clip((a - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0, 6) @ second.get_weights()[0][0, 0]
        results.append([mean, variance, h.mean((0, 1, 2)), h.var((0, 1, 2))])
    return [np.mean(values, 0) for values in zip(*results, strict=True)]


def test_against_numpy():
    model, top, deep, second = _model()
    rng = np.random.default_rng(1)
    top.set_weights([rng.uniform(0.5, 2, 3), rng.normal(size=3), np.full(3, np.inf), np.full(3, 99.0)])
    weights = [np.array(w) for w in model.trainable_variables]
    batches = _batches()
    assert reestimate(model, iter(batches)) == 2
    found = [np.array(v) for v in (top.moving_mean, top.moving_variance, deep.moving_mean, deep.moving_variance)]
    for a, b in zip(found, _statistics(model, top, second, batches), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for before, after in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (top.momentum, deep.momentum) == (0.9, 0.997)


def test_an_exception_leaves_everything_as_it_was():
    model, top, deep, _ = _model()
    reestimate(model, _batches(2))
    before = model.get_weights()

    def broken():
        yield _batches()[3]
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        reestimate(model, broken())
    with pytest.raises(InputError, match="batches: found none"):
        reestimate(model, [])
    assert (top.momentum, deep.momentum) == (0.9, 0.997)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_and_models_without_batch_norm_are_left_alone():
    model, top, *_ = _model()
    top.trainable = False
    assert reestimate(model, _batches()) == 1
    np.testing.assert_array_equal(np.array(top.moving_mean), 0)
    plain = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    assert reestimate(plain, (1 / 0 for _ in range(1))) == 0


class _Observer(keras.callbacks.Callback):
    """Moving mean of a layer at each test begin and epoch end, and after every training step."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.seen = layer, []

    def on_test_begin(self, logs=None):
        self.seen.append(("test", np.array(self.layer.moving_mean)))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(("end", np.array(self.layer.moving_mean)))


@pytest.mark.parametrize("validate", [True, False])
def test_callback_acts_before_validation_while_the_run_is_young(validate):
    model, top, _, second = _model()
    batches, calls = _batches(), []

    def source():
        calls.append(int(model.optimizer.iterations))
        calls.append(_statistics(model, top, second, batches)[0])
        return batches

    x = np.concatenate(batches)
    observer = _Observer(top)
    data = (x[:2], x[:2, ..., :1])
    model.fit(
        x[:4],
        x[:4],
        batch_size=2,
        epochs=3,
        verbose=0,
        validation_data=data if validate else None,
        callbacks=[ReestimateBatchNorm(source, until_step=4), observer],
    )
    assert calls[0::2] == [2, 4]  # two steps an epoch; the third epoch ends at step 6
    for number, expected in enumerate(calls[1::2]):
        entries = observer.seen[2 * number : 2 * number + 2] if validate else observer.seen[number : number + 1]
        for _, found in entries:
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_callback_costs_nothing_without_batch_norm():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    x = np.zeros((2, 4, 4, 1), "float32")
    model.fit(x, x, verbose=0, callbacks=[ReestimateBatchNorm(lambda: 1 / 0, 100)])


def test_training_is_not_affected():
    def train(callbacks):
        keras.utils.set_random_seed(0)
        model, *_ = _model()
        x = np.concatenate(_batches())[:4]
        model.fit(x, x, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        return [np.array(v) for v in model.trainable_variables]

    for a, b in zip(train([]), train([ReestimateBatchNorm(_batches, 100)]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

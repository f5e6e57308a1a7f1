import gc
import os
import threading
import time
import weakref

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.training import PatchSampler, StopAtNaN, ValidationSet
from aeanet_tf.training.prefetching import ahead, default_workers, prefetched


class _Counted:
    """Batches that carry their number, made at uneven speed, and notes of how."""

    def __init__(self):
        self.lock, self.begun, self.now, self.most = threading.Lock(), [], 0, 0

    def __call__(self, number):
        with self.lock:
            self.begun.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.001 * (7 * number % 5))
        with self.lock:
            self.now -= 1
        return np.full((2, 3), number, "float32"), np.full((2,), -number, "float64")


def _wait_until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("workers", [1, 3])
def test_in_order_each_once_and_not_too_far_ahead(workers):
    batch = _Counted()
    data = prefetched(batch, workers)
    assert [(one.shape, one.dtype) for one in data.element_spec] == [((2, 3), "float32"), ((2,), "float64")]
    batch.begun.clear()
    iterator = iter(data)
    for number in range(30):
        x, y = next(iterator)
        assert (x.numpy() == number).all() and (y.numpy() == -number).all()
        assert len(batch.begun) <= number + 1 + ahead(workers)
    assert _wait_until(lambda: len(batch.begun) == 30 + ahead(workers) and not batch.now)
    time.sleep(0.05)
    assert sorted(batch.begun) == list(range(30 + ahead(workers)))
    assert batch.most == workers


def test_threads_and_data_go_with_the_iterator():
    batch = _Counted()
    data = prefetched(batch, 3)
    gone = weakref.ref(batch)
    before = psutil.Process().num_threads()
    iterator = iter(data)
    next(iterator)
    assert psutil.Process().num_threads() > before
    del iterator
    assert _wait_until(lambda: psutil.Process().num_threads() <= before)
    assert not batch.now
    del batch, data
    gc.collect()
    assert gone() is None


def test_default_workers():
    assert default_workers() in range(1, 5)
    x = np.zeros((3, 4, 4, 1))
    assert PatchSampler(x, x, 1, 1).threads == default_workers()
    # It may have a state of its own.
    assert PatchSampler(x, x, 1, 1, augment=lambda x, y: (x, y)).threads == 1
    assert PatchSampler(x, x, 1, 1, augment=lambda x, y: (x, y), workers=2).threads == 2


def _compiled(**kwargs):
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mae", jit_compile=False, **kwargs)
    return model


class _Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("callbacks", [[], [_Stop()]])
def test_nothing_is_left_after_fit(callbacks):
    x = np.random.default_rng(0).random((20, 8, 8, 1), "float32")
    model = _compiled()
    model.fit(**PatchSampler(x, x, 4, 3, workers=3).fit_arguments(), verbose=0)
    before = psutil.Process().num_threads()
    sampler = PatchSampler(x, x, 4, 3, workers=3)
    gone = weakref.ref(sampler)
    try:
        model.fit(**sampler.fit_arguments(), epochs=2, callbacks=callbacks, verbose=0)
        assert not callbacks
    except KeyboardInterrupt:
        assert callbacks
    del sampler
    gc.collect()
    assert gone() is None
    assert _wait_until(lambda: psutil.Process().num_threads() <= before)


class _Late:
    """An augmenter that works for a while."""

    def __init__(self, count, failing):
        self.left, self.failing = count, failing

    def __call__(self, x, y):
        self.left -= 1
        return (x, y) if self.left >= 0 else self.failing(x, y)


def _refuse(x, y):
    raise ZeroDivisionError("not this one")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("good", [0, 40])
def test_exceptions_of_an_augmenter_surface_as_they_are(workers, good):
    x = np.zeros((20, 8, 8, 1), "float32")
    sampler = PatchSampler(x, x, 4, 10, augment=_Late(good, _refuse), workers=workers)
    with pytest.raises(ZeroDivisionError, match="not this one"), sampler.surfacing():
        _compiled().fit(**sampler.fit_arguments(), epochs=2, verbose=0)


def test_patches_that_change_their_shape():
    x = np.zeros((20, 8, 8, 1), "float32")
    sampler = PatchSampler(x, x, 4, 10, augment=_Late(40, lambda x, y: (x[:4], y)))
    message = r"augment: found batches of shape \(\(4, 4, 8, 1\), \(4, 8, 8, 1\)\), expected .* as of the first"
    with pytest.raises(InputError, match=message), sampler.surfacing():
        _compiled().fit(**sampler.fit_arguments(), epochs=2, verbose=0)


def test_what_else_goes_wrong_in_fit_stays_as_it_is():
    x = np.zeros((20, 8, 8, 2), "float32")
    sampler = PatchSampler(x, x, 4, 2)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as caught, sampler.surfacing():
        _compiled().fit(**sampler.fit_arguments(), verbose=0)
    assert not isinstance(caught.value, InputError)


def test_a_loss_that_is_not_a_number_ends_training():
    # Finite, as images have to be, and their squares are not.
    x = np.full((20, 8, 8, 1), 1e30, "float32")
    history = _compiled().fit(
        **PatchSampler(x, x, 4, 500).fit_arguments(), epochs=3, callbacks=[StopAtNaN()], verbose=0
    )
    assert len(history.epoch) == 1


def test_cores_that_the_process_may_use(monkeypatch):
    for cores, expected in ((1, 1), (2, 1), (8, 2), (16, 4), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert default_workers() == expected


def test_validation_in_between_and_a_second_fit_leave_the_sequence_alone():
    seen = []

    class Recorder(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Conv2D(1, 1)

        def call(self, x):
            return self.layer(x)

        def train_step(self, data):
            seen.append(np.array(data[0]))
            return super().train_step(data)

    x = np.random.default_rng(0).random((7, 4, 4, 1), "float32")
    model = Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    for start, epochs in ((0, 2), (8, 3)):
        sampler = PatchSampler(x, x, 2, 4, start=start, workers=3)
        model.fit(**sampler.fit_arguments(), epochs=epochs, verbose=0, validation_data=ValidationSet(x, x))
    expected = PatchSampler(x, x, 2, 20)
    np.testing.assert_array_equal(seen, [expected[i][0] for i in range(20)])

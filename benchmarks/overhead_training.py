"""Steps of `AEANet.train` against a loop over ``train_on_batch``, for the same network and the same batches.

* ``AEANet.train``: an epoch from arrays in memory, into a model folder, with all callbacks of the default
  configuration (TensorBoard, CSV, best weights, resumption) and without a progress bar. Timed is what `StepClock` says:
  from the beginning of the epoch to the end of its last step, so sampling and what callbacks do at every step counts,
  validation and the files at the end of an epoch do not;
* ``train_on_batch``: the batches of the same `PatchSampler`, drawn before, one by one, MAE and no metrics;
* ``whole call``: all of `AEANet.train`: set-up, the epoch, validation, files.

An epoch of each in turn; the first of each, which traces, does not count.
"""

import tempfile
from time import perf_counter

import numpy as np
from step_clock import StepClock
from tables import digits, markdown, ratio, spread
from timing import alternate, summary

LOOP, TRAIN, WHOLE = "train_on_batch", "AEANet.train", "AEANet.train, whole call"


def measure(config, options, rounds, seconds):
    """Seconds of an epoch; ``options`` has ``patch`` (side), ``batch``, ``steps``."""
    from aeanet_tf.models import AEANet

    config.update_parameters(train_batch_size=options.batch, train_steps_per_epoch=options.steps, train_epochs=1)
    rng = np.random.default_rng(0)
    X, Y = rng.random((2, 4 * options.batch, options.patch, options.patch, 1), "float32")
    whole = []
    with tempfile.TemporaryDirectory() as folder:
        model = AEANet(config, "model", folder)
        loop = make_loop(config, model.keras_model, X, Y)
        model.prepare_for_training()
        clock = StepClock()
        model.callbacks.append(clock)

        def train():
            start = perf_counter()
            model.train(X, Y, validation_data=(X[: options.batch], Y[: options.batch]), verbose=0)
            whole.append(perf_counter() - start)
            return clock.seconds[-1]

        times = alternate({LOOP: loop, TRAIN: train}, rounds, seconds)
    # Those of the warm-up come first.
    times[WHOLE] = whole[-len(times[TRAIN]) :]
    sizes = {"steps": options.steps, "batch": [options.batch, options.patch, options.patch]}
    return {**sizes, "programs": summary(times, LOOP)}


def make_loop(config, network, X, Y):
    """A measurement: an epoch of ``train_on_batch`` for a copy of ``network``."""
    import keras

    from aeanet_tf.training import PatchSampler

    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.compile(keras.optimizers.Adam(config.train_learning_rate), "mae", jit_compile=False)
    steps = config.train_steps_per_epoch
    sampler = PatchSampler(X, Y, config.train_batch_size, steps, augment=config.train_augment, seed=config.train_seed)
    batches = list(sampler)

    def loop():
        start = perf_counter()
        for x, y in batches:
            copy.train_on_batch(x, y)
        return perf_counter() - start

    return loop


def report(found):
    """Table with the steps a second."""
    steps = found["steps"]
    lines = [[name, spread(one), digits(steps / one["median"]), ratio(one)] for name, one in found["programs"].items()]
    text = f"Epochs of {steps} steps of {' x '.join(map(str, found['batch']))}."
    return [markdown(["", "s an epoch", "steps/s", f"/ {LOOP}"], lines), text]

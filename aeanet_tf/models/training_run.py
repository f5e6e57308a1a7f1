"""One training of an `AEANet`: gone on with where it was stopped, ended where it diverges or memory runs out."""

import logging
import os
import warnings
from contextlib import contextmanager, nullcontext

import tensorflow as tf

from aeanet_tf.errors import WriteError, one_line
from aeanet_tf.locks import locked
from aeanet_tf.models.adversarial import keep_discriminator
from aeanet_tf.models.default_settings import TRUTH
from aeanet_tf.models.fitting import run_callbacks
from aeanet_tf.models.traced import released_with
from aeanet_tf.models.training_length import TrainingLength, prepared_state
from aeanet_tf.models.training_memory import LESS, check_memory, prepared_validation
from aeanet_tf.prediction.machine import RESERVE, available_bytes
from aeanet_tf.training import FINISHED_FILE, StopAtDivergence, keep_finished, read_history
from aeanet_tf.training.divergence import diverged_error, note_divergence
from aeanet_tf.training.watching import watching

logger = logging.getLogger("aeanet_tf")

LOCK_FILE = ".training.lock"
"""In a model folder while it is trained."""


def locked_for_training(folder, wait=False):
    """Hold a model folder for one training, see `locked`."""
    hint = "--wait waits for its end, another model.name trains beside it"
    return locked(folder / LOCK_FILE, "is being trained", hint, wait)


def run_training(model, sampler, validation, epochs=None, *, steps=None, resume=False, verbose=1, told=None):
    """Train an `AEANet` on what its ``prepared_data`` gives; see `AEANet.fit`."""
    with nullcontext() if model.basedir is None else locked_for_training(model.logdir):
        return _run(model, sampler, validation, epochs, steps, resume, verbose, told)


def _run(model, sampler, validation, epochs, steps, resume, verbose, told):
    state = None if model.basedir is None else prepared_state(model.logdir, resume)
    length = TrainingLength.of(model, sampler.steps, epochs, steps, (0, 0) if state is None else state.progress())
    model.make_ready(length.total)
    network, divergence = model.trained_network, StopAtDivergence(model.keras_model)
    tiled = prepared_validation(model, sampler, validation, check_memory(model, sampler))
    measured = [*([] if tiled is None else [tiled]), *model.measured(validation)]
    callbacks = run_callbacks(model, sampler, validation, measured, divergence)
    report = _report(model, sampler, validation, told or {})
    callbacks += [report] * (report is not None)
    callbacks += watching(model, sampler, validation)
    callbacks += length.callbacks(sampler, validation, verbose)
    if network is not model.keras_model:
        network.set_weights(model.keras_model.get_weights())
    if state is not None:
        # The one that makes the run resumable is the last.
        callbacks.append(state)
        length = length.restored(model, state, callbacks)
    divergence.begin(length.first)
    # Batches are numbered by optimiser step, so a second call of train goes on in the sequence, too.
    sampler.start = int(network.optimizer.iterations.numpy())
    length.tell(sampler.batch_size)
    with released_with(model), _memory_running_out(), _without_remarks(), sampler.surfacing():
        history = network.fit(
            **sampler.fit_arguments(),
            validation_data=validation if tiled is None else None,
            epochs=length.epochs,
            initial_epoch=length.first,
            callbacks=callbacks,
            verbose=verbose,
        )
    if divergence.epoch is not None:
        _diverged(model, divergence, length.epochs, state, history, report)
    if network is not model.keras_model:
        # Also where no epoch was left to run, and after what callbacks do at the end.
        model.keras_model.set_weights(network.get_weights())
    model.finish_training()
    keep_discriminator(model)
    if model.config.train_baselines and model.config.restores and model.config.train_target == TRUTH:
        _compare(model, validation, tiled)
    if report is not None:
        report.finish()
    if state is not None:
        _complete(history, read_history(model.logdir / "history.csv"), length.first)
        keep_finished(state, model.logdir / FINISHED_FILE)
        state.clear()
    return history


def _complete(history, rows, first):
    """Put the epochs of earlier runs of the same training before those of this one."""
    earlier = [row for row in rows if row["epoch"] < first]
    if not earlier:
        return
    names = history.history or {name: [] for name in earlier[0] if name not in ("epoch", "learning_rate")}
    history.history = {name: [row.get(name) for row in earlier] + list(names[name]) for name in names}
    history.epoch = [row["epoch"] for row in earlier] + list(history.epoch)


def _compare(model, validation, tiled):
    """Score the model beside filters, where there is memory for the libraries that have them."""
    if available_bytes() < 2 * RESERVE:
        logger.warning("too little memory is left to compare the model with filters")
        return
    # SciPy with it, which only training needs.
    from aeanet_tf.models.filters import keep_filters

    keep_filters(model, validation, tiled)


@contextmanager
def _without_remarks():
    """CSBDeep's on its own calls: a file format, and a list of one input."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected filename suffix")
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        yield


@contextmanager
def _memory_running_out():
    """Say in one line that memory ran out, and what takes less."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        if "space left" in str(error):
            raise WriteError(f"logs: cannot be written ({one_line(error)})") from None
        raise MemoryError(
            f"out of memory in training ({one_line(error, 80)}); what earlier epochs gave is kept; {LESS}"
        ) from None


def _report(model, sampler, validation, told):
    """The `TrainingReport`, ``None`` where none is wanted."""
    if model.basedir is None or not model.config.train_report or os.environ.get("AEANET_REPORT") == "0":
        return None
    # Matplotlib with it, which only training needs.
    from aeanet_tf.models.training_report import TrainingReport

    return TrainingReport(model, sampler, validation, **told)


def _diverged(model, divergence, epochs, state, history, report):
    """Make the last good weights those of the model, in the folder, too, and raise the error.

    The folder tells of it before the state goes: a run that is killed in between diverges again, or finds it told.
    """
    model.keras_model.set_weights(divergence.weights)
    # The optimiser has no finite numbers either: another training begins with a new one.
    model.trained_network, model.prepared = None, False
    folder = None if model.basedir is None else model.logdir
    error = diverged_error(divergence.epoch, epochs, divergence.reason, divergence.good, folder, history)
    model.finish_training(last=divergence.good > 0)
    if folder is not None:
        note_divergence(folder, error, epochs, divergence.reason)
        if report is not None:
            report.finish()
        state.clear()
    raise error

"""Stop a training anywhere, go on as if nothing had happened."""

import contextlib
import io
import json
import uuid
import zipfile
from pathlib import Path

import keras
import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import read_json, replacing, write_text
from aeanet_tf.training.divergence import not_finite

# Files of a state; Keras's format is that of earlier versions.
_PATTERNS = ("state-*.npz", "state-*.weights.h5", ".partial-state*")
# What the callbacks of Keras (plateau, early stopping, checkpoint) and of this package carry on.
_CARRIED = ("best", "monitored", "wait", "cooldown_counter", "best_epoch", "stopped_epoch", "averaged")


class ResumableState(keras.callbacks.Callback):
    """Callback: save at every epoch's end all that training needs to go on, and read it back.

    Saved are the model's weights, the optimiser's variables (step count, learning rate, moments), what the model has
    as ``further_variables``, the states of random layers such as dropout, and what other callbacks carry (best value,
    epochs waited). A run stopped after an epoch and resumed gives the weights and the history of an uninterrupted one,
    given batches that depend on the step alone, as those of `PatchSampler` do::

        state = ResumableState(folder)
        callbacks = [plateau, best, history, state]          # state last: it records what the others did
        first = state.restore(model, callbacks)              # 0 where nothing was saved
        sampler = PatchSampler(..., start=first * steps)
        model.fit(**sampler.fit_arguments(), callbacks=callbacks, initial_epoch=first, epochs=epochs)

    In ``folder`` stand ``state.json`` and the weights file that it names. The weights are written first,
    under a name never used before, then the JSON is replaced in one step, then older weights go: at
    whichever point the process is killed, the JSON names a complete file of the same epoch. An epoch that
    diverged (`not_finite`) is not saved. Best weights kept in memory by ``EarlyStopping`` are not saved either.

    Args:
        folder: where to save; made if absent.

    Attributes: ``target``, the optimiser steps that the training is to have in all, which is saved with the state;
        ``saved_target``, that of the state that was restored. ``None`` where it is not known.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)
        self.target = self.saved_target = None
        self._others = None
        self._pending = []

    @property
    def path(self):
        """``state.json`` in the folder; training can be resumed where it exists."""
        return self.folder / "state.json"

    def progress(self):
        """Epochs and optimiser steps that are done by the state saved last: ``(0, 0)`` where nothing was saved.

        Raises:
            InputError: a file that is no such state.
        """
        return self._read()[:2] if self.path.exists() else (0, 0)

    def restore(self, model, callbacks):
        """Bring ``model`` and ``callbacks`` to the state saved last. Call it before every ``fit``.

        Args:
            model: built and compiled as it was when the state was saved.
            callbacks: the list that ``fit`` gets, this object last.

        Returns the epoch to go on with, ``fit``'s ``initial_epoch``: 0 where nothing was saved. Raises
        ``InputError`` for files that cannot be read or belong to another model, and for a list whose last
        entry is not this object.
        """
        if not callbacks or callbacks[-1] is not self:
            raise InputError("callbacks: found no ResumableState at the end, expected it last, to record the others")
        self._others, self._pending = list(callbacks[:-1]), []
        if not self.path.exists():
            return 0
        epoch, step, weights, seeds, states, self.saved_target = self._read()
        self._load(model, self.folder / weights, seeds, step)
        # Keras resets its callbacks when training begins, so theirs waits until then.
        self._pending = states
        self._set_others()
        return epoch

    def _read(self):
        try:
            return _fields(read_json(self.path, constants=True))
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.path}: found no training state ({error}), expected one of a training") from None

    def carry(self, callback, **values):
        """Let a callback go on with other values than those that were restored; call it before ``fit``."""
        for state in self._pending:
            if state["class"] == type(callback).__name__:
                state["values"].update(values)
        self._set_others()

    def _load(self, model, path, seeds, step):
        model.optimizer.build(model.trainable_variables)
        variables = _seed_states(model)
        try:
            _read_variables(model, path)
            for variable, value in zip(variables, seeds, strict=True):
                variable.assign(np.array(value, "uint32"))
            # Keras loads what it can of another optimiser and only warns.
            if int(model.optimizer.iterations.numpy()) != step:
                raise ValueError(f"another optimiser than {type(model.optimizer).__name__}")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: found weights of another model ({reason}), expected those of this one") from None

    def on_train_begin(self, logs=None):
        if self._others is None:
            raise RuntimeError("call ResumableState.restore(model, callbacks) before model.fit")
        self._set_others()
        self._pending = []

    def on_epoch_end(self, epoch, logs=None):
        if not not_finite(self.model, logs):
            self.save(epoch + 1)

    def save(self, epoch):
        """Save the state after ``epoch`` epochs. ``on_epoch_end`` calls it."""
        weights = self.folder / f"state-{epoch:04d}-{uuid.uuid4().hex[:8]}.npz"
        with replacing(weights) as partial:
            partial.write_bytes(_packed(self.model))
        state = {
            "epoch": epoch,
            "weights": weights.name,
            "step": int(self.model.optimizer.iterations.numpy()),
            "target": self.target,
            "seeds": [np.array(v).tolist() for v in _seed_states(self.model)],
            "callbacks": [_state(callback) for callback in self._others or []],
        }
        write_text(self.path, json.dumps(state, indent=1))
        self._remove(keep=weights)

    def clear(self):
        """Remove the saved state, once training is complete or to begin anew."""
        self.path.unlink(missing_ok=True)
        self._remove()
        with contextlib.suppress(OSError):  # absent, or with something of the user's in it
            self.folder.rmdir()

    @property
    def half_cleared(self):
        """Whether a run was killed in `clear`: the folder is there, and nothing in it to go on with."""
        if not self.folder.is_dir() or self.path.exists():
            return False
        return set(self.folder.iterdir()) == set(self._files())

    def _files(self):
        return [path for pattern in _PATTERNS for path in self.folder.glob(pattern)]

    def _remove(self, keep=None):
        for path in self._files():
            if path != keep:
                path.unlink(missing_ok=True)

    def _set_others(self):
        """Give the saved values to the callbacks, matched by class and by their order within it."""
        left = list(self._pending)
        for callback in self._others:
            name = type(callback).__name__
            state = next((s for s in left if s["class"] == name), None)
            if state is not None:
                left.remove(state)
                for attribute, value in state["values"].items():
                    setattr(callback, attribute, value)


def _fields(saved):
    """The fields of a state; `ValueError`, `KeyError` or another where one is not what was saved."""
    epoch, step, weights, seeds, states = (saved[name] for name in ("epoch", "step", "weights", "seeds", "callbacks"))
    # That of earlier versions is not known.
    target = saved.get("target")
    numbers = [type(n) is int and n >= 0 for n in (epoch, step, target or 0)]
    # What callbacks carry is set as their attributes: no others than those.
    carried = [item for state in states for item in state["values"].items()]
    fit = [
        name in _CARRIED and (value is None or isinstance(value, str if name == "monitored" else (int, float)))
        for name, value in carried
    ]
    named = [isinstance(state["class"], str) for state in states]
    if not all((*numbers, *fit, *named)) or Path(weights).name != weights:
        raise ValueError("values of another kind")
    return epoch, step, weights, seeds, states, target


def _state(callback):
    values = {name: getattr(callback, name) for name in _CARRIED if hasattr(callback, name)}
    # Keras leaves NumPy and backend scalars here and there; JSON keeps a float to the last bit.
    values = {k: v if v is None or isinstance(v, str | int) else float(v) for k, v in values.items()}
    return {"class": type(callback).__name__, "values": values}


def _variables(model):
    # Those of a discriminator.
    return [*model.weights, *model.optimizer.variables, *getattr(model, "further_variables", [])]


def _packed(model):
    """The weights, the optimiser's variables and others of the model as the bytes of an ``.npz``.

    In memory first: what is written at once fails at once on a full disk, where Keras's HDF5 leaves tracebacks.
    """
    file = io.BytesIO()
    np.savez(file, *(keras.ops.convert_to_numpy(variable) for variable in _variables(model)))
    return file.getbuffer()


def _read_variables(model, path):
    if path.suffix == ".h5":
        model.load_weights(str(path))
        return
    variables = _variables(model)
    with np.load(path, allow_pickle=False) as file:
        arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
    found, expected = ([(tuple(v.shape), str(v.dtype)) for v in group] for group in (arrays, variables))
    if found != expected:
        raise ValueError("variables of other shapes")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _seed_states(model):
    """The counters of random layers, which Keras does not count among a model's weights."""
    return [v for v in model.variables if v.name == "seed_generator_state"]

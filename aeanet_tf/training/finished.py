"""The state of a training that has ended: kept in one file, so that the training can be given more steps later."""

import json
import shutil
import zipfile
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.files import parse_json, read_json, replacing, write_text

FINISHED_FILE = "training_state.zip"
"""In the folder of a trained model: weights, optimiser and what callbacks carry, as they were at the end."""

_STATE = "state.json"


def keep_finished(state, path):
    """Keep the last state that a `ResumableState` has saved.

    Args:
        state: the `ResumableState`; what it has in its folder stays there.
        path: the file.

    Raises:
        WriteError: the file cannot be written; an earlier one is as it was.
    """
    fields = read_json(state.path, constants=True)
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as file:
        file.writestr(_STATE, json.dumps(fields, indent=1))
        file.write(state.folder / fields["weights"], fields["weights"])


def take_up(path, state):
    """Put what `keep_finished` has kept where a `ResumableState` goes on from; the JSON file, which counts, last.

    Args:
        path: the file.
        state: the `ResumableState`.

    Raises:
        InputError: a file that is none of these.
    """
    with _opened(path) as file:
        fields = _fields(path, file)
        source = file.open(fields["weights"])
        with source, replacing(state.folder / fields["weights"]) as partial, open(partial, "wb") as target:
            shutil.copyfileobj(source, target)
    write_text(state.path, json.dumps(fields, indent=1))


def finished_steps(path):
    """Optimiser steps of the training that `keep_finished` has kept the end of.

    Raises:
        InputError: a file that is none of these.
    """
    with _opened(path) as file:
        return _fields(path, file)["step"]


def _opened(path):
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _fields(path, file):
    """The JSON of the state, whose weights are in the file under a name without folders."""
    try:
        fields = parse_json(file.read(_STATE), f"{path}: {_STATE}", constants=True)
        weights, step = fields["weights"], fields["step"]
        known = Path(weights).name == weights and weights in file.namelist() and type(step) is int
    except (KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None
    if not known:
        raise _damaged(path, "values of another kind")
    return fields


def _damaged(path, reason):
    return InputError(f"{path}: found no state of a training ({reason}), expected what a finished one leaves")

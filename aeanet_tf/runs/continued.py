"""Trainings that go on: as they were begun, where defaults have changed since; with more steps."""

from aeanet_tf.errors import InputError
from aeanet_tf.files import read_fields
from aeanet_tf.models.folder import weight_files
from aeanet_tf.models.training_settings import SCHEDULES
from aeanet_tf.runs.config import is_same_run, load_run
from aeanet_tf.training import FINISHED_FILE, ResumableState, finished_steps, noted_divergence

# What may differ from the training that goes on.
_LENGTH = ("steps", "epochs", "steps_per_epoch", "early_stopping")


def as_begun(config, found):
    """A configuration with what it does not name as it was when the training was begun that goes on.

    Args:
        config: a `RunConfig`.
        found: that of the training, ``None`` where there is none.

    Returns:
        ``config`` where the two differ in what is named, or in what has no default that could have changed.
    """
    if found is None:
        return config
    settings = {"loss", "kernel_l2", "learning_rate", "clip_norm", *SCHEDULES} - config.training.model_fields_set
    taken = {name: getattr(found.training, name) for name in settings}
    preset = config.model.preset if "preset" in config.model.model_fields_set else found.model.preset
    model, training = config.model.model_copy(update={"preset": preset}), config.training.model_copy(update=taken)
    begun = config.model_copy(update={"model": model, "training": training})
    return config if differing(found, begun) else begun


def continued(folder, config):
    """The configuration that the training in a model folder goes on with.

    It is the one that it was begun with, but of the length, and with the early stopping, that ``config`` has.
    Validations stay as far apart as they were.

    Args:
        folder: of the model.
        config: a `RunConfig`, whose steps or epochs are those of the whole training.

    Returns:
        The `RunConfig`; ``None`` where the training has ended and had this length.

    Raises:
        InputError: there is no training that can go on, it is one of another configuration, or it has more steps.
        DivergedError: it has diverged on the way to this length.
    """
    found, state, finished = load_run(folder), ResumableState(folder / "resume"), folder / FINISHED_FILE
    interrupted = state.path.is_file()
    if found is None or not (interrupted or finished.is_file()):
        _refuse(folder)
    names = differing(found, config)
    if names:
        raise InputError(
            f"{folder}: holds a training of another configuration ({', '.join(names)}); --continue changes its length "
            "alone"
        )
    if not interrupted and is_same_run(found, config.model_copy(update={"training": _spaced(folder, found, config)})):
        diverged = noted_divergence(folder)
        if diverged:
            raise diverged
        return None
    done = state.progress()[1] if interrupted else finished_steps(finished)
    if config.training.steps is not None and config.training.steps < done:
        raise InputError(f"training.steps: {config.training.steps}, expected more than the {done} that {folder} has")
    return config.model_copy(update={"training": _spaced(folder, found, config)})


def differing(found, config):
    """Names of fields, but those of the length, in which two configurations do not describe one run."""
    length = {name: getattr(config.training, name) for name in _LENGTH}
    alike = found.model_copy(update={"training": found.training.model_copy(update=length)})
    if is_same_run(alike, config):
        return []
    sections = [(name, getattr(alike, name), getattr(config, name)) for name in ("model", "data", "training")]
    names = [
        f"{section}.{name}"
        for section, one, other in sections
        for name in type(one).model_fields
        if getattr(one, name) != getattr(other, name, None)
    ]
    return names or ["description"]


def _spaced(folder, found, config):
    """The training section of ``config`` with the validations of the training that was found."""
    each = found.training.steps_per_epoch or read_fields(folder / "config.json")["train_steps_per_epoch"]
    return config.training.model_copy(update={"steps_per_epoch": each})


def _refuse(folder):
    if not weight_files(folder):
        raise InputError(f"{folder}: holds no training to continue; without --continue one begins")
    raise InputError(
        f"{folder}: holds a trained model, but not the state of its training ({FINISHED_FILE}), as one of an earlier "
        f"version; training.initial_weights={folder} begins another with its weights"
    )

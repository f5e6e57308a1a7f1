"""A training run from its configuration: data, model, training."""

import logging
import warnings
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import FILTERS_FILE
from aeanet_tf.files import folder_made
from aeanet_tf.models.adversarial import remove_adversarial
from aeanet_tf.models.folder import known_normalization, load_model, model_class, weight_files
from aeanet_tf.models.initial_weights import assign, common_weights, differing_fields, source_model
from aeanet_tf.models.network_size import check_size
from aeanet_tf.models.scale_calibration import CALIBRATION_FILE
from aeanet_tf.models.training_length import prepared_state
from aeanet_tf.models.training_run import locked_for_training
from aeanet_tf.networks import as_spec, build_network
from aeanet_tf.runs.config import is_same_run, load_run, save_run
from aeanet_tf.runs.continued import as_begun, continued, differing
from aeanet_tf.runs.held_out import held_out_files, say_held_out
from aeanet_tf.runs.image_data import (
    load_folders,
    load_label_free,
    load_npz,
    load_paired_em,
    load_sample,
    pairs_of_epoch,
)
from aeanet_tf.runs.isotropic_data import load_isotropic
from aeanet_tf.runs.label_data import load_iseg, load_labels
from aeanet_tf.runs.noisy_data import load_noisy
from aeanet_tf.runs.slice_data import TRIPLETS_FILE, load_slices, load_triplets, save_triplets
from aeanet_tf.runs.split_check import warn_of_shared_images
from aeanet_tf.runs.training_files import check_images, images_remark, save_images
from aeanet_tf.training import DIVERGED_FILE, FINISHED_FILE, ResumableState, noted_divergence, reduce_on_plateau
from aeanet_tf.training.devices import find_devices
from aeanet_tf.training.pairs import MatchError, PairError

logger = logging.getLogger("aeanet_tf")

LOADERS = {
    "folders": load_folders,
    "noisy": load_noisy,
    "npz": load_npz,
    "sample": load_sample,
    "paired_em": load_paired_em,
    "label_free": load_label_free,
    "isotropic": load_isotropic,
    "slices": load_slices,
    "triplets": load_triplets,
    "labels": load_labels,
    "iseg": load_iseg,
}
"""Kind of a section of `aeanet_tf.runs.data_sections` -> function that loads its images, for `load_data`."""


def load_data(section, network):
    """The images that a run trains and validates on: read, checked and normalised.

    Args:
        section: the section ``data`` of a run configuration.
        network: the configuration of the model, an `AEANetConfig`.

    Returns:
        `aeanet_tf.runs.image_data.TrainingImages`.

    Raises:
        InputError: files that cannot be read or do not fit each other or the network; no image to train or to
            validate on; images that are to train and to validate on.
    """
    images = LOADERS[section.kind](section, network)
    warn_of_shared_images(images, targets=not section.segments)
    return images


def images_of(folder, network):
    """The images that the model of a folder was trained and validated on, read again.

    Args:
        folder: of a model that was trained by `train_run`.
        network: the configuration of the model.

    Returns:
        `aeanet_tf.runs.image_data.TrainingImages`.

    Raises:
        InputError: as `load_data`; or the model was trained from Python, and nothing is known of its images.
    """
    config = load_run(folder)
    if config is None:
        raise InputError(f"{folder}: found no run.json, expected X, Y and validation_data for a model made in Python")
    return load_data(config.data, network)


def model_config(config, pairs=None):
    """The configuration of the model of a `RunConfig`: an `AEANetConfig`, or that of one of its siblings.

    Args:
        config: the run.
        pairs: that an epoch has, where the run counts epochs; without it, as if each were of one step.

    Raises:
        InputError: a preset, network or training field that is wrong.
    """
    model, training = config.model, config.training.of_data(pairs or config.training.batch_size)
    config_class = _model_class(config).config_class
    fields = training.arguments(config_class.settings)
    if config.data.segments:
        fields["labels"] = model.labels
    made = config_class(
        model.axes,
        model.n_channel_in,
        model.n_channel_out,
        model.probabilistic,
        preset=model.preset,
        network=model.network,
        train_match_targets=config.data.match_targets,
        **fields,
    )
    if training.reduce_learning_rate is not None:
        try:
            reduce_on_plateau(**training.reduce_learning_rate)
        except (TypeError, ValueError) as error:
            raise InputError(f"training.reduce_learning_rate: {' '.join(str(error).split())}") from None
    valid, invalid = made.is_valid(return_invalid=True)
    if not valid:
        raise InputError(f"configuration: invalid {', '.join(invalid)}")
    return made


def _model_class(config):
    """The class of the model that a run trains; an error where preset, data, channels and loss are not of one kind."""
    preset, loss, data = config.model.preset, config.training.loss, config.data
    network = as_spec(preset).kind
    if model_class(network).interpolates != data.interpolates:
        raise InputError(
            f"data.kind: {data.kind!r} does not fit model.preset {preset!r}; slices are for ssan, sepconv and "
            "flow-interpolation, and only for them"
        )
    if data.interpolates and (config.model.n_channel_in, config.model.n_channel_out) != (2, 1):
        found = f"{config.model.n_channel_in} and {config.model.n_channel_out}"
        raise InputError(f"model.n_channel_in, model.n_channel_out: {found}, expected 2 (two slices) and 1")
    trained = model_class("segmentation" if data.segments else network)
    known = trained.config_class.losses
    if loss not in known:
        what = f"data.kind {data.kind!r}" if data.segments else f"model.preset {preset!r}"
        raise InputError(f"training.loss: {loss!r}, expected one of {', '.join(known)} for {what}")
    for name, value in (
        ("model.labels", config.model.labels),
        ("training.class_weights", config.training.class_weights),
    ):
        if value is not None and not data.segments:
            raise InputError(f"{name}: {value}, expected none with data.kind {data.kind!r}; it is for segmentation")
    return trained


def train_run(config, overwrite=False, verbose=1, wait=False, go_on=False):
    """Train the model of a `RunConfig`, or go on with its interrupted training.

    Args:
        config: the run.
        overwrite: train anew although the model folder holds a trained model or another run.
        verbose: Keras's.
        wait: whether to wait where another process trains in the model folder.
        go_on: whether to go on with the training in the model folder, finished or not, until it has the steps of
            ``config``. Where it has them already, nothing is done.

    Returns:
        The trained model, with its best weights.

    Raises:
        InputError: wrong configuration or data; nothing has been written then.
        BusyError: another process trains in the model folder, and ``wait`` is not set.
        DivergedError: the training diverged, now or when it was run before; see `AEANet.train`.
    """
    folder = Path(config.model.basedir) / config.model.name
    with folder_made(folder), locked_for_training(folder, wait) as killed:
        if not overwrite:
            config = as_begun(config, load_run(folder))
        if go_on:
            config = continued(folder, config)
            if config is None:
                return _finished(folder, "has the steps that are asked for")
        elif not overwrite and was_finished(folder, config, killed):
            return _finished(folder, "the training was finished, and stopped while it cleaned up")
        return _train(folder, config, overwrite, verbose, go_on)


def _train(folder, config, overwrite, verbose, go_on=False):
    """`train_run` in a folder that no other process trains in."""
    resume = go_on or _may_resume(folder, config, overwrite)
    network = model_config(config)
    check_size(network.spec)
    # A run that goes on has weights of its own, and no need of the model that it began with.
    start = {} if resume else _initial_weights(config, network)
    find_devices(config.training.devices, config.training.batch_size, "training.")
    images, trained = load_data(config.data, network), _model_class(config)
    if resume:
        check_images(folder, config.data, images.files)
    training = config.training
    if training.epochs is not None:
        pairs = pairs_of_epoch(config.data, images)
        network, training = _of_length(config, pairs), training.of_data(pairs)
    data = _prepared(trained, network, images)
    if config.data.holds_out:
        say_held_out(config.data, images)
    # Built only now: making the model writes to its folder.
    if overwrite:
        _remove_training(folder)
    if go_on:
        prepared_state(folder, resume=True)
    save_run(folder, config)
    if not resume:
        save_images(folder, config.data, images.files, held_out_files(images))
    if images.triplets is not None:
        save_triplets(folder, images.triplets)
    with warnings.catch_warnings():
        # What may be overwritten has been decided above.
        warnings.filterwarnings("ignore", message="output path for model already exists")
        model = trained(network, config.model.name, config.model.basedir)
    logger.info("%s: %d trainable parameters, %s", folder, count_parameters(model), config.model.preset)
    assign(model.keras_model, start)
    pixel_size, unit = images.calibration
    told = {"names": images.names, "pixel_size": pixel_size, "unit": unit}
    model.fit(*data, steps=training.steps, resume=resume, verbose=verbose, told=told)
    return model


def _initial_weights(config, network):
    """The weights by name that training starts from; empty where no model is named. Nothing is written for it."""
    source = config.training.initial_weights
    if source is None:
        return {}
    try:
        model = source_model(source)
        weights = common_weights(build_network(network.spec), model, source)
    except InputError as error:
        raise InputError(f"training.initial_weights: {error}") from None
    fields = differing_fields(network.spec.model_dump(), model.spec.model_dump())
    for name, (here, there) in fields.items():
        logger.info("initial weights of %s: network.%s is %s there, %s here", source, name, there, here)
    here, there = getattr(config.data, "normalization", None), known_normalization(model.logdir)
    if None not in (here, there) and here != there:
        logger.warning("initial weights of %s: images were normalised by %s there, by %s here", source, there, here)
    return weights


def _of_length(config, pairs):
    """The configuration of the model of a run that counts epochs of so many pairs."""
    network, training = model_config(config, pairs), config.training.of_data(pairs)
    facts = (config.training.epochs, pairs, training.steps, training.batch_size, training.steps_per_epoch)
    logger.info("%g epochs of %d pairs: %d steps of %d, validated every %d", *facts)
    return network


def _prepared(trained, network, images):
    """What a class of models is trained on; images that it cannot be trained on are refused, by the names of files."""
    try:
        return trained.prepared_data(network, images.X, images.Y, images.validation)
    except PairError as error:
        name = images.names[bool(error.data)][error.index] + ", its target" * (error.side == "Y")
        help = "; data.match_targets=false leaves them as they are" * isinstance(error, MatchError)
        raise InputError(f"{name}: {error.reason}{help}") from None


def _remove_training(folder):
    """Remove what a former training left, lest its weights pass for those of the new one if that is killed early."""
    ResumableState(folder / "resume").clear()
    for path in weight_files(folder):
        path.unlink(missing_ok=True)
    remove_adversarial(folder)
    for name in ("history.csv", TRIPLETS_FILE, FILTERS_FILE, CALIBRATION_FILE, DIVERGED_FILE, FINISHED_FILE):
        (folder / name).unlink(missing_ok=True)


def count_parameters(model):
    """Number of trainable parameters of a model."""
    return sum(int(v.shape.num_elements()) for v in model.keras_model.trainable_variables)


def is_unfinished(folder, config):
    """Whether a model folder holds a training of this very run that the same command goes on with, or finishes."""
    state = ResumableState(Path(folder) / "resume")
    there = state.path.is_file() or was_finished(folder, config)
    return there and is_same_run(load_run(folder), as_begun(config, load_run(folder)))


def was_finished(folder, config, killed=None):
    """Whether a training of this very run was killed in its last operations, or diverged: all it left is there.

    ``killed`` is who left a lock behind. The last thing that a training does is to remove it.
    """
    folder = Path(folder)
    state, diverged = ResumableState(folder / "resume"), noted_divergence(folder)
    ended = state.half_cleared or (killed and not state.path.exists()) or (diverged and diverged.kept)
    return bool(ended and (folder / "weights_last.h5").exists() and is_same_run(load_run(folder), config))


def _finished(folder, remark):
    """The model of a training that has come to its end, whose state is still to be removed."""
    ResumableState(folder / "resume").clear()
    diverged = noted_divergence(folder)
    if diverged:
        raise diverged
    logger.info("%s: %s", folder, remark)
    return load_model(folder)


def _may_resume(folder, config, overwrite):
    """Whether an interrupted training of this very run can go on; an error where something else is in the way."""
    if overwrite:
        return False
    if (folder / "resume" / "state.json").is_file():
        if is_same_run(load_run(folder), config):
            return True
        if differing(load_run(folder), config) == []:
            raise InputError(
                f"{folder}: holds an unfinished training of another length; --continue goes on with it, --overwrite "
                "begins anew"
            )
        raise InputError(
            f"{folder}: holds an unfinished training of another configuration; --overwrite begins anew, "
            "another model.name keeps it"
        )
    killed_at_once = is_same_run(load_run(folder), config) and not (folder / "weights_last.h5").exists()
    if weight_files(folder) and not killed_at_once:
        remark = images_remark(folder, config.data)
        more = ", --continue gives it more steps" if (folder / FINISHED_FILE).is_file() else ""
        raise InputError(
            f"{folder}: holds a trained model{remark}; --overwrite replaces it{more}, another model.name keeps it"
        )
    return False

"""A training run from its configuration: data, model, training."""

import logging
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import FILTERS_FILE
from aeanet_tf.models.folder import config_class, model_class, weight_files
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks import as_spec
from aeanet_tf.runs.config import is_same_run, load_run, save_run
from aeanet_tf.runs.image_data import find_root, load_data, pair_names
from aeanet_tf.runs.label_data import LABEL_KINDS, load_labels
from aeanet_tf.runs.slice_data import TRIPLETS_FILE, load_slices, save_triplets
from aeanet_tf.training import ResumableState, reduce_on_plateau
from aeanet_tf.training.devices import find_devices
from aeanet_tf.training.interpolation_losses import INTERPOLATION_LOSSES, get_interpolation_loss
from aeanet_tf.training.losses import LOSSES, SEGMENTATION_LOSSES
from aeanet_tf.training.pairs import MatchError

logger = logging.getLogger("aeanet_tf")


def model_config(config):
    """The configuration of the model of a `RunConfig`: an `AEANetConfig`, or that of one of its siblings.

    Raises:
        InputError: a preset, network or training field that is wrong.
    """
    model, training = config.model, config.training
    kind = _model_kind(config)
    made = config_class(kind)(
        model.axes,
        model.n_channel_in,
        model.n_channel_out,
        model.probabilistic,
        preset=model.preset,
        network=model.network,
        train_loss=training.loss,
        train_epochs=training.epochs,
        train_steps_per_epoch=training.steps_per_epoch,
        train_batch_size=training.batch_size,
        train_patch_size=training.patch_size,
        train_learning_rate=training.learning_rate,
        train_beta_1=training.beta_1,
        train_beta_2=training.beta_2,
        train_learning_rate_decay=training.learning_rate_decay and training.learning_rate_decay.model_dump(),
        train_learning_rate_cosine=training.learning_rate_cosine and training.learning_rate_cosine.model_dump(),
        train_reduce_lr=training.reduce_learning_rate,
        train_clip_norm=training.clip_norm,
        train_weight_decay=training.weight_decay,
        train_average=training.average,
        train_match_targets=config.data.match_targets,
        train_augment=training.augment,
        train_seed=training.seed,
        train_devices=training.devices,
        train_precision=training.precision,
        train_batch_norm_batches=training.batch_norm_batches,
        train_tensorboard=training.tensorboard,
        **_own_fields(config, kind),
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


def _model_kind(config):
    """Which model a run trains; an error where preset, data, channels and loss are not of one kind."""
    preset, loss, data = config.model.preset, config.training.loss, config.data.kind
    network = as_spec(preset).kind
    kind = "segmentation" if data in LABEL_KINDS else network
    if (network == "ssan") != (data == "slices"):
        raise InputError(
            f"data.kind: {data!r} does not fit model.preset {preset!r}; slices are for ssan, and only for it"
        )
    if network == "ssan" and (config.model.n_channel_in, config.model.n_channel_out) != (2, 1):
        found = f"{config.model.n_channel_in} and {config.model.n_channel_out}"
        raise InputError(f"model.n_channel_in, model.n_channel_out: {found}, expected 2 (two slices) and 1")
    known = {"ssan": INTERPOLATION_LOSSES, "segmentation": SEGMENTATION_LOSSES}.get(kind, LOSSES)
    if loss not in known:
        what = f"data.kind {data!r}" if kind == "segmentation" else f"model.preset {preset!r}"
        raise InputError(f"training.loss: {loss!r}, expected one of {', '.join(known)} for {what}")
    for name, value in (
        ("model.labels", config.model.labels),
        ("training.class_weights", config.training.class_weights),
    ):
        if value is not None and kind != "segmentation":
            raise InputError(f"{name}: {value}, expected none with data.kind {data!r}; it is for segmentation")
    return kind


def _own_fields(config, kind):
    """What the configurations of some kinds have beyond the others', where it is given."""
    model, training = config.model, config.training
    fields = {"train_kernel_l2": training.kernel_l2}
    if kind == "segmentation":
        fields |= {"labels": model.labels, "train_class_weights": training.class_weights}
    if kind == "ssan":
        fields["train_vgg_weights"] = training.vgg_weights
    return {name: value for name, value in fields.items() if value is not None}


def train_run(config, overwrite=False, verbose=1):
    """Train the model of a `RunConfig`, or go on with its interrupted training.

    Args:
        config: the run.
        overwrite: train anew although the model folder holds a trained model or another run.
        verbose: Keras's.

    Returns:
        The trained model, with its best weights.

    Raises:
        InputError: wrong configuration or data; nothing has been written then.
    """
    folder = Path(config.model.basedir) / config.model.name
    resume = _may_resume(folder, config, overwrite)
    network = model_config(config)
    find_devices(config.training.devices, config.training.batch_size, "training.")
    triplets = None
    if config.data.kind in ("slices", *LABEL_KINDS) and network.train_patch_size is None:
        raise InputError("training.patch_size: missing; whole images are trained on in random crops of that size")
    if config.data.kind == "slices":
        # Before the stack is read, since VGG-16 may be missing.
        get_interpolation_loss(config.training.loss, config.training.vgg_weights)
        X, Y, validation, triplets = load_slices(config.data, find_root(config.data.root))
    elif config.data.kind in LABEL_KINDS:
        X, Y, validation = load_labels(config.data, network, find_root(config.data.root))
    else:
        X, Y, validation = load_data(config, network)
    _check_images(config, network, X, Y, validation)
    # Built only now: making the model writes its folder.
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the model folder cannot be made ({error.strerror or error})") from error
    if overwrite:
        _remove_training(folder)
    save_run(folder, config)
    if triplets is not None:
        save_triplets(folder, triplets)
    model = _quietly(model_class(network.spec.model_kind), network, config.model.name, config.model.basedir)
    logger.info("%s: %d trainable parameters, %s", folder, count_parameters(model), config.model.preset)
    model.train(X, Y, validation, resume=resume, verbose=verbose)
    return model


def _check_images(config, network, X, Y, validation):
    """Refuse images that cannot be trained on before anything is written; a pair by the name of its file."""
    try:
        training_data(network, X, Y, validation)
    except MatchError as error:
        names = pair_names(config.data)[bool(error.data)]
        raise InputError(
            f"{names[error.index]}: {error.reason}; data.match_targets=false leaves them as they are"
        ) from None


def _remove_training(folder):
    """Remove what a former training left, lest its weights pass for those of the new one if that is killed early."""
    ResumableState(folder / "resume").clear()
    for path in (*weight_files(folder), folder / "history.csv", folder / TRIPLETS_FILE, folder / FILTERS_FILE):
        path.unlink(missing_ok=True)


def _quietly(kind, network, name, basedir):
    import warnings

    with warnings.catch_warnings():
        # What may be overwritten has been decided above.
        warnings.filterwarnings("ignore", message="output path for model already exists")
        return kind(network, name, basedir)


def count_parameters(model):
    """Number of trainable parameters of a model."""
    return sum(int(v.shape.num_elements()) for v in model.keras_model.trainable_variables)


def _may_resume(folder, config, overwrite):
    """Whether an interrupted training of this very run can go on; an error where something else is in the way."""
    if overwrite or not folder.exists():
        return False
    if (folder / "resume" / "state.json").is_file():
        if is_same_run(load_run(folder), config):
            return True
        raise InputError(
            f"{folder}: holds an unfinished training of another configuration; --overwrite begins anew, "
            "another model.name keeps it"
        )
    killed_at_once = is_same_run(load_run(folder), config) and not (folder / "weights_last.h5").exists()
    if weight_files(folder) and not killed_at_once:
        raise InputError(f"{folder}: holds a trained model; --overwrite replaces it, another model.name keeps it")
    return False

"""A training run from its configuration: data, model, training."""

import glob
import logging
import os
from pathlib import Path

import numpy as np
from csbdeep.utils import move_image_axes

from aeanet_tf.data.images import check_fits
from aeanet_tf.data.label_free import LabelFreeImage, label_free_images
from aeanet_tf.data.paired_em import prepare_paired_em, sub_images
from aeanet_tf.data.pairs import pair_folders, read_npz, read_pair
from aeanet_tf.data.samples import load_sample_pairs
from aeanet_tf.errors import InputError
from aeanet_tf.models.folder import config_class, load_run, model_class, save_run, weight_files
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.run_config import is_same_run
from aeanet_tf.models.slice_data import TRIPLETS_FILE, load_slices, save_triplets
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks import as_spec
from aeanet_tf.training import ResumableState, reduce_on_plateau
from aeanet_tf.training.devices import find_devices
from aeanet_tf.training.interpolation_losses import INTERPOLATION_LOSSES, get_interpolation_loss
from aeanet_tf.training.losses import LOSSES

logger = logging.getLogger("aeanet_tf")


def model_config(config):
    """The configuration of the model of a `RunConfig`: an `AEANetConfig`, or that of one of its siblings.

    Raises:
        InputError: a preset, network or training field that is wrong.
    """
    model, training = config.model, config.training
    _check_fits_preset(config)
    made = config_class(as_spec(model.preset).kind)(
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
        train_reduce_lr=training.reduce_learning_rate,
        train_augment=training.augment,
        train_seed=training.seed,
        train_devices=training.devices,
        train_precision=training.precision,
        train_batch_norm_batches=training.batch_norm_batches,
        train_tensorboard=training.tensorboard,
    )
    if training.reduce_learning_rate is not None:
        try:
            reduce_on_plateau(**training.reduce_learning_rate)
        except (TypeError, ValueError) as error:
            raise InputError(f"training.reduce_learning_rate: {' '.join(str(error).split())}") from None
    if training.vgg_weights is not None:
        made.train_vgg_weights = training.vgg_weights
    valid, invalid = made.is_valid(return_invalid=True)
    if not valid:
        raise InputError(f"configuration: invalid {', '.join(invalid)}")
    return made


def _check_fits_preset(config):
    preset, loss, kind = config.model.preset, config.training.loss, config.data.kind
    interpolates = as_spec(preset).kind == "ssan"
    if interpolates != (kind == "slices"):
        raise InputError(
            f"data.kind: {kind!r} does not fit model.preset {preset!r}; slices are for ssan, and only for it"
        )
    if interpolates and (config.model.n_channel_in, config.model.n_channel_out) != (2, 1):
        found = f"{config.model.n_channel_in} and {config.model.n_channel_out}"
        raise InputError(f"model.n_channel_in, model.n_channel_out: {found}, expected 2 (two slices) and 1")
    known = INTERPOLATION_LOSSES if interpolates else LOSSES
    if loss not in known:
        raise InputError(f"training.loss: {loss!r}, expected one of {', '.join(known)} for model.preset {preset!r}")


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
    if config.data.kind == "slices":
        if network.train_patch_size is None:
            raise InputError("training.patch_size: missing; slices are trained on in random crops of that size")
        # Before the stack is read, since VGG-16 may be missing.
        get_interpolation_loss(config.training.loss, config.training.vgg_weights)
        X, Y, validation, triplets = load_slices(config.data, find_root(config.data.root))
    else:
        X, Y, validation = load_data(config, network)
    training_data(network, X, Y, validation)
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
    model = _quietly(model_class(network.spec.kind), network, config.model.name, config.model.basedir)
    logger.info("%s: %d trainable parameters, %s", folder, count_parameters(model), config.model.preset)
    model.train(X, Y, validation, resume=resume, verbose=verbose)
    return model


def _remove_training(folder):
    """Remove what a former training left, lest its weights pass for those of the new one if that is killed early."""
    ResumableState(folder / "resume").clear()
    for path in (*weight_files(folder), folder / "history.csv", folder / TRIPLETS_FILE):
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


def load_data(config, network):
    """Training and validation images of a run, normalised, channels last.

    Returns:
        ``X, Y, (X_val, Y_val)``: arrays of patches from an ``.npz``, otherwise lists of whole images.
    """
    data = config.data
    if data.kind == "npz":
        return _npz(data, network)
    if network.train_patch_size is None:
        raise InputError("training.patch_size: missing; whole images are trained on in random crops of that size")
    normalizer = make_normalizer(data.normalization)
    if data.kind == "sample":
        pairs = load_sample_pairs()
        X, Y = _normalised(pairs["train"], network, normalizer)
        return X, Y, _normalised(pairs["validation"], network, normalizer)
    root = find_root(data.root)
    pairs = _pairs(data, root)
    if data.validation_low is not None:
        held_out = pair_folders(root / data.validation_low, root / data.validation_GT)
    else:
        n = round(len(pairs) * data.validation_split)
        if not 0 < n < len(pairs):
            split = f"{data.validation_split} of {len(pairs)} pairs"
            raise InputError(f"data.validation_split: {split} leaves no image for training or for validation")
        pairs, held_out = _split(pairs, n, spread=data.kind == "paired_em")
    train, validation = (_read(p, data.axes, network, normalizer) for p in (pairs, held_out))
    return (*train, validation)


def _pairs(data, root):
    """Pairs to train on: paths, or `LabelFreeImage`, which are read one by one."""
    if data.kind == "label_free":
        return label_free_images(root, data.structure, "train", data.resize)
    if data.kind == "paired_em":
        prepared = prepare_paired_em(root, root / data.prepared, data.pair)
        return pair_folders(*(sub_images(prepared, "train", side, data.pair) for side in ("low", "GT")))
    return pair_folders(root / data.low, root / data.GT)


def _split(pairs, n, spread):
    """All but ``n`` pairs, and those: the last ones, or, of sub-images, ones spread over all images."""
    count = len(pairs)
    held = set(((np.arange(n) + 0.5) * count / n).astype(int)) if spread else set(range(count - n, count))
    return [pairs[i] for i in range(count) if i not in held], [pairs[i] for i in sorted(held)]


def _npz(data, network):
    pattern = str(find_root(data.root) / data.npz)
    files = sorted(glob.glob(pattern))
    if len(files) != 1:
        raise InputError(f"data.npz: {pattern} matches {len(files)} files, expected one")
    (X, Y), validation, axes = read_npz(files[0], data.validation_split, axes=data.axes)
    if axes != "S" + network.axes:
        raise InputError(f"{files[0]}: axes {axes}, expected {'S' + network.axes} for model.axes {network.axes}")
    for name, array, n in (("X", X, network.n_channel_in), ("Y", Y, network.n_channel_out)):
        if array.shape[-1] != n:
            raise InputError(f"{files[0]}: {name} has {array.shape[-1]} channels, the model is configured for {n}")
    return X, Y, validation


def _read(pairs, axes, network, normalizer):
    """Read, check and normalise pairs one by one, so that only what training needs stays in memory."""
    X, Y = [], []
    reduced = getattr(network, "proj_axis", None)
    for pair in pairs:
        low, gt = pair.read_images() if isinstance(pair, LabelFreeImage) else read_pair(*pair, axes, reduced)
        X.append(network_image(low, network.axes, network.n_channel_in, normalizer))
        Y.append(network_image(gt, network.axes.replace(reduced or "", ""), network.n_channel_out, normalizer))
    return X, Y


def network_image(image, axes, n_channel, normalizer):
    """The array of an `Image` with the axes of the network, normalised.

    Raises:
        InputError: axes or channels that the network does not take.
    """
    check_fits(image, axes, n_channel)
    return normalizer.before(move_image_axes(image.array, image.axes, axes, True), axes)


def _normalised(pair, network, normalizer):
    return tuple([normalizer.before(image[..., None], network.axes) for image in images] for images in pair)


def find_root(root):
    """The folder of a data set: as given, or under ``$AEANET_DATA``, ``data``, or ``shared/data`` one level up.

    Raises:
        InputError: it is in none of these places.
    """
    root = Path(root).expanduser()
    if root.is_absolute():
        places = [root]
    else:
        given = [Path(p) for p in os.environ.get("AEANET_DATA", "").split(os.pathsep) if p]
        places = [base / root for base in (Path(), *given, Path("data"), Path(os.pardir, "shared", "data"))]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(f"data.root: no folder {root}; looked in {', '.join(str(p.parent) for p in places)}")

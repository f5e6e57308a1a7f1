"""What a model is trained and validated on: arrays or images, checked against the network, as Keras data sets."""

import logging

import numpy as np
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.device_names import count_devices
from aeanet_tf.errors import InputError
from aeanet_tf.io.image import check_finite
from aeanet_tf.models.adversarial import check_adversarial, check_patches
from aeanet_tf.models.noisy_targets import check_target, given_images, samplers
from aeanet_tf.models.raw_values import warn_of_raw_training
from aeanet_tf.prediction.machine import on_accelerator
from aeanet_tf.training.pairs import PairError

logger = logging.getLogger("aeanet_tf")

# Patches from which batch norm's statistics say little of images that differ in brightness and noise.
FEW_PATCHES = 16


def training_data(config, X, Y, validation_data, steps=None, augmenter=None):
    """Training and validation data of a run.

    Args:
        config: an `AEANetConfig`.
        X, Y, validation_data: as for `AEANet.train`, targets of projections without the projected axis; with
            ``train_target`` "noise2void" as `given_images` takes them.
        steps: an epoch; the configuration's by default.
        augmenter: function of single patches, or ``None`` for what the configuration says.

    Returns:
        ``(sampler, validation)``, a `PatchSampler` and a `ValidationSet`. Nothing is copied.

    Raises:
        InputError: shapes or channels that do not fit each other, the configuration or the network; images in memory
            that hold values that are not finite or that float32 cannot hold. Where it is one image of many, a
            `PairError`.
    """
    check_target(config)
    check_adversarial(config)
    Y, validation_data = given_images(config, X, Y, validation_data)
    for data, images in (("", (X, Y)), ("validation_data", checked_pair(validation_data))):
        for side, channels in zip("XY", (config.n_channel_in, config.target_channels), strict=True):
            check_images(images["XY".index(side)], channels, data, side)
    warn_of_raw_training(config, X, Y)
    spec = config.spec
    if config.train_match_targets and not config.restores:
        raise InputError(
            "match_targets: True, expected False for this model: only images of the same axes and channels as their "
            "input can have its intensities"
        )
    _check_patch_size(config, spec, X)
    seed = config.train_seed
    if seed is None:
        seed = int(np.random.SeedSequence().entropy % 2**32)
    make_sampler, make_validation = samplers(config)
    sampler = make_sampler(
        X,
        Y,
        config.train_batch_size,
        config.train_steps_per_epoch if steps is None else steps,
        patch_size=config.train_patch_size,
        augment=config.train_augment if augmenter is None else augmenter,
        seed=seed,
        projected_axis=config.projected_axis,
        match_targets=config.train_match_targets,
        upscale=spec.upscale,
    )
    _check_gradients(config, spec)
    check_patches(config, sampler.patch_size)
    # A validation batch is for one device, as large as its share of a training batch.
    share = max(1, sampler.positions // count_devices(config.train_devices))
    # A learned query takes images of one size only, and of dense attention no more fits than in training.
    fixed = getattr(spec, "input_size", None)
    largest = sampler.patch_size if getattr(spec, "is_dense", False) else fixed
    try:
        validation = make_validation(
            *validation_data,
            div_by=fixed or spec.divisor,
            max_positions=share,
            projected_axis=config.projected_axis,
            match_targets=config.train_match_targets,
            at_most=largest,
            upscale=spec.upscale,
        )
    except PairError as error:
        raise error.of("validation_data") from None
    sizes = [" x ".join(map(str, size)) for size in (sampler.patch_size, validation.size)]
    facts = (len(X), sizes[0], len(validation_data[0]), sizes[1], seed)
    logger.info("training on %d images in patches of %s, validating on %d of %s, seed %d", *facts)
    if config.train_augment is True and augmenter is None:
        logger.info("augmentation: flips along every axis, rotations by 90 degrees in YX (augment=false: none)")
    _warn_of_small_batches(config)
    return sampler, validation


def checked_pair(validation_data):
    """``validation_data`` as it is.

    Raises:
        InputError: it is no pair.
    """
    if not (isinstance(validation_data, (list, tuple)) and len(validation_data) == 2):
        raise InputError("validation_data: expected a pair (X, Y) of arrays or lists of images")
    return validation_data


def check_images(images, channels, data, side):
    """Check channels and values of images; whether they are images, and fit each other, is for `ImagePairs`.

    Keras would broadcast a target of other channels than the network's output. Images that are not in memory are not
    read.
    """
    if isinstance(images, (str, dict)) or not hasattr(images, "__len__"):
        return
    for index, image in enumerate(images):
        image = image if hasattr(image, "shape") else np.asarray(image)
        if not image.shape or not image.size:
            continue
        if image.shape[-1] != channels:
            shape, what = tuple(image.shape), "takes" if side == "X" else "is trained for"
            reason = f"found {shape[-1]} channels (shape {shape}), expected {channels}, which the model {what}"
            raise PairError(index, reason, data, side)
        if not isinstance(image, np.ndarray) or _is_mapped(image):
            continue
        if image.dtype.kind not in "biuf":
            raise PairError(index, f"found values of type {image.dtype}, expected integers or floats", data, side)
        try:
            check_finite("image", image)
        except InputError as error:
            raise PairError(index, str(error).removeprefix("image: "), data, side) from None


def _is_mapped(array):
    """Whether an array, or what it is a view of, lies in a file."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def _warn_of_small_batches(config):
    """Say where batch norm is to learn intensities from few patches at a time (docs/training.md)."""
    devices = 1 if config.train_synchronized_batch_norm else count_devices(config.train_devices)
    patches = config.train_batch_size // (devices * config.train_accumulate)
    if config.learns_intensities and config.restoration.batch_norm and patches <= FEW_PATCHES:
        logger.warning(
            "batch norm with %d patches a batch: the scale of features depends on which patches come together, and "
            "intensities are hard to learn; network.batch_norm=false or another preset (aeanet-care) does without",
            patches,
        )


def _check_gradients(config, spec):
    """Refuse what TensorFlow's gradients are wrong for: 3D convolutions in bfloat16 on a CPU, of kernels larger than
    their features (oneDNN reads memory that nothing wrote; TensorFlow 2.21)."""
    on_cpu = "CPU:" in str(config.train_devices) or not on_accelerator()
    if config.train_precision == "bfloat16" and spec.dimension == 3 and on_cpu:
        raise InputError(
            "train_precision: 'bfloat16' for a 3D network, expected 'float32': TensorFlow's gradients of small "
            "features are wrong on a processor"
        )


def _check_patch_size(config, spec, X):
    size = config.train_patch_size
    if size is None:
        if not isinstance(X, np.ndarray):
            raise InputError("train_patch_size: missing; lists of whole images need the size of the random crops")
        axes_check_and_normalize("S" + config.axes, X.ndim)
        size = X.shape[1:-1]
    for axis, n, divisor in zip(config.axes, size, spec.divisor, strict=False):
        if n % divisor:
            raise InputError(f"training patches: {n} along {axis}, expected a multiple of {divisor}")
    fixed = getattr(spec, "input_size", None)
    if fixed and tuple(size) != tuple(fixed):
        raise InputError(f"training patches: size {tuple(size)}, expected {tuple(fixed)}, fixed by the learned query")

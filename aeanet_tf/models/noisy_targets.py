"""Training without ground truth: what is trained for, and what is refused (docs/noise2void.md)."""

from functools import partial

from pydantic import ValidationError

from aeanet_tf.errors import InputError, expect
from aeanet_tf.field_errors import from_validation
from aeanet_tf.models.default_settings import NOISE2NOISE, NOISE2VOID, TRUTH
from aeanet_tf.models.training_settings import BlindSpotsSection
from aeanet_tf.training import ValidationSet
from aeanet_tf.training.blind_spots import BlindSpots
from aeanet_tf.training.noisy_patches import HiddenPixelSampler, HiddenPixelValidationSet, SwappingSampler


def check_target(config):
    """Refuse what cannot be trained without ground truth.

    Args:
        config: an `AEANetConfig`.

    Raises:
        InputError: a model that does not restore images of the axes and channels of its input, a probabilistic one,
            matched targets, blind spots that do not fit the axes of the model.
    """
    target = config.train_target
    if target == TRUTH:
        return
    if not config.restores:
        raise InputError(
            f"train_target: {target!r}, expected {TRUTH!r} for this model: noisy images can only stand for images of "
            "the same axes and channels"
        )
    if config.spec.upscale > 1:
        raise InputError(
            f"train_target: {target!r}, expected {TRUTH!r} with network.upscale {config.spec.upscale}: noisy images "
            "have no more pixels than themselves"
        )
    if config.probabilistic:
        raise InputError(
            f"probabilistic: True, expected False with train_target {target!r}: the scale would be that of the noise"
        )
    if config.train_match_targets:
        raise InputError(
            f"match_targets: True, expected False with train_target {target!r}: a noisy image is fitted too weakly"
        )
    if target == NOISE2VOID:
        blind_spots(config)


def blind_spots(config):
    """The `BlindSpots` of the configuration of a model; errors name the field."""
    try:
        section = BlindSpotsSection.model_validate(config.train_blind_spots)
    except ValidationError as error:
        raise from_validation(error, "train_blind_spots", model=BlindSpotsSection) from None
    axis, axes = section.axis, config.axes.replace("C", "")
    expect(axis is None or axis in axes, "blind_spots.axis", repr(axis), f"None or one of the axes {axes}")
    return BlindSpots(section.share, section.radius, None if axis is None else axes.index(axis), section.extent)


def samplers(config):
    """What makes the batches to train on, and those to validate on: functions with the arguments of `PatchSampler` and
    of `ValidationSet`."""
    if config.train_target == TRUTH:
        return config.samplers
    if config.train_target == NOISE2NOISE:
        return SwappingSampler, ValidationSet
    spots = blind_spots(config)
    return partial(HiddenPixelSampler, spots=spots), partial(HiddenPixelValidationSet, spots=spots)


def given_images(config, X, Y, validation_data):
    """``Y`` and ``validation_data`` as training takes them, where the images themselves are what is trained for.

    Noise2Void has no ``Y``. Images to validate on are ``validation_data``, or ``Y`` where there is none: then the call
    is that of ``n2v``, ``train(X, X_val)``.

    Args:
        config: an `AEANetConfig`.
        X, Y, validation_data: of `AEANet.train`.

    Raises:
        InputError: ground truth for Noise2Void; no images to validate on.
    """
    if config.train_target != NOISE2VOID:
        return Y, validation_data
    if validation_data is None:
        Y, validation_data = None, Y
    expected = f"none with train_target {NOISE2VOID!r}, which takes noisy images alone"
    expect(Y is None or Y is X, "Y", "targets", expected)
    if isinstance(validation_data, tuple) and len(validation_data) == 2:
        held, truths = validation_data
        expect(truths is None or truths is held, "validation_data", "a pair with targets", expected)
        validation_data = held
    expect(validation_data is not None, "validation_data", "none", "noisy images to validate on")
    return X, (validation_data, validation_data)

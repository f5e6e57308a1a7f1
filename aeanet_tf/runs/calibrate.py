"""Calibration of the scales of a probabilistic model on images that it was not trained on."""

import logging
from datetime import date

import numpy as np

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import expect
from aeanet_tf.evaluation.calibration import Calibration
from aeanet_tf.io.read import find_images
from aeanet_tf.models.folder import prediction_normalization
from aeanet_tf.models.scale_calibration import ScaleCalibration, save_calibration
from aeanet_tf.models.weights_file import network_digest
from aeanet_tf.runs.calibration_images import fingerprints, held_out_fingerprints, warn_of_training_images
from aeanet_tf.runs.image_data import read_normalised
from aeanet_tf.runs.train import images_of
from aeanet_tf.training.pairs import match_target

logger = logging.getLogger("aeanet_tf")

# One number is fitted: some sixteen images of 1024 x 1024 are enough, spread over all.
MOST_PIXELS = 1 << 24
# Of images that are predicted together.
_AT_ONCE = 1 << 21


def calibrate(model, input=None, gt=None, axes=None):
    """Fit the factor that makes the scales of a model right on validation images, and keep it in the model's folder.

    The factor is that of the smallest expected calibration error (`aeanet_tf.evaluation.calibration`). Images are
    normalised, and ground truths matched, as in training, so gain and offset count as far as they did there. An
    earlier factor is replaced. Of many images a part is taken, spread over all, see `MOST_PIXELS`.

    Args:
        model: a probabilistic `AEANet` with a folder.
        input, gt: folders, patterns or files of images and their ground truths, which the model was not trained on; by
            default the validation images of its training.
        axes: of the files; by default those they state.

    Returns:
        The `ScaleCalibration`, and the `Calibration` that it was fitted to.

    Raises:
        InputError: a model that is not probabilistic, or without a folder; images that cannot be read or do not fit;
            one of ``input`` and ``gt`` alone; no validation images are known.
    """
    expect(model.config.probabilistic, f"{model.name}", "a model that predicts no scale", "a probabilistic one")
    expect(model.basedir is not None, f"{model.name}", "a model without a folder", "one with a folder")
    expect((input is None) == (gt is None), "--input, --gt", "one of them", "both, or none")
    if input is None:
        images, told = _own_images(model)
        texts, count = held_out_fingerprints(model.logdir), len(images)
    else:
        images, count, texts, told = _given_images(model, input, gt, axes)
    found = Calibration()
    # CSBDeep's own models do not know of it.
    matched = getattr(model.config, "train_match_targets", False)
    for x, y, mean, scale in _predicted(model, images):
        if matched:
            y = match_target(x, y, upscale=model.spec.upscale).apply(y)
        found.add(np.asarray(y), mean, scale)
    factor = found.factor()
    calibration = ScaleCalibration(
        factor=factor,
        date=date.today().isoformat(),
        network=network_digest(model),
        data=f"{count} image{'s' if count > 1 else ''} ({told})",
        images=tuple(texts),
        pixels=found.pixels,
        error_before=found.expected_error(),
        error_after=found.expected_error(factor),
    )
    if model.calibration is not None:
        logger.info("%s: replaces the scale %s", model.logdir, model.calibration.line())
    save_calibration(model.logdir, calibration)
    model.calibration = calibration
    return calibration, found


def _own_images(model):
    """Pairs of the validation images of the training of a model, and what they are in words."""
    X, Y = images_of(model.logdir, model.config).validation
    return _spread(list(zip(X, Y, strict=True)), lambda pair: pair[0][..., 0].size), "validation of its training"


def _given_images(model, input, gt, axes):
    """Pairs as they are read, their number, what tells their files from others, and what they are in words."""
    for place in (input, gt):
        find_images(place)
    pairs = pair_folders(input, gt)
    found = fingerprints(path for pair in pairs for path in pair)
    warn_of_training_images(model.logdir, found)
    section = prediction_normalization(model.logdir)

    def images():
        for pair in pairs:
            yield from zip(*read_normalised(pair, axes, model.config, section), strict=True)

    return images(), len(pairs), found.values(), str(input)


def _spread(pairs, size):
    """As many of the pairs as have `MOST_PIXELS`, spread over all."""
    total = sum(map(size, pairs))
    count = max(1, min(len(pairs), int(len(pairs) * MOST_PIXELS / max(1, total))))
    return [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, count).astype(int))]


def _predicted(model, images):
    """Input, target, mean and scale of each image, as the network has them."""
    group, pixels = [], 0
    for pair in images:
        group.append(pair)
        pixels += pair[0][..., 0].size
        if pixels >= _AT_ONCE:
            yield from _group(model, group)
            group, pixels = [], 0
    if group:
        yield from _group(model, group)


def _group(model, pairs):
    level = logger.level
    # Of many images the same line each time.
    logger.setLevel(logging.WARNING)
    try:
        results = model.predict_probabilistic([x for x, _ in pairs], model.config.axes, None, uncalibrated=True)
    finally:
        logger.setLevel(level)
    for (x, y), result in zip(pairs, results, strict=True):
        yield x, y, result.mean(), result.scale()

"""Intensities as they were recorded, where a network expects normalised ones: told, not refused."""

import logging
from weakref import WeakSet

import numpy as np

from aeanet_tf.models.folder import known_normalization

logger = logging.getLogger("aeanet_tf")

# Of normalised images, by percentiles or to deviation 1, 99 % of the pixels are within it, whatever spots there are:
# no distribution has more than 1 % beyond 10 standard deviations.
_LARGEST = 10
_PERCENTILES = 1, 99
# Pixels that are looked at.
_SAMPLE = 10**5
_TOLD: WeakSet = WeakSet()


def raw_range(images):
    """Percentiles 1 and 99 of images, where one of them is farther from 0 than those of normalised images are.

    Args:
        images: an array, or a list of them; what is no array in memory is left out, and not read.

    Returns:
        Two numbers, or ``None`` for images that may well be normalised.
    """
    arrays = [images] if hasattr(images, "shape") else list(images)
    arrays = [a for a in arrays if type(a) is np.ndarray and a.size and a.dtype.kind in "biuf"]
    if not arrays:
        return None
    each = max(1, _SAMPLE // len(arrays))
    # An odd distance, for columns to be mixed.
    values = np.concatenate([a.flat[:: a.size // each | 1].astype("float32") for a in arrays])
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES))
    return (low, high) if max(-low, high) > _LARGEST else None


def warn_of_raw_training(config, X, Y):
    """Warn where a model is to be trained on intensities that nobody has normalised.

    Args:
        config: of the model. Slices, whose grey levels the network normalises, are left out, and so are labels, and
            targets that are matched to their input.
        X, Y: as of `AEANet.train`.
    """
    if getattr(config.spec, "kind", None) == "ssan":
        return
    targets = config.learns_intensities and not config.train_match_targets
    for side, images in (("X", X), ("Y", Y)) if targets else (("X", X),):
        found = raw_range(images)
        if found is not None:
            logger.warning(
                "%s: values from %.4g to %.4g (percentiles 1 and 99), expected about 0 to 1: networks learn poorly "
                "from intensities as they are; normalise each image, such as csbdeep.utils.normalize(x, 2, 99.8)",
                side,
                *found,
            )


def warn_of_raw_input(model, x, name):
    """Warn, once for each model, where its network is given intensities that nobody has normalised.

    Args:
        model: an `AEANet`; one that was trained on images as they are, as its folder says, is given them rightly.
        x: the array that the network is given.
        name: of the image.
    """
    if model in _TOLD:
        return
    found = raw_range(x)
    if found is None:
        return
    _TOLD.add(model)
    known = None if model.basedir is None else known_normalization(model.logdir)
    if known is None or known.kind != "none":
        logger.warning(
            "%s: the network is given values from %.4g to %.4g (percentiles 1 and 99), expected about 0 to 1 as in "
            "training; leave normalizer away, or give an image that is normalised, such as "
            "csbdeep.utils.normalize(x, 2, 99.8)",
            name or "image",
            *found,
        )

"""Training data of slice interpolation: the triplets of a stack, split by slice."""

import logging
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.models.slice_interpolation import pair_normalizer
from aeanet_tf.sections.stack import open_stack, parse_slices
from aeanet_tf.sections.triplets import TripletOptions, make_triplets, summary, write_report

logger = logging.getLogger("aeanet_tf")

TRIPLETS_FILE = "triplets.csv"
# Normalised values beyond these are not what the networks and losses are made for.
_USUAL_RANGE = -2, 3


def load_slices(data, root):
    """Images to train and to validate on, from the stack of a `DataSection`.

    Triplets are of three consecutive slices that are all to train on, or all to validate on.

    Args:
        data: the section, of kind ``slices``.
        root: the folder that its paths are relative to.

    Returns:
        ``X, Y, (X_val, Y_val), records``: lists of normalised images, ``(y, x, 2)`` and ``(y, x, 1)``, and the
        `TripletRecord` of every candidate.

    Raises:
        InputError: a stack that cannot be read, slices that it does not have or that are to train and to validate on,
            no triplet that is fit.
    """
    stack = open_stack(root / data.stack, data.axes, data.dataset)
    slices = {
        name: parse_slices(getattr(data, name), len(stack), f"data.{name}")
        for name in ("train_slices", "validation_slices")
    }
    both = sorted(set.intersection(*map(set, slices.values())))
    if both:
        raise InputError(f"data.validation_slices: {both[0]} is one of data.train_slices, expected others")
    options, loaded, records = TripletOptions(**data.triplets.model_dump()), [], []
    for name, chosen in slices.items():
        try:
            triplets, found = make_triplets(stack, chosen, options)
        except InputError as error:
            raise InputError(f"data.{name}: {error}") from None
        logger.info("data.%s: %s", name, summary(found))
        loaded.append(tuple(zip(*(_normalised(data.normalization, t.images) for t in triplets), strict=True)))
        records += found
    (X, Y), validation = loaded
    _check_range(Y)
    return list(X), list(Y), tuple(map(list, validation)), records


def _check_range(images):
    low, high = min(float(y.min()) for y in images), max(float(y.max()) for y in images)
    if low < _USUAL_RANGE[0] or high > _USUAL_RANGE[1]:
        logger.warning(
            "data.normalization: slices are %.3g to %.3g after it, expected about 0 to 1; see docs/configuration.md",
            low,
            high,
        )


def save_triplets(folder, records):
    """Keep which triplets were taken and which not, and why, in a model folder: ``triplets.csv``."""
    write_report(Path(folder) / TRIPLETS_FILE, records)


def _normalised(section, images):
    """Input and target of a triplet ``(3, y, x)``, normalised by the neighbours, as in prediction."""
    before, middle, after = images
    normalizer = pair_normalizer(section, before, after)
    neighbours = normalizer.before(np.stack([before, after]), "ZYX")
    return np.moveaxis(neighbours, 0, -1), normalizer.before(middle[None], "ZYX")[0, ..., None]

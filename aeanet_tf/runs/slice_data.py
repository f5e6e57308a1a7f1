"""Training data of slice interpolation: the triplets of a stack, split by slice, or ready-made ones."""

import logging
from pathlib import Path

import numpy as np

from aeanet_tf.datasets.pairs import held_out_count
from aeanet_tf.errors import InputError
from aeanet_tf.models.normalizers import normalized
from aeanet_tf.models.slice_interpolation import pair_normalizer
from aeanet_tf.runs.held_out import chosen_images
from aeanet_tf.runs.image_data import TrainingImages, chosen_numbers, stack_files
from aeanet_tf.sections.alignment import to_common_histogram
from aeanet_tf.sections.stack import open_stack
from aeanet_tf.sections.triplet_folders import find_triplets, read_triplet, triplet_files
from aeanet_tf.sections.triplets import make_triplets, summary, write_report
from aeanet_tf.training.interpolation_losses import InterpolationLoss

logger = logging.getLogger("aeanet_tf")

TRIPLETS_FILE = "triplets.csv"
# Normalised values beyond these are not what the networks and losses are made for.
_USUAL_RANGE = -2, 3


def load_slices(section, network):
    """Images to train and to validate on, from the stack of a `SlicesSection`: ``(y, x, 2)`` and ``(y, x, 1)``.

    Triplets are of three consecutive slices that are all to train on, or all to validate on.

    Raises:
        InputError: a loss that cannot be had; a stack that cannot be read, slices that it does not have or that are to
            train and to validate on, no triplet that is fit.
    """
    # Before the stack is read, since VGG-16 may be missing.
    InterpolationLoss(network.train_loss, network.train_vgg_weights)
    stack = open_stack(section.folder() / section.stack, section.axes, section.dataset, **chosen_images(section))
    slices = chosen_numbers(section, "slices", len(stack))
    loaded, records, names = [], [], []
    for name, chosen in zip(("train_slices", "validation_slices"), slices, strict=True):
        try:
            triplets, candidates = make_triplets(stack, chosen, section.triplets)
        except InputError as error:
            raise InputError(f"data.{name}: {error}") from None
        logger.info("data.%s: %s", name, summary(candidates))
        own = [f"{stack.path}, slice {triplet.slice}" for triplet in triplets]
        pairs = (
            _normalised(section.normalization, triplet.images, name)
            for triplet, name in zip(triplets, own, strict=True)
        )
        names.append(own)
        loaded.append(tuple(map(list, zip(*pairs, strict=True))))
        records += candidates
    (X, Y), validation = loaded
    _check_range(Y)
    return TrainingImages(X, Y, validation, tuple(names), triplets=records, files=tuple(stack_files(stack)))


def load_triplets(section, network):
    """The same of the ready-made triplets of a `TripletsSection`.

    Raises:
        InputError: a loss that cannot be had; no triplets, or some that cannot be read; triplets that are to train and
            to validate on.
    """
    InterpolationLoss(network.train_loss, network.train_vgg_weights)
    root = section.folder()
    train = find_triplets(root / section.train)
    if section.validation is not None:
        validation = find_triplets(root / section.validation)
        both = {*(path.resolve() for path in train)} & {*(path.resolve() for path in validation)}
        if both:
            raise InputError(f"data.validation: {min(both)} is one of data.train, expected other triplets")
    else:
        held = held_out_count(len(train), section.validation_split)
        if not held:
            raise InputError(f"{train[0]}: the only triplet, expected another to validate on")
        train, validation = train[:-held], train[-held:]
    logger.info("data.train: %d triplets, data.validation: %d", len(train), len(validation))
    loaded = []
    for folders in (train, validation):
        images = (ready_made(folder, section.match_histograms) for folder in folders)
        pairs = (_normalised(section.normalization, *item) for item in zip(images, folders, strict=True))
        loaded.append(tuple(map(list, zip(*pairs, strict=True))))
    (X, Y), held_out = loaded
    _check_range(Y)
    names = tuple([str(folder) for folder in folders] for folders in (train, validation))
    files = tuple(file for folder in (*train, *validation) for file in triplet_files(folder))
    return TrainingImages(X, Y, held_out, names, files=files)


def ready_made(folder, match_histograms):
    """A ready-made triplet ``(3, y, x)``; with ``match_histograms`` in what the two neighbours have in common."""
    before, middle, after = read_triplet(folder)
    if match_histograms:
        before, after, middle = to_common_histogram(before, after, middle)
    return np.stack([before, middle, after])


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


def _normalised(section, images, name):
    """Input and target of a triplet ``(3, y, x)``, normalised by the neighbours, as in prediction."""
    before, middle, after = images
    normalizer = pair_normalizer(section, before, after, name)
    neighbours = normalized(normalizer, np.stack([before, after]), "ZYX", name)
    return np.moveaxis(neighbours, 0, -1), normalized(normalizer, middle[None], "ZYX", name)[0, ..., None]

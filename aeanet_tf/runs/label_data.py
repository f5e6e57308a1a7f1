"""Training data of segmentation: images and label images from folders, stacks, or iSeg-2017."""

import logging

import numpy as np

from aeanet_tf.datasets.iseg import LABELS, cropped, iseg_subjects, label_values, read_subject
from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import InputError
from aeanet_tf.io.channels import channel_paths, open_channels
from aeanet_tf.io.image import Image, check_finite
from aeanet_tf.io.labels import to_classes
from aeanet_tf.io.nifti import check_same_place
from aeanet_tf.io.read import read_image
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.runs.image_data import held_out_pairs, network_image
from aeanet_tf.sections.stack import open_stack, parse_slices

logger = logging.getLogger("aeanet_tf")

LABEL_KINDS = ("labels", "iseg")
"""Kinds of a `DataSection` that segmentation models are trained from."""


def load_labels(data, network, root):
    """Images and label images to train and to validate on, of a `DataSection` of kind ``labels`` or ``iseg``.

    Args:
        data: the section.
        network: a `SegmentationAEANetConfig`.
        root: the folder that the section's paths are relative to.

    Returns:
        ``X, Y, (X_val, Y_val)``: lists of normalised images ``(*spatial, channels)`` in the network's axes, and of
        label images ``(*spatial, 1)`` that hold the values of ``network.labels``.

    Raises:
        InputError: files that cannot be read or do not fit each other or the network, labels that are not of
            ``network.labels``, images that are to train and to validate on.
    """
    if data.kind == "iseg":
        chosen, read = _subjects(data, network, root)
    else:
        chosen, read = (_slices if data.stack else _files)(data, network, root)
    normalizer, loaded = make_normalizer(data.normalization), []
    for one in chosen:
        pairs = [_prepared(read(item), network, normalizer) for item in one]
        loaded.append(tuple(map(list, zip(*pairs, strict=True))))
    (X, Y), validation = loaded
    _warn_of_missing(Y, network)
    return X, Y, validation


def _prepared(pair, network, normalizer):
    """A pair of `Image` in the network's axes, the first normalised, the second checked and with one channel."""
    image, labels = pair
    spatial = network.axes.replace("C", "")
    x = network_image(image, network.axes, network.n_channel_in, normalizer)
    if sorted(labels.axes) != sorted(spatial):
        raise InputError(f"{labels.path}: axes {labels.axes}, expected {spatial}, labels without channels")
    to_classes(labels.array, network.labels, labels.path)
    y = labels.array.transpose([labels.axes.index(a) for a in spatial])[..., None]
    check_same_place(image.path, labels.path)
    if y.shape[:-1] != x.shape[:-1]:
        raise InputError(
            f"{labels.path}: shape {y.shape[:-1]} ({spatial}), expected {x.shape[:-1]} as {image.path} has"
        )
    return x, y


def _warn_of_missing(labels, network):
    found = set().union(*(np.unique(one).tolist() for one in labels))
    missing = [value for value in network.labels if value not in found]
    if missing:
        logger.warning("model.labels: no training image has the class %s", ", ".join(map(str, missing)))


def _apart(data, name, numbers):
    """Refuse numbers that are among those to train on and those to validate on."""
    both = sorted(set.intersection(*map(set, numbers)))
    if both:
        raise InputError(f"data.validation_{name}: {both[0]} is one of data.train_{name}, expected others")


def _slices(data, network, root):
    """Numbers of slices to train and to validate on, and how a slice and its labels are read."""
    stacks = [open_stack(root / path, data.axes, data.dataset) for path in (data.stack, data.label_stack)]
    images, labels = stacks
    if (len(images), images.shape) != (len(labels), labels.shape):
        found, expected = (f"{len(s)} slices of {s.shape}" for s in (labels, images))
        raise InputError(f"{labels.path}: {found}, expected {expected} as {images.path} has")
    if sorted(network.axes) != sorted("YXC"):
        raise InputError(f"model.axes: {network.axes}, expected YX for the slices of a stack")
    names = ("train_slices", "validation_slices")
    chosen = [parse_slices(getattr(data, name), len(images), f"data.{name}") for name in names]
    _apart(data, "slices", chosen)

    def read(number):
        return tuple(Image(s.read(number), "YX", path=f"{s.path}, slice {number}") for s in stacks)

    return chosen, read


def _files(data, network, root):
    """Pairs of files to train and to validate on, and how a pair is read."""
    chosen = held_out_pairs(data, root, pair_folders(root / data.low, root / data.GT, data.channels))
    both = set.intersection(*({low.resolve() for low, _ in pairs} for pairs in chosen))
    if both:
        raise InputError(f"data.validation_low: {min(both)} is one of data.low, expected other images")

    def read(pair):
        path, labels = pair
        if data.channels:
            image = open_channels(path, data.channels, data.axes)
            image.array = image.array[tuple(slice(0, n) for n in image.array.shape)]
            for index, file in enumerate(channel_paths(path, data.channels)):
                check_finite(file, image.array[..., index])
        else:
            image = read_image(path, data.axes)
        # Labels have no channels.
        return image, read_image(labels, data.axes and data.axes.replace("C", ""))

    return chosen, read


def _subjects(data, network, root):
    """Numbers of subjects to train and to validate on, and how one is read, cropped to its brain."""
    if tuple(network.labels) != LABELS or sorted(network.axes) != sorted("ZYXC"):
        raise InputError(
            f"model.labels, model.axes: {network.labels} and {network.axes}, expected {list(LABELS)} and ZYX for iSeg"
        )
    there, names = iseg_subjects(root), ("train_subjects", "validation_subjects")
    chosen = [parse_slices(getattr(data, n), field=f"data.{n}", what="numbers of subjects") for n in names]
    _apart(data, "subjects", chosen)
    for name, numbers in zip(names, chosen, strict=True):
        missing = [n for n in numbers if n not in there]
        if missing:
            raise InputError(f"data.{name}: {root} has no subject {missing[0]}, it has {', '.join(map(str, there))}")

    def read(number):
        subject = read_subject(root, number)
        if subject.labels is None:
            raise InputError(f"{root / f'subject-{number}-label.hdr'}: no such file, expected the labels to train on")
        path = subject.template.path
        return (
            Image(cropped(subject.images, subject.crop), "ZYXC", path=path),
            Image(cropped(label_values(subject.labels), subject.crop), "ZYX", path=path),
        )

    return chosen, read

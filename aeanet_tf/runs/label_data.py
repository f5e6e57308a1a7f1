"""Training data of segmentation: images and label images from folders, stacks, or iSeg-2017."""

import logging

import numpy as np

from aeanet_tf.datasets.iseg import LABELS, iseg_subjects, read_subject
from aeanet_tf.errors import InputError
from aeanet_tf.io.channels import channel_paths, open_channels
from aeanet_tf.io.image import Image, check_finite
from aeanet_tf.io.labels import to_classes, to_labels
from aeanet_tf.io.nifti import check_same_place
from aeanet_tf.io.read import read_image
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.runs.held_out import chosen_images, held_out_pairs, paired_images, split_image
from aeanet_tf.runs.image_data import TrainingImages, chosen_numbers, network_image, stack_files
from aeanet_tf.sections.stack import open_stack

logger = logging.getLogger("aeanet_tf")


def load_labels(section, network):
    """Images and label images of a `LabelsSection`: of the slices of its stacks, or of its folders.

    Label images ``(*spatial, 1)`` hold the values of ``network.labels``.

    Raises:
        InputError: as for other images; also labels that are not of ``network.labels``.
    """
    return _loaded(section, network, _slices if section.stack else _files)


def load_iseg(section, network):
    """Images and label images of an `ISegSection`, cropped to the brains; see `load_labels`."""
    return _loaded(section, network, _subjects)


def _loaded(section, network, source):
    parts, read, files = source(section, network)
    normalizer, loaded, names = make_normalizer(section.normalization), [], []
    for part in parts:
        prepared = [_prepared(read(item), network, normalizer) for item in part]
        *images, own = map(list, zip(*prepared, strict=True)) if prepared else ([], [], [])
        loaded.append(tuple(images))
        names.append(own)
    if not names[1]:
        X, Y, own, validation, others = split_image(section, network, *loaded[0], names[0])
        loaded, names = [(X, Y), validation], [own, others]
    (X, Y), validation = loaded
    found = set().union(*(np.unique(image).tolist() for image in Y))
    missing = [value for value in network.labels if value not in found]
    if missing:
        logger.warning("model.labels: no training image has the class %s", ", ".join(map(str, missing)))
    return TrainingImages(X, Y, validation, tuple(names), files=tuple(files))


def _prepared(pair, network, normalizer):
    """A pair of `Image` in the network's axes, the first normalised, the second checked and with one channel; and the
    name of the first."""
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
    return x, y, str(image.path)


def _slices(section, network):
    """Numbers of slices to train and to validate on, how a slice and its labels are read, and the files."""
    root = section.folder()
    stacks = [
        open_stack(root / path, section.axes, section.dataset, **chosen_images(section))
        for path in (section.stack, section.label_stack)
    ]
    images, labels = stacks
    if (len(images), images.shape) != (len(labels), labels.shape):
        found, expected = (f"{len(s)} slices of {s.shape}" for s in (labels, images))
        raise InputError(f"{labels.path}: {found}, expected {expected} as {images.path} has")
    if sorted(network.axes) != sorted("YXC"):
        raise InputError(f"model.axes: {network.axes}, expected YX for the slices of a stack")

    def read(number):
        return tuple(Image(s.read(number), "YX", path=f"{s.path}, slice {number}") for s in stacks)

    return chosen_numbers(section, "slices", len(images)), read, [file for s in stacks for file in stack_files(s)]


def _files(section, network):
    """Pairs of files to train and to validate on, how a pair is read, and the files."""
    pairs = paired_images(section, section.low, section.GT, section.channels)
    chosen = held_out_pairs(section, pairs, section.channels)
    both = set.intersection(*({low.resolve() for low, _ in pairs} for pairs in chosen))
    if both:
        raise InputError(f"data.validation_low: {min(both)} is one of data.low, expected other images")

    def read(pair):
        path, labels = pair
        if section.channels:
            image = open_channels(path, section.channels, section.axes)
            image.array = image.array[tuple(slice(0, n) for n in image.array.shape)]
            for index, file in enumerate(channel_paths(path, section.channels)):
                check_finite(file, image.array[..., index])
        else:
            image = read_image(path, section.axes)
        # Labels have no channels.
        return image, read_image(labels, section.axes and section.axes.replace("C", ""))

    files = []
    for path, labels in (pair for part in chosen for pair in part):
        files += [*(channel_paths(path, section.channels) if section.channels else [path]), labels]
    return chosen, read, files


def _subjects(section, network):
    """Numbers of subjects to train and to validate on, how one is read, cropped to its brain, and the files."""
    if tuple(network.labels) != LABELS or sorted(network.axes) != sorted("ZYXC"):
        raise InputError(
            f"model.labels, model.axes: {network.labels} and {network.axes}, expected {list(LABELS)} and ZYX for iSeg"
        )
    root = section.folder()
    there, chosen = iseg_subjects(root), chosen_numbers(section, "subjects", what="numbers of subjects")
    for name, numbers in zip(("train_subjects", "validation_subjects"), chosen, strict=True):
        missing = [n for n in numbers if n not in there]
        if missing:
            raise InputError(f"data.{name}: {root} has no subject {missing[0]}, it has {', '.join(map(str, there))}")

    def read(number):
        subject = read_subject(root, number)
        if subject.labels is None:
            raise InputError(f"{root / f'subject-{number}-label.hdr'}: no such file, expected the labels to train on")
        path = subject.template.path
        return (
            Image(subject.images[subject.crop], "ZYXC", path=path),
            Image(to_labels(subject.labels[subject.crop], LABELS), "ZYX", path=path),
        )

    return (
        chosen,
        read,
        [file for part in chosen for number in part for file in sorted(root.glob(f"subject-{number}-*"))],
    )

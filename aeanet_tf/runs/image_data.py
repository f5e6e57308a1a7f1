"""The training and validation images of a run, read, checked and normalised."""

import logging
from dataclasses import replace
from typing import Any, NamedTuple

from csbdeep.utils import move_image_axes

from aeanet_tf.datasets.label_free import LabelFreeImage, label_free_images
from aeanet_tf.datasets.paired_em import prepare_paired_em, sub_images
from aeanet_tf.datasets.pairs import pair_folders, read_npz, read_pair
from aeanet_tf.datasets.samples import as_channels, load_sample_pairs
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.frame import frame_image, frames_along
from aeanet_tf.io.image import check_fits, frame_axes, with_axes
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.io.read import find_images
from aeanet_tf.io.value_range import LEAST_SHARE
from aeanet_tf.models.normalizers import make_normalizer, normalized
from aeanet_tf.paths import matching_paths
from aeanet_tf.runs.held_out import held_out_pairs, paired_images, split_image
from aeanet_tf.sections.stack import parse_slices

logger = logging.getLogger("aeanet_tf")


class TrainingImages(NamedTuple):
    """What a section of a run configuration loads: normalised images, channels last.

    Attributes:
        X, Y: to train on: arrays of patches from an ``.npz``, otherwise lists of whole images; of label images the
            values of the classes.
        validation: ``(X, Y)`` to validate on.
        names: what messages call the pairs to train on, and those to validate on.
        triplets: the `TripletRecord` of every candidate, for slices of a stack.
        files: what was read, files and folders of OME-Zarrs.
        calibration: pixel size by axis and unit, of the first input; empty and None where they are not known.
    """

    X: Any
    Y: Any
    validation: tuple
    names: tuple = ((), ())
    triplets: list | None = None
    files: tuple = ()
    calibration: tuple = ({}, None)


def pairs_of_epoch(section, images):
    """How many pairs a pass over the data has: those to train on, and a share of them that is held out for validation.

    The papers count epochs and patches of all training data (GVTNet paper, sections 2.3 and 4.5.2) and say nothing of
    what they hold out. Of whole images, one patch each makes a pass.

    Args:
        section: of a run configuration.
        images: the `TrainingImages` that were loaded from it.
    """
    return len(images.X) + (len(images.validation[0]) if section.holds_out else 0)


def load_npz(section, network):
    """Patches of a `NpzSection`."""
    pattern = section.folder() / section.npz
    files = [str(path) for path in matching_paths(pattern)]
    if len(files) != 1:
        raise InputError(f"data.npz: {pattern} matches {len(files)} files, expected one")
    (X, Y), validation, axes = read_npz(files[0], section.validation_split, axes=section.axes)
    if axes != "S" + network.axes:
        raise InputError(f"{files[0]}: axes {axes}, expected {'S' + network.axes} for model.axes {network.axes}")
    for name, array, n in (("X", X, network.n_channel_in), ("Y", Y, network.n_channel_out)):
        if array.shape[-1] != n:
            raise InputError(f"{files[0]}: {name} has {array.shape[-1]} channels, the model is configured for {n}")
    names = [f"{files[0]}: patch {i}" for i in range(len(X) + len(validation[0]))]
    largest = max(max(-float(array.min()), float(array.max())) for array in (X, Y, *validation))
    if largest > 1 / LEAST_SHARE:
        logger.warning(
            "%s: holds values up to %.3g, expected about 0 to 1; were they cut from images whose percentiles coincide? "
            "`aeanet patches` normalises those by others",
            files[0],
            largest,
        )
    return TrainingImages(X, Y, validation, (names[: len(X)], names[len(X) :]), files=(files[0],))


def load_sample(section, network):
    """The samples of a `SampleSection`: three images, or one where the network takes their channels together."""
    pairs, normalizer = load_sample_pairs(), make_normalizer(section.normalization)
    (X, Y), validation = (_normalised(pairs[part], network, normalizer) for part in ("train", "validation"))
    names = tuple([f"{part} sample {i}" for i in range(len(X))] for part in ("training", "validation"))
    return TrainingImages(X, Y, validation, names)


def load_folders(section, network):
    """Images of a `FoldersSection`."""
    return _load_pairs(section, network, paired_images(section, section.low, section.GT))


def load_paired_em(section, network):
    """Sub-images of a `PairedEMSection`; those held out are spread over all images."""
    root = section.folder()
    prepared = prepare_paired_em(root, root / section.prepared, section.pair)
    low, gt = (sub_images(prepared, "train", side, section.pair) for side in ("low", "GT"))
    return _load_pairs(section, network, pair_folders(low, gt), spread=True)


def load_label_free(section, network):
    """Images of a `LabelFreeSection`."""
    images = label_free_images(section.folder(), section.structure, "train", section.resize)
    return _load_pairs(section, network, images)


def _load_pairs(section, network, pairs, spread=False):
    """Read pairs of paths, or each `LabelFreeImage`, one by one."""
    parts, normalizer = held_out_pairs(section, pairs, spread=spread), make_normalizer(section.normalization)
    read = [_read(part, section.axes, network, normalizer) for part in parts]
    (X, Y, names, calibration), (*validation, others, _) = read
    if not others:
        X, Y, names, validation, others = split_image(section, network, X, Y, names)
    files = tuple(file for part in parts for pair in part for file in _files_of(pair))
    return TrainingImages(X, Y, tuple(validation), (names, others), files=files, calibration=calibration)


def _files_of(pair):
    return [pair.signal[0], pair.target[0]] if isinstance(pair, LabelFreeImage) else pair


def stack_files(stack):
    """The files of a `SerialStack`: one, or those of its slices."""
    path = ImagePath.of(stack.path).path
    return [path] if path.is_file() or is_zarr(path) else find_images(path)


def chosen_numbers(section, kind, count=None, what="slices counted from 0"):
    """Two lists, of ``data.train_KIND`` and ``data.validation_KIND``; see `parse_slices`.

    Raises:
        InputError: a number is in both, or is none of ``count``.
    """
    train, validation = (
        parse_slices(getattr(section, name), count, f"data.{name}", what)
        for name in (f"train_{kind}", f"validation_{kind}")
    )
    both = sorted({*train} & {*validation})
    if both:
        raise InputError(f"data.validation_{kind}: {both[0]} is one of data.train_{kind}, expected others")
    return train, validation


def _read(pairs, axes, network, normalizer):
    """Inputs, targets, names of the inputs and the calibration of the first: read, checked, normalised one by one, so
    that only what training needs stays in memory. Planes and frames along Z and T that the network lacks are samples of
    their own, normalised by themselves, as they are predicted."""
    X, Y, names, calibration = [], [], [], ({}, None)
    reduced = getattr(network, "proj_axis", None)
    targets, count, letters = network.axes.replace(reduced or "", ""), 0, set()
    larger = dict.fromkeys(network.axes.replace("C", ""), network.spec.upscale)
    for pair in pairs:
        low, gt = pair.read_images() if isinstance(pair, LabelFreeImage) else read_pair(*pair, axes, reduced, larger)
        low, gt = (with_axes(image, kept) for image, kept in ((low, network.axes), (gt, targets)))
        if not names:
            calibration = low.pixel_size, low.unit
        along = frame_axes(low.axes, network.axes)
        expect(along == frame_axes(gt.axes, targets), gt.path, f"axes {gt.axes}", f"{along} as {low.path} has")
        frames = frames_along(low, along)
        for frame in frames:
            X.append(network_image(plane_in_memory(low, frame), network.axes, network.n_channel_in, normalizer))
            Y.append(network_image(plane_in_memory(gt, frame), targets, network.n_channel_out, normalizer))
            names.append(", ".join([str(low.path), *(f"{axis} {index}" for axis, index in frame.items())]))
        if along:
            count += len(frames)
            letters |= set(along)
    if count:
        told, images = " and ".join(sorted(letters)), f"{len(pairs)} image{'s' if len(pairs) > 1 else ''}"
        line = "%d planes along %s of %s, each a sample: the model's axes are %s"
        logger.info(line, count, told, images, network.axes)
    return X, Y, names, calibration


def read_normalised(pair, axes, network, normalization):
    """Inputs and targets of one pair of paths as they are trained on, lists of normalised images, channels last.

    Args:
        pair: paths of the input and its ground truth.
        axes: of the files; ``None`` for those they state.
        network: the configuration of the model.
        normalization: a `NormalizationSection`.
    """
    X, Y, _, _ = _read([pair], axes, network, make_normalizer(normalization))
    return X, Y


def plane_in_memory(image, frame):
    """One of the planes of an `Image` in memory, as an array."""
    plane = frame_image(image, frame)
    return replace(plane, array=plane.array[(slice(None),) * len(plane.axes)]) if frame else image


def network_image(image, axes, n_channel, normalizer):
    """The array of an `Image` with the axes of the network, normalised.

    Raises:
        InputError: axes or channels that the network does not take; values that cannot be normalised.
    """
    image = with_axes(image, axes)
    check_fits(image, axes, n_channel)
    array = move_image_axes(image.array, image.axes, axes, True)
    return normalized(normalizer, array, axes, image.path)


def _normalised(pair, network, normalizer):
    """The samples as three images, or as one where the network takes their channels together."""
    if network.n_channel_in == 3:
        pair = map(as_channels, pair)
    else:
        pair = ([image[..., None] for image in images] for images in pair)
    return tuple([normalized(normalizer, image, network.axes, "sample") for image in images] for images in pair)

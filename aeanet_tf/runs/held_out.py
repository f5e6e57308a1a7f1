"""Pairs of images of a run: how they are found, and which are held out to validate on."""

import difflib
import fnmatch
import json
import logging
import os
from pathlib import Path

import numpy as np

from aeanet_tf.datasets.pairs import UnpairedError, held_out_count, pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.image_path import ImagePath

logger = logging.getLogger("aeanet_tf")

_MOST_NAMED = 6


def chosen_images(section):
    """Which images of files that hold several a section names, whether planes may be missing, and whether folders are
    volumes; as keywords, those that the section has."""
    return {name: getattr(section, name) for name in ("series", "allow_missing", "slices") if hasattr(section, name)}


def paired_images(section, low, gt, channels=None):
    """The pairs of two folders, or patterns, of a section, relative to its root; see `pair_folders`.

    Raises:
        InputError: names do not pair; the message says what to write, so that they do.
    """
    root, match = section.folder(), getattr(section, "match", "name")
    try:
        pairs = pair_folders(root / low, root / gt, channels, **chosen_images(section), match=match)
    except UnpairedError as error:
        raise InputError(f"{error}{_remedy(error, low, gt)}") from None
    same = next((one for one, other in pairs if os.path.realpath(one) == os.path.realpath(other)), None)
    if same is not None and ImagePath.of(same).series is None:
        raise InputError(f"{same}: found as image and as its own ground truth, expected two files")
    return pairs


def check_pairs(section):
    """Refuse folders whose images do not pair, or cannot be split, before anything heavy is loaded for them.

    What is found is not told: it is when the images are read.

    Raises:
        InputError: as `paired_images` and `held_out_pairs`.
    """
    if section.kind != "folders":
        return
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        held_out_pairs(section, paired_images(section, section.low, section.GT))
    finally:
        logger.setLevel(level)


def _remedy(error, low, gt):
    """What to write in a configuration whose images do not pair by their names; the end of a message."""
    ways = []
    if error.patterns:
        sides = zip((low, gt), error.patterns, strict=True)
        patterns = [json.dumps(f"{place}/{pattern}.*") for place, pattern in sides]
        ways.append("write data.low as {} and data.GT as {}".format(*patterns))
    if error.in_order:
        how = 'data.match "order" pairs them in the order of their names, {} with {}'
        ways.append(how.format(*error.in_order))
    return "".join(f"; {way}" for way in ways)


def held_out_pairs(section, pairs, channels=None, spread=False):
    """Pairs to train on, and those to validate on: of the folders or the images that the section names, or a share of
    ``pairs``.

    Args:
        section: a section of a run configuration with folders for validation, or a share of it.
        pairs: those of which some would be held out.
        channels: as for `pair_folders`.
        spread: whether those of a share are spread over all pairs; otherwise they are the last ones.

    Returns:
        Both lists; nothing to validate on for a single pair, of which `split_image` holds out a part.
    """
    if section.validation_low is not None:
        return pairs, paired_images(section, section.validation_low, section.validation_GT, channels)
    return held_out(section, pairs, spread)


def held_out(section, pairs, spread=False):
    """As `held_out_pairs`, of those that a section names or of a share of ``pairs``."""
    if getattr(section, "validation_images", None):
        return _named(section.validation_images, pairs)
    return _split(pairs, held_out_count(len(pairs), section.validation_split), spread)


def _named(wanted, pairs):
    """All pairs but those whose input has one of the wanted names, with or without extension, or patterns; and these.

    Raises:
        InputError: a name that no input has; nothing is left to train on.
    """
    names = [(low.name, image_stem(low), Path(low).as_posix()) for low, _ in pairs]
    held = set()
    for pattern in wanted:
        exact = {i for i, own in enumerate(names) if pattern in own}
        found = exact or {i for i, own in enumerate(names) if _matches(own, pattern)}
        near = difflib.get_close_matches(pattern, [name for name, *_ in names], 1) or [names[-1][0]]
        expect(found, "data.validation_images", repr(pattern), f"the name of an image, such as {near[0]}, or a pattern")
        held |= found
    left = [pair for i, pair in enumerate(pairs) if i not in held]
    expect(left, "data.validation_images", f"all {len(pairs)} images", "some that are left to train on")
    return left, [pairs[i] for i in sorted(held)]


def _matches(names, pattern):
    name, stem, path = names
    return any(fnmatch.fnmatchcase(one, pattern) for one in (name, stem)) or fnmatch.fnmatchcase(path, f"*/{pattern}")


def split_image(section, network, X, Y, names):
    """A single pair in two: its part along the longer of Y and X, of which the end is validated on.

    Of a stack whose planes are samples it is the same end of all planes: neighbouring planes are too much alike for
    some to say anything of the others.

    Args:
        section, network: of the run.
        X, Y, names: lists of the normalised input, or its planes, their targets, and their names.

    Returns:
        X, Y, names, ``(X, Y)`` of the ends, their names.

    Raises:
        InputError: the image has no two patches side by side.
    """
    halves = [_split_plane(section, network, *plane) for plane in zip(X, Y, names, strict=True)]
    (X, Y, own), (*validation, others) = (
        tuple(map(list, zip(*part, strict=True))) for part in zip(*halves, strict=True)
    )
    which = f"{names[0]} is" if len(names) == 1 else f"{names[0]} to {names[-1]} are of"
    logger.warning("%s the only image: its end is held out for validation, which says little of other images", which)
    return X, Y, own, tuple(validation), others


def _split_plane(section, network, x, y, name):
    """The two parts of an input, its target and its name."""
    spatial = network.axes.replace("C", "")
    target = spatial if x.ndim == y.ndim else spatial.replace(getattr(network, "proj_axis", "Z"), "")
    axis = max("XY", key=lambda letter: x.shape[spatial.index(letter)])
    size, patch = x.shape[spatial.index(axis)], (network.train_patch_size or [1] * len(spatial))[spatial.index(axis)]
    held = max(round(size * section.validation_split), patch)
    if size - held < patch:
        raise InputError(
            f"{name}: the only image, {size} pixels along {axis}; expected {2 * patch}, a patch to train on and one to "
            "validate on; give more images, validation_low and validation_GT, or a smaller training.patch_size"
        )
    parts = []
    for part in (slice(0, size - held), slice(size - held, size)):
        larger = slice(network.spec.upscale * part.start, network.spec.upscale * part.stop)
        sides = (x, spatial, part), (y, target, larger)
        cut = [array[(slice(None),) * axes.index(axis) + (own,)] for array, axes, own in sides]
        parts.append((*cut, f"{name}, {axis} {part.start} to {part.stop - 1}"))
    return parts


def _split(pairs, n, spread):
    """All but ``n`` pairs, and those: the last ones, or, of sub-images, ones spread over all images."""
    count = len(pairs)
    held = set(((np.arange(n) + 0.5) * count / n).astype(int)) if spread else set(range(count - n, count))
    return [pairs[i] for i in range(count) if i not in held], [pairs[i] for i in sorted(held)]


def say_held_out(section, images):
    """Log which images are held out, by name, where a section leaves it to us."""
    names, count = [Path(name).name for name in images.names[1]], len(images.X) + len(images.validation[0])
    if len(names) > _MOST_NAMED:
        names[_MOST_NAMED - 1 : -1] = ["..."]
    others = "; data.validation_images chooses others" if hasattr(section, "validation_images") else ""
    told = len(images.validation[0]), count, ", ".join(names), others
    logger.info("held out for validation, %d of %d: %s%s", *told)


def held_out_files(images):
    """Name of a file of a `TrainingImages` -> ``True`` where it is held out, or what part of it."""
    files, found = sorted({str(Path(file)) for file in images.files}, key=len, reverse=True), {}
    whole = set(files)
    for name in images.names[1]:
        file = name if name in whole else next((file for file in files if name.startswith(file)), None)
        if file is not None:
            found.setdefault(file, []).append(name[len(file) :].strip(" :,[]"))
    return {file: _parts(parts) for file, parts in found.items()}


def _parts(parts):
    if not parts[0]:
        return True
    return parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}"

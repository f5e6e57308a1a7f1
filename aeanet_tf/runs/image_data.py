"""The training and validation images of a run, read, checked and normalised."""

import glob
import os
from pathlib import Path

import numpy as np
from csbdeep.utils import move_image_axes

from aeanet_tf.datasets.label_free import LabelFreeImage, label_free_images
from aeanet_tf.datasets.paired_em import prepare_paired_em, sub_images
from aeanet_tf.datasets.pairs import pair_folders, read_npz, read_pair
from aeanet_tf.datasets.samples import as_channels, load_sample_pairs
from aeanet_tf.errors import InputError
from aeanet_tf.io.image import check_fits
from aeanet_tf.models.normalizers import make_normalizer


def load_data(config, network):
    """Training and validation images of a run, normalised, channels last.

    Returns:
        ``X, Y, (X_val, Y_val)``: arrays of patches from an ``.npz``, otherwise lists of whole images.
    """
    data = config.data
    if data.kind == "npz":
        return _npz(data, network)
    if network.train_patch_size is None:
        raise InputError("training.patch_size: missing; whole images are trained on in random crops of that size")
    normalizer = make_normalizer(data.normalization)
    if data.kind == "sample":
        pairs = load_sample_pairs()
        X, Y = _normalised(pairs["train"], network, normalizer)
        return X, Y, _normalised(pairs["validation"], network, normalizer)
    root = find_root(data.root)
    pairs, held_out = held_out_pairs(data, root, _pairs(data, root))
    train, validation = (_read(p, data.axes, network, normalizer) for p in (pairs, held_out))
    return (*train, validation)


def pair_names(data):
    """What messages call the pairs that `load_data` gives: those to train on, and those to validate on.

    Args:
        data: a `DataSection`.
    """
    if data.kind == "npz":
        file = _npz_file(data)
        patches = [f"{file}: patch {i}" for i in range(len(np.load(file)["X"]))]
        held_out = round(len(patches) * data.validation_split)
        return patches[: len(patches) - held_out], patches[len(patches) - held_out :]
    if data.kind == "sample":
        # Three images, or one.
        return tuple([f"{kind} sample {i}" for i in range(3)] for kind in ("training", "validation"))
    root = find_root(data.root)
    return tuple([str(low) for low, *_ in pairs] for pairs in held_out_pairs(data, root, _pairs(data, root)))


def held_out_pairs(data, root, pairs):
    """Pairs to train on, and those to validate on: of the folders that the section names, or a share of ``pairs``."""
    if data.validation_low is not None:
        return pairs, pair_folders(root / data.validation_low, root / data.validation_GT, data.channels)
    n = round(len(pairs) * data.validation_split)
    if not 0 < n < len(pairs):
        split = f"{data.validation_split} of {len(pairs)} pairs"
        raise InputError(f"data.validation_split: {split} leaves no image for training or for validation")
    return _split(pairs, n, spread=data.kind == "paired_em")


def _pairs(data, root):
    """Pairs to train on: paths, or `LabelFreeImage`, which are read one by one."""
    if data.kind == "label_free":
        return label_free_images(root, data.structure, "train", data.resize)
    if data.kind == "paired_em":
        prepared = prepare_paired_em(root, root / data.prepared, data.pair)
        return pair_folders(*(sub_images(prepared, "train", side, data.pair) for side in ("low", "GT")))
    return pair_folders(root / data.low, root / data.GT)


def _split(pairs, n, spread):
    """All but ``n`` pairs, and those: the last ones, or, of sub-images, ones spread over all images."""
    count = len(pairs)
    held = set(((np.arange(n) + 0.5) * count / n).astype(int)) if spread else set(range(count - n, count))
    return [pairs[i] for i in range(count) if i not in held], [pairs[i] for i in sorted(held)]


def _npz_file(data):
    pattern = str(find_root(data.root) / data.npz)
    files = sorted(glob.glob(pattern))
    if len(files) != 1:
        raise InputError(f"data.npz: {pattern} matches {len(files)} files, expected one")
    return files[0]


def _npz(data, network):
    file = _npz_file(data)
    (X, Y), validation, axes = read_npz(file, data.validation_split, axes=data.axes)
    if axes != "S" + network.axes:
        raise InputError(f"{file}: axes {axes}, expected {'S' + network.axes} for model.axes {network.axes}")
    for name, array, n in (("X", X, network.n_channel_in), ("Y", Y, network.n_channel_out)):
        if array.shape[-1] != n:
            raise InputError(f"{file}: {name} has {array.shape[-1]} channels, the model is configured for {n}")
    return X, Y, validation


def _read(pairs, axes, network, normalizer):
    """Read, check and normalise pairs one by one, so that only what training needs stays in memory."""
    X, Y = [], []
    reduced = getattr(network, "proj_axis", None)
    for pair in pairs:
        low, gt = pair.read_images() if isinstance(pair, LabelFreeImage) else read_pair(*pair, axes, reduced)
        X.append(network_image(low, network.axes, network.n_channel_in, normalizer))
        Y.append(network_image(gt, network.axes.replace(reduced or "", ""), network.n_channel_out, normalizer))
    return X, Y


def network_image(image, axes, n_channel, normalizer):
    """The array of an `Image` with the axes of the network, normalised.

    Raises:
        InputError: axes or channels that the network does not take; values that cannot be normalised.
    """
    check_fits(image, axes, n_channel)
    array = move_image_axes(image.array, image.axes, axes, True)
    try:
        return normalizer.before(array, axes)
    except InputError as error:
        # A normaliser is not told the name.
        raise InputError(f"{image.path}: {str(error).removeprefix('image: ')}") from error


def _normalised(pair, network, normalizer):
    """The samples as three images, or as one where the network takes their channels together."""
    if network.n_channel_in == 3:
        pair = map(as_channels, pair)
    else:
        pair = ([image[..., None] for image in images] for images in pair)
    return tuple([normalizer.before(image, network.axes) for image in images] for images in pair)


def find_root(root):
    """The folder of a data set: as given, or under ``$AEANET_DATA`` or ``data``.

    Raises:
        InputError: it is in none of these places.
    """
    root = Path(root).expanduser()
    if root.is_absolute():
        places = [root]
    else:
        given = [Path(p) for p in os.environ.get("AEANET_DATA", "").split(os.pathsep) if p]
        places = [base / root for base in (Path(), *given, Path("data"))]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(f"data.root: no folder {root}; looked in {', '.join(str(p.parent) for p in places)}")

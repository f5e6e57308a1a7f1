"""Training data of isotropic restoration: planes of anisotropic volumes, made coarse along one axis."""

import logging

import numpy as np
from csbdeep.utils import move_image_axes

from aeanet_tf.datasets.anisotropic import Distortion, check_psf, default_sigma, known_factor, lateral_pairs
from aeanet_tf.datasets.pairs import held_out_count
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import check_fits, with_axes
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series
from aeanet_tf.models.normalizers import fit_normalizer, normalized
from aeanet_tf.runs.image_data import TrainingImages

logger = logging.getLogger("aeanet_tf")

_SEED = 0
# Along the axis of which the end is held out, for networks that halve it four times.
_LEAST_HELD = 16


def load_isotropic(section, network):
    """Planes of the volumes of an `IsotropicSection`: as they are, and as coarse along one axis as the volume along Z.

    Volumes are normalised as a whole, as they are when they are restored, after they were blurred and made noisy. Of
    several the last ones are held out, of one the end of all its planes along Y.

    Raises:
        InputError: as for other images; a volume without Z or with other channels, one whose factor is not known, or
            that is too small; patches that would be turned by 90 degrees, and their coarse axis with them.
    """
    _check_network(section, network)
    paths = find_series(section.folder() / section.volumes, section.series, section.allow_missing)
    held = held_out_count(len(paths), section.validation_split) if len(paths) > 1 else 0
    parts, names, calibration = ([], []), ([], []), None
    for index, path in enumerate(paths):
        image = _volume(section, network, path)
        calibration = calibration or (image.pixel_size, image.unit)
        distortion = _distortion(section, image)
        array = move_image_axes(image.array, image.axes, "ZYXC", True)
        normalizer = fit_normalizer(section.normalization, image, "YXC")
        if len(paths) > 1:
            sides = [(index >= len(paths) - held, array, str(path), "XY")]
        else:
            sides = _split(section, network, array, path)
        for side, volume, name, along in sides:
            rng = np.random.default_rng((_SEED, index, side))
            pairs = [_normal(pair, normalizer, path) for pair in lateral_pairs(volume, distortion, rng, along)]
            parts[side].extend(pairs)
            names[side].extend(f"{name}, Z {z}, coarse along {a}" for z in range(len(volume)) for a in along)
    train, validation = (tuple(map(list, zip(*part, strict=True))) for part in parts)
    return TrainingImages(*train, validation, names, files=tuple(paths), calibration=calibration)


def _check_network(section, network):
    expect(network.axes == "YXC", "model.axes", network.axes.replace("C", ""), "YX: planes are restored one by one")
    same = network.n_channel_in == network.n_channel_out
    expect(same, "model.n_channel_out", network.n_channel_out, f"{network.n_channel_in}, as n_channel_in")
    rows, columns = network.train_patch_size
    if network.train_augment and rows == columns:
        raise InputError(
            f"training.patch_size: {rows} x {columns} with augment turns patches by 90 degrees, and the coarse axis "
            f"with them, expected sides that differ, such as {rows} x {columns + 32}, or augment false"
        )


def _volume(section, network, path):
    image = with_axes(read_image(path, section.axes, allow_missing=section.allow_missing), "ZYXC")
    check_fits(image, "ZYXC", network.n_channel_in)
    return image


def _distortion(section, image):
    """The `Distortion` of a volume, as the section or the pixel sizes say."""
    factor = section.factor or known_factor(image)
    if factor is None:
        raise InputError(f"{image.path}: does not say its pixel sizes, expected data.factor, that of Z over that of X")
    expect(
        factor > 1, f"{image.path}: pixel size along Z over that along X", f"{factor:g}", "more than 1, or data.factor"
    )
    psf, sigma = None, section.sigma
    if section.psf is not None:
        path = section.folder() / section.psf
        psf = check_psf(str(path), read_image(path, "YX").array)
    elif sigma is None:
        sigma = default_sigma(factor)
        logger.info(
            "%s: factor %.3g, blurred by a Gaussian of %.3g pixels; data.sigma or data.psf say it better",
            image.path,
            factor,
            sigma,
        )
    return Distortion(factor, sigma or 0.0, psf, section.noise, section.poisson)


def _split(section, network, array, path):
    """A single volume in two along the longer of Y and X, of which the end is validated on: whether it is to validate
    on, the part, its name, and the axes along which its planes are made coarse."""
    dimension = max((1, 2), key=lambda d: array.shape[d])
    size, patch, letter = array.shape[dimension], max(network.train_patch_size), "ZYX"[dimension]
    held = max(round(size * section.validation_split), _LEAST_HELD)
    if size - held < patch:
        raise InputError(
            f"{path}: the only volume, {size} pixels along {letter}; expected {patch + held}, a patch to train on and "
            f"{held} pixels to validate on; give more volumes, or a smaller training.patch_size"
        )
    logger.warning("%s is the only volume: its end along %s is held out for validation", path, letter)
    parts = []
    # What is held out is narrow: it is made coarse across.
    for side, (start, stop), along in (
        (False, (0, size - held), "XY"),
        (True, (size - held, size), "XY".replace(letter, "")),
    ):
        cut = array[(slice(None),) * dimension + (slice(start, stop),)]
        parts.append((side, cut, f"{path}, {letter} {start} to {stop - 1}", along))
    return parts


def _normal(pair, normalizer, path):
    """A pair of a volume, normalised with the values of the whole volume."""
    return tuple(normalized(normalizer, image, "YXC", path) for image in pair)

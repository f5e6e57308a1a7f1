"""The images of a run without ground truth: noisy ones, each its own target, or pairs of neighbours."""

import logging

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.frame import frames_along
from aeanet_tf.io.image import frame_axes, with_axes
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.runs.held_out import chosen_images, held_out, split_image
from aeanet_tf.runs.image_data import TrainingImages, network_image, plane_in_memory

logger = logging.getLogger("aeanet_tf")


def load_noisy(section, network):
    """Images of a `NoisySection`: each is its own target, or the next one along ``neighbours`` is."""
    images = _noisy_files(section, section.images)
    if section.validation:
        parts = images, _noisy_files(section, section.validation)
    else:
        parts = held_out(section, images)
    normalizer = make_normalizer(section.normalization)
    (X, Y, names, calibration), (*validation, others, _) = (
        _read_noisy(part, section, network, normalizer) for part in parts
    )
    if not others:
        X, Y, names, validation, others = split_image(section, network, X, Y, names)
    if section.neighbours is None:
        # The same arrays, once in memory.
        Y, validation = X, (validation[0], validation[0])
    files = tuple(low for part in parts for low, _ in part)
    return TrainingImages(X, Y, tuple(validation), (names, others), files=files, calibration=calibration)


def _noisy_files(section, place):
    """Each file as a pair of itself and itself."""
    return [(path, path) for path in find_series(section.folder() / place, **chosen_images(section))]


def _read_noisy(pairs, section, network, normalizer):
    """Images, what each is trained for, names, and the calibration of the first.

    Planes and frames along Z and T that the network lacks are samples of their own.
    """
    X, Y, names, calibration = [], [], [], ({}, None)
    step = section.neighbours
    for path, _ in pairs:
        image = with_axes(read_image(path, section.axes), network.axes)
        if not names:
            calibration = image.pixel_size, image.unit
        along = frame_axes(image.axes, network.axes)
        if step is not None and step not in along:
            reason = f"axes {image.axes} and a model of {network.axes}"
            raise InputError(f"{path}: data.neighbours {step!r} for {reason}, expected {step} in the image alone")
        frames = frames_along(image, along)
        read = [
            network_image(plane_in_memory(image, f), network.axes, network.n_channel_in, normalizer) for f in frames
        ]
        called = [", ".join([str(path), *(f"{axis} {index}" for axis, index in frame.items())]) for frame in frames]
        following = [i if step is None else _next(frames, frame, step) for i, frame in enumerate(frames)]
        kept = [i for i, j in enumerate(following) if j is not None]
        expect(kept, path, f"one image along {step}", "at least two, which are pairs")
        X += [read[i] for i in kept]
        Y += [read[following[i]] for i in kept]
        names += [called[i] for i in kept]
    if len(names) > len(pairs):
        line = "%d planes of %d images, each a sample: the model's axes are %s"
        logger.info(line, len(names), len(pairs), network.axes)
    return X, Y, names, calibration


def _next(frames, frame, axis):
    """Index of the next frame along an axis, ``None`` for the last."""
    following = {**frame, axis: frame[axis] + 1}
    return frames.index(following) if following in frames else None

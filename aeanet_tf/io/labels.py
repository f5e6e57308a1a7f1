"""Label images: the values of classes, and their indices."""

import numpy as np

from aeanet_tf.errors import InputError


def to_classes(image: np.ndarray, values: list[int], name: object = "labels") -> np.ndarray:
    """Indices of classes, uint8 or uint16, of an image that holds the values of classes.

    Args:
        image: labels, integers or floats that are whole numbers, any shape.
        values: of the classes, different ones, in the order of the indices.
        name: the image's file or argument, for messages.

    Raises:
        InputError: the image has a value that is not of ``values``.
    """
    image, order = np.asarray(image), np.argsort(values)
    known = np.asarray(values)[order]
    places = np.minimum(np.searchsorted(known, image), len(known) - 1)
    unknown = known[places] != image
    if unknown.any():
        raise InputError(f"{name}: has the value {image[unknown][0]:g}, expected labels {list(values)}")
    return order.astype(np.min_scalar_type(len(known) - 1))[places]


def to_labels(indices: np.ndarray, values: list[int]) -> np.ndarray:
    """The values of classes, in `label_dtype`, of an image of their indices."""
    return np.array(values, label_dtype(values))[np.asarray(indices)]


def label_dtype(values: list[int]) -> np.dtype:
    """The smallest of uint8 and uint16, which ImageJ knows, that holds the values of classes."""
    return np.dtype(np.uint8 if max(values) < 2**8 else np.uint16)

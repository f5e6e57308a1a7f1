"""How far a network is from turning its output when its input is turned (AEANet paper, section VI-D).

Errors of the output (table V), and query and attention output of an image and of the image rotated (figure 6).
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.attention_maps import image_divisor, query_and_attention

Transformation = Callable[[np.ndarray], np.ndarray]

# Named as the columns of table V; all in the last two axes, YX. Counter-clockwise, as NumPy turns; which way the paper
# turns is open, and 90 and 270 degrees change places with it.
TRANSFORMATIONS: dict[str, Transformation] = {
    "Rot. 90": lambda x: np.rot90(x, 1, axes=(-2, -1)),
    "Rot. 180": lambda x: np.rot90(x, 2, axes=(-2, -1)),
    "Rot. 270": lambda x: np.rot90(x, 3, axes=(-2, -1)),
    "Transpose": lambda x: np.swapaxes(x, -2, -1),
}
# The plane of the last two spatial axes, in an array whose last axis is that of the channels.
_PLANE = (-3, -2)


def equivariance_errors(predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> dict[str, float]:
    """Mean absolute error between predict(T(x)) and T(predict(x)) for each transformation T; 0 is equivariant.

    Args:
        predict: array to array, both with YX as their last axes; a projection may lose the axes before them. Its
            result is in the units of the error: the paper's, and ours, are those of the normalised images.
        image: input x, of axes ...YX; turned by 90 degrees it has its sides exchanged.

    Returns:
        Error by name: "Rot. 90", "Rot. 180", "Rot. 270", "Transpose".

    Raises:
        InputError: the image has no two axes, or predictions of an image and of the image turned differ in shape.
    """
    image = np.asarray(image)
    if image.ndim < 2:
        raise InputError(f"image: found shape {image.shape}, expected at least the two axes YX")
    expected = np.asarray(predict(image), np.float64)
    errors = {}
    for name, transform in TRANSFORMATIONS.items():
        # Copied, so that predict meets an ordinary array and not a view with negative strides.
        of_transformed = np.asarray(predict(np.ascontiguousarray(transform(image))), np.float64)
        transformed = transform(expected)
        if of_transformed.shape != transformed.shape:
            raise InputError(f"{name}: the prediction has shape {of_transformed.shape}, expected {transformed.shape}")
        errors[name] = float(np.mean(np.abs(of_transformed - transformed)))
    return errors


class Rotation(NamedTuple):
    """A tensor for an image and for the rotated image, ``(*spatial, channels)`` each.

    Attributes:
        raw: for the image.
        rotated: for the image rotated by 90 degrees, counterclockwise.
    """

    raw: np.ndarray
    rotated: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """The tensor for the rotated image, rotated back, minus that for the image: 0 where it is equivariant."""
        return np.rot90(self.rotated, -1, _PLANE) - self.raw

    @property
    def relative_difference(self) -> float:
        """Mean absolute difference of each channel divided by the standard deviation of ``raw`` in it, averaged over
        the channels that are not constant; NaN where all are."""
        spatial = tuple(range(self.raw.ndim - 1))
        spread = self.raw.std(axis=spatial)
        varying = spread > 1e-6 * np.abs(self.raw).max(axis=spatial)
        ratios = np.abs(self.difference).mean(axis=spatial)[varying] / spread[varying]
        return float(ratios.mean()) if len(ratios) else float("nan")


class RotatedAttention(NamedTuple):
    """An image, its query and its attention output, each a `Rotation`."""

    image: Rotation
    query: Rotation
    attention: Rotation


def rotate_input(network: keras.Model, x: np.ndarray, operator: str | int | None = None) -> RotatedAttention:
    """What an operator computes for an image and for the image rotated by 90 degrees.

    Attention by itself, also with shared references, is equivariant to any permutation of the positions (paper,
    theorems 1 and 2); with a learned query it is not. What else differs comes from the convolutions before it. The
    rotation is in the plane of the last two spatial axes, of a square around the middle of the image (the paper takes a
    patch). Its side is the largest multiple of the network's divisor, so that padding plays no part; an image smaller
    than the divisor is padded.

    Args:
        network: of `aeanet_tf.networks.build_network`.
        x: a normalised image, ``(1, *spatial, channels)``.
        operator: see `aeanet_tf.evaluation.attention_maps.choose_operator`.

    Returns:
        A `RotatedAttention`.

    Raises:
        InputError: as `aeanet_tf.evaluation.attention_maps.query_and_attention`.
    """
    x = np.asarray(x)
    side = min(x.shape[axis] for axis in _PLANE)
    step = max(image_divisor(network)[-2:])
    side = side if side < step else side - side % step
    x = _middle(_middle(x, _PLANE[0], side), _PLANE[1], side)
    images = Rotation(x[0], np.rot90(x[0], 1, _PLANE))
    (query, attention), (rotated_query, rotated_attention) = (
        query_and_attention(network, np.ascontiguousarray(image)[None], operator) for image in images
    )
    return RotatedAttention(images, Rotation(query, rotated_query), Rotation(attention, rotated_attention))


def _middle(x, axis, length):
    start = (x.shape[axis] - length) // 2
    return x.take(range(start, start + length), axis)

"""What a volume that is coarse along Z is without a network: interpolated, and sharpened by its known blur."""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import make_interp_spline

from aeanet_tf.errors import InputError
from aeanet_tf.io.zoomed import plane_count

Upsampling = Callable[[np.ndarray, float], np.ndarray]

STRENGTHS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Of `sharpened`, from strong to weak."""

_LOBES = 3


def linear(image: np.ndarray, factor: float) -> np.ndarray:
    """Linear interpolation along the first axis: rows at a ``factor``-th of the distance, from the first to the last.

    Returns:
        float32, ``(N - 1) * factor + 1`` rows of ``N``.
    """
    return _spline(image, factor, 1)


def cubic(image: np.ndarray, factor: float) -> np.ndarray:
    """Interpolating cubic spline along the first axis; see `linear`. Of fewer than four rows one of a lower degree."""
    return _spline(image, factor, min(3, len(image) - 1))


def lanczos(image: np.ndarray, factor: float) -> np.ndarray:
    """Lanczos interpolation of three lobes along the first axis, mirrored at its ends; see `linear`."""
    positions = np.arange(plane_count(len(image), factor)) / factor
    places = np.floor(positions).astype(int)[:, None] + np.arange(1 - _LOBES, _LOBES + 1)
    distances = positions[:, None] - places
    weights = np.where(np.abs(distances) < _LOBES, np.sinc(distances) * np.sinc(distances / _LOBES), 0)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((len(positions), len(image)))
    np.add.at(matrix, (np.arange(len(positions))[:, None], _mirrored(places, len(image))), weights)
    return np.tensordot(matrix, image, 1).astype(np.float32)


UPSAMPLINGS: dict[str, Upsampling] = {"linear": linear, "cubic": cubic, "Lanczos": lanczos}
"""The interpolations by name."""


def sharpened(image: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """Wiener filter along the first axis, which undoes a Gaussian blur as far as noise allows.

    Args:
        image: of numbers.
        sigma: standard deviation of the blur, in pixels.
        strength: power of the noise over that of the signal, the same at all frequencies.

    Returns:
        float32, of the same shape; the image is mirrored at its ends.

    Raises:
        InputError: ``strength`` is not positive.
    """
    if not strength > 0:
        raise InputError(f"strength: found {strength}, expected a positive number")
    size = len(image)
    doubled = np.concatenate([image, image[::-1]]).astype(np.float64)
    frequencies = np.fft.rfftfreq(2 * size)
    passed = np.exp(-2 * (np.pi * sigma * frequencies) ** 2)
    # Constants stay.
    filtered = (1 + strength) * passed / (passed**2 + strength)
    shape = (-1,) + (1,) * (image.ndim - 1)
    spectrum = np.fft.rfft(doubled, axis=0) * filtered.reshape(shape)
    return np.fft.irfft(spectrum, 2 * size, axis=0)[:size].astype(np.float32)


def _spline(image, factor, degree):
    if len(image) == 1:
        return np.asarray(image, np.float32)
    positions = np.arange(plane_count(len(image), factor)) / factor
    spline = make_interp_spline(np.arange(len(image)), np.asarray(image, np.float64), degree, axis=0)
    return spline(positions).astype(np.float32)


def _mirrored(places, size):
    period = max(1, 2 * (size - 1))
    places = np.abs(places) % period
    return np.minimum(places, period - places)

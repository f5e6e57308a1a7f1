"""Training pairs of a volume that is coarse along Z, from the volume alone.

Its planes are sharp along Y and X. Made as coarse along one of these as the volume is along Z (blurred, sampled at
larger distances, interpolated again), a plane is an input whose truth is known: itself. What a network learns there
restores planes that have Z as one of their axes.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from aeanet_tf.errors import expect
from aeanet_tf.io.image import Image
from aeanet_tf.io.zoomed import interpolate, plane_count

# Of a Gaussian of standard deviation 1 the width at half of its height.
_WIDTH = 2 * math.sqrt(2 * math.log(2))


def known_factor(image: Image) -> float | None:
    """How many times larger than along X the pixels of a volume are along Z, ``None`` where it does not say so."""
    sizes = image.pixel_size
    return sizes["Z"] / sizes["X"] if {"Z", "X"} <= sizes.keys() else None


def default_sigma(factor: float) -> float:
    """The blur along Z where nothing is known of it: as wide at half of its height as planes are apart.

    Returns:
        Standard deviation in pixels of the planes.
    """
    return factor / _WIDTH


class Distortion(NamedTuple):
    """What makes a sharp image as coarse along one axis as a volume is along Z.

    Attributes:
        factor: distance of the planes over the size of a pixel in a plane, above 1.
        sigma: standard deviation in pixels of the blur along the axis that becomes coarse, 0 for none.
        psf: in its place an image ``(across, along)``: how a point is blurred, not negative; ``None`` without.
        noise: standard deviation of normal noise that is added to the blurred image, in grey levels.
        poisson: whether the blurred image, in photons, has Poisson noise.
    """

    factor: float
    sigma: float = 0.0
    psf: np.ndarray | None = None
    noise: float = 0.0
    poisson: bool = False

    def apply(self, image: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        """An image ``(..., Y, X, channels)`` as it would be with X as coarse as Z, and itself cut to the same size.

        Blurred, made noisy, taken at every ``factor``-th position along X from the first, and interpolated linearly to
        all positions between: as volumes are before they are restored.
        """
        image = np.asarray(image, np.float32)
        x = self._noisy(self._blurred(image), rng)
        size = image.shape[-2]
        kept = int((size - 1) / self.factor + 1e-6) + 1
        sampled = interpolate(x, x.ndim - 2, np.arange(kept) * self.factor)
        length = plane_count(kept, self.factor)
        coarse = interpolate(sampled, x.ndim - 2, np.arange(length) / self.factor)
        return coarse, image[..., :length, :]

    def _blurred(self, image):
        if self.psf is not None:
            kernel = np.asarray(self.psf, np.float64) / np.sum(self.psf)
            half = [n // 2 for n in kernel.shape]
            pad = [(n, n) for n in half]
            widths = [(0, 0)] * (image.ndim - 3) + pad + [(0, 0)]
            padded = np.pad(image, widths, mode="symmetric")
            shape = (1,) * (image.ndim - 3) + kernel.shape + (1,)
            axes = (image.ndim - 3, image.ndim - 2)
            blurred = fftconvolve(padded, kernel.reshape(shape), mode="same", axes=axes)
            inner = [slice(n, n + size) for n, size in zip(half, image.shape[-3:-1], strict=True)]
            return blurred[(..., *inner, slice(None))].astype(np.float32)
        return gaussian_filter1d(image, self.sigma, axis=-2) if self.sigma else image

    def _noisy(self, image, rng):
        if self.poisson:
            image = rng.poisson(np.maximum(image, 0)).astype(np.float32)
        return image + rng.normal(0, self.noise, image.shape).astype(np.float32) if self.noise else image


def check_psf(name: str, psf: np.ndarray) -> np.ndarray:
    """A point spread function for `Distortion`.

    Raises:
        InputError: it is no image of numbers of at least 0, with light.
    """
    fits = psf.ndim == 2 and psf.dtype.kind in "iuf" and bool(np.isfinite(psf).all()) and psf.min() >= 0 < psf.sum()
    expect(fits, name, f"shape {psf.shape}", "an image YX that is not negative, X along the coarse axis")
    return psf


def lateral_pairs(
    volume: np.ndarray, distortion: Distortion, rng: Generator, along: str = "XY"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of the planes of a volume ``(Z, Y, X, channels)``, each made coarse along X, and along Y.

    Args:
        volume: of numbers.
        distortion: how.
        rng: of its noise.
        along: letters of X and Y, those along which planes are made coarse.

    Yields:
        ``(input, truth)``, float32 ``(rows, columns, channels)``; the coarse axis is always that of the columns.
    """
    for plane in volume:
        for axis in along:
            yield distortion.apply(plane if axis == "X" else plane.swapaxes(0, 1), rng)

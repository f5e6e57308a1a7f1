"""Slices between two others without a network: what a network has to beat."""

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.sections.alignment import smoothed

# Of 7, 15 and 25 pixels the best on slices 25 to 28 of ISBI 2012 (mean PSNR 14.9, 15.0, 15.1 dB). TV-L1 gives 14.8 to
# 15.1 dB, by its attachment, and takes about twice as long.
_RADIUS = 25


def average(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mean of two slices (Y, X), pixel by pixel, in float32.

    Raises:
        InputError: the images are not 2D and of one size.
    """
    before, after = _checked(before, after)
    return (before + after) / 2


def smoothed_average(before: np.ndarray, after: np.ndarray, sigma: float = 2.5) -> np.ndarray:
    """The mean of two slices (Y, X), smoothed by a Gaussian of ``sigma`` pixels, in float32.

    What the slices do not share is noise to a prediction, and squared errors reward whatever leaves it out: on ISBI
    2012 this gains more than a registration. A method that does not beat it may have learned no more than to smooth.

    Raises:
        InputError: as `average`.
    """
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(average(before, after), sigma)


def registered(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Linear interpolation along a registration of two slices.

    A displacement field that maps one slice to the other says how every structure moves; each slice is warped half of
    that way, and the two are averaged. The idea is that of registration-based interpolation (Penney et al., IEEE
    Transactions on Medical Imaging 23, 2004); the registration is the iterative Lucas-Kanade of scikit-image
    instead, on slices smoothed as for `aeanet_tf.sections.alignment.translation` (our choice). Slices that are shifted
    by many pixels are better aligned first (`to_midpoint`).

    Args:
        before: grey image (Y, X), of any dtype.
        after: another of the same size.

    Returns:
        The slice halfway, float32 (Y, X), within the range of values of the two; where the way leads out of a slice
        its border is repeated.

    Raises:
        InputError: as `average`.
    """
    from scipy.ndimage import map_coordinates
    from skimage.registration import optical_flow_ilk

    before, after = _checked(before, after)
    # `after` shows at x + flow(x) what `before` does at x.
    flow = optical_flow_ilk(_prepared(before), _prepared(after), radius=_RADIUS)
    places = np.indices(before.shape, dtype=np.float32)
    halves = (
        map_coordinates(image, places + share * flow, order=1, mode="nearest")
        for image, share in ((before, -0.5), (after, 0.5))
    )
    return average(*halves)


def _checked(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(before, np.float32), np.asarray(after, np.float32)
    fits, shapes = before.ndim == 2 and before.shape == after.shape, f"shapes {before.shape} and {after.shape}"
    expect(fits, "neighbouring slices", shapes, "two images (Y, X) of one size")
    return before, after


def _prepared(image: np.ndarray) -> np.ndarray:
    """The image smoothed, at unit contrast, by which the steps of the registration are scaled."""
    image = smoothed(image)
    return (image / (image.std() or 1.0)).astype(np.float32)

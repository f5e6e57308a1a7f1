"""How input and truth of a pair lie on each other, and whether other pairs fit better."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import gaussian_filter

from aeanet_tf.reports.facts import Example

# Images are smoothed before they are compared: a structure is compared, not its noise.
_SMOOTH = 2.0


class Agreement(NamedTuple):
    """How input and truth of a pair lie: ``shift`` (pixels an axis) by which the truth fits best, the correlation
    there, and that without a shift; of smoothed images."""

    shift: tuple[int, ...]
    shifted: float
    unshifted: float


class PairLook(NamedTuple):
    """What was measured of a pair whose input and truth have contrast.

    Attributes:
        name: of the pair.
        image, truth: smoothed by a Gaussian of 2 pixels in the plane.
        agreement: of these.
        gain: slope of the input on the truth, which has the less noise of the two.
        rest: standard deviation of what the truth leaves unexplained of the input, as a share of the input's.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    agreement: Agreement
    gain: float
    rest: float


def look_at(pair: Example) -> PairLook:
    """Measure a pair; input and truth must have contrast."""
    x, y = (np.asarray(each, np.float64) for each in (pair.flat_input, pair.truth))
    x, y = x - x.mean(), y - y.mean()
    xx, yy, xy = (x * x).sum(), (y * y).sum(), (x * y).sum()
    # What is opposite is not the same.
    explained = max(0.0, float(xy)) ** 2 / float(xx * yy)
    image, truth = smoothed(pair.flat_input), smoothed(pair.truth)
    return PairLook(
        pair.name, image, truth, best_place(image, truth), float(xy / yy), math.sqrt(max(0.0, 1 - explained))
    )


def smoothed(image: np.ndarray) -> np.ndarray:
    """A Gaussian of 2 pixels in the plane, float64."""
    return gaussian_filter(np.asarray(image, np.float64), [0.0] * (image.ndim - 2) + [_SMOOTH] * 2)


def agreement(image: np.ndarray, truth: np.ndarray) -> Agreement:
    """Where the truth fits the image best, both smoothed; see `best_place`.

    Args:
        image, truth: 2D or 3D, of one shape.
    """
    return best_place(smoothed(image), smoothed(truth))


def farthest(shape: Sequence[int]) -> list[int]:
    """Pixels by which truths are moved along each axis: a quarter of a side of the plane, half of the planes."""
    return [n // 2 for n in shape[:-2]] + [n // 4 for n in shape[-2:]]


def best_place(a: np.ndarray, b: np.ndarray) -> Agreement:
    """Where ``b`` fits ``a`` best, as far as `farthest`.

    The place is the highest cross-correlation, the correlations are Pearson's over what overlaps.

    Returns:
        The shift by which ``b`` has to be moved to lie on ``a``.
    """
    most = farthest(a.shape)
    # So many zeros that nothing comes round within that distance.
    shape = [next_fast_len(n + m, real=True) for n, m in zip(a.shape, most, strict=True)]
    spectra = [rfftn((each - each.mean()).astype(np.float32), shape) for each in (a, b)]
    correlation = irfftn(spectra[0] * spectra[1].conj(), shape)
    places = np.ix_(*(np.arange(-m, m + 1) % n for m, n in zip(most, shape, strict=True)))
    found = np.unravel_index(correlation[places].argmax(), [2 * m + 1 for m in most])
    shift = _climbed(a, b, tuple(int(place) - m for place, m in zip(found, most, strict=True)), most)
    return Agreement(shift, _pearson(a, b, shift), _pearson(a, b, (0,) * a.ndim))


def _climbed(a, b, shift, most):
    """The shift to which Pearson's correlation rises: the cross-correlation prefers small ones, where more overlaps."""
    known = {shift: _pearson(a, b, shift)}
    while True:
        for axis in range(a.ndim):
            for step in (-1, 1):
                near = (*shift[:axis], shift[axis] + step, *shift[axis + 1 :])
                if near not in known and abs(near[axis]) <= most[axis]:
                    known[near] = _pearson(a, b, near)
        best = max(known, key=known.get)
        if best == shift:
            return shift
        shift = best


def _pearson(a, b, shift):
    """Correlation of ``a`` with ``b`` moved by ``shift``, over what overlaps."""
    ours = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(shift, a.shape, strict=True))
    theirs = tuple(slice(max(0, -s), n + min(0, -s)) for s, n in zip(shift, a.shape, strict=True))
    x, y = a[ours] - a[ours].mean(), b[theirs] - b[theirs].mean()
    norm = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def correlations(looks: Sequence[PairLook]) -> np.ndarray:
    """Of each input (rows) with each truth (columns), without shifts; NaN where the shapes differ."""
    found = np.full((len(looks), len(looks)), np.nan)
    for shape in {look.image.shape for look in looks}:
        of = [i for i, look in enumerate(looks) if look.image.shape == shape]
        images, truths = (np.stack([_unit(getattr(looks[i], side)) for i in of]) for side in ("image", "truth"))
        found[np.ix_(of, of)] = images @ truths.T
    return found


def _unit(image):
    flat = image.ravel() - image.mean()
    return flat / (np.linalg.norm(flat) or 1.0)

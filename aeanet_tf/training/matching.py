"""Matched targets: the truth in the intensities of its input, as far as gain and offset go (docs/training.md)."""

import math
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError

# Less than that is what images of different scenes have.
LEAST_CORRELATION = 0.1
# Positions that are read at once of images that are not in memory.
_PIECE = 1 << 22


class MatchError(InputError):
    """A pair of images whose targets cannot be matched.

    Attributes:
        index: of the pair.
        reason: in words that follow the name of the pair.
        data: which images, ``""`` for those to train on.
    """

    def __init__(self, index, reason, data=""):
        super().__init__(f"{data and data + ', '}pair {index} (X[{index}], Y[{index}]): {reason}")
        self.index, self.reason, self.data = index, reason, data


class Match(NamedTuple):
    """``gain * truth + offset`` is the truth in the intensities of its input; one number a channel.

    Attributes:
        gain, offset: float32 arrays ``(channels,)``.
        correlation: of input and truth, for each channel.
    """

    gain: np.ndarray
    offset: np.ndarray
    correlation: np.ndarray

    def apply(self, truth):
        """The matched truth, float32 ``(*spatial, channels)``."""
        return self.gain * truth + self.offset


def match_target(x, y, index=0):
    """Fit the truth ``y`` to its input ``x`` by gain and offset: least squares of the *input* on the truth.

    The truth is (nearly) free of noise and the input is not, so this regression is the unbiased one: for
    ``x = gain * y + offset + noise`` it finds gain and offset however strong the noise is, where CSBDeep's fit for
    scoring (minmse, ``cov / var`` of the prediction) shrinks with it. Noise whose mean is not that of the signal
    (clipped at black, say) is matched in the mean.

    Args:
        x, y: images ``(*spatial, channels)`` of one shape, normalised or not. They may be lazy (memory maps, chunked
            arrays): they are read in pieces along their first axis.
        index: of the pair, for the error.

    Returns:
        A `Match`.

    Raises:
        MatchError: the shapes differ, an image is constant, or the correlation is below 0.1 in a channel: the images
            do not show the same, or the input nothing of it.
    """
    if tuple(x.shape) != tuple(y.shape):
        raise MatchError(index, f"shapes {tuple(x.shape)} and {tuple(y.shape)}; expected equal ones to match targets")
    sums = _moments(x, y)
    variances = np.array([sums["xx"], sums["yy"]])
    if not (variances > 0).all():
        which = "input" if not (variances[0] > 0).all() else "truth"
        raise MatchError(index, f"the {which} is constant; expected contrast in both to match targets")
    correlation = sums["xy"] / np.sqrt(variances[0] * variances[1])
    if not (correlation >= LEAST_CORRELATION).all():
        raise MatchError(
            index,
            f"input and truth have a correlation of {correlation.min():.3f}; expected at least {LEAST_CORRELATION:g} "
            "to match targets",
        )
    gain = sums["xy"] / sums["yy"]
    offset = sums["x"] - gain * sums["y"]
    return Match(gain.astype("float32"), offset.astype("float32"), correlation)


def matched_truth(low, truth):
    """The truth of a pair of images without channel axis, float32 in the intensities of its input; see `match_target`.

    Raises:
        MatchError: as `match_target`.
    """
    low, truth = low[..., None], truth[..., None]
    return match_target(low, truth).apply(truth.astype("float32"))[..., 0]


def _moments(x, y):
    """Means, variances and covariance of each channel, in float64, about a first guess of the means."""
    rows = max(1, _PIECE // max(1, math.prod(x.shape[1:])))
    shift = [np.asarray(a[:1], np.float64).reshape(-1, a.shape[-1]).mean(0) for a in (x, y)]
    total, n = np.zeros((5, x.shape[-1])), math.prod(x.shape[:-1])
    for start in range(0, x.shape[0], rows):
        a, b = (
            np.asarray(image[start : start + rows], np.float64).reshape(-1, image.shape[-1]) - mean
            for image, mean in zip((x, y), shift, strict=True)
        )
        total += [a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)]
    a, b, aa, bb, ab = total / n
    return {"x": a + shift[0], "y": b + shift[1], "xx": aa - a * a, "yy": bb - b * b, "xy": ab - a * b}

"""Pairs of input and target images: checked once, cut out together, and targets matched.

A matched target is the truth in the intensities of its input, as far as gain and offset go (docs/training.md).
"""

import math
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, expect

# Less than that is what images of different scenes have.
LEAST_CORRELATION = 0.1
# Positions that are read at once of images that are not in memory.
_PIECE = 1 << 22


def _as_list(name, images):
    """The images of a sequence or of an array's first axis, without copying what is already an array."""
    if not hasattr(images, "__len__") or isinstance(images, str | dict):
        raise InputError(f"{name}: found {type(images).__name__}, expected an array or a list of arrays")
    expect(len(images) != 0, name, "no images", "at least one")
    # What has a shape and can be sliced stays as it is: memory-mapped and chunked arrays are read by crop.
    return [image if hasattr(image, "shape") else np.asarray(image) for image in images]


class ImagePairs:
    """Inputs and targets ``(*spatial, channels)``, one pair an image or patch, possibly of different sizes.

    Args:
        X, Y: arrays ``(n, *spatial, channels)`` or lists of arrays ``(*spatial, channels)``. Kept as they
            are, in their own dtype; anything with ``shape`` and slicing will do.
        projected_axis: index of the spatial axis of X that Y lacks or has with length 1 (0 for z of a
            projection), None where both have the same spatial shape.
        match_targets: whether each image of Y is brought into the intensities of its input by gain and offset
            (`aeanet_tf.training.pairs`); targets are then cropped in float32. Not with a projected axis.
        upscale: pixels of a target along every spatial axis to one of its input; both begin at the same place.

    Attributes:
        x, y: lists of arrays. ``shapes``: spatial shape of each input. ``ndim``: spatial axes of the inputs.
        target_has_axis: whether Y keeps the projected axis with length 1.
        matches: the `Match` of each pair, None where targets are as given.

    Raises ``InputError`` for empty data, or lengths that do not agree; ``PairError`` for the first image whose rank,
    channels or spatial shape do not fit; ``MatchError`` for a pair that cannot be matched.
    """

    def __init__(self, X, Y, projected_axis=None, match_targets=False, upscale=1):
        self.x, self.y = _as_list("X", X), _as_list("Y", Y)
        expect(len(self.x) == len(self.y), "Y", f"{len(self.y)} images", f"{len(self.x)}, as many as X has")
        self.ndim = self.x[0].ndim - 1
        expect(self.ndim >= 2, "X", f"an image of shape {self.x[0].shape}", "(*spatial, channels), 2D or 3D")
        if projected_axis is not None and projected_axis not in range(self.ndim):
            raise InputError(f"projected_axis: found {projected_axis!r}, expected None or 0 to {self.ndim - 1}")
        self.projected_axis, self.upscale = projected_axis, upscale
        self.target_has_axis = projected_axis is None or self.y[0].ndim == self.x[0].ndim
        for i, (x, y) in enumerate(zip(self.x, self.y, strict=True)):
            self._check(i, x.shape, y.shape)
        self.shapes = [tuple(x.shape[:-1]) for x in self.x]
        self.matches = None
        if match_targets:
            expect(projected_axis is None, "match_targets", "True for a projection", "False, X and Y differ in shape")
            pairs = zip(self.x, self.y, strict=True)
            self.matches = [match_target(x, y, index, upscale) for index, (x, y) in enumerate(pairs)]

    def _check(self, i, x, y):
        channels = self.x[0].shape[-1]
        if len(x) != self.ndim + 1 or x[-1] != channels or min(x) == 0:
            raise PairError(i, f"found shape {x}, expected {self.ndim} spatial axes and {channels} channels")
        expected = self.target_shape(x[:-1]) + tuple(self.y[0].shape[-1:])
        if tuple(y) != expected:
            times = f", {self.upscale} times its size" if self.upscale > 1 else ""
            reason = f"found shape {tuple(y)}, expected {expected} to go with X[{i}] of shape {x}{times}"
            raise PairError(i, reason, side="Y")

    def __len__(self):
        return len(self.x)

    def target_shape(self, spatial):
        """Spatial shape of the target of an input of spatial shape ``spatial``."""
        if self.projected_axis is None:
            return tuple(self.upscale * n for n in spatial)
        kept = (1,) if self.target_has_axis else ()
        return tuple(spatial[: self.projected_axis]) + kept + tuple(spatial[self.projected_axis + 1 :])

    def crop(self, i, start, size):
        """Views of pair ``i`` (of a matched target a copy), the box from ``start`` of shape ``size``; all of Y along a
        projected axis."""
        box = [slice(int(s), int(s) + n) for s, n in zip(start, size, strict=True)]
        target = [slice(self.upscale * part.start, self.upscale * part.stop) for part in box]
        if self.projected_axis is not None:
            target[self.projected_axis : self.projected_axis + 1] = [slice(None)] * self.target_has_axis
        x, y = self.x[i][tuple(box)], self.y[i][tuple(target)]
        return x, y if self.matches is None else self.matches[i].apply(y)


class PairError(InputError):
    """A pair of images that cannot be trained on.

    Attributes:
        index: of the pair.
        reason: in words that follow the name of the pair.
        data: which images, ``""`` for those to train on.
        side: "X" or "Y", the one of the pair that is meant.
    """

    def __init__(self, index, reason, data="", side="X"):
        super().__init__(f"{data and data + ', '}{self._named(index, side)}: {reason}")
        self.index, self.reason, self.data, self.side = index, reason, data, side

    def _named(self, index, side):
        return f"{side}[{index}]"

    def of(self, data):
        """The same of other images, such as "validation_data"."""
        return type(self)(self.index, self.reason, data, self.side)


class MatchError(PairError):
    """A pair of images whose targets cannot be matched."""

    def _named(self, index, side):
        return f"pair {index} (X[{index}], Y[{index}])"


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


def match_target(x, y, index=0, upscale=1):
    """Fit the truth ``y`` to its input ``x`` by gain and offset: least squares of the *input* on the truth.

    The truth is (nearly) free of noise and the input is not, so this regression is the unbiased one: for
    ``x = gain * y + offset + noise`` it finds gain and offset however strong the noise is, where CSBDeep's fit for
    scoring (minmse, ``cov / var`` of the prediction) shrinks with it. Noise whose mean is not that of the signal
    (clipped at black, say) is matched in the mean.

    Args:
        x, y: images ``(*spatial, channels)`` of one shape, normalised or not. They may be lazy (memory maps, chunked
            arrays): they are read in pieces along their first axis.
        index: of the pair, for the error.
        upscale: pixels of ``y`` along every spatial axis to one of ``x``, which is compared with their mean.

    Returns:
        A `Match`.

    Raises:
        MatchError: the shapes differ, an image is constant, or the correlation is below 0.1 in a channel: the images
            do not show the same, or the input nothing of it.
    """
    if (*(upscale * n for n in x.shape[:-1]), x.shape[-1]) != tuple(y.shape):
        expected = "equal ones" if upscale == 1 else f"{upscale} times the size"
        raise MatchError(index, f"shapes {tuple(x.shape)} and {tuple(y.shape)}, expected {expected} to match targets")
    sums = _moments(x, y, upscale)
    variances = np.array([sums["xx"], sums["yy"]])
    if not (variances > 0).all():
        which = "input" if not (variances[0] > 0).all() else "truth"
        raise MatchError(index, f"the {which} is constant, expected contrast in both to match targets")
    correlation = sums["xy"] / np.sqrt(variances[0] * variances[1])
    if not (correlation >= LEAST_CORRELATION).all():
        expected = f"expected at least {LEAST_CORRELATION:g} to match targets"
        raise MatchError(index, f"input and truth have a correlation of {correlation.min():.3f}, {expected}")
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


def binned(image, factor, rank=None):
    """Means over blocks of ``factor`` pixels along the first ``rank`` axes of an image, by default all but the last."""
    for axis in range(image.ndim - 1 if rank is None else rank) if factor > 1 else ():
        shape = image.shape
        image = image.reshape(*shape[:axis], shape[axis] // factor, factor, *shape[axis + 1 :]).mean(axis + 1)
    return image


def _rows(image, start, stop, factor):
    """Positions of a part of an image along its first axis, `binned`, as rows of float64."""
    return binned(np.asarray(image[start:stop], np.float64), factor).reshape(-1, image.shape[-1])


def _moments(x, y, upscale=1):
    """Means, variances and covariance of each channel, in float64, about a first guess of the means."""
    rows = max(1, _PIECE // max(1, math.prod(x.shape[1:])))
    shift = [np.asarray(a[:1], np.float64).reshape(-1, a.shape[-1]).mean(0) for a in (x, y)]
    total, n = np.zeros((5, x.shape[-1])), math.prod(x.shape[:-1])
    for start in range(0, x.shape[0], rows):
        a, b = (
            _rows(image, size * start, size * (start + rows), size) - mean
            for image, mean, size in zip((x, y), shift, (1, upscale), strict=True)
        )
        total += [a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)]
    a, b, aa, bb, ab = total / n
    return {"x": a + shift[0], "y": b + shift[1], "xx": aa - a * a, "yy": bb - b * b, "xy": ab - a * b}

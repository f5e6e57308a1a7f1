"""Prediction in overlapping patches: at every position the mean of what all patches that cover it give.

As Non-local U-Nets predict (Wang et al. 2020: patches of 32 x 32 x 32 every 8 voxels).
"""

from functools import reduce
from itertools import pairwise, product
from math import prod

import numpy as np


def patch_starts(length, size, step):
    """Where the patches along one axis begin: 0, step, 2 * step, ..., and a last one that is flush with the end.

    Args:
        length: of the image.
        size: of a patch; where it is longer than the image there is one patch, of the image's length.
        step: from one patch to the next.
    """
    last = max(0, length - size)
    return [*range(0, last, step), last]


def averaged_patches(source, predict, size, step, batch=1, progress=None):
    """Predict an image in overlapping patches and average them, from the first row of the image to the last.

    A patch begins at every start that `patch_starts` gives along each axis. Every position is the plain mean of what
    all patches that cover it give, computed in float32. Each row (a position along the first axis) is read once, and
    only the rows that patches still need are held; see `averaging_bytes`.

    Args:
        source: the padded image, a NumPy array or a `FrameSource`: ``source[slices]``, with a slice for each spatial
            axis, is float32 ``(*spatial, channels)``, and so is ``source.shape``.
        predict: function of float32 patches ``(n, *size, channels)`` that gives ``(n, *size, classes)``. Where the
            image is shorter than ``size`` along an axis, patches have the image's length there: the caller pads the
            image to a length that the network takes.
        size: of the patches, one number for each spatial axis.
        step: from one patch to the next, one number for each spatial axis, at most ``size``.
        batch: how many patches ``predict`` is given at a time; the last ones of a row of patches may be fewer.
        progress: ``progress(line, total)`` is called after each batch with what is done and the number of batches.

    Yields:
        ``slices, values``: a slice for each spatial axis, along the first one the rows that are finished, along the
        others all; and the means, float32 ``(rows, *others, classes)``, an array of its own. Together they are the
        whole image, once, in order.
    """
    spatial = source.shape[:-1]
    starts = [patch_starts(*along) for along in zip(spatial, size, step, strict=True)]
    size = tuple(map(min, spatial, size))
    others = tuple(slice(0, n) for n in spatial[1:])
    counts = [_counts(*along) for along in zip(spatial, size, starts, strict=True)]
    weights = reduce(np.multiply.outer, counts[1:], np.float32(1))[..., None]
    places = [tuple(map(slice, at, np.add(at, size[1:]))) for at in product(*starts[1:])]
    batches = [places[i : i + batch] for i in range(0, len(places), batch)]
    window, sums = np.array(source[(slice(0, size[0]), *others)], np.float32), None
    for start, following in pairwise([*starts[0], spatial[0]]):
        for group in batches:
            patches = np.stack([window[(slice(None), *place)] for place in group])
            results = np.asarray(predict(patches), np.float32)
            if sums is None:
                sums = np.zeros((*window.shape[:-1], results.shape[-1]), np.float32)
            for place, result in zip(group, results, strict=True):
                sums[(slice(None), *place)] += result
            if progress is not None:
                progress("overlapping patches", len(starts[0]) * len(batches))
        yield (slice(start, following), *others), _means(sums, counts[0][start:following], weights)
        if following < spatial[0]:
            end = start + size[0]
            new = _advance(window, following - start)
            new[...] = source[(slice(end, end + len(new)), *others)]
            _advance(sums, following - start)[...] = 0


def averaging_bytes(shape, size, classes):
    """Bytes that `averaged_patches` holds at most, beside a batch of patches: rows of the input, of sums and of means.

    Args:
        shape, size, classes: ``(*spatial, channels)`` of the source, the patches' size, channels of the prediction.
    """
    *spatial, channels = shape
    rows = min(spatial[0], size[0]) * prod(spatial[1:])
    return 4 * rows * (channels + 2 * classes)


def _means(sums, counts, weights):
    """The first rows of the sums divided by how many patches cover them: a new array."""
    means = sums[: len(counts)].copy()
    # Row by row, to hold no counts of the size of the rows.
    for row, count in zip(means, counts, strict=True):
        row /= count * weights
    return means


def _advance(rows, count):
    """Move the rows up by ``count``; the last ones, which are free then."""
    # One by one, since NumPy copies all of what overlaps.
    for i in range(len(rows) - count):
        rows[i] = rows[i + count]
    return rows[len(rows) - count :]


def _counts(length, size, starts):
    """How many patches cover each position of an axis, float32."""
    positions = np.arange(length)[:, None]
    return ((positions >= starts) & (positions < np.add(starts, size))).sum(axis=1).astype(np.float32)

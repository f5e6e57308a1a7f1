"""How different the relevance maps of several references are, and which of them to show."""

import numpy as np

from aeanet_tf.errors import InputError

# Below this share of its largest value the variation of a map is rounding.
_CONSTANT = 1e-6


def map_correlations(maps):
    """Pearson correlation of the patterns of every two references.

    The AEANet paper (appendix VI) says from a picture that the maps of different references differ; this is a number
    for it, and ours. The mean of each image is taken from its maps first, so that it is patterns within the images
    that are compared and not the brightness of the images.

    Args:
        maps: list of arrays ``(references, *spatial)``, one an image; sizes may differ.

    Returns:
        Float64 array ``(references, references)``. A constant map has no pattern; it counts as the same as every
        other (1).

    Raises:
        InputError: no maps, or arrays of different numbers of references.
    """
    counts = {len(one) for one in maps}
    if len(counts) != 1:
        raise InputError(f"maps: {sorted(counts)} references, expected the same number for each of at least one image")
    products, squares = 0, 0
    for one in maps:
        flat = np.asarray(one, "float64").reshape(len(one), -1)
        squares = squares + (flat**2).sum(axis=1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        products = products + flat @ flat.T
    variances = np.diag(products)
    constant = variances <= _CONSTANT**2 * squares
    scale = 1 / np.sqrt(np.where(constant, 1, variances))
    found = np.clip(products * scale * scale[:, None], -1, 1)
    found[constant], found[:, constant] = 1, 1
    np.fill_diagonal(found, 1)
    return found


def mean_absolute_correlation(correlations):
    """Mean of the absolute correlations of all pairs of different references; NaN for a single one."""
    upper = np.abs(correlations)[np.triu_indices(len(correlations), 1)]
    return float(upper.mean()) if len(upper) else float("nan")


def independent_patterns(correlations):
    """How many uncorrelated maps would be as different as these: ``r^2 / sum of the squared correlations``.

    The participation ratio of the correlations' eigenvalues: r for r uncorrelated maps, 1 for r equal ones. It cannot
    exceed the number of channels of the key, because every map is a weighted sum of the channels of the query.
    """
    return float(len(correlations) ** 2 / (np.asarray(correlations) ** 2).sum())


def most_different(correlations, count):
    """References whose maps differ most from each other: our choice of what to show.

    Greedy: the two with the lowest absolute correlation, then always the one whose largest absolute correlation with
    those chosen is lowest.

    Args:
        correlations: of `map_correlations`.
        count: how many.

    Returns:
        Their numbers, from 0, in ascending order.

    Raises:
        InputError: a count below 1, or more than there are.
    """
    check_count(count, len(correlations))
    if len(correlations) == 1:
        return [0]
    similar = np.abs(correlations).astype("float64")
    np.fill_diagonal(similar, np.inf)
    chosen = [int(i) for i in np.unravel_index(similar.argmin(), similar.shape)][:count]
    while len(chosen) < count:
        chosen.append(int(similar[:, chosen].max(axis=1).argmin()))
    return sorted(chosen)


def random_references(total, count, seed):
    """``count`` different numbers below ``total`` drawn with a seed, in ascending order: the paper's choice.

    Raises:
        InputError: a count below 1, or more than ``total``.
    """
    check_count(count, total)
    return sorted(int(i) for i in np.random.default_rng(seed).choice(total, count, replace=False))


def check_count(count, total):
    """Raise `InputError` for a number of references that cannot be chosen among ``total``."""
    if not 1 <= count <= total:
        raise InputError(f"references: {count}, expected a number from 1 to {total}, the references of the model")

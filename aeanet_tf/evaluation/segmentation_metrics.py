"""Scores of label images of any classes: the confusion matrix, Dice ratios from it, and 3D-MHD, of lines."""

from collections.abc import Sequence

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.metrics import label_masks, mean_of_classes, same_shape
from aeanet_tf.io.labels import to_classes

MAX_CLASSES = 256
"""More values than this are taken for grey levels, or numbers of single objects, which are no classes."""

# Floats in a block of the distance matrix.
_BLOCK = 2**22


def shared_classes(gt: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The values that a ground truth or an image of labels has, integers or floats that are whole numbers.

    Returns:
        int64, sorted.

    Raises:
        InputError: a value is no whole number, or one of the two has more than `MAX_CLASSES`.
    """
    classes = []
    for side, which in ((gt, "ground truth"), (image, "image to score")):
        values = np.unique(side)
        broken = values[~np.isfinite(values) | (values != np.round(values))]
        if broken.size:
            raise InputError(f"{which}: has the value {broken[0]:g}, expected labels, which are whole numbers")
        if values.size > MAX_CLASSES:
            raise InputError(f"{which}: has {values.size} different values, expected at most {MAX_CLASSES} classes")
        classes.append(values.astype(np.int64))
    return np.union1d(*classes)


def confusion(gt: np.ndarray, image: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Count pixels by their class in the ground truth and in the image.

    Args:
        gt: ground truth, labels of any number of dimensions.
        image: labels to score.
        labels: values of the n classes, in the order of rows and columns.

    Returns:
        (n, n) int64: rows are classes of the ground truth, columns those of the image.

    Raises:
        InputError: shapes differ, a class is named twice, or an image has a value that is not of ``labels``.
    """
    gt, image = same_shape(gt, image)
    labels = np.asarray(labels)
    if np.unique(labels).size != labels.size or not labels.size:
        raise InputError(f"labels: found {labels.tolist()}, expected different values, at least one")
    sides = ((gt, "ground truth"), (image, "image to score"))
    rows, columns = (to_classes(side, labels.tolist(), which).astype(np.intp) for side, which in sides)
    counts = np.bincount((rows * labels.size + columns).ravel(), minlength=labels.size**2)
    return counts.reshape(labels.size, labels.size)


def class_counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class in the ground truth, in the image, and in both at one place: (n,) each.

    Args:
        matrix: (n, n) from `confusion`.
    """
    return matrix.sum(axis=1), matrix.sum(axis=0), np.diagonal(matrix)


def dice_ratios(matrix: np.ndarray) -> np.ndarray:
    """Dice ratio of each class, 2 |A ∩ B| / (|A| + |B|) of its pixels: (n,), 0 to 1.

    NaN where neither image has the class: there is nothing to score, and a 1 would better the mean of a class that most
    images lack. `aeanet_tf.evaluation.metrics.mean_of_classes` leaves it out.
    """
    in_gt, in_image, in_both = class_counts(matrix)
    total = in_gt + in_image
    return np.where(total > 0, 2 * in_both / np.maximum(total, 1), np.nan)


def class_scores(labels: Sequence[int], matrix: np.ndarray, background: int | None = 0) -> dict[str, float]:
    """Dice ratio of each class as ``dice_<label>``, and their mean ``dice_mean``.

    Args:
        labels: values of the classes.
        matrix: (n, n) from `confusion`.
        background: class that the mean leaves out, None for none. Our choice is 0, as papers on iSeg-2017 (table IV of
            the AEANet paper) average cerebrospinal fluid, grey and white matter: the background, most of an image,
            would bring any mean near 1.
    """
    ratios = dict(zip((int(label) for label in labels), dice_ratios(matrix).tolist(), strict=True))
    mean = mean_of_classes([ratio for label, ratio in ratios.items() if label != background])
    return {f"dice_{label}": ratio for label, ratio in ratios.items()} | {"dice_mean": mean}


def detection_scores(gt: np.ndarray, image: np.ndarray, label: int, labels: Sequence[int]) -> dict[str, float]:
    """Precision, recall and F1 of the pixels of a class, such as membranes.

    Precision is the part of the pixels that the image has of the class that are true, recall the part of the true ones
    that it has, F1 their harmonic mean, which is the Dice ratio.

    Args:
        gt: ground truth, labels of any number of dimensions.
        image: labels to score.
        label: value of the class.
        labels: values of all classes.

    Returns:
        ``precision``, ``recall`` and ``f1``, 0 to 1. NaN where there is nothing to divide by: no pixel of the class in
        the image (precision), the ground truth (recall), or both (F1).

    Raises:
        InputError: as `confusion`.
    """
    place = list(labels).index(label)
    matrix = confusion(gt, image, labels)
    in_gt, in_image, in_both = (float(counts[place]) for counts in class_counts(matrix))
    return {
        "precision": in_both / in_image if in_image else float("nan"),
        "recall": in_both / in_gt if in_gt else float("nan"),
        "f1": float(dice_ratios(matrix)[place]),
    }


def linewise_hausdorff(gt: np.ndarray, image: np.ndarray, label: float) -> float:
    """Modified Hausdorff distance of the lines of a class, mean over the axes ("3D-MHD"), 0 at best.

    For each axis, the mask of the class, 1 or 0 a pixel, is cut into lines along it, for axis 0 of (D, H, W) into H W
    vectors of length D; A are those of the ground truth, B those of the image, and ||a - b|| is Euclidean. The distance
    is the larger of two means (Dubuisson & Jain 1994)::

        MHD(A, B) = max(mean over a of min over b ||a - b||, mean over b of min over a ||a - b||)

    and the result the mean of it over all axes. It is no distance in millimetres: ||a - b|| is the square root of the
    number of pixels in which two vectors differ, and a vector may be nearest to one from elsewhere.

    The text on Non-local U-Nets (Wang et al. 2020) leaves open what a vector is. The evaluation that its authors
    published takes lines and scores whole volumes: lines of the background outside of the brain, at distance 0, count
    in the means.

    Args:
        gt: ground truth, two dimensions or more.
        image: labels to score.
        label: value of the pixels of the class.

    Returns:
        The distance; NaN where neither image has the label. Where only one has it, the other's lines are zeros.

    Raises:
        InputError: shapes differ, or there is one dimension only.
    """
    a, b = label_masks(gt, image, label)
    if a.ndim < 2:
        raise InputError(f"ground truth: found shape {a.shape}, expected two dimensions or more")
    if not a.any() and not b.any():
        return float("nan")
    distances = []
    for axis in range(a.ndim):
        lines = (np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis]) for mask in (a, b))
        distances.append(_vector_distance(*lines))
    return float(np.mean(distances))


def _vector_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Modified Hausdorff distance of two sets of binary vectors, (n, length) each."""
    # Most lines of a volume are equal, empty ones above all.
    (a, count_a), (b, count_b) = _distinct(a), _distinct(b)
    to_b, to_a = _nearest(a, b)
    return max(np.average(to_b, weights=count_a), np.average(to_a, weights=count_b))


def _distinct(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different vectors in float32, and how often each is there."""
    # Packed, eight pixels a byte, sorting compares few bytes.
    packed, counts = np.unique(np.packbits(vectors, axis=1), axis=0, return_counts=True)
    return np.unpackbits(packed, axis=1, count=vectors.shape[1]).astype(np.float32), counts


def _nearest(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each of ``a`` to the nearest of ``b``, and the reverse."""
    # For zeros and ones the squared distance is a count, exact in float32 up to 2^24 pixels a vector.
    size_a, size_b = a.sum(axis=1), b.sum(axis=1)
    to_b, to_a = np.empty(len(a), np.float32), np.full(len(b), np.inf, np.float32)
    step = max(1, _BLOCK // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        squared = size_a[rows, None] + size_b - 2 * (a[rows] @ b.T)
        to_b[rows] = squared.min(axis=1)
        np.minimum(to_a, squared.min(axis=0), out=to_a)
    return np.sqrt(to_b, dtype=np.float64), np.sqrt(to_a, dtype=np.float64)

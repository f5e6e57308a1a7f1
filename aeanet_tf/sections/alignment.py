"""Neighbouring slices moved onto each other by whole pixels, and given one histogram."""

from dataclasses import dataclass

import numpy as np

from aeanet_tf.errors import expect

# Single pixels of an electron micrograph are noise, of which two slices have nothing in common, and a membrane is a few
# pixels wide. On the ISBI 2012 slices neighbours correlate 0.23 to 0.45 and unrelated slices up to 0.11 after 1 px,
# 0.30 to 0.56 and 0.15 after 2 px, 0.44 to 0.67 and 0.22 after 4 px: best told apart with 2, and found to a pixel.
SMOOTHING = 2.0
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Translation:
    """By how many pixels an image has to be moved to lie on another.

    Attributes:
        y: rows down, negative for up.
        x: columns to the right, negative for left.
        score: normalised cross-correlation there, from -1 to 1, of the smoothed images.
    """

    y: int
    x: int
    score: float


def translation(fixed: np.ndarray, moving: np.ndarray, max_shift: int = 32, sigma: float = SMOOTHING) -> Translation:
    """Find how far ``moving`` has to be moved to lie on ``fixed``, by template matching.

    The central part of ``moving``, smaller than it by ``max_shift`` on every side, is searched for in ``fixed``, by
    normalised cross-correlation (SSAN paper, section "Dataset and preprocessing", names template matching alone;
    what is compared, and how, is our choice). Pixel (i, j) of ``fixed`` shows what (i - y, j - x) of ``moving``
    does: ``moved(moving, y, x)`` lies on ``fixed``. Whole pixels, so that no grey value is interpolated.

    Args:
        fixed: grey image (Y, X) in any dtype; contrast and brightness may differ from the other's.
        moving: another of the same size.
        max_shift: the largest y and x, in pixels.
        sigma: of the Gaussian that smooths both images before they are compared, in pixels; 0 for none.

    Returns:
        The translation with the highest correlation; 0, 0 and a score of 0 where an image is constant.

    Raises:
        InputError: the images are not 2D and of one size, or ``max_shift`` leaves less than half of a side to compare
            (it is not reduced in silence).
    """
    fixed, moving = np.asarray(fixed), np.asarray(moving)
    check_shift(fixed.shape, moving.shape, max_shift)
    fixed, moving = _standardised(smoothed(fixed, sigma)), _standardised(smoothed(moving, sigma))
    inner = tuple(slice(max_shift, size - max_shift) for size in moving.shape)
    scores = _correlations(fixed, moving[inner])
    y, x = np.unravel_index(int(scores.argmax()), scores.shape)
    score = float(scores[y, x])
    return Translation(int(y) - max_shift, int(x) - max_shift, score) if score > 0 else Translation(0, 0, 0.0)


def check_shift(fixed: tuple[int, ...], moving: tuple[int, ...], max_shift: int) -> None:
    """Check that two images, given by their shapes, can be compared by `translation`.

    Raises:
        InputError: as `translation`.
    """
    fits = len(fixed) == 2 and fixed == moving
    expect(fits, "slices to align", f"shapes {fixed} and {moving}", "two images (Y, X) of one size")
    largest = min(fixed) // 4
    found = f"{max_shift} for slices of {fixed} pixels"
    expect(0 <= max_shift <= largest, "max_shift", found, f"0 to {largest}, a quarter of their side")


def smoothed(image: np.ndarray, sigma: float = SMOOTHING) -> np.ndarray:
    """The image in float64, less its mean, smoothed by a Gaussian of ``sigma`` pixels."""
    from scipy.ndimage import gaussian_filter

    image = np.asarray(image).astype(np.float64)
    image = image - image.mean()
    return gaussian_filter(image, sigma) if sigma else image


def _standardised(image: np.ndarray) -> np.ndarray:
    return image / (image.std() or 1.0)


def _correlations(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Pearson correlation of the template with every part of the image that has its size.

    What `skimage.feature.match_template` gives. That looks at all places where the two overlap at all, and takes
    3 GB and 9 s for 2048 x 2048 pixels; here, where only few places are asked for, 3072 x 3072 take 0.5 GB and 1 s.
    """
    from scipy import fft

    template = template - template.mean()
    places = tuple(a - b + 1 for a, b in zip(image.shape, template.shape, strict=True))
    # Circular, but no place reaches over the border.
    size = [fft.next_fast_len(n, real=True) for n in image.shape]
    products = fft.irfft2(fft.rfft2(image, size) * np.conj(fft.rfft2(template, size)), size)[: places[0], : places[1]]
    sums, squares = (_box_sums(a, template.shape) for a in (image, image**2))
    variances, own = squares / template.size - (sums / template.size) ** 2, float(template.var())
    # Of images of variance 1 that are constant there, nothing but rounding is left.
    varied = np.minimum(variances, own) > _ROUNDING
    norms = np.sqrt(np.where(varied, variances * own, 1.0))
    return np.where(varied, products / template.size / norms, 0.0)


def _box_sums(image: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Sums over all parts of an image that have the size ``box``."""
    totals = np.pad(image.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows = totals[box[0] :] - totals[: -box[0]]
    return rows[:, box[1] :] - rows[:, : -box[1]]


def moved(image: np.ndarray, y: int, x: int) -> np.ndarray:
    """The image (Y, X) moved ``y`` rows down and ``x`` columns right, at its size; its border repeats where it ends."""
    rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in zip(image.shape, (y, x), strict=True))
    return image[np.ix_(rows, columns)]


def covered(shape: tuple[int, int], *shifts: tuple[int, int]) -> tuple[slice, slice]:
    """The part (rows, columns) where images of ``shape`` all have pixels after they were moved by ``shifts`` (y, x)."""
    y, x = (
        slice(max(0, *moves), size + min(0, *moves))
        for size, moves in zip(shape, zip(*shifts, (0, 0), strict=True), strict=True)
    )
    return y, x


def to_midpoint(
    before: np.ndarray, after: np.ndarray, max_shift: int = 32
) -> tuple[np.ndarray, np.ndarray, Translation]:
    """Move two slices towards each other, each by half of what lies between them.

    This is for prediction: where the slice between them is missing, nothing says where it lay, and the middle is
    the best guess (our choice; the paper predicts from neighbours that were aligned to the slice itself).

    Args:
        before: grey image (Y, X).
        after: another of the same size, the slice after the missing one.
        max_shift: the largest shift of one against the other, in pixels along an axis; 0 moves nothing.

    Returns:
        The slices moved, in their size and dtype, and the translation t of ``after`` to ``before``. ``after`` is
        moved by t's half and ``before`` by the opposite of the other; of an odd t the former is rounded up, so that
        the slices meet in the same place when they change their roles.
        Where one of them has no pixel after that, the other's stands in for it; where neither has, in two corners,
        each repeats its border.

    Raises:
        InputError: as `translation`.
    """
    before, after = np.asarray(before), np.asarray(after)
    check_shift(before.shape, after.shape, max_shift)
    if not max_shift:
        return before, after, Translation(0, 0, translation(before, after, 0).score)
    shift = translation(before, after, max_shift)
    back = tuple(-(step // 2) for step in (shift.y, shift.x))
    forth = (shift.y + back[0], shift.x + back[1])
    has_before, has_after = (_mask(before.shape, step) for step in (back, forth))
    moved_before, moved_after = moved(before, *back), moved(after, *forth)
    return (
        np.where(~has_before & has_after, moved_after.astype(before.dtype), moved_before),
        np.where(~has_after & has_before, moved_before.astype(after.dtype), moved_after),
        shift,
    )


def _mask(shape: tuple[int, int], shift: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[covered(shape, shift)] = True
    return mask


def to_common_histogram(before: np.ndarray, after: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Give images the histogram that lies midway between those of two slices.

    A value is replaced by the mean of the values that have its rank in ``before`` and in ``after`` (the mean of
    their quantile functions). The paper specifies the histograms of a triplet (section "Dataset and preprocessing"),
    and does not say to which; that of the middle slice is not there when it is to be predicted, so we choose what
    the neighbours alone give, for training and for prediction alike. A predicted slice stays in this histogram:
    which of its own the missing one had, nothing says.

    Args:
        before: image of any shape and dtype.
        after: another.
        others: images that are treated likewise, without a say in the histogram.

    Returns:
        ``before``, ``after`` and the others, float32. Equal values stay equal, and the order of values stays, so that
        all lie within the range of the two slices.
    """
    images = [np.asarray(image) for image in (before, after, *others)]
    ranked = [_ranks(image) for image in images]
    matched = []
    for image, (_, ranks, places) in zip(images, ranked, strict=True):
        values = np.mean([np.interp(ranks, known, values) for values, known, _ in ranked[:2]], axis=0)
        matched.append(values.astype(np.float32)[places].reshape(image.shape))
    return matched


def _ranks(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of an image, sorted, each once; the share of pixels below each, half of its own included; its places."""
    values, places, counts = np.unique(image, return_inverse=True, return_counts=True)
    return values.astype(np.float64), (counts.cumsum() - counts / 2) / image.size, places.ravel()

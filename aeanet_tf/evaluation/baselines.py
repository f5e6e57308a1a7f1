"""Simple filters to stand beside every score: a network that restores no better than these is of no use."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

from aeanet_tf.cubic import at_size, times_larger
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import care_psnr
from aeanet_tf.files import read_json, write_text

Filter: TypeAlias = Callable[[np.ndarray], np.ndarray]
Pairs: TypeAlias = Iterable[tuple[np.ndarray, np.ndarray]]
Score: TypeAlias = Callable[[np.ndarray, np.ndarray], float]

SIGMAS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
# 0.6 to 0.8 is best for noise that is white and even; of a camera's, which is correlated and stronger where it is
# bright, less than half is seen in the differences of neighbours, and W2S is best restored with 2.5.
STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)

FILTERS_FILE = "filters.json"

# Patch size and distance of non-local means; the time grows with the number of places searched, 13^2 and 5^3.
_SEARCH = {2: (5, 6), 3: (3, 2)}
# The high-pass filter of Daubechies' wavelet with two vanishing moments, of norm 1: blind to what varies linearly.
_DETAIL = np.array([1 - 3**0.5, 3**0.5 - 3, 3 + 3**0.5, -1 - 3**0.5]) / 32**0.5
# Median of the absolute value of a normal variable of standard deviation 1.
_NORMAL_MEDIAN = 0.6744897501960817


def gaussian(image: np.ndarray, sigma: float | Sequence[float]) -> np.ndarray:
    """Gaussian filter of `scipy.ndimage`, the image mirrored at its borders.

    Args:
        image: YX or ZYX, any type of numbers.
        sigma: standard deviation in pixels, a number or one an axis; 0 filters nothing.

    Returns:
        float32, of the same shape.

    Raises:
        InputError: the image is neither 2D nor 3D, or ``sigma`` is not such numbers.
    """
    image = _image(image)
    widths = np.asarray(sigma, np.float64)
    if widths.shape not in ((), (image.ndim,)) or not np.isfinite(widths).all() or (widths < 0).any():
        raise InputError(f"sigma: found {sigma}, expected a number of pixels, 0 or more, or {image.ndim} of them")
    return gaussian_filter(image.astype(np.float32), widths.tolist())


def non_local_means(image: np.ndarray, strength: float) -> np.ndarray:
    """Non-local means of `scikit-image`, with the noise it finds in the image.

    The image is brought to about 0..1 by its percentiles 1 and 99.8 and back, so gain and offset do not matter. With
    the standard deviation s of the noise (`noise_sigma`), patches are compared less what noise alone makes them differ,
    and weighted by exp(-d^2 / h^2), h = strength * s. Patches of 5 x 5 pixels, up to 6 pixels away; in volumes of
    3 x 3 x 3, up to 2 away: about 0.5 s for 512 x 512 pixels, 2.5 s for a million voxels.

    Args:
        image: YX or ZYX, any type of numbers.
        strength: about 0.6 for white noise that is the same everywhere; more smooths more.

    Returns:
        float32, of the same shape; the image itself where it is constant or no noise is seen.

    Raises:
        InputError: the image is neither 2D nor 3D, or ``strength`` is not positive.
    """
    image = _image(image)
    if not math.isfinite(strength) or strength <= 0:
        raise InputError(f"strength: found {strength}, expected a positive number")
    low, high = np.percentile(image, (1, 99.8))
    if not high > low:
        low, high = float(image.min()), float(image.max())
    if not high > low:
        return image.astype(np.float32)
    scaled = ((image - low) / (high - low)).astype(np.float32)
    sigma = noise_sigma(scaled)
    if sigma == 0:
        return image.astype(np.float32)
    size, distance = _SEARCH[image.ndim]
    filtered = denoise_nl_means(
        scaled, size, distance, h=strength * sigma, sigma=sigma, fast_mode=True, preserve_range=True
    )
    return (filtered.astype(np.float64) * (high - low) + low).astype(np.float32)


def noise_sigma(image: np.ndarray) -> float:
    """Standard deviation of the noise in an image, in its units, from its finest diagonal details.

    The median absolute value of what a Daubechies wavelet's high-pass filter along all axes gives (without exact
    zeros), over 0.6745: Donoho and Johnstone's estimate, as ``skimage.restoration.estimate_sigma``, which takes every
    second pixel and needs PyWavelets. White noise is found as it is; of correlated noise less is seen.

    Returns:
        0 where there are no details at all, or no axis has 4 pixels. Shorter ones are not filtered along.
    """
    details = np.asarray(image, np.float64)
    axes = [axis for axis, size in enumerate(details.shape) if size >= len(_DETAIL)]
    for axis in axes:
        # Without the borders: an image continued there has less noise.
        details = sliding_window_view(details, len(_DETAIL), axis) @ _DETAIL
    magnitudes = np.abs(details[details != 0])
    return float(np.median(magnitudes) / _NORMAL_MEDIAN) if axes and magnitudes.size else 0.0


@dataclass(frozen=True)
class Filters:
    """Parameters of the two filters, and how well they did on the images they were chosen on.

    Iterating gives (label, function of an image) of each.

    Attributes:
        sigma: of the Gaussian, in pixels.
        strength: of non-local means; None leaves this filter out.
        gaussian_score: mean score that ``sigma`` reached, NaN if not known.
        non_local_means_score: the same of ``strength``.
    """

    sigma: float
    strength: float | None = None
    gaussian_score: float = math.nan
    non_local_means_score: float = math.nan

    def __iter__(self) -> Iterator[tuple[str, Filter]]:
        return iter(self.named().items())

    def named(self, note: str = "") -> dict[str, Filter]:
        """The filters by label, such as "Gaussian (sigma 2)"; a note on the choice goes into the brackets."""
        note = note and f"; {note}"
        filters: dict[str, Filter] = {f"Gaussian (sigma {self.sigma:g}{note})": partial(gaussian, sigma=self.sigma)}
        if self.strength is not None:
            label = f"non-local means ({self.strength:g}{note})"
            filters[label] = partial(non_local_means, strength=self.strength)
        return filters


def choose_filters(
    pairs: Pairs,
    score: Score = care_psnr,
    sigmas: Sequence[float] = SIGMAS,
    strengths: Sequence[float] = STRENGTHS,
) -> Filters:
    """Find the parameters with the best mean score over all pairs.

    The parameters are tried in their order, and no more of them once the mean has fallen twice in a row.

    Args:
        pairs: (input, ground truth), arrays of the same shape, YX or ZYX; or inputs whose sizes are a whole part of the
            ground truth's, which cubic interpolation brings to its size when they are filtered. They are gone through
            once a parameter: what reads them anew each time need not hold them all. Pairs that cannot be scored, such
            as those with a constant ground truth, do not count.
        score: (ground truth, image) -> number, larger is better; by default the PSNR of the protocol ``care``.
        sigmas: of the Gaussian, in pixels.
        strengths: of non-local means; none leave it out, which for volumes saves most of the time.

    Raises:
        InputError: the shapes of a pair differ, or no pair can be scored.
    """
    sigma, gaussian_score = _best(sigmas, lambda sigma: _mean_score(pairs, partial(gaussian, sigma=sigma), score))
    if not strengths:
        return Filters(sigma, None, gaussian_score)
    strength, other_score = _best(
        strengths, lambda strength: _mean_score(pairs, partial(non_local_means, strength=strength), score)
    )
    return Filters(sigma, strength, gaussian_score, other_score)


def best_sigmas(pairs: Pairs, sigmas: Sequence[float] = SIGMAS) -> list[float]:
    """The best sigma of each image with its ground truth at hand: more than a Gaussian filter can reach in practice.

    Args:
        pairs, sigmas: as `choose_filters` takes them.

    Returns:
        Of each pair the sigma with the highest PSNR of the protocol ``care``; NaN where it cannot be scored.

    Raises:
        InputError: the shapes of a pair differ, or no pair can be scored.
    """
    best, reason = [], "there are none"
    for pair in pairs:
        try:
            best.append(choose_filters([pair], sigmas=sigmas, strengths=()).sigma)
        except _NoneLeftError as error:
            best.append(math.nan)
            reason = error.reason
    if all(map(math.isnan, best)):
        raise _NoneLeftError(len(best), reason)
    return best


def read_filters(folder: str | Path) -> Filters:
    """The filters that were chosen on the validation images of a model, from ``filters.json`` in its folder.

    Raises:
        InputError: there is no such file, or it is something else.
    """
    path = Path(folder) / FILTERS_FILE
    try:
        data = read_json(path, constants=True)
    except InputError as error:
        raise InputError(f"{error}, expected the filters of a model") from None
    try:
        return _filters(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _filters(data: Any) -> Filters:
    """The filters that JSON describes; other keys are left alone."""
    if not isinstance(data, dict) or data.get("sigma") is None:
        raise InputError(f"filters: found {data!r}, expected an object with sigma and strength")
    names = [field.name for field in fields(Filters) if data.get(field.name) is not None]
    filters = Filters(**{name: _number(data, name) for name in names})
    if filters.sigma < 0:
        raise InputError(f"filters.sigma: found {filters.sigma}, expected 0 or more")
    if filters.strength is not None and filters.strength <= 0:
        raise InputError(f"filters.strength: found {filters.strength}, expected a positive number or null")
    return filters


def write_filters(folder: str | Path, filters: Filters) -> None:
    """Write ``filters.json`` into the folder of a model, for `read_filters`; scores that are not finite are null.

    Raises:
        InputError: the file cannot be written.
    """
    numbers = {
        name: None if value is None or not math.isfinite(value) else float(value)
        for name, value in asdict(filters).items()
    }
    write_text(Path(folder) / FILTERS_FILE, json.dumps(numbers, indent=2) + "\n")


class _NoneLeftError(InputError):
    """No pair can be scored."""

    def __init__(self, count: int, reason: str):
        super().__init__(
            f"pairs: none of {count} can be scored ({reason}), expected one with a ground truth's contrast"
        )
        self.reason = reason


def _best(parameters: Sequence[float], measure: Callable[[float], float]) -> tuple[float, float]:
    """The parameter with the largest measure, and that; NaN counts as the smallest."""
    if not len(parameters):
        raise InputError("parameters: found none to choose from, expected at least one")
    best, previous, falls = (math.nan, -math.inf), -math.inf, 0
    for parameter in parameters:
        value = measure(parameter)
        value = -math.inf if math.isnan(value) else value
        if value > best[1] or math.isnan(best[0]):
            best = parameter, value
        falls = falls + 1 if value < previous else 0
        if falls == 2:
            break
        previous = value
    return best


def _mean_score(pairs: Pairs, function: Filter, score: Score) -> float:
    """Mean score of the filtered inputs, of the pairs that can be scored."""
    scores, count, reason = [], 0, "there are none"
    for image, truth in pairs:
        image, truth = np.asarray(image), np.asarray(truth)
        count += 1
        if times_larger(image.shape, truth.shape) is None:
            raise InputError(
                f"image to filter: found shape {image.shape}, expected {truth.shape} as the ground truth's"
            )
        if truth.size == 0 or truth.min() == truth.max():
            reason = "the ground truth is constant"
            continue
        filtered = at_size(function(image), truth.shape)
        try:
            scores.append(score(truth, filtered))
        except InputError as error:
            reason = str(error)
    if not scores:
        raise _NoneLeftError(count, reason)
    return float(np.mean(scores))


def _image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise InputError(f"image to filter: found shape {image.shape}, expected YX or ZYX")
    return image


def _number(data: dict[str, Any], name: str) -> float:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"filters.{name}: found {value!r}, expected a number")
    return float(value)

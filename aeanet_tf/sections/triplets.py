"""Three consecutive slices, aligned and cut into windows: what a network learns to interpolate slices from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import write_rows
from aeanet_tf.sections.alignment import (
    Translation,
    check_shift,
    covered,
    moved,
    smoothed,
    to_common_histogram,
    translation,
)
from aeanet_tf.sections.stack import SerialStack, check_slice
from aeanet_tf.sections.triplet_options import TripletOptions

DEFECT, BADLY_ALIGNED = "defect", "badly aligned"
WEAK_CONTINUITY, DIFFERENT_BLUR = "weak continuity", "different blur"

# A pixel is flat where the smoothed image varies, within so many pixels around it, by less than that share of what is
# usual in the triplet. Of a slice of ISBI 2012 that is a thousandth at most.
_FLAT_BOX = 15
_FLAT_SHARE = 0.2
# At this scale of the edges, slices with much noise and slices with little are equally sharp.
_EDGE_SIGMA = 1.0


@dataclass(frozen=True)
class Triplet:
    """One sample.

    Attributes:
        images: (3, Y, X): the slice before, the middle one and the one after, aligned to the middle one; float32
            after histogram matching, else in the dtype of the file.
        slice: index of the middle slice, from 0.
        corner: of the window, (y, x) in pixels of the middle slice.
    """

    images: np.ndarray
    slice: int
    corner: tuple[int, int]


@dataclass(frozen=True)
class TripletRecord:
    """What was measured of one candidate, and what became of it: one line of the report.

    Attributes:
        slice: index of the middle slice, from 0.
        y, x: corner of the window, in pixels of the middle slice.
        height, width: of the window.
        before_y, before_x, after_y, after_x: by how many pixels the neighbours were moved.
        before_correlation, after_correlation: with the middle, as `TripletOptions.min_correlation`.
        blur_ratio: as `TripletOptions.max_blur_ratio`; 0 if a slice is constant.
        flat: as `TripletOptions.max_flat`.
        accepted: whether it is a triplet.
        reason: why not; empty if it is.
    """

    slice: int
    y: int
    x: int
    height: int
    width: int
    before_y: int
    before_x: int
    after_y: int
    after_x: int
    before_correlation: float
    after_correlation: float
    blur_ratio: float
    flat: float
    accepted: bool
    reason: str


def make_triplets(
    stack: SerialStack, slices: Iterable[int], options: TripletOptions | None = None
) -> tuple[list[Triplet], list[TripletRecord]]:
    """Cut triplets from consecutive slices (SSAN paper, section "Dataset and preprocessing").

    The neighbours of a slice are aligned to it by template matching, the three are cropped to what they have in
    common, and windows are taken from left to right and from top to bottom; what is left at the right and the lower
    border, less than a window, is not used. Windows with defects, weak continuity or unlike blur are left out.

    The windows are judged before their histograms are matched, so that the verdict is not about what matching did.

    Args:
        stack: the slices; three are in memory at a time.
        slices: which of them may be used, counted from 0. A triplet takes three consecutive ones, all of these:
            what is not named, such as the slices of a test, is never read.
        options: None takes the defaults.

    Returns:
        The triplets, by slice and window; and a record of every candidate, in the same order.

    Raises:
        InputError: there is no such slice, ``max_shift`` is too large for the slices, or no triplet is left.
    """
    options = options or TripletOptions()
    allowed = sorted(set(slices))
    for index in allowed:
        check_slice(index, len(stack), str(stack.path))
    check_shift(stack.shape, stack.shape, options.max_shift)
    triplets: list[Triplet] = []
    records: list[TripletRecord] = []
    for middle, images in _consecutive(stack, allowed):
        found, judged = triplets_of(images, middle, options)
        triplets += found
        records += judged
    if not records:
        raise InputError(f"{stack.path}: no three consecutive slices among the {len(allowed)} that may be used")
    if not triplets:
        raise InputError(f"{stack.path}: no triplet is left, expected at least one: {summary(records)}")
    return triplets, records


def triplets_of(
    images: Sequence[np.ndarray], middle: int, options: TripletOptions
) -> tuple[list[Triplet], list[TripletRecord]]:
    """The triplets of three slices, aligned, cut and judged as those of `make_triplets`; none may be left.

    Args:
        images: the slices before, in the middle and after, (Y, X).
        middle: number of the one in the middle.
        options: how.

    Raises:
        InputError: as `translation`.
    """
    triplets, records = [], []
    images, common, shifts = _aligned(list(images), options.max_shift)
    for y, x in _windows(common, options.window):
        cut, corner = np.stack([image[y, x] for image in images]), (y.start, x.start)
        records.append(_judge(cut, middle, corner, shifts, options))
        if records[-1].accepted:
            triplets.append(Triplet(_matched(cut) if options.match_histograms else cut, middle, corner))
    return triplets, records


def _consecutive(stack: SerialStack, allowed: Sequence[int]) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Every middle slice whose neighbours are allowed too, with the three images; each is read once."""
    known: dict[int, np.ndarray] = {}
    for middle in allowed:
        wanted = (middle - 1, middle, middle + 1)
        if not set(wanted) <= set(allowed):
            continue
        known = {index: known[index] if index in known else stack.read(index) for index in wanted}
        yield middle, list(known.values())


def aligned_triplet(images: Sequence[np.ndarray], options: TripletOptions) -> tuple[np.ndarray, tuple[int, int]]:
    """A slice and its neighbours, aligned to it and with matched histograms as those of `make_triplets`, unjudged.

    Args:
        images: the slices before, in the middle and after, (Y, X).
        options: ``max_shift`` and ``match_histograms`` count.

    Returns:
        ``(3, Y', X')``, what the three have in common, and its corner (y, x) in the middle slice.

    Raises:
        InputError: as `translation`.
    """
    moved_images, (y, x), _ = _aligned(list(images), options.max_shift)
    cut = np.stack([image[y, x] for image in moved_images])
    return _matched(cut) if options.match_histograms else cut, (y.start, x.start)


def _aligned(
    images: list[np.ndarray], max_shift: int
) -> tuple[list[np.ndarray], tuple[slice, slice], list[Translation]]:
    # Without a search the score of the whole slice would be computed for nothing.
    shifts = [
        translation(images[1], neighbour, max_shift) if max_shift else Translation(0, 0, 0.0)
        for neighbour in (images[0], images[2])
    ]
    images = [moved(images[0], shifts[0].y, shifts[0].x), images[1], moved(images[2], shifts[1].y, shifts[1].x)]
    return images, covered(images[1].shape, *((shift.y, shift.x) for shift in shifts)), shifts


def _matched(images: np.ndarray) -> np.ndarray:
    before, after, middle = to_common_histogram(images[0], images[2], images[1])
    return np.stack([before, middle, after])


def _windows(common: tuple[slice, slice], window: int | None) -> list[tuple[slice, slice]]:
    """Windows side by side in a region, row by row; a side shorter than a window is taken whole."""
    sides = []
    for part in common:
        size = min(window or part.stop - part.start, part.stop - part.start)
        sides.append([slice(start, start + size) for start in range(part.start, part.stop - size + 1, size)])
    return [(y, x) for y in sides[0] for x in sides[1]]


def _judge(
    images: np.ndarray, middle: int, corner: tuple[int, int], shifts: list[Translation], options: TripletOptions
) -> TripletRecord:
    smooth = [smoothed(image) for image in images]
    correlations = [_correlation(smooth[1], neighbour) for neighbour in (smooth[0], smooth[2])]
    flat, blur = max(_flat_shares(images, smooth)), _blur_ratio(images)
    moves = [by for shift in shifts for by in (shift.y, shift.x)]
    if flat > options.max_flat:
        reason = DEFECT
    elif options.max_shift and max(map(abs, moves)) >= options.max_shift:
        reason = BADLY_ALIGNED
    elif min(correlations) < options.min_correlation:
        reason = WEAK_CONTINUITY
    elif not 0 < blur <= options.max_blur_ratio:
        reason = DIFFERENT_BLUR
    else:
        reason = ""
    measured = (*(round(value, 4) for value in (*correlations, blur, flat)), not reason, reason)
    return TripletRecord(middle, *corner, *images.shape[1:], *moves, *measured)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation; 0 where an image is constant."""
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float((first * second).sum() / norm) if norm else 0.0


def _blur_ratio(images: np.ndarray) -> float:
    """How many times sharper the sharpest of the images is than the least sharp; 0 where one is constant."""
    from scipy.ndimage import laplace

    sharpness = []
    for image in images:
        image = smoothed(image, 0)
        contrast = float(image.std())
        sharpness.append(float(laplace(smoothed(image, _EDGE_SIGMA)).std()) / contrast if contrast else 0.0)
    return max(sharpness) / min(sharpness) if min(sharpness) else 0.0


def _flat_shares(images: np.ndarray, smooth: list[np.ndarray]) -> list[float]:
    """Share of the pixels of each image that show nothing."""
    spreads = [_local_spread(image) for image in smooth]
    usual = float(np.median([np.median(spread) for spread in spreads]))
    return [
        float(np.mean((spread <= _FLAT_SHARE * usual) | (image == image.min()) | (image == image.max())))
        for image, spread in zip(images, spreads, strict=True)
    ]


def _local_spread(image: np.ndarray) -> np.ndarray:
    """Standard deviation in a box around every pixel."""
    from scipy.ndimage import uniform_filter

    mean, square = uniform_filter(image, _FLAT_BOX), uniform_filter(image**2, _FLAT_BOX)
    return np.sqrt(np.maximum(square - mean**2, 0))


def write_report(path: str | Path, records: Sequence[TripletRecord]) -> None:
    """Write the records as a table, CSV, one line a candidate, under the names of `TripletRecord`.

    Raises:
        InputError: the file cannot be written.
    """
    write_rows(path, [field.name for field in fields(TripletRecord)], map(asdict, records))


def summary(records: Sequence[TripletRecord]) -> str:
    """One line for a log: "25 of 28 triplets accepted; rejected: 2 defect, 1 weak continuity"."""
    rejected = Counter(record.reason for record in records if not record.accepted)
    line = f"{len(records) - rejected.total()} of {len(records)} triplets accepted"
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
    return f"{line}; rejected: {reasons}" if reasons else line

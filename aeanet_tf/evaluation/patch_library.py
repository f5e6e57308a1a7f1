"""Library non-local means: an image restored from pairs of patches, degraded and true, of other images.

The idea of the paired LB-NLM that the AEANet paper compares with (its reference 8); what follows is ours: patches of
inputs are kept with their truths, and those that resemble a patch of a new image say by their truths what it should be.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.spatial import cKDTree

from aeanet_tf.errors import InputError, expect
from aeanet_tf.evaluation.protocols import care_psnr

SIZES = (5, 9)
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
ENTRIES = 50_000
NEIGHBOURS = 32

# Planes of a patch of volumes.
_DEPTH = 3
# Principal components that patches are compared by; a tree gains nothing from more.
_COMPONENTS = 8
# Neighbours may be farther than the nearest ones by this part, which is several times as fast and as good.
_NEARLY = 1.0
# Entries whose distance to the next is measured.
_MEASURED = 2000
# Of a pair, for a gain to say anything.
_LEAST_CORRELATION = 0.1
# Numbers of neighbours' patches that are in memory at once, 32 MB.
_AT_ONCE = 1 << 23


class PatchLibrary:
    """Patches of inputs with what lies at their place in the truth.

    Each input is brought to about 0..1 by its percentiles 1 and 99.8, its truth by the same numbers; of both patches
    the mean of the input's is subtracted, so that brightness does not matter.

    Args:
        pairs: (input, truth), arrays of one shape, YX or ZYX, gone through once; images without contrast are left out.
        size: side of a patch in pixels, odd; of volumes along y and x, along z it has 3 planes.
        entries: number of patches, as many of each image, at random places.
        neighbours: number of entries that an estimate is the mean of.
        seed: of the places.
        matched: whether truths are brought into the intensities of their inputs by gain and offset, where these say
            nothing (images that were stretched one by one); pairs that hardly correlate are left out.

    Attributes:
        size, neighbours: as given.
        entries: number of patches that are there.
        distance: median distance of an entry to the next, the unit of ``strength``.

    Raises:
        InputError: the shapes of a pair differ, an image is smaller than a patch, or none has contrast.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[np.ndarray, np.ndarray]],
        size: int = SIZES[-1],
        entries: int = ENTRIES,
        neighbours: int = NEIGHBOURS,
        seed: int = 0,
        matched: bool = False,
    ) -> None:
        expect(size % 2 == 1 and size > 0, "size", size, "an odd number of pixels")
        expect(entries > 1 and neighbours > 0, "entries, neighbours", f"{entries}, {neighbours}", "more than 1, and 1")
        pairs = list(_usable(pairs, matched))
        expect(bool(pairs), "pairs", "none whose input has contrast", "at least one")
        self.size, self.ndim = size, np.ndim(pairs[0][0])
        rng, count = np.random.default_rng(seed), -(-entries // len(pairs))
        inputs, truths = zip(*(self._entries(low, gt, count, rng) for low, gt in pairs), strict=True)
        # As many of each image, rounded up.
        patches, self._truths = (np.concatenate(sides)[:entries] for sides in (inputs, truths))
        self._centre = patches.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov((patches - self._centre).T))
        # Of the largest variance; none that a mean of zero leaves without any.
        self._components = vectors[:, ::-1][:, : min(_COMPONENTS, patches.shape[1] - 1)].astype(np.float32)
        found = self._described(patches)
        self._tree, self.entries = cKDTree(found), len(found)
        self.neighbours = min(neighbours, self.entries)
        self.distance = float(np.median(self._tree.query(found[:: max(1, len(found) // _MEASURED)], k=2)[0][:, 1]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a patch."""
        return (_DEPTH, self.size, self.size)[-self.ndim :]

    def restore(self, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Restore an image: at each place the truths of similar patches, weighted, and their overlap averaged.

        Weights are exp(-d^2 / h^2) with h = strength * `distance`. Patches lie a third of their size apart. Beside the
        library a few arrays of the image's size are in memory.

        Args:
            image: YX or ZYX as the library's, any type of numbers.
            strength: more gives more neighbours a say.

        Returns:
            float32, of the same shape, in the image's own range; the image itself where it has no contrast.

        Raises:
            InputError: the image has other dimensions, or ``strength`` is not positive.
        """
        return self.restore_all(image, (strength,))[0]

    def restore_all(self, image: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
        """What `restore` gives for each strength, with one search."""
        image = np.asarray(image)
        if image.ndim != self.ndim or image.size == 0:
            raise InputError(f"image to restore: found shape {image.shape}, expected {'ZYX'[-self.ndim :]}")
        for strength in strengths:
            expect(math.isfinite(strength) and strength > 0, "strength", strength, "a positive number")
        limits = _range(image)
        if limits is None:
            return [image.astype(np.float32) for _ in strengths]
        low, high = limits
        borders = [(n // 2, n // 2) for n in self.shape]
        padded = np.pad(((image - low) / (high - low)).astype(np.float32), borders, mode="symmetric")
        totals, counts = np.zeros((len(strengths), *padded.shape), np.float32), np.zeros(padded.shape, np.float32)
        for places, estimates in self._estimates(padded, strengths):
            for offset in np.ndindex(*self.shape):
                where = np.ix_(*(place + o for place, o in zip(places, offset, strict=True)))
                counts[where] += 1
                for total, estimate in zip(totals, estimates, strict=True):
                    total[where] += estimate[(..., *offset)]
        inside = tuple(slice(a, n - b) for (a, b), n in zip(borders, padded.shape, strict=True))
        return [(total[inside] / counts[inside]) * np.float32(high - low) + np.float32(low) for total in totals]

    def _estimates(self, padded: np.ndarray, strengths: Sequence[float]) -> Iterator[tuple[list[np.ndarray], list]]:
        """Places along each axis, and for each strength what patches there should be, a few lines at a time."""
        windows = sliding_window_view(padded, self.shape)
        places = [_places(count, (n + 1) // 3) for count, n in zip(windows.shape, self.shape, strict=False)]
        rest = math.prod(len(place) for place in places[1:])
        lines = max(1, _AT_ONCE // (rest * self.neighbours * math.prod(self.shape)))
        for start in range(0, len(places[0]), lines):
            some = [places[0][start : start + lines], *places[1:]]
            patches = windows[np.ix_(*some)].reshape(-1, math.prod(self.shape))
            found = self._restored(patches, strengths)
            yield some, [each.reshape(*map(len, some), *self.shape) for each in found]

    def _restored(self, patches: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
        """Estimates of patches (n, values), for each strength."""
        means = patches.mean(axis=1, keepdims=True)
        distances, entries = self._tree.query(
            self._described(patches - means), k=[*range(1, self.neighbours + 1)], eps=_NEARLY, workers=-1
        )
        nearer = distances**2 - distances[:, :1] ** 2
        results = []
        step = max(1, _AT_ONCE // (self.neighbours * patches.shape[1]))
        for strength in strengths:
            weights = np.exp(-nearer / (strength * max(self.distance, 1e-12)) ** 2).astype(np.float32)
            weights /= weights.sum(axis=1, keepdims=True)
            sums = [
                np.einsum("nk,nkv->nv", weights[i : i + step], self._truths[entries[i : i + step]])
                for i in range(0, len(patches), step)
            ]
            results.append(np.concatenate(sums) + means)
        return results

    def _entries(
        self, image: np.ndarray, truth: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patches (n, values) of an input and of its truth."""
        fits = image.ndim == self.ndim and image.ndim in (2, 3) and all(map(np.less_equal, self.shape, image.shape))
        expect(fits, "pairs", f"an image of shape {image.shape}", f"{'ZYX'[-self.ndim :]}, {self.shape} or larger")
        low, high = _range(image)
        windows = [
            sliding_window_view(((side - low) / (high - low)).astype(np.float32), self.shape) for side in (image, truth)
        ]
        there = windows[0].shape[: self.ndim]
        chosen = rng.choice(math.prod(there), min(count, math.prod(there)), replace=False)
        patches = [side[np.unravel_index(chosen, there)].reshape(len(chosen), -1) for side in windows]
        means = patches[0].mean(axis=1, keepdims=True)
        return patches[0] - means, patches[1] - means

    def _described(self, patches: np.ndarray) -> np.ndarray:
        return (patches - self._centre) @ self._components


class LibraryMeans(NamedTuple):
    """A `PatchLibrary` with the strength that was chosen, and the mean score that it reached."""

    library: PatchLibrary
    strength: float
    score: float

    @property
    def label(self) -> str:
        """Such as "library non-local means (50,000 patches of 9 x 9, strength 1)"."""
        size = " x ".join(map(str, self.library.shape))
        return f"library non-local means ({self.library.entries:,} patches of {size}, strength {self.strength:g})"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The restored image, see `PatchLibrary.restore`."""
        return self.library.restore(image, self.strength)


def choose_library(
    training: Iterable[tuple[np.ndarray, np.ndarray]],
    validation: Iterable[tuple[np.ndarray, np.ndarray]],
    score: Callable[[np.ndarray, np.ndarray], float] = care_psnr,
    sizes: Sequence[int] = SIZES,
    strengths: Sequence[float] = STRENGTHS,
    entries: int = ENTRIES,
    matched: bool = False,
) -> LibraryMeans:
    """A library of training pairs, with the size of patches and the strength that are best on validation pairs.

    Args:
        training, validation: (input, truth), arrays of one shape, YX or ZYX, both gone through once a size. Validation
            pairs with a constant truth do not count.
        score: (truth, image) -> number, larger is better; by default the PSNR of the protocol ``care``.
        sizes, strengths, entries, matched: see `PatchLibrary`.

    Raises:
        InputError: no validation pair can be scored, or as `PatchLibrary`.
    """
    best = None
    for size in sizes:
        library = PatchLibrary(training, size, entries, matched=matched)
        scores = [
            [score(truth, restored) for restored in library.restore_all(image, strengths)]
            for image, truth in validation
            if np.min(truth) < np.max(truth)
        ]
        expect(bool(scores), "validation pairs", "none with a truth that is not constant", "at least one")
        for strength, mean in zip(strengths, np.mean(scores, axis=0).tolist(), strict=True):
            if best is None or mean > best.score:
                best = LibraryMeans(library, strength, mean)
    expect(best is not None, "sizes", "none to choose from", "at least one")
    return best


def _usable(pairs: Iterable[tuple[np.ndarray, np.ndarray]], matched: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs whose input has contrast, as arrays; if ``matched``, fitted, and without those that do not correlate."""
    for image, truth in ((np.asarray(low), np.asarray(gt)) for low, gt in pairs):
        expect(image.shape == truth.shape, "truth", f"shape {truth.shape}", f"{image.shape} as the input's")
        if _range(image) is None:
            continue
        if not matched:
            yield image, truth
            continue
        x, y = image.astype(np.float64), truth.astype(np.float64)
        x, y = x - x.mean(), y - y.mean()
        covariance = (x * y).mean()
        # Of the input on the truth, which has no noise.
        if covariance > _LEAST_CORRELATION * x.std() * y.std():
            yield image, covariance / (y * y).mean() * y + image.mean()


def _range(image: np.ndarray) -> tuple[float, float] | None:
    """Percentiles 1 and 99.8, or least and most where those are the same; None for an image without contrast."""
    for low, high in (np.percentile(image, (1, 99.8)), (image.min(), image.max())):
        if high > low:
            return float(low), float(high)
    return None


def _places(count: int, step: int) -> np.ndarray:
    """0 to ``count`` - 1 in steps, the last one always."""
    return np.unique(np.append(np.arange(0, count, step), count - 1))

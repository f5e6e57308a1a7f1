"""A sheet of cells out of a volume without a network: a surface of least cost through the stack, and what lies on it.

The task of PreMosa (Blasse et al. 2017), with which the GVTNet paper makes projections. The algorithm is ours: the
planes of high local contrast, by paths of least cost along rows and columns in both directions, added up (the scheme
of Hirschmüller's semi-global matching, 2008).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from aeanet_tf.errors import expect
from aeanet_tf.evaluation.baselines import gaussian
from aeanet_tf.evaluation.protocols import care_psnr

SMOOTHNESS = 0.2
THICKNESS = 1.0
THICKNESSES = (0.5, 1.0, 1.5, 2.0, 3.0)
SIGMAS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0)

# Pixels of a cell of the grid on which the surface is found, also the width over which contrast is averaged.
_GRID = 4
# Structures between these widths are contrast: walls of cells, but neither noise nor what is blurred by its depth.
_FINE, _COARSE = 1.0, 3.0
# A column counts the less, the smaller its contrast is beside this part of the mean over all columns.
_FAINT = 0.25
# Of the surface that was found, in cells of the grid.
_SMOOTHED = 1.0


class Projection(NamedTuple):
    """A projected volume.

    Attributes:
        image: (Y, X), float32.
        height: of the surface at each pixel, in planes counted from 0, (Y, X), float32.
    """

    image: np.ndarray
    height: np.ndarray


def surface_projection(
    volume: np.ndarray, smoothness: float = SMOOTHNESS, thickness: float = THICKNESS, sigma: float = 0.0
) -> Projection:
    """What a volume shows on the sheet that runs through it: `surface_height`, then `along_surface`.

    Args:
        volume: (Z, Y, X), of any type of numbers; planes are read one at a time, so it may be larger than memory.
        smoothness, thickness: see there.
        sigma: standard deviation of a Gaussian filter of the projection, in pixels; 0 leaves it as it is.

    Raises:
        InputError: the volume is no (Z, Y, X) or has a value that is not finite, or a parameter is out of its range.
    """
    expect(math.isfinite(sigma) and sigma >= 0, "sigma", sigma, "0 pixels or more")
    height = surface_height(volume, smoothness)
    image = along_surface(volume, height, thickness)
    return Projection(gaussian(image, sigma) if sigma else image, height)


def surface_height(volume: np.ndarray, smoothness: float = SMOOTHNESS) -> np.ndarray:
    """The height of the surface that runs through the planes of the highest local contrast, and bends little.

    Contrast is the mean square, over cells of 4 x 4 pixels and their neighbours, of what is left of a plane between
    Gaussian filters of 1 and 3 pixels. The cost of a height is minus its contrast over the highest of its column; the
    cost of a surface adds ``smoothness`` for each plane by which neighbouring cells differ. Of every cell the height is
    taken that is cheapest for the paths that reach it along its row and its column from both sides.

    Args:
        volume: as `surface_projection` takes it.
        smoothness: 0 takes the highest contrast everywhere; the larger, the flatter the surface.

    Returns:
        Planes counted from 0, (Y, X), float32; the middle plane where the volume has no contrast at all.

    Raises:
        InputError: as `surface_projection`.
    """
    _check_volume(volume)
    expect(math.isfinite(smoothness) and smoothness >= 0, "smoothness", smoothness, "0 or more")
    contrast = np.stack([_contrast(_plane(volume, z)) for z in range(len(volume))])
    highest = contrast.max(axis=0)
    if not highest.any():
        return np.full(volume.shape[1:], (len(volume) - 1) / 2, np.float32)
    cost = -contrast / (highest + _FAINT * highest.mean())
    paths = [_cheapest_paths(cost, smoothness, axis, backwards) for axis in (1, 2) for backwards in (False, True)]
    # Every path counts the cell itself.
    cells = (sum(paths) - 3 * cost).argmin(axis=0)
    cells = gaussian_filter(cells.astype(np.float32), _SMOOTHED, mode="nearest")
    places = [(np.arange(size, dtype=np.float32) + 0.5) / _GRID - 0.5 for size in volume.shape[1:]]
    return map_coordinates(cells, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")


def along_surface(volume: np.ndarray, height: np.ndarray, thickness: float = THICKNESS) -> np.ndarray:
    """The mean of the planes around a surface, weighted by a Gaussian of their distance to it.

    Args:
        volume: as `surface_projection` takes it.
        height: of the surface in planes counted from 0, (Y, X).
        thickness: standard deviation of the Gaussian in planes; about that of the sheet, blur included.

    Returns:
        (Y, X), float32.

    Raises:
        InputError: as `surface_projection`; or the height has another size than a plane.
    """
    _check_volume(volume)
    expect(np.shape(height) == tuple(volume.shape[1:]), "height", f"shape {np.shape(height)}", volume.shape[1:])
    expect(math.isfinite(thickness) and thickness >= 0.1, "thickness", thickness, "0.1 planes or more")
    total, weights = np.zeros(volume.shape[1:]), np.zeros(volume.shape[1:])
    for z in range(len(volume)):
        weight = np.exp(-((z - np.asarray(height, np.float64)) ** 2) / (2 * thickness**2))
        total += weight * _plane(volume, z)
        weights += weight
    return (total / weights).astype(np.float32)


class SurfaceSettings(NamedTuple):
    """Parameters of `surface_projection`, and the mean score they reached on the images they were chosen on."""

    thickness: float
    sigma: float
    score: float

    @property
    def label(self) -> str:
        """Such as "surface (thickness 1, sigma 0.5)"."""
        return f"surface (thickness {self.thickness:g}, sigma {self.sigma:g})"

    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """The projection of a volume (Z, Y, X)."""
        return surface_projection(volume, thickness=self.thickness, sigma=self.sigma).image


def choose_surface(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    score: Callable[[np.ndarray, np.ndarray], float] = care_psnr,
    thicknesses: Sequence[float] = THICKNESSES,
    sigmas: Sequence[float] = SIGMAS,
) -> SurfaceSettings:
    """The thickness of the sheet and the Gaussian filter that are best over all pairs.

    Args:
        pairs: (volume (Z, Y, X), its projection (Y, X)); those with a constant projection do not count.
        score: (truth, image) -> number, larger is better; by default the PSNR of the protocol ``care``.
        thicknesses, sigmas: to choose from.

    Raises:
        InputError: no pair can be scored, or as `surface_projection`.
    """
    scores: list[list[float]] = []
    for volume, truth in pairs:
        if np.min(truth) == np.max(truth):
            continue
        height = surface_height(volume)
        images = (along_surface(volume, height, thickness) for thickness in thicknesses)
        scores.append([score(truth, gaussian(image, sigma)) for image in images for sigma in sigmas])
    expect(bool(scores), "pairs", "none with a truth that is not constant", "at least one")
    means = np.mean(scores, axis=0)
    best = int(means.argmax())
    return SurfaceSettings(thicknesses[best // len(sigmas)], sigmas[best % len(sigmas)], float(means[best]))


def _contrast(plane: np.ndarray) -> np.ndarray:
    """Mean squares of structures around each cell of the grid, those at the border of what is left of a cell."""
    structure = gaussian_filter(plane, _FINE) - gaussian_filter(plane, _COARSE)
    power = gaussian_filter(structure**2, _GRID)
    power = np.pad(power, [(0, -size % _GRID) for size in power.shape], mode="edge")
    return power.reshape(power.shape[0] // _GRID, _GRID, power.shape[1] // _GRID, _GRID).mean(axis=(1, 3))


def _cheapest_paths(cost: np.ndarray, smoothness: float, axis: int, backwards: bool) -> np.ndarray:
    """The least cost of a path along an axis that ends at each cell and height, up to a number for each cell.

    By dynamic programming: a step to another height costs ``smoothness`` a plane.
    """
    lines = np.moveaxis(cost, axis, 0)[:: -1 if backwards else 1]
    steps = np.arange(lines.shape[1])
    penalty = smoothness * np.abs(steps[:, None] - steps)[:, :, None]
    paths = np.empty_like(lines)
    paths[0] = lines[0]
    for index in range(1, len(lines)):
        before = paths[index - 1]
        # Less the cheapest, or sums would grow without bound.
        paths[index] = lines[index] + (before + penalty).min(axis=1) - before.min(axis=0)
    return np.moveaxis(paths[:: -1 if backwards else 1], 0, axis)


def _check_volume(volume: np.ndarray) -> None:
    shape = tuple(volume.shape)
    expect(len(shape) == 3 and min(shape) > 0, "volume to project", f"shape {shape}", "(Z, Y, X)")


def _plane(volume: np.ndarray, z: int) -> np.ndarray:
    plane = np.asarray(volume[z], np.float32)
    expect(bool(np.isfinite(plane).all()), "volume to project", f"a value that is not finite in plane {z}", "numbers")
    return plane

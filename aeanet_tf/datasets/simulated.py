"""Simulated tissue for tutorials, where no data set comes with the package: cells, an epithelium, serial sections.

Cells are the Voronoi regions of points that lie near a lattice, seen through a smooth deformation. Everything here is
**made by us**: what is learned from it shows how a method is used, and nothing about its results on real images.
"""

import numpy as np

# Neighbours of a point among which is the one behind the nearest wall.
_NEIGHBOURS = 8
# Where the points of the lattice lie, in shares of the distance of two.
_JITTER = 0.7
# Widths of what is stained, as standard deviations in pixels.
_WALL, _SHEET = 1.0, 1.2
# Brightness of the cell bodies, and of what lies below an epithelium, where its walls have 1.
_BODY, _DEBRIS = 0.15, 0.6
# Grey levels of sections: cytoplasm, how it differs from cell to cell, membranes, mitochondria, texture and noise.
_CYTOPLASM, _CELLS, _MEMBRANE, _ORGANELLE, _TEXTURE, _NOISE = 175.0, 12.0, 70.0, 105.0, 10.0, 10.0
# Sizes of cells in sections, ZYX.
_SECTIONED = (12.0, 44.0, 44.0)
# Half of a labelled membrane's width, in pixels, as annotators draw it.
_LABELLED = 2.0
# What labels of membranes have in ISBI 2012.
MEMBRANE, INSIDE = 0, 255


def grow_cells(
    shape: tuple[int, ...], size: tuple[float, ...], seed: int = 0, bend: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Cells that fill an image, and how far it is from each pixel to the next wall.

    Args:
        shape: of the image, YX or ZYX.
        size: mean size of a cell along each axis, in pixels.
        seed: the same one gives the same cells.
        bend: standard deviation of the deformation, in shares of a cell; 0 leaves the walls straight.

    Returns:
        Number of the cell at each pixel, from 0; and the distance to its nearest wall, float32, in pixels of the last
        axis (along the others in proportion to ``size``).
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    counts = [int(np.ceil(n / s)) + 4 for n, s in zip(shape, size, strict=True)]
    lattice = np.stack(np.meshgrid(*(np.arange(n) - 1.5 for n in counts), indexing="ij"), -1).reshape(-1, len(shape))
    points = lattice + _JITTER * (rng.random(lattice.shape) - 0.5)
    places = np.stack(np.meshgrid(*(np.arange(n) / s for n, s in zip(shape, size, strict=True)), indexing="ij"), -1)
    for axis in range(len(shape)):
        deformation = gaussian_filter(rng.normal(size=shape), [0.5 * s for s in size], mode="wrap")
        places[..., axis] += bend * deformation / max(deformation.std(), 1e-12)
    distances, found = cKDTree(points).query(places.reshape(-1, len(shape)), k=min(_NEIGHBOURS, len(points)))
    own = points[found[:, 0]]
    # To the plane half way between two points.
    apart = np.linalg.norm(points[found[:, 1:]] - own[:, None], axis=-1)
    walls = (distances[:, 1:] ** 2 - distances[:, :1] ** 2) / (2 * apart)
    wall = size[-1] * walls.min(axis=1)
    return found[:, 0].reshape(shape), wall.reshape(shape).astype(np.float32)


def fluorescent_tissue(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A volume of cells with stained walls and faint bodies of different brightness, seen by a microscope.

    The microscope blurs by a Gaussian of 1 voxel along z and half of one along y and x.

    Args:
        shape: ZYX.
        seed: the same one gives the same tissue.

    Returns:
        Brightness without noise, float32, 0 to 1: input of `aeanet_tf.datasets.samples.simulate_low_exposure`.
    """
    from scipy.ndimage import gaussian_filter

    cells, wall = grow_cells(shape, (12, 28, 28), seed)
    bodies = np.random.default_rng([seed, 1]).uniform(0, 2 * _BODY, cells.max() + 1)[cells]
    return _scaled(gaussian_filter(np.maximum(_profile(wall, _WALL), bodies), (1, 0.5, 0.5)))


def epithelium(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sheet of cells that undulates through a volume, above blurred debris; and the sheet by itself.

    Args:
        shape: ZYX.
        seed: the same one gives the same sheet.

    Returns:
        Brightness without noise, float32, 0 to 1: ZYX; and YX, what a projection should show.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([seed, 2])
    cells, wall = grow_cells(shape[1:], (20, 20), seed, bend=0.12)
    bodies = rng.uniform(0, 2 * _BODY, cells.max() + 1)[cells]
    sheet = _scaled(np.maximum(_profile(wall, _WALL), bodies))
    height = gaussian_filter(rng.normal(size=shape[1:]), 24, mode="wrap")
    # Between a fifth and a half of the depth, so that there is room for debris below.
    height = shape[0] * (0.2 + 0.3 * (height - height.min()) / np.ptp(height))
    below = np.arange(shape[0])[:, None, None] - height
    debris = gaussian_filter(rng.normal(size=shape), (1.5, 5, 5), mode="wrap")
    debris = np.clip(debris / debris.std() - 1, 0, 1.5) / 1.5 * (below > 3)
    return np.clip(sheet * _profile(below, _SHEET) + _DEBRIS * debris, 0, 1).astype(np.float32), sheet


def serial_sections(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A stack of sections through neurites, as an electron microscope shows them, and the labels of its membranes.

    Membranes are dark; so are mitochondria, which are none. Neighbouring sections are a twelfth of a cell apart.

    Args:
        shape: ZYX.
        seed: the same one gives the same stack.

    Returns:
        Grey levels, uint8; and labels, uint8: `MEMBRANE` or `INSIDE`.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([seed, 3])
    cells, wall = grow_cells(shape, _SECTIONED, seed)
    grey = _CYTOPLASM + rng.normal(0, _CELLS, cells.max() + 1)[cells]
    texture = gaussian_filter(rng.normal(size=shape), (0, 1.5, 1.5))
    grey += _TEXTURE * texture / texture.std()
    organelles = gaussian_filter(rng.normal(size=shape), (1, 6, 6), mode="wrap")
    inside = (organelles > 1.3 * organelles.std()) & (wall > 5)
    grey += (_ORGANELLE - grey) * gaussian_filter(inside.astype(np.float32), (0, 0.7, 0.7))
    grey += (_MEMBRANE - grey) * _profile(wall, _WALL)
    grey += rng.normal(0, _NOISE, shape)
    return np.clip(grey.round(), 0, 255).astype(np.uint8), np.where(wall < _LABELLED, MEMBRANE, INSIDE).astype(np.uint8)


def _profile(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(distance**2) / (2 * width**2))


def _scaled(image: np.ndarray) -> np.ndarray:
    return (image / image.max()).astype(np.float32)

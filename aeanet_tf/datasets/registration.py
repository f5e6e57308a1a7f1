"""Registration of two images of one scene: ORB keypoints, a homography by RANSAC, refined to a fraction of a pixel."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aeanet_tf.errors import InputError, expect

# Of images at a common scale: ORB is right to a pixel or two, more where it found a corner at a coarse scale.
_RANSAC_PIXELS = 3.0
_RANSAC_TRIALS = 2000
_ORB_SCALES = 3
_MOST_KEYPOINTS = 2000
# Pairs of keypoints that have to agree.
_LEAST_INLIERS = 20
# Blocks that are compared to refine the homography, and how far they are trusted to have moved.
_BLOCK = 128
_LARGEST_SHIFTS = (6.0, 3.0, 2.0, 2.0)
_LEAST_CORRELATION = 0.2
# Shares of the image's blocks, and their number, that have to agree on the result.
_LEAST_AGREEMENT = 0.25
_LEAST_BLOCKS = 6
# By what share the scale found may differ from the expected one, and what the moving image has to cover of the other.
_SCALE_TOLERANCE = 0.25
_LEAST_OVERLAP = 0.25
# How much a homography may stretch one direction, or one corner, more than another.
_LARGEST_STRETCH = 1.2
# Shading that both microscope images share says nothing about the scene.
_SHADING_SIGMA = 12.0


class RegistrationError(InputError):
    """Two images cannot be registered; the message says at which step, with the numbers found."""


@dataclass(frozen=True)
class Registration:
    """Where the pixels of one image lie in another.

    Attributes:
        matrix: homography, 3 x 3, that maps ``(x, y, 1)`` of the fixed image to the moving one, up to a factor; the
            centre of the first pixel is (0, 0). Its last entry is 1.
        inliers: pairs of keypoints that RANSAC found to agree.
        matches: pairs of keypoints that it was given.
        residual: median distance, in pixels of the moving image, by which blocks of the two images still differ.
    """

    matrix: np.ndarray
    inliers: int
    matches: int
    residual: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points ``(n, 2)``, (x, y) in the fixed image, to the moving image."""
        return _project(self.matrix, np.asarray(points, float))


def register(fixed: np.ndarray, moving: np.ndarray, scale: float = 1.0, seed: int = 0) -> Registration:
    """Find the homography between two images of the same scene.

    ORB keypoints of both, matched by their descriptors, give a homography by RANSAC (AEANet paper, section VI-A).
    Keypoints are right to about a pixel, so it is then fitted, by least squares, to the shifts of overlapping blocks
    of the two images, found by cross-correlation; the paper says nothing of such a step. The image with the finer
    pixels is reduced to the scale of the other first. The result depends on the arguments alone.

    Args:
        fixed: grey image (y, x), in any dtype; contrast and brightness may differ from the other's.
        moving: the same for the other image.
        scale: expected size of a pixel of ``fixed`` in pixels of ``moving``: 0.5 where ``fixed`` has twice the
            magnification.
        seed: of RANSAC.

    Raises:
        RegistrationError: there are too few keypoints, matches or inliers; or the homography found is mirrored, of
            another scale, strongly in perspective, covers too little, or is contradicted by the images.
        InputError: an image is not 2D or smaller than 32 pixels; the scale is not positive.
    """
    expect(np.isfinite(scale) and scale > 0, "scale", scale, "a positive number")
    a, to_a = _at_scale(_prepared(fixed, "fixed"), min(1.0, scale))
    b, to_b = _at_scale(_prepared(moving, "moving"), min(1.0, 1 / scale))
    source, target = _matched_keypoints(a, b)
    if len(source) < _LEAST_INLIERS:
        raise RegistrationError(f"{len(source)} keypoints match, expected at least {_LEAST_INLIERS}")
    matrix, inliers = _ransac(source, target, seed, lambda matrix: _complaint(matrix, a.shape, b.shape))
    if inliers < _LEAST_INLIERS:
        raise RegistrationError(f"{inliers} of {len(source)} matches agree, expected at least {_LEAST_INLIERS}")
    matrix, residual = _refine(a, b, matrix)
    complaint = _complaint(matrix, a.shape, b.shape)
    if complaint:
        raise RegistrationError(complaint)
    full = np.linalg.inv(to_b) @ matrix @ to_a
    return Registration(full / full[2, 2], inliers, len(source), float(residual / to_b[0, 0]))


def resample(moving: np.ndarray, registration: Registration, shape: tuple[int, int]) -> np.ndarray:
    """The moving image in the frame of the fixed one, by bicubic interpolation.

    Args:
        moving: grey image (y, x).
        registration: of `register`.
        shape: of the fixed image, (y, x).

    Returns:
        float64 ``shape``, within the range of ``moving``. What ``moving`` does not cover repeats its border.
    """
    from skimage.transform import warp

    return warp(np.asarray(moving, float), registration.matrix, output_shape=shape, order=3, mode="edge")


def coverage(matrix: np.ndarray, fixed: tuple[int, int], moving: tuple[int, int]) -> float:
    """Share of the fixed image's pixels, 0 to 1, that the moving one covers, by a homography and the shapes (y, x)."""
    axes = [np.linspace(0, size - 1, 32) for size in fixed]
    y, x = (grid.ravel() for grid in np.meshgrid(*axes, indexing="ij"))
    mapped = _project(matrix, np.stack([x, y], axis=1))
    # A pixel reaches half its width beyond its centre.
    inside = (mapped >= -0.5) & (mapped <= np.array(moving[::-1]) - 0.5)
    return float(inside.all(axis=1).mean())


def _prepared(image: np.ndarray, name: str) -> np.ndarray:
    """The image as float32, its contrast stretched to 0 to 1."""
    image = np.asarray(image)
    if image.ndim != 2 or min(image.shape) < 32:
        raise InputError(f"{name} image: found shape {image.shape}, expected (y, x) of at least 32 pixels")
    low, high = np.percentile(image, (1, 99))
    if not high > low:
        raise RegistrationError(f"the {name} image has no contrast: percentiles 1 and 99 are both {low:g}")
    return np.clip((image.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def _at_scale(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The image reduced to ``scale``, and the matrix that maps its pixels (x, y) to those of the reduced one."""
    if scale == 1:
        return image, np.eye(3)
    from skimage.transform import resize

    shape = tuple(max(1, round(size * scale)) for size in image.shape)
    reduced = resize(image, shape, order=1, anti_aliasing=True)
    y, x = (new / old for new, old in zip(shape, image.shape, strict=True))
    # Pixels are areas: their corners coincide, not their centres.
    return reduced, np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _matched_keypoints(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (x, y) of keypoints in the two images that match, one row a pair."""
    from skimage.feature import match_descriptors

    (points_a, described_a), (points_b, described_b) = (
        _keypoints(image, name) for image, name in ((a, "fixed"), (b, "moving"))
    )
    pairs = match_descriptors(described_a, described_b, metric="hamming", cross_check=True, max_ratio=0.9)
    return points_a[pairs[:, 0], ::-1], points_b[pairs[:, 1], ::-1]


def _keypoints(image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    from skimage.feature import ORB
    from skimage.filters import gaussian

    detector = ORB(n_keypoints=_MOST_KEYPOINTS, n_scales=_ORB_SCALES, fast_threshold=0.05)
    try:
        # Noise makes corners of its own.
        detector.detect_and_extract(gaussian(image, 1))
    except (RuntimeError, IndexError, ValueError) as error:
        # What scikit-image raises, by version, where it finds none.
        raise RegistrationError(f"the {name} image has no keypoints") from error
    return detector.keypoints, detector.descriptors


def _complaint(matrix: np.ndarray, fixed: tuple[int, int], moving: tuple[int, int]) -> str | None:
    """What is wrong with a homography between images at a common scale, of their shapes; ``None`` if nothing is."""
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-12:
        return "the homography found is degenerate"
    jacobians = _jacobians(matrix, fixed)
    determinants = np.linalg.det(jacobians)
    if not np.isfinite(determinants).all() or determinants.min() <= 0:
        return "the homography found is degenerate or mirrored"
    scales = np.sqrt(determinants)
    if scales.min() < 1 - _SCALE_TOLERANCE or scales.max() > 1 / (1 - _SCALE_TOLERANCE):
        least, most = scales.min(), scales.max()
        return f"the scale found is {least:.2f} to {most:.2f} times the expected one"
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    if max(scales.max() / scales.min(), (stretch[:, 0] / stretch[:, 1]).max()) > _LARGEST_STRETCH:
        return "the homography found is strongly in perspective or sheared"
    covered = coverage(matrix, fixed, moving)
    if covered < _LEAST_OVERLAP:
        return f"the moving image covers {covered:.0%} of the fixed one, expected at least {_LEAST_OVERLAP:.0%}"
    return None


def _ransac(
    source: np.ndarray, target: np.ndarray, seed: int, check: Callable[[np.ndarray], str | None]
) -> tuple[np.ndarray, int]:
    from skimage.measure import ransac
    from skimage.transform import ProjectiveTransform

    with np.errstate(all="ignore"), warnings.catch_warnings():
        # What scikit-image warns of is told as an error below.
        warnings.simplefilter("ignore")
        model, inliers = ransac(
            (source, target),
            ProjectiveTransform,
            min_samples=4,
            residual_threshold=_RANSAC_PIXELS,
            max_trials=_RANSAC_TRIALS,
            stop_probability=0.9999,
            is_model_valid=lambda model, *_: check(model.params) is None,
            rng=seed,
        )
    agreeing = 0 if inliers is None else int(np.sum(inliers))
    if not model or agreeing < 4:
        raise RegistrationError(f"none of the homographies of {len(source)} matches is plausible")
    inside = np.asarray(inliers, bool)
    return _fit(source[inside], target[inside], model.params, _RANSAC_PIXELS), agreeing


def _refine(a: np.ndarray, b: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the homography to the shifts of blocks, a few times, and check that they agree with it in the end."""
    from skimage.filters import gaussian

    a, b = (image - gaussian(image, _SHADING_SIGMA) for image in (a, b))
    # The warped image shows what moved once it is nearly right, so shifts are trusted less and less far.
    for largest in _LARGEST_SHIFTS:
        points, shifts, _ = _block_shifts(a, b, matrix, largest)
        if len(points) < _LEAST_BLOCKS:
            raise RegistrationError(f"{len(points)} blocks of the images agree, expected at least {_LEAST_BLOCKS}")
        matrix = _fit(points, _project(matrix, points - shifts), matrix, 0.5)
    points, shifts, blocks = _block_shifts(a, b, matrix, 1.0)
    if len(points) < max(_LEAST_BLOCKS, _LEAST_AGREEMENT * blocks):
        raise RegistrationError(
            f"{len(points)} of {blocks} blocks of the images agree with the homography found, "
            f"expected at least {_LEAST_AGREEMENT:.0%} and {_LEAST_BLOCKS}"
        )
    moved = _project(matrix, points - shifts) - _project(matrix, points)
    return matrix, float(np.median(np.hypot(*moved.T)))


def _block_shifts(
    a: np.ndarray, b: np.ndarray, matrix: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Blocks whose content can be found in the warped ``b``: centres (x, y), shifts (x, y), and the number of all."""
    from skimage.registration import phase_cross_correlation
    from skimage.transform import warp

    warped = warp(b, matrix, output_shape=a.shape, order=3, mode="constant", cval=np.nan)
    size = min(_BLOCK, min(a.shape) // 2)
    window = np.outer(np.hanning(size + 2)[1:-1], np.hanning(size + 2)[1:-1])
    points, shifts, blocks = [], [], 0
    for y in range(0, a.shape[0] - size + 1, size // 2):
        for x in range(0, a.shape[1] - size + 1, size // 2):
            pair = [image[y : y + size, x : x + size] for image in (a, warped)]
            if not np.isfinite(pair[1]).all():
                continue
            pair = [(block - block.mean()) * window for block in pair]
            if min(np.abs(block).max() for block in pair) < 1e-6:
                continue
            blocks += 1
            # Without whitening, since an image that was enlarged holds no more than noise at high frequencies.
            shift, error, _ = phase_cross_correlation(*pair, upsample_factor=50, normalization=None)
            correlation = np.sqrt(max(0.0, 1 - float(error) ** 2))
            if correlation > _LEAST_CORRELATION and np.hypot(*shift) < largest:
                points.append((x + (size - 1) / 2, y + (size - 1) / 2))
                shifts.append(shift[::-1])
    return np.array(points).reshape(-1, 2), np.array(shifts).reshape(-1, 2), blocks


def _fit(source: np.ndarray, target: np.ndarray, start: np.ndarray, outlier: float) -> np.ndarray:
    """The homography with the least distances in the target; those above ``outlier`` pixels count linearly."""
    from scipy.optimize import least_squares

    # Coordinates of the order of 1, lest the entries of the matrix differ by orders of magnitude.
    middle, spread = source.mean(axis=0), max(1.0, float(np.ptp(source, axis=0).max()) / 2)
    normal = np.array([[1 / spread, 0, -middle[0] / spread], [0, 1 / spread, -middle[1] / spread], [0, 0, 1]])
    local = (source - middle) / spread
    begin = start @ np.linalg.inv(normal)

    def distances(entries: np.ndarray) -> np.ndarray:
        return (_project(np.append(entries, 1).reshape(3, 3), local) - target).ravel()

    solution = least_squares(distances, (begin / begin[2, 2]).ravel()[:8], loss="soft_l1", f_scale=outlier)
    matrix = np.append(solution.x, 1).reshape(3, 3) @ normal
    return matrix / matrix[2, 2]


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def _jacobians(matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Derivatives (n, 2, 2) of the homography in the corners and the middle of an image; NaN beyond the horizon."""
    y, x = shape[0] - 1, shape[1] - 1
    points = np.array([(0, 0), (x, 0), (0, y), (x, y), (x / 2, y / 2)], float)
    depths = points @ matrix[2, :2] + matrix[2, 2]
    with np.errstate(all="ignore"):
        mapped = _project(matrix, points)
        jacobians = (matrix[None, :2, :2] - mapped[:, :, None] * matrix[2, :2]) / depths[:, None, None]
    jacobians[depths * np.sign(matrix[2, 2]) <= 0] = np.nan
    return jacobians

"""Images warped by a homography that is known are found to be so; what shows something else is refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, map_coordinates

from aeanet_tf.datasets.registration import Registration, RegistrationError, coverage, register, resample
from aeanet_tf.errors import InputError

SLICES = Path(__file__).parents[3] / "shared" / "data" / "isbi2012" / "slices.tif"
# Side of images for which the accuracy does not matter.
SMALL = 320


def tissue():
    from skimage.data import immunohistochemistry

    return immunohistochemistry()[..., 1].astype(float)


def em_slice(number=0):
    if not SLICES.is_file():
        pytest.skip("needs the EM slices in shared/data")
    return tifffile.imread(SLICES, key=number).astype(float)


def homography(scale, degrees, perspective, shift, size=512):
    """From pixels of the fixed image, about its middle, to those of the moving one."""
    angle, middle, moving = np.radians(degrees), (size - 1) / 2, 255.5
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[2, :2] = perspective
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2], back[:2, 2] = -middle, (moving + shift[0], moving + shift[1])
    return back @ matrix @ to_middle


def grid(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)])


def mapped(matrix, shape):
    """Where the pixels of an image land: (2, n), x and y."""
    points = matrix @ grid(shape)
    return points[:2] / points[2]


def warped(image, matrix, shape=(512, 512)):
    """The fixed image of which ``matrix`` leads to ``image``."""
    return map_coordinates(image, mapped(matrix, shape)[::-1], order=3, mode="reflect").reshape(shape)


def errors(found, matrix, fixed, moving):
    """Distances, in pixels of the moving image, over all of the common area."""
    wanted = mapped(matrix, fixed)
    inside = ((wanted >= 0) & (wanted <= np.array(moving[::-1])[:, None] - 1)).all(axis=0)
    return np.hypot(*(mapped(found, fixed) - wanted)[:, inside])


@pytest.mark.parametrize(
    ("read", "scale", "degrees", "perspective", "shift"),
    [
        (em_slice, 1, 4, (3e-5, -2e-5), (17.3, -11.6)),
        pytest.param(em_slice, 0.5, -1.5, (1e-5, 2e-5), (8.4, 5.7), marks=pytest.mark.slow),
        pytest.param(tissue, 0.5, 2, (-1e-5, 2e-5), (-6.4, 5.1), marks=pytest.mark.slow),
        (tissue, 2, 2, (2e-5, 1e-5), (3.2, -6.4)),
    ],
)
def test_a_known_homography_is_found_to_half_a_pixel_everywhere(read, scale, degrees, perspective, shift):
    moving = read()
    shape = (512, 512) if scale < 2 else (236, 236)
    matrix = homography(scale, degrees, perspective, shift, shape[0])
    # Another contrast, and noise, as of another recording.
    rng = np.random.default_rng(1)
    fixed = 40 + 0.6 * warped(moving if scale < 2 else gaussian_filter(moving, 0.8), matrix, shape)
    fixed = np.clip(fixed + rng.normal(0, 4, fixed.shape), 0, 255).astype(np.uint8)
    found = register(fixed, moving.astype(np.uint8), scale, seed=3)
    worst = errors(found.matrix, matrix, fixed.shape, moving.shape).max()
    assert worst < 0.5 and worst / scale < 0.5, "in pixels of either image"
    assert found.matrix[2, 2] == 1 and found.matches >= found.inliers >= 20
    assert found.residual < 0.3
    np.testing.assert_allclose(found(np.array([[10, 20]]))[0], mapped(found.matrix, (21, 11))[:, -1])


def test_one_seed_gives_one_result():
    moving = tissue()[:SMALL, :SMALL]
    fixed = warped(moving, np.array([[1, 0.02, 5.3], [-0.02, 1, 3.7], [0, 0, 1]]), moving.shape)
    one, other = (register(fixed, moving, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, other.matrix)
    assert (one.inliers, one.matches, one.residual) == (other.inliers, other.matches, other.residual)


def test_resampling_shows_the_moving_image_in_the_frame_of_the_fixed_one():
    image = gaussian_filter(np.random.default_rng(0).random((60, 80)), 3)
    matrix = np.array([[0.5, 0, 10.25], [0, 0.5, 20], [0, 0, 1]])
    shape = (50, 90)
    found = resample(image, Registration(matrix, 0, 0, 0.0), shape)
    assert found.shape == shape
    np.testing.assert_allclose(found, warped(image, matrix, shape), atol=0.02 * np.ptp(image))
    assert coverage(matrix, shape, image.shape) == 1
    # Half of the columns lie outside.
    aside = np.array([[1, 0, 40.0], [0, 1, 0], [0, 0, 1]])
    assert coverage(aside, (60, 80), image.shape) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("case", "scale"), [("sample", 0.5), ("slices", 1), ("noise", 1)])
def test_unrelated_images_are_refused(case, scale):
    from skimage.data import coins

    if case == "slices":
        pair = em_slice(0), em_slice(20)
    elif case == "noise":
        pair = np.random.default_rng(0).normal(size=(2, 300, 300))
    else:
        pair = tissue(), coins()
    with pytest.raises(RegistrationError):
        register(*(image[:SMALL, :SMALL] for image in pair), scale)


@pytest.mark.parametrize(
    ("matrix", "scale"),
    [
        (homography(1, 0, (0, 0), (0, 0)), 0.5),
        (homography(0.5, 0, (0, 0), (0, 0)), 1),
        (homography(1, 0, (8e-4, 0), (0, 0)), 1),
        (np.array([[-1, 0, SMALL - 1], [0, 1, 0], [0, 0, 1.0]]), 1),
        (np.array([[1, 0, 0], [0, 1, 0.85 * SMALL], [0, 0, 1.0]]), 1),
    ],
    ids=["not-magnified", "magnified", "perspective", "mirrored", "hardly-overlapping"],
)
def test_an_implausible_homography_is_refused(matrix, scale):
    image = tissue()
    with pytest.raises(RegistrationError) as caught:
        register(warped(image, matrix, (SMALL, SMALL)), image[:SMALL, :SMALL], scale)
    assert "\n" not in str(caught.value)


def test_images_that_show_nothing_are_refused():
    image = tissue()
    with pytest.raises(RegistrationError, match=r"the fixed image has no contrast: percentiles 1 and 99 are both 7"):
        register(np.full((100, 100), 7), image)
    ramp = np.add.outer(np.arange(100.0), np.arange(100.0))
    with pytest.raises(RegistrationError, match=r"the moving image has no keypoints|0 keypoints match"):
        register(image, ramp)


@pytest.mark.parametrize(
    ("fixed", "moving", "scale", "message"),
    [
        (
            np.ones((100, 100, 3)),
            np.ones((100, 100)),
            1,
            r"fixed image: found shape \(100, 100, 3\), expected \(y, x\)",
        ),
        (np.eye(100), np.eye(20), 1, r"moving image: found shape \(20, 20\), expected .* at least 32"),
        (np.eye(100), np.eye(100), 0, "scale: found 0, expected a positive number"),
        (np.eye(100), np.eye(100), np.nan, "scale: found nan"),
    ],
)
def test_arguments_that_make_no_sense(fixed, moving, scale, message):
    with pytest.raises(InputError, match=message):
        register(fixed, moving, scale)

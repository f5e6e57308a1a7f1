"""Sample images that come with scikit-image, for the quickstart: nothing to download."""

import numpy as np

# Photons in a pixel that is white in the original, and the camera that counts them.
PHOTONS = 100.0
READ_NOISE = 3.0
OFFSET = 100.0

_GAP = 8
_ROWS, _COLUMNS = 256, 336
# Every area has glands, stroma and empty background in it.
_AREAS = {
    "train": (slice(None), slice(0, _COLUMNS - _GAP)),
    "validation": (slice(0, _ROWS - _GAP), slice(_COLUMNS, None)),
    "test": (slice(_ROWS, None), slice(_COLUMNS, None)),
}


def simulate_low_exposure(
    gt: np.ndarray,
    rng: np.random.Generator,
    photons: float = PHOTONS,
    read_noise: float = READ_NOISE,
    offset: float = OFFSET,
) -> np.ndarray:
    """Simulate a camera frame of few photons: Poisson(photons * gt) + Normal(offset, read_noise).

    Args:
        gt: noise-free image, 1 where a pixel receives ``photons`` photons on average; not negative.
        rng: source of the noise.
        photons: mean photon count where ``gt`` is 1.
        read_noise: standard deviation of the camera's Gaussian noise, in photons.
        offset: the camera's value without light.

    Returns:
        Counts as float32, of the shape of ``gt``.
    """
    counts = rng.poisson(photons * np.asarray(gt, np.float64)) + rng.normal(offset, read_noise, np.shape(gt))
    return counts.astype(np.float32)


def load_sample_pairs(seed: int = 0) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Real microscopy with **simulated** noise, split into areas that do not touch.

    The ground truth is ``skimage.data.immunohistochemistry``: colonic glands in transmitted light, FHL2 stained
    brown (DAB) and nuclei blue (hematoxylin), 512 x 512 pixels, acquired at the Center for Microscopy And
    Molecular Imaging (CMMI); scikit-image states "No known copyright restrictions". Its red, green and blue
    exposures serve as three images, or as the channels of one (`as_channels`), 1 being white. Only the noise is
    simulated, by ``simulate_low_exposure``: 100 photons in a white pixel, read noise 3, camera offset 100. Both are in
    the camera's counts: the ground truth is the mean of infinitely many such exposures, 100 to 200.

    The three exposures show one tissue, so the split is by area and the same for all of them, with 8
    pixels between areas: training the left 512 x 328 pixels (y, x), validation the upper right 248 x 176, test the
    lower right 256 x 176.

    Args:
        seed: of the noise; the same seed gives the same arrays.

    Returns:
        For "train", "validation" and "test": (low, GT), two lists of three float32 images with axes YX, in the
        order red, green, blue.
    """
    from skimage.data import immunohistochemistry

    rng = np.random.default_rng(seed)
    exposures = np.moveaxis(immunohistochemistry(), -1, 0).astype(np.float32) / 255
    pairs = {}
    for name, area in _AREAS.items():
        scenes = [exposure[area] for exposure in exposures]
        gts = [(OFFSET + PHOTONS * scene).astype(np.float32) for scene in scenes]
        pairs[name] = ([simulate_low_exposure(scene, rng) for scene in scenes], gts)
    return pairs


def as_channels(images: list[np.ndarray]) -> list[np.ndarray]:
    """The exposures as one image of three channels, YXC: noise differs between them, and the tissue does not."""
    return [np.stack(images, -1)]

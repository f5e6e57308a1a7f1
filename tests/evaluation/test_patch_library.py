"""Images are restored from the truths of patches that resemble theirs."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import SIGMAS, gaussian
from aeanet_tf.evaluation.patch_library import PatchLibrary, choose_library
from aeanet_tf.evaluation.protocols import care_psnr


def scene(seed, shape=(72, 80), noise=0.25):
    """Sharp bars across a gradient, and a noisy image of them: what a Gaussian filter blurs, a library knows."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape[-2:])
    truth = ((x + y // 9 + rng.integers(8)) % 8 < 3) * 1.0 + y / shape[-2]
    truth = np.broadcast_to(truth, shape)
    return (40 * (truth + rng.normal(0, noise, shape)) + 100).astype(np.float32), 40 * truth + 100


TRAINING = [scene(seed) for seed in range(3)]
LIBRARY = PatchLibrary(TRAINING, 5, 6000)


def test_it_is_better_than_the_best_gaussian():
    image, truth = scene(9)
    best = max(care_psnr(truth, gaussian(image, sigma)) for sigma in SIGMAS)
    restored = LIBRARY.restore(image)
    assert restored.dtype == np.float32 and restored.shape == image.shape
    assert care_psnr(truth, restored) > best + 2
    # In the intensities of the input.
    assert abs(restored.mean() - image.mean()) < 1


def test_what_is_in_the_library_is_found_again():
    """Without noise, each patch is an entry, and its own nearest."""
    rng = np.random.default_rng(0)
    image = gaussian_filter(rng.random((24, 26)), 1)
    truth = image**2 + np.roll(image, 3, axis=1)
    library = PatchLibrary([(image, truth)], 3, 22 * 24, neighbours=1)
    assert library.entries == 22 * 24
    found = library.restore(image)
    # At the border patches reach out of the image.
    np.testing.assert_allclose(found[4:-4, 4:-4], truth[4:-4, 4:-4], atol=2e-3)


def test_weights_and_neighbours_are_those_of_a_direct_search():
    image, _ = scene(9, (21, 22))
    library = PatchLibrary(TRAINING[:1], 3, 300, neighbours=300)
    found = library.restore(image, 1.5)
    low, high = np.percentile(image, (1, 99.8))
    padded = np.pad((image - low) / (high - low), 1, mode="symmetric")
    total, count = np.zeros(padded.shape), np.zeros(padded.shape)
    keys, truths = library._tree.data, library._truths.astype(np.float64)
    for y in range(21):
        for x in range(22):
            patch = padded[y : y + 3, x : x + 3].ravel()
            key = (patch - patch.mean() - library._centre) @ library._components
            weights = np.exp(-((keys - key) ** 2).sum(axis=1) / (1.5 * library.distance) ** 2)
            total[y : y + 3, x : x + 3] += (weights @ truths / weights.sum() + patch.mean()).reshape(3, 3)
            count[y : y + 3, x : x + 3] += 1
    expected = (total / count)[1:-1, 1:-1] * (high - low) + low
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gain_and_offset_of_the_image_do_not_matter():
    image, _ = scene(9)
    np.testing.assert_allclose(LIBRARY.restore(3 * image - 50), 3 * LIBRARY.restore(image) - 50, rtol=1e-3)


def test_volumes_and_pieces(monkeypatch):
    volumes = [scene(seed, (6, 30, 32)) for seed in range(2)]
    library = PatchLibrary(volumes, 5, 3000)
    image, truth = scene(7, (5, 30, 32))
    assert library.shape == (3, 5, 5)
    restored = library.restore(image)
    assert care_psnr(truth, restored) > max(care_psnr(truth, gaussian(image, sigma)) for sigma in SIGMAS)
    monkeypatch.setattr("aeanet_tf.evaluation.patch_library._AT_ONCE", 1)
    np.testing.assert_allclose(library.restore(image), restored, rtol=1e-5)


def test_all_strengths_take_one_search():
    image, _ = scene(9)
    for strength, restored in zip((0.5, 3), LIBRARY.restore_all(image, (0.5, 3)), strict=True):
        np.testing.assert_array_equal(restored, LIBRARY.restore(image, strength))


def test_matched_truths_are_in_the_intensities_of_their_inputs():
    """Gain and offset of each truth by themselves, and a pair that does not fit, change nothing."""
    image, truth = scene(9)
    stretched = [(low, (number + 1) * gt - 30 * number) for number, (low, gt) in enumerate(TRAINING)]
    noise = np.random.default_rng(0).random((2, *image.shape))
    library = PatchLibrary([*stretched, tuple(noise)], 5, 6000, matched=True)
    score = care_psnr(truth, library.restore(image))
    assert score == pytest.approx(care_psnr(truth, LIBRARY.restore(image)), abs=0.5)
    assert score > care_psnr(truth, PatchLibrary(stretched, 5, 6000).restore(image)) + 1


def test_constant_images_stay_as_they_are():
    np.testing.assert_array_equal(LIBRARY.restore(np.full((9, 9), 7, np.uint8)), 7)


def test_the_best_size_and_strength_are_chosen():
    validation = [scene(5), (np.arange(80.0).reshape(8, 10), np.ones((8, 10))), scene(6)]
    found = choose_library(TRAINING, validation, sizes=(3, 5), strengths=(0.5, 2), entries=2000)
    scores = {
        (size, strength): np.mean(
            [care_psnr(truth, PatchLibrary(TRAINING, size, 2000).restore(image, strength)) for image, truth in kept]
        )
        for kept in [(validation[0], validation[2])]
        for size in (3, 5)
        for strength in (0.5, 2)
    }
    assert (found.library.size, found.strength) == max(scores, key=scores.get)
    assert found.score == pytest.approx(max(scores.values()))
    count = f"{found.library.entries:,} patches of {found.library.size} x {found.library.size}"
    assert found.label == f"library non-local means ({count}, strength {found.strength:g})"
    np.testing.assert_array_equal(found(validation[0][0]), found.library.restore(validation[0][0], found.strength))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PatchLibrary(TRAINING, 4), "size: found 4, expected an odd number"),
        (lambda: PatchLibrary([]), "pairs: found none whose input has contrast"),
        (lambda: PatchLibrary([(np.ones((9, 9)), np.eye(9))]), "pairs: found none whose input has contrast"),
        (lambda: PatchLibrary([(np.eye(9), np.ones((9, 8)))]), r"truth: found shape \(9, 8\), expected \(9, 9\)"),
        (lambda: PatchLibrary([(np.eye(8), np.eye(8))], 9), r"an image of shape \(8, 8\), expected YX, \(9, 9\) or"),
        (lambda: LIBRARY.restore(np.zeros((3, 9, 9))), r"image to restore: found shape \(3, 9, 9\), expected YX"),
        (lambda: LIBRARY.restore(np.eye(9), 0), "strength: found 0, expected a positive number"),
        (lambda: choose_library(TRAINING, [], sizes=(3,), entries=50), "validation pairs: found none"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

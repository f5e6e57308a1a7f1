"""The filters are SciPy's and scikit-image's, and their parameters the best there are."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation import baselines
from aeanet_tf.evaluation.baselines import (
    SIGMAS,
    Filters,
    best_sigmas,
    choose_filters,
    gaussian,
    noise_sigma,
    non_local_means,
    read_filters,
    write_filters,
)
from aeanet_tf.evaluation.protocols import align_care, care_psnr, get_protocol
from aeanet_tf.io.read import read_image

W2S = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "w2s" / "test"


def pair(seed, shape=(48, 56), smooth=3.0, noise=0.1):
    rng = np.random.default_rng(seed)
    truth = gaussian_filter(rng.random(shape), smooth)
    truth = 300 + 1000 * (truth - truth.min()) / np.ptp(truth)
    return (0.3 * truth + rng.normal(20, 300 * noise, shape)).astype(np.float32), truth


PAIRS = [pair(seed, noise=noise) for seed, noise in enumerate((0.1, 0.2, 0.6))]


def test_care_psnr_is_that_of_the_protocol():
    for image, truth in PAIRS:
        assert care_psnr(truth, image) == get_protocol("care")(truth, image)["psnr"]
    with pytest.raises(InputError, match=r"shape \(2, 3\), expected \(3, 2\)"):
        care_psnr(np.zeros((3, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize("shape", [(20, 24), (6, 20, 24)])
def test_the_gaussian_is_that_of_scipy(shape):
    image = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    for sigma in (1.5, (0.5, 2, 1)[: len(shape)]):
        found = gaussian(image, sigma)
        assert found.dtype == np.float32
        # Integers would be cut off by SciPy.
        np.testing.assert_allclose(found, gaussian_filter(image.astype(float), sigma), rtol=1e-6)
    np.testing.assert_array_equal(gaussian(image, 0), image)


@pytest.mark.parametrize(("shape", "size", "distance"), [((40, 44), 5, 6), ((8, 20, 22), 3, 2)])
def test_non_local_means_are_those_of_scikit_image(shape, size, distance):
    image = 100 + np.random.default_rng(0).normal(0, 5, shape)
    image[..., 10:] += 40
    sigma = noise_sigma(image)
    expected = denoise_nl_means(image, size, distance, h=0.8 * sigma, sigma=sigma, fast_mode=True, preserve_range=True)
    found = non_local_means(image, 0.8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # It does what it is for: less noise, the edge as it was.
    assert found[..., :8].std() < 0.5 * image[..., :8].std() and np.ptp(found.mean(tuple(range(len(shape) - 1)))) > 38


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_non_local_means_follow_gain_and_offset(dtype):
    image = np.round(pair(0)[0]).astype(dtype)
    expected = non_local_means(image, 0.8)
    np.testing.assert_allclose(non_local_means(image * 1e-4 - 3, 0.8), expected * 1e-4 - 3, atol=2e-6)
    np.testing.assert_allclose(non_local_means(image * 50.0 + 1e6, 0.8), expected * 50.0 + 1e6, rtol=1e-6)


def test_images_without_contrast_or_noise_come_back_as_they_are():
    y, x = np.mgrid[:20, :30]
    single = np.zeros((200, 200), np.uint8)
    single[7, 9] = 255
    for image in (np.full((20, 30), 7, np.uint8), np.full((4, 20, 30), 7.0), np.zeros((20, 30)), np.eye(3)):
        np.testing.assert_array_equal(non_local_means(image, 1.0), image)
    np.testing.assert_allclose(non_local_means(y + 0 * x, 1.0), y + 0 * x, atol=1e-5)
    assert np.isfinite(non_local_means(single, 1.0)).all()


@pytest.mark.parametrize("shape", [(300, 200), (20, 60, 60)])
def test_noise_is_found_as_it_is(shape):
    noise = np.random.default_rng(0).normal(0, 3, shape)
    ramp = np.arange(shape[-1]) * 100.0
    assert noise_sigma(noise) == pytest.approx(3, rel=0.03)
    assert noise_sigma(noise + ramp) == pytest.approx(3, rel=0.05)
    assert noise_sigma(noise[None]) == pytest.approx(noise_sigma(noise))
    assert noise_sigma(noise[:3, :3, :3] if noise.ndim == 3 else noise[:3, :3]) == 0


def test_the_parameters_chosen_are_the_best_on_average():
    sigmas, strengths = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0), (0.4, 0.8, 1.5)
    found = choose_filters(PAIRS, sigmas=sigmas, strengths=strengths)
    means = [np.mean([care_psnr(truth, gaussian_filter(image, sigma)) for image, truth in PAIRS]) for sigma in sigmas]
    assert found.sigma == sigmas[np.argmax(means)]
    assert found.gaussian_score == pytest.approx(max(means), rel=1e-6)
    others = [np.mean([care_psnr(truth, non_local_means(image, h)) for image, truth in PAIRS]) for h in strengths]
    assert found.strength == strengths[np.argmax(others)]
    assert found.non_local_means_score == pytest.approx(max(others), rel=1e-6)
    # The best of each image differ, so that the mean was needed.
    alone = best_sigmas(PAIRS, sigmas)
    assert len(set(alone)) > 1
    for best, (image, truth) in zip(alone, PAIRS, strict=True):
        scores = [care_psnr(truth, gaussian_filter(image, sigma)) for sigma in sigmas]
        assert best == sigmas[np.argmax(scores)]


def test_another_score_is_followed():
    """One that wants the image as it is, one that wants it smooth, and one that fails everywhere."""
    assert choose_filters(PAIRS, lambda truth, image: np.ptp(image), strengths=()).sigma == SIGMAS[0]
    assert choose_filters(PAIRS, lambda truth, image: -np.ptp(image), strengths=(1, 2)) == Filters(
        SIGMAS[-1], 2, pytest.approx(-70, abs=70), pytest.approx(-300, abs=300)
    )
    assert choose_filters(PAIRS, lambda truth, image: math.nan, strengths=()).sigma == SIGMAS[0]


def test_the_search_ends_after_two_falls(monkeypatch):
    tried = []
    monkeypatch.setattr(baselines, "gaussian", lambda image, sigma: tried.append(sigma) or np.full((2, 2), sigma))
    scores = {1: 5, 2: 4, 3: 6, 4: 3, 5: 2, 6: 9}
    one = [(np.zeros((2, 2)), np.eye(2))]
    found = choose_filters(one, lambda truth, image: scores[image[0, 0]], tuple(scores), strengths=())
    assert (found.sigma, found.gaussian_score, tried) == (3, 6, [1, 2, 3, 4, 5])


def test_volumes_are_filtered_as_volumes():
    image, truth = pair(0, (12, 30, 32), smooth=2)
    found = choose_filters([(image, truth)], strengths=())
    scores = {sigma: care_psnr(truth, gaussian_filter(image, sigma)) for sigma in SIGMAS}
    assert found.sigma == max(scores, key=scores.get) and found.strength is None
    assert found.gaussian_score == pytest.approx(max(scores.values()), rel=1e-6)


def test_pairs_without_contrast_do_not_count():
    image, _ = PAIRS[0]
    sparse = np.zeros(image.shape)
    sparse[0, 0] = 1
    for truth in (np.full(image.shape, 5.0), sparse):
        with pytest.raises(InputError):
            align_care(truth, image)
        assert choose_filters([*PAIRS, (image, truth)], strengths=(1,)) == choose_filters(PAIRS, strengths=(1,))
        with pytest.raises(InputError, match=r"pairs: none of 1 can be scored \(.*\), expected one with"):
            choose_filters([(image, truth)])
        with pytest.raises(InputError, match="pairs: none of 1 can be scored"):
            best_sigmas([(image, truth)])
        alone = best_sigmas([(image, truth), *PAIRS])
        assert np.isnan(alone[0]) and alone[1:] == best_sigmas(PAIRS)


def test_the_filters_are_named_with_their_parameters():
    image = PAIRS[0][0]
    filters = Filters(2.0, 0.8)
    assert [label for label, _ in filters] == ["Gaussian (sigma 2)", "non-local means (0.8)"]
    expected = [gaussian(image, 2), non_local_means(image, 0.8)]
    for (_, function), wanted in zip(filters, expected, strict=True):
        np.testing.assert_array_equal(function(image), wanted)
    assert list(filters.named("a note")) == ["Gaussian (sigma 2; a note)", "non-local means (0.8; a note)"]
    assert [label for label, _ in Filters(0.75)] == ["Gaussian (sigma 0.75)"]


def test_filters_are_kept_as_json(tmp_path):
    for filters in (Filters(2.5, 0.8, 31.25, 30.5), Filters(np.float32(0.5), None, 30.0)):
        write_filters(tmp_path / "model", filters)
        found = read_filters(tmp_path / "model")
        assert (found.sigma, found.strength) == (filters.sigma, filters.strength)
        assert found.gaussian_score == filters.gaussian_score
    # Strict JSON: no NaN.
    text = (tmp_path / "model" / "filters.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["non_local_means_score"] is None
    (tmp_path / "filters.json").write_text('{"sigma": 1, "images": 15}')
    assert repr(read_filters(tmp_path)) == repr(Filters(1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON, line 1"),
        ("[1]", r"filters: found \[1\], expected an object with sigma and strength"),
        ('{"strength": 1}', "expected an object with sigma"),
        ('{"sigma": "2"}', "filters.sigma: found '2', expected a number"),
        ('{"sigma": -1}', "filters.sigma: found -1.0, expected 0 or more"),
        ('{"sigma": NaN}', "filters.sigma: found nan, expected a number"),
        ('{"sigma": 1, "strength": 0}', "filters.strength: found 0.0, expected a positive number or null"),
        ('{"sigma": 1, "gaussian_score": true}', "filters.gaussian_score: found True"),
        ("\xff", "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "filters.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"filters\.json: .*" + message):
        read_filters(tmp_path)


def test_what_cannot_be_filtered_is_refused(tmp_path):
    image = np.ones((8, 9))
    for call, message in (
        (lambda: gaussian(image, -1), "sigma: found -1, expected"),
        (lambda: gaussian(image, (1, 2, 3)), r"sigma: found \(1, 2, 3\), expected a number of pixels, .* or 2 of them"),
        (lambda: gaussian(image, math.nan), "sigma: found nan"),
        (lambda: gaussian(image[0], 1), r"image to filter: found shape \(9,\), expected YX or ZYX"),
        (lambda: non_local_means(image, 0), "strength: found 0, expected a positive number"),
        (lambda: non_local_means(image[0], 1), r"image to filter: found shape \(9,\), expected YX or ZYX"),
        (lambda: choose_filters([(image, image[1:])]), r"shape \(8, 9\), expected \(7, 9\) as the ground truth's"),
        (lambda: choose_filters([]), r"pairs: none of 0 can be scored \(there are none\)"),
        (lambda: choose_filters(PAIRS, sigmas=()), "parameters: found none"),
        (lambda: read_filters(tmp_path), r"filters\.json: cannot be read \(No such file"),
    ):
        with pytest.raises(InputError, match=message) as error:
            call()
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.skipif(not W2S.is_dir(), reason="W2S is not at ../shared/data/w2s")
def test_w2s_is_best_filtered_with_sigma_2():
    """On average over the 30 test images: what every network is measured against."""
    pairs = [(read_image(path).array, read_image(W2S / "GT" / path.name).array) for path in (W2S / "low").iterdir()]
    found = choose_filters(pairs, sigmas=(1.5, 2.0, 2.5), strengths=())
    assert len(pairs) == 30 and found.sigma == 2 and found.gaussian_score == pytest.approx(32.87, abs=0.005)

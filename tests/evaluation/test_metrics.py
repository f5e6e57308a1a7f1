"""Scores against formulas written out here, against published numbers, and against what they must ignore."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.stats import linregress
from skimage.metrics import structural_similarity

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation import metrics
from aeanet_tf.evaluation.protocols import PROTOCOLS, align_care, get_protocol

W2S = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "w2s" / "test"


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    gt = gaussian_filter(rng.random((60, 70)), 3) * 4000 + 300
    return gt, 0.3 * gt + rng.normal(20, 25, gt.shape)


def ssim_by_formula(gt, image, data_range, window, normalisation, border):
    mean_x, mean_y = window(gt), window(image)
    var_x = normalisation * (window(gt**2) - mean_x**2)
    var_y = normalisation * (window(image**2) - mean_y**2)
    cov = normalisation * (window(gt * image) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return values[tuple(slice(border, -border) for _ in gt.shape)].mean()


def test_care_is_the_closed_form_of_the_best_affine_fit(pair):
    gt, image = pair
    scores = get_protocol("care")(gt, image)
    low, high = np.percentile(gt, [0.1, 99.9])
    r = np.corrcoef(gt.ravel(), image.ravel())[0, 1]
    residual = np.var((gt - low) / (high - low)) * (1 - r**2)
    assert scores["psnr"] == pytest.approx(-10 * np.log10(residual), abs=1e-4)
    assert scores["nrmse"] == pytest.approx(np.sqrt(residual), rel=1e-4)


def test_care_ssim_has_uniform_windows_of_7_on_the_aligned_pair(pair):
    gt, image = align_care(*pair)
    expected = ssim_by_formula(gt.astype(float), image.astype(float), 1, lambda a: uniform_filter(a, 7), 49 / 48, 3)
    assert get_protocol("care")(*pair)["ssim"] == pytest.approx(expected, abs=1e-4)


def care_by_formula(gt, image):
    """CARE's scoring in double precision; `numpy.cov` divides by n - 1, `numpy.var` by n."""
    low, high = np.percentile(gt, [0.1, 99.9])
    x = (gt - low) / (high - low)
    x = x - x.mean()
    y = image - image.mean()
    y = y * np.cov(y.ravel(), x.ravel())[0, 1] / np.var(y)
    error = np.mean((x - y) ** 2)
    samples = 7**gt.ndim
    ssim = ssim_by_formula(x, y, 1, lambda a: uniform_filter(a, 7), samples / (samples - 1), 3)
    return {"psnr": -10 * np.log10(error), "ssim": ssim, "nrmse": np.sqrt(error)}


def test_care_nrmse_by_hand():
    """Half of the truth is 0 and half 1; half of each is 0.5 too bright, half 0.5 too dark. After the mean is taken the
    truth is +-0.5, the image that and +-0.5 more, and what it is scaled by 0.25 * 64/63 / (0.25 + 0.25) = 32/63."""
    gt = np.zeros((8, 8))
    gt[4:] = 1
    image = gt + np.where(np.arange(8) % 2, 0.5, -0.5)
    error = 0.25 * (1 - 32 / 63) ** 2 + 0.25 * (32 / 63) ** 2
    scores = get_protocol("care")(1000 * gt + 30, image)
    assert scores["nrmse"] == pytest.approx(np.sqrt(error), rel=1e-6) and np.sqrt(error) == pytest.approx(0.353598)
    assert scores["psnr"] == pytest.approx(-20 * np.log10(0.353598), abs=1e-4)


@pytest.mark.parametrize("shape", [(512, 480), (24, 90, 80)])
@pytest.mark.parametrize("noise", [0.05, 0.4, 2])
def test_care_is_the_published_scoring(shape, noise):
    rng = np.random.default_rng(len(shape))
    gt = rng.gamma(2, 0.5, shape) * 900 + 300
    image = 0.2 * gt + rng.normal(50, noise * gt.std(), shape)
    assert get_protocol("care")(gt, image) == pytest.approx(care_by_formula(gt, image), abs=1e-6, rel=0)


def test_care_of_a_small_image_takes_the_published_factor():
    """n / (n - 1) of the best fit, which in an image of this size is seen."""
    rng = np.random.default_rng(5)
    gt, image = rng.random((2, 64, 64))
    assert get_protocol("care")(gt, gt + image) == pytest.approx(care_by_formula(gt, gt + image), abs=1e-6, rel=0)


def test_care_ignores_gain_and_offset_of_either_image(pair):
    gt, image = pair
    expected = get_protocol("care")(gt, image)
    for changed in ((gt, 7 * image - 900), (gt, -image), (5 * gt + 40, image)):
        assert get_protocol("care")(*changed) == pytest.approx(expected, rel=1e-4)


def test_care_alignment_agrees_with_csbdeep_normalize(pair):
    from csbdeep.utils import normalize

    expected = normalize(pair[0].astype(np.float32), 0.1, 99.9, clip=False)
    np.testing.assert_allclose(align_care(*pair)[0], expected - expected.mean(), atol=2e-6)


def test_care_of_a_constant_image_is_that_of_the_mean(pair):
    gt, _ = pair
    scores = get_protocol("care")(gt, np.full(gt.shape, 3.0))
    low, high = np.percentile(gt, [0.1, 99.9])
    assert scores["nrmse"] == pytest.approx(gt.std() / (high - low), rel=1e-5)
    with pytest.raises(InputError, match="contrast"):
        get_protocol("care")(np.full(gt.shape, 3.0), gt)


@pytest.mark.skipif(not W2S.is_dir(), reason="W2S is not at ../shared/data/w2s")
def test_care_of_the_w2s_input_is_the_published_number():
    from aeanet_tf.evaluation.folders import score_folders

    rows = score_folders(W2S / "low", W2S / "GT", get_protocol("care"))
    assert len(rows) == 30
    assert np.mean([row.prediction["psnr"] for row in rows]) == pytest.approx(20.67, abs=0.005)
    assert np.mean([row.prediction["ssim"] for row in rows]) == pytest.approx(0.303, abs=0.0005)


def test_plain_says_whether_intensities_are_right(pair):
    """A camera's offset is no signal: what is 20 % too bright is 20 % too bright above it."""
    plain, offset = get_protocol("plain"), 100
    gt = np.round(pair[0]).astype(np.uint16)
    image = offset + 1.2 * (gt - 100.0)
    assert plain(gt, image, offset=offset)["signal_ratio"] == pytest.approx(1.2)
    assert plain(gt, image)["signal_ratio"] == pytest.approx(image.mean() / gt.mean())
    assert plain(gt, image)["signal_ratio"] < 1.2
    # Sums of large images in single precision would be off.
    wide = np.full((3000, 3000), 1000.1, np.float32)
    assert metrics.signal_ratio(wide, wide * 2) == pytest.approx(2, rel=1e-6)
    assert np.isnan(metrics.signal_ratio(np.full((4, 4), 7), np.ones((4, 4)), 7))
    with pytest.raises(InputError, match="offset: found nan, expected a number"):
        plain(gt, image, offset=np.nan)
    assert tuple(plain(gt, image)) == plain.scores


def test_plain_takes_the_span_of_the_ground_truth_unless_told(pair):
    gt, image = pair
    plain = get_protocol("plain")
    error = np.mean((gt - image) ** 2)
    assert plain(gt, image)["psnr"] == pytest.approx(10 * np.log10(np.ptp(gt) ** 2 / error))
    scores = plain(gt, image, 65535)
    assert scores["psnr"] == pytest.approx(10 * np.log10(65535**2 / error))
    expected = ssim_by_formula(gt, image, 65535, lambda a: uniform_filter(a, 7), 49 / 48, 3)
    assert scores["ssim"] == pytest.approx(expected, abs=1e-7)
    assert scores["nrmse"] == pytest.approx(np.sqrt(error / np.mean(gt**2)))


def test_unsigned_integers_do_not_wrap_around():
    gt, image = np.full((12, 12), 10, np.uint8), np.full((12, 12), 20, np.uint8)
    gt[0] = 0
    error = np.mean((gt.astype(float) - image) ** 2)
    assert get_protocol("plain")(gt, image, 255)["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
    assert get_protocol("plain")(gt, image)["nrmse"] == pytest.approx(np.sqrt(error / np.mean(gt.astype(float) ** 2)))


def test_em_is_what_scikit_image_calls_wangs_ssim():
    rng = np.random.default_rng(2)
    gt = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    image = np.clip(gt + rng.normal(0, 30, gt.shape), 0, 255)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(gt.astype(float), image, **options)
    assert get_protocol("em")(gt, image)["ssim"] == pytest.approx(expected, abs=1e-12)


def test_em_is_wangs_ssim_and_psnr_at_255(pair):
    gt, image = (np.clip(a / a.max() * 255, 0, 255).astype(np.uint8) for a in pair)
    scores = get_protocol("em")(gt, image)
    x, y = gt.astype(float), image.astype(float)
    expected = ssim_by_formula(x, y, 255, lambda a: gaussian_filter(a, 1.5, truncate=3.5), 1, 5)
    assert scores["ssim"] == pytest.approx(expected, abs=1e-6)
    assert scores["psnr"] == pytest.approx(10 * np.log10(255**2 / np.mean((x - y) ** 2)))
    with pytest.raises(InputError, match="0 to 255"):
        get_protocol("em")(pair[0], pair[1])


def test_em_notebook_has_the_uniform_window_and_the_same_psnr(pair):
    """Of an image as large as the window there is one: its means, variances and covariance (n - 1) are the image's."""
    rng = np.random.default_rng(4)
    x, y = rng.integers(0, 256, (2, 7, 7)).astype(float)
    (var_x, cov), (_, var_y) = np.cov(x.ravel(), y.ravel())
    c1, c2, mean_x, mean_y = 2.55**2, 7.65**2, x.mean(), y.mean()
    expected = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    scores = get_protocol("em-notebook")(x.astype(np.uint8), y)
    assert scores["ssim"] == pytest.approx(expected, rel=1e-9)
    gt, image = (np.clip(a / a.max() * 255, 0, 255) for a in pair)
    gaussian, uniform = get_protocol("em")(gt, image), get_protocol("em-notebook")(gt, image)
    assert gaussian["psnr"] == uniform["psnr"] and abs(gaussian["ssim"] - uniform["ssim"]) > 1e-3


@pytest.mark.parametrize("name", ["em", "em-notebook", "interpolation"])
@pytest.mark.parametrize(("found", "stored"), [(300.0, 255), (-40.0, 0), (255.0, 255), (90.0, 90)])
def test_grey_levels_are_cut_off_before_they_are_scored(name, found, stored):
    """PSNR of a constant difference; SSIM of constant images is that of their means alone."""
    gt, image = np.full((12, 12), 100, np.uint8), np.full((12, 12), found, np.float32)
    scores = get_protocol(name)(gt, image)
    assert scores["psnr"] == pytest.approx(20 * np.log10(255 / abs(stored - 100)))
    luminance = (2 * 100 * stored + 2.55**2) / (100**2 + stored**2 + 2.55**2)
    assert scores["ssim"] == pytest.approx(luminance, rel=1e-4)
    assert scores.get("ie", abs(stored - 100)) == pytest.approx(abs(stored - 100))


def test_label_free_is_the_cosine_of_the_centred_images(pair):
    x, y = (a - a.mean() for a in pair)
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    assert get_protocol("label-free")(*pair) == {"pearson": pytest.approx(expected)}
    assert expected == pytest.approx(linregress(pair[0].ravel(), pair[1].ravel()).rvalue)
    assert np.isnan(metrics.pearson(pair[0], np.ones_like(pair[0])))


def test_interpolation_is_scored_at_255(pair):
    gt, image = (np.clip(a / a.max() * 255, 0, 255).astype(np.uint8) for a in pair)
    x, y = gt.astype(float), image.astype(float)
    error = np.mean((x - y) ** 2)
    ssim = ssim_by_formula(x, y, 255, lambda a: uniform_filter(a, 7), 49 / 48, 3)
    expected = {"psnr": 10 * np.log10(255**2 / error), "ssim": ssim, "ie": np.sqrt(error)}
    assert get_protocol("interpolation")(gt, image) == pytest.approx(expected, abs=1e-6)
    assert metrics.rmse(np.uint8([0, 10]), np.uint8([4, 7])) == pytest.approx(np.sqrt(12.5))
    with pytest.raises(InputError, match=r"values .* to 4\d\d\d\.\d+, the protocol interpolation expects 0 to 255"):
        get_protocol("interpolation")(gt * 17.0, image)


def test_a_volume_is_compared_in_3d():
    rng = np.random.default_rng(1)
    gt = gaussian_filter(rng.random((9, 20, 22)), 1)
    image = gt + rng.normal(0, 0.05, gt.shape)
    expected = ssim_by_formula(gt, image, 1, lambda a: uniform_filter(a, 7), 343 / 342, 3)
    assert metrics.ssim(gt, image, 1) == pytest.approx(expected, abs=1e-7)
    with pytest.raises(InputError, match=r"\(6, 20, 22\), expected at least 7 pixels"):
        get_protocol("care")(gt[:6], image[:6])
    with pytest.raises(InputError, match="at least 11 pixels"):
        get_protocol("em")(gt, image)


def test_equal_images_are_perfect(pair):
    gt, _ = pair
    assert get_protocol("plain")(gt, gt) == {
        "psnr": np.inf,
        "ssim": pytest.approx(1),
        "nrmse": 0,
        "signal_ratio": 1,
    }


def test_what_cannot_be_scored_is_refused(pair):
    gt, image = pair
    for name in PROTOCOLS:
        with pytest.raises(InputError, match=r"shape \(60, 69\), expected \(60, 70\)"):
            get_protocol(name)(gt, image[:, 1:])
    with pytest.raises(InputError, match="protocol care fixes it"):
        get_protocol("care")(gt, image, 1.0)
    with pytest.raises(InputError, match=r"offset: found 100, but the protocol em expects none"):
        get_protocol("em")(gt, image, offset=100)
    with pytest.raises(InputError, match="data_range: found 0"):
        get_protocol("plain")(gt, image, 0)
    with pytest.raises(InputError, match=r"constant"):
        get_protocol("plain")(np.ones((9, 9)), np.ones((9, 9)))
    with pytest.raises(InputError, match="constant"):
        get_protocol("label-free")(np.ones((9, 9)), np.ones((9, 9)))
    with pytest.raises(InputError, match="'mse', expected one of care, plain, em, em-notebook, label-free, mri"):
        get_protocol("mse")

"""Similarity of an image to its ground truth, by scikit-image and SciPy; one score a call.

All take the ground truth first, arrays of the same shape and any number of spatial dimensions, and raise
``InputError`` where the shapes differ.
"""

import numpy as np
from scipy.stats import pearsonr
from skimage import metrics

from aeanet_tf.errors import InputError

SSIM_WINDOW = 7
SSIM_SIGMA = 1.5
# scikit-image cuts the Gaussian at 3.5 sigma: radius int(3.5 * 1.5 + 0.5) = 5.
SSIM_GAUSSIAN_WINDOW = 11


def psnr(gt: np.ndarray, image: np.ndarray, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range^2 / MSE); infinite for equal images."""
    gt, image = _floats(gt, image)
    _check_range(data_range)
    with np.errstate(divide="ignore"):
        return float(metrics.peak_signal_noise_ratio(gt, image, data_range=data_range))


def ssim(gt: np.ndarray, image: np.ndarray, data_range: float, gaussian: bool = False) -> float:
    """Mean structural similarity, 1 for equal images; a volume gets windows in 3D.

    Args:
        gt: ground truth.
        image: image to score.
        data_range: the span L of the values.
        gaussian: False is scikit-image's default, a uniform window of 7 and sample covariance. True is the
            definition of Wang et al. (2004): Gaussian weights of sigma 1.5, population covariance.

    Raises:
        InputError: a side is shorter than the window (7, or 11 for the Gaussian).
    """
    gt, image = _floats(gt, image)
    _check_range(data_range)
    window = SSIM_GAUSSIAN_WINDOW if gaussian else SSIM_WINDOW
    if min(gt.shape) < window:
        raise InputError(f"SSIM: image of shape {gt.shape}, expected at least {window} pixels along each side")
    options = {"gaussian_weights": True, "sigma": SSIM_SIGMA, "use_sample_covariance": False} if gaussian else {}
    return float(metrics.structural_similarity(gt, image, data_range=data_range, **options))


def nrmse(gt: np.ndarray, image: np.ndarray) -> float:
    """Root mean square error divided by the root mean square of the ground truth (scikit-image's default)."""
    gt, image = _floats(gt, image)
    if not gt.any():
        raise InputError("NRMSE: the ground truth is zero everywhere, expected an image")
    return float(metrics.normalized_root_mse(gt, image))


def pearson(gt: np.ndarray, image: np.ndarray) -> float:
    """Pearson correlation of all pixels, -1 to 1; NaN where ``image`` is constant."""
    gt, image = _floats(gt, image)
    if gt.min() == gt.max():
        raise InputError("Pearson r: the ground truth is constant, expected an image")
    if image.min() == image.max():
        return float("nan")
    return float(pearsonr(gt.ravel(), image.ravel()).statistic)


def _floats(gt: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring integers to float: differences of unsigned integers would wrap around."""
    gt, image = np.asarray(gt), np.asarray(image)
    if gt.shape != image.shape:
        raise InputError(f"image to score: shape {image.shape}, expected {gt.shape} as the ground truth's")
    if gt.size == 0:
        raise InputError(f"ground truth: shape {gt.shape}, expected an image that is not empty")
    dtype = np.float64 if gt.dtype.kind != "f" or image.dtype.kind != "f" else np.result_type(gt, image)
    return gt.astype(dtype, copy=False), image.astype(dtype, copy=False)


def _check_range(data_range: float) -> None:
    if not np.isfinite(data_range) or data_range <= 0:
        raise InputError(f"data_range: got {data_range}, expected a positive number")

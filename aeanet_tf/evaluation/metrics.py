"""Similarity of an image or of labels to the ground truth, by scikit-image and SciPy; one score a call.

All take the ground truth first, arrays of the same shape and any number of spatial dimensions, and raise
``InputError`` where the shapes differ.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion
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
        raise InputError(f"SSIM: found an image of shape {gt.shape}, expected at least {window} pixels along each side")
    options = {"gaussian_weights": True, "sigma": SSIM_SIGMA, "use_sample_covariance": False} if gaussian else {}
    return float(metrics.structural_similarity(gt, image, data_range=data_range, **options))


def nrmse(gt: np.ndarray, image: np.ndarray) -> float:
    """Root mean square error divided by the root mean square of the ground truth (scikit-image's default).

    For images as they are. The NRMSE of the papers is another one, see `rmse`.
    """
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


def signal_ratio(gt: np.ndarray, image: np.ndarray, offset: float = 0.0) -> float:
    """Mean signal of an image over that of the ground truth: 1 where intensities are right on the whole.

    Args:
        gt: ground truth.
        image: image to score.
        offset: the value of no signal, such as a camera's without light, subtracted from both.

    Returns:
        mean(image - offset) / mean(gt - offset); NaN if the latter is 0.

    Raises:
        InputError: shapes differ, or the offset is not finite.
    """
    gt, image = same_shape(gt, image)
    if not np.isfinite(offset):
        raise InputError(f"offset: found {offset}, expected a number")
    signal = gt.mean(dtype=np.float64) - offset
    return float((image.mean(dtype=np.float64) - offset) / signal) if signal != 0 else float("nan")


def rmse(gt: np.ndarray, image: np.ndarray) -> float:
    """Root mean square error, in the images' own units.

    Of images that the protocol ``care`` has normalised it is the NRMSE of the GVTNet paper (section 4.4.2), of 8-bit
    slices the interpolation error (IE) of the SSAN paper.
    """
    gt, image = _floats(gt, image)
    return float(np.sqrt(np.mean((gt - image) ** 2, dtype=np.float64)))


def mean_of_classes(scores: Sequence[float]) -> float:
    """Mean of the scores of several classes without those that are NaN, of absent classes; NaN where all are."""
    present = [score for score in scores if not np.isnan(score)]
    return float(np.mean(present)) if present else float("nan")


def modified_hausdorff(gt: np.ndarray, image: np.ndarray, label: float) -> float:
    """Modified Hausdorff distance, in pixels, of the surfaces of a label (Dubuisson & Jain 1994, their d6 and f2).

    The larger of two means: of the distances from each surface point of the one image to the nearest surface point of
    the other, and the reverse. Papers on iSeg-2017 differ in which points they take. Our choice: the surface, pixels of
    the label that have a face in common with a pixel without it or with the border of the image. All pixels of the
    label would count the agreeing inside as distance 0, and make small of what differs.

    Args:
        gt: ground truth, any number of dimensions.
        image: labels to score.
        label: value of the pixels of the class.

    Returns:
        The distance, 0 at best; NaN where neither image has the label, infinite where only one has it.
    """
    a, b = label_masks(gt, image, label)
    if not a.any() or not b.any():
        return float("inf") if a.any() or b.any() else float("nan")
    # What lies outside of the image is not of the label, so pixels at the border are of the surface.
    surfaces = (mask & ~binary_erosion(mask) for mask in (a, b))
    return float(metrics.hausdorff_distance(*surfaces, method="modified"))


def label_masks(gt: np.ndarray, image: np.ndarray, label: float) -> tuple[np.ndarray, np.ndarray]:
    """Where ground truth and image have the value ``label``: two arrays of bool."""
    gt, image = same_shape(gt, image)
    return gt == label, image == label


def _floats(gt: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring integers to float: differences of unsigned integers would wrap around."""
    gt, image = same_shape(gt, image)
    dtype = np.float64 if gt.dtype.kind != "f" or image.dtype.kind != "f" else np.result_type(gt, image)
    return gt.astype(dtype, copy=False), image.astype(dtype, copy=False)


def same_shape(gt: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays.

    Raises:
        InputError: their shapes differ, or they are empty.
    """
    gt, image = np.asarray(gt), np.asarray(image)
    if gt.shape != image.shape:
        raise InputError(f"image to score: found shape {image.shape}, expected {gt.shape} as the ground truth's")
    if gt.size == 0:
        raise InputError(f"ground truth: found shape {gt.shape}, expected an image that is not empty")
    return gt, image


def _check_range(data_range: float) -> None:
    if not np.isfinite(data_range) or data_range <= 0:
        raise InputError(f"data_range: found {data_range}, expected a positive number")


def region_psnr(gt: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """PSNR within the foreground and within the background of the ground truth, of values of 0 to 255.

    The foreground is what is brighter than Otsu's threshold of the ground truth. The paper thresholds each sub-image by
    itself (section VI-A), so give one a call; which side is the object it does not say, the nanomaterial of its images
    is the brighter one. Table I gives improvements: these numbers less those of the network's input against the same
    ground truth.

    Args:
        gt: ground truth, one sub-image; it alone decides on the regions.
        image: image to score, of the same shape; what is beyond 0 to 255 is cut off.

    Returns:
        ``{"foreground": dB, "background": dB}``; infinite where the images are equal.

    Raises:
        InputError: shapes differ, or the ground truth is constant.
    """
    from skimage.filters import threshold_otsu

    gt, image = same_shape(gt, image)
    if gt.min() == gt.max():
        raise InputError("ground truth: is constant, expected foreground and background")
    mask, image = gt > threshold_otsu(gt), image.clip(0.0, 255.0)
    return {"foreground": psnr(gt[mask], image[mask], 255), "background": psnr(gt[~mask], image[~mask], 255)}

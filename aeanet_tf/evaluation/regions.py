"""PSNR of the object and of what surrounds it, apart (table I, right, of the AEANet paper)."""

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.metrics import psnr


def foreground_mask(gt: np.ndarray) -> np.ndarray:
    """True where the ground truth is brighter than Otsu's threshold of it (scikit-image's ``threshold_otsu``).

    The paper thresholds each sub-image by itself (section VI-A), so give one sub-image a call. Which side is the object
    it does not say; the nanomaterial of its images is the brighter one.

    Raises:
        InputError: the ground truth is constant or empty.
    """
    from skimage.filters import threshold_otsu

    gt = np.asarray(gt)
    if gt.size == 0 or gt.min() == gt.max():
        raise InputError("ground truth: is constant or empty, expected foreground and background")
    return gt > threshold_otsu(gt)


def region_psnr(gt: np.ndarray, image: np.ndarray, data_range: float = 255) -> dict[str, float]:
    """PSNR within the foreground and within the background of the ground truth.

    Table I gives improvements: these numbers less those of the network's input against the same ground truth.

    Args:
        gt: ground truth, one sub-image; it alone decides on the regions.
        image: image to score, of the same shape.
        data_range: span of the values.

    Returns:
        ``{"foreground": dB, "background": dB}``; infinite where the images are equal.

    Raises:
        InputError: shapes differ, the ground truth is constant, or the range is not positive.
    """
    gt, image = np.asarray(gt), np.asarray(image)
    if gt.shape != image.shape:
        raise InputError(f"image to score: shape {image.shape}, expected {gt.shape} as the ground truth's")
    mask = foreground_mask(gt)
    return {
        "foreground": psnr(gt[mask], image[mask], data_range),
        "background": psnr(gt[~mask], image[~mask], data_range),
    }

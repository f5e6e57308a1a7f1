"""What is scored, and after which normalisation, so that numbers compare with those of a paper."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from aeanet_tf.datasets.iseg import LABELS, TISSUES
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation import metrics
from aeanet_tf.evaluation.segmentation_metrics import class_scores, confusion, linewise_hausdorff, shared_classes

Scores: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Protocol:
    """A way to score an image against its ground truth.

    Attributes:
        name: by which it is chosen.
        scores: names of the scores it gives, in their order; ``segmentation`` gives one more a class, before them.
        description: one line on the normalisation and the data range, for the head of a table.
        function: (gt, image) -> scores by name; with ``takes_offset`` (gt, image, data_range, offset).
        takes_offset: whether intensities count as they are, so that the caller may state the camera's value without
            light and choose the data range.
        eight_bits: whether values are grey levels of 0 to 255: those of the ground truth have to be, and what an image
            has beyond is cut off before it is scored.
    """

    name: str
    scores: tuple[str, ...]
    description: str
    function: Callable[..., Scores]
    takes_offset: bool = False
    eight_bits: bool = False

    def __call__(
        self, gt: np.ndarray, image: np.ndarray, data_range: float | None = None, offset: float | None = None
    ) -> Scores:
        """Score ``image`` against ``gt``: spatial arrays (2D or 3D) of the same shape.

        Args:
            gt: ground truth.
            image: prediction, or the input as the baseline.
            data_range: span of the values, for protocols that leave it open; None takes their default.
            offset: the value of no signal, for protocols that compare intensities; None is 0.

        Raises:
            InputError: shapes differ, an image is too small for SSIM, values are not what the protocol
                expects, or a data range or an offset is given where the protocol has no use for it.
        """
        gt, image = metrics.same_shape(gt, image)
        if self.takes_offset:
            return self.function(gt, image, data_range, 0.0 if offset is None else offset)
        if data_range is not None:
            raise InputError(f"data_range: found {data_range}, but the protocol {self.name} fixes it")
        if offset is not None:
            raise InputError(f"offset: found {offset}, but the protocol {self.name} expects none, only plain takes one")
        if self.eight_bits and (gt.min() < 0 or gt.max() > 255):
            raise InputError(
                f"ground truth: values {gt.min()} to {gt.max()}, the protocol {self.name} expects 0 to 255"
            )
        return self.function(gt, self.prepared(image))

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """What is scored of an image: all of it, or grey levels cut off at 0 and 255."""
        return image.clip(0.0, 255.0) if self.eight_bits else image


def align_care(gt: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalise a pair as CARE's evaluation does, so that gain and offset of ``image`` do not count.

    The ground truth is mapped from its percentiles 0.1 and 99.9 to 0 and 1 (not clipped; CSBDeep's
    ``normalize(x, 0.1, 99.9)``), the mean of each image is subtracted, and ``image`` is multiplied by
    cov(gt, image) / var(image), which all but minimises the squared error: as in CARE's published scoring the
    covariance is divided by n - 1 and the variance by n. A constant image becomes zero.

    Returns:
        Both as float32.

    Raises:
        InputError: the two percentiles of the ground truth are equal.
    """
    gt, image, _ = align_care_scaled(gt, image)
    return gt, image


def align_care_scaled(gt: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """As `align_care`, and what ``image`` was multiplied by, as its uncertainty is to be."""
    low, high = np.percentile(gt, (0.1, 99.9)).astype(np.float32)
    if not high > low:
        raise InputError("ground truth: percentiles 0.1 and 99.9 are equal, expected an image with contrast")
    gt = (gt.astype(np.float32) - low) / (high - low + np.float32(1e-20))
    gt = gt - gt.mean(dtype=np.float64)
    image = image.astype(np.float64) - image.mean(dtype=np.float64)
    variance = np.mean(image**2)
    scale = np.sum(gt * image) / (gt.size - 1) / variance if variance > 0 else 0.0
    return gt.astype(np.float32), (scale * image).astype(np.float32), float(scale)


def care_psnr(gt: np.ndarray, image: np.ndarray) -> float:
    """The PSNR of the protocol ``care`` alone, in dB, without its SSIM, which takes most of the time.

    Raises:
        InputError: shapes differ, or the ground truth has no contrast.
    """
    return metrics.psnr(*align_care(*metrics.same_shape(gt, image)), 1.0)


def _care(gt: np.ndarray, image: np.ndarray) -> Scores:
    # The data range is 1, so NRMSE is 10^(-PSNR/20).
    gt, image = align_care(gt, image)
    return {
        "psnr": metrics.psnr(gt, image, 1.0),
        "ssim": metrics.ssim(gt, image, 1.0),
        "nrmse": metrics.rmse(gt, image),
    }


def _plain(gt: np.ndarray, image: np.ndarray, data_range: float | None, offset: float) -> Scores:
    if data_range is None:
        data_range = float(gt.max()) - float(gt.min())
        if data_range == 0:
            raise InputError("ground truth: is constant, expected contrast or a data range")
    return {
        "psnr": metrics.psnr(gt, image, data_range),
        "ssim": metrics.ssim(gt, image, data_range),
        "nrmse": metrics.nrmse(gt, image),
        "signal_ratio": metrics.signal_ratio(gt, image, offset),
    }


def _em(gt: np.ndarray, image: np.ndarray, gaussian: bool = True) -> Scores:
    return {"psnr": metrics.psnr(gt, image, 255), "ssim": metrics.ssim(gt, image, 255, gaussian)}


def _label_free(gt: np.ndarray, image: np.ndarray) -> Scores:
    return {"pearson": metrics.pearson(gt, image)}


def _mri(gt: np.ndarray, image: np.ndarray) -> Scores:
    """Dice of each tissue and their mean (table IV of the AEANet paper); modified Hausdorff distance of the surfaces in
    voxels, and the published 3D-MHD, of lines (`linewise_hausdorff`).

    Scores of a tissue that neither image has are NaN, and the mean is that of the others.
    """
    ratios = class_scores(LABELS, confusion(gt, image, LABELS))
    scores = {name: ratios[f"dice_{label}"] for label, name in zip(TISSUES, _of_tissues("dice"), strict=True)}
    scores["dice_mean"] = ratios["dice_mean"]
    for kind, distance in (("mhd", metrics.modified_hausdorff), ("3d_mhd", linewise_hausdorff)):
        for label, name in zip(TISSUES, _of_tissues(kind), strict=True):
            scores[name] = distance(gt, image, label)
    return scores


def _segmentation(gt: np.ndarray, image: np.ndarray) -> Scores:
    labels = shared_classes(gt, image)
    return class_scores(labels, confusion(gt, image, labels))


def _interpolation(gt: np.ndarray, image: np.ndarray) -> Scores:
    return {
        "psnr": metrics.psnr(gt, image, 255),
        "ssim": metrics.ssim(gt, image, 255),
        "ie": metrics.rmse(gt, image),
    }


def _of_tissues(kind: str) -> list[str]:
    return [f"{kind}_{name.lower()}" for name in TISSUES.values()]


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "care",
            ("psnr", "ssim", "nrmse"),
            "GT by percentiles 0.1 / 99.9, image fitted to it in gain and offset, data range 1, NRMSE is the root mean "
            "square error",
            _care,
        ),
        Protocol(
            "plain",
            ("psnr", "ssim", "nrmse", "signal_ratio"),
            "values as they are; data range as given, by default maximum - minimum of each GT; NRMSE is divided by the "
            "root mean square of the GT; signal ratio of means",
            _plain,
            takes_offset=True,
        ),
        Protocol(
            "em",
            ("psnr", "ssim"),
            "values cut off at 0 and 255, data range 255, SSIM of Wang et al. (2004) with Gaussian weights",
            _em,
            eight_bits=True,
        ),
        Protocol(
            "em-notebook",
            ("psnr", "ssim"),
            "values cut off at 0 and 255, data range 255, SSIM with a uniform window of 7, as in the authors' notebook",
            partial(_em, gaussian=False),
            eight_bits=True,
        ),
        Protocol("label-free", ("pearson",), "Pearson correlation of all pixels", _label_free),
        Protocol(
            "mri",
            (*_of_tissues("dice"), "dice_mean", *_of_tissues("mhd"), *_of_tissues("3d_mhd")),
            "labels 10 (CSF), 150 (GM), 250 (WM), 0; Dice ratio, modified Hausdorff distance (MHD) of surfaces in "
            "voxels, 3D-MHD of lines as published",
            _mri,
        ),
        Protocol(
            "interpolation",
            ("psnr", "ssim", "ie"),
            "values cut off at 0 and 255, data range 255, IE is the root mean square error",
            _interpolation,
            eight_bits=True,
        ),
        Protocol(
            "segmentation",
            ("dice_mean",),
            "labels of any classes; Dice ratio of each class, mean over all but the background",
            _segmentation,
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """Look a protocol up by name, one of `PROTOCOLS`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol: found {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

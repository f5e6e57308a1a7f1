"""Normalisation of training patches by percentiles of their images: CSBDeep's, and another range where it has none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from csbdeep.data import sample_percentiles
from csbdeep.utils import normalize_mi_ma

from aeanet_tf.io.value_range import float32_serves, is_range, streamed_range


class PatchNormalization:
    """What CSBDeep's ``create_patches`` calls for the patches of each pair: ``norm_percentiles`` with a way out.

    The numbers are those of ``norm_percentiles``, of the same draws, wherever the percentiles of an image differ. Where
    they coincide CSBDeep divides by 1e-20. Such patches are normalised by wider percentiles of the image, or its
    minimum and maximum, see `streamed_range`, which says so with the image's name.

    Args:
        percentiles: the lower and the upper; ``None`` draws them for each patch, as CSBDeep does.
        paths: gives the files of the pair that is being cut, ``None`` where they are not known.
    """

    def __init__(
        self,
        percentiles: tuple[float, float] | None = None,
        paths: Callable[[], tuple[Path, Path] | None] = lambda: None,
    ) -> None:
        self.percentiles, self.paths = percentiles, paths
        self._draw = sample_percentiles()

    def __call__(
        self,
        patches_x: np.ndarray,
        patches_y: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        mask: np.ndarray | None,
        channel: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patches of both images in float32; the arguments are CSBDeep's."""
        drawn = [self.percentiles or self._draw() for _ in patches_x]
        paths = self.paths() or (None, None)
        return tuple(
            _normalized(patches, image, drawn, channel, path)
            for patches, image, path in ((patches_x, x, paths[0]), (patches_y, y, paths[1]))
        )


def _normalized(patches, image, drawn, channel, path):
    """Patches of an image, each by the two percentiles drawn for it."""
    others = tuple(axis for axis in range(image.ndim) if axis != channel)
    low, high = (np.percentile(image, values, axis=others, keepdims=True) for values in zip(*drawn, strict=True))
    least, most = (extreme(axis=others, keepdims=True) for extreme in (image.min, image.max))
    least, most = (values.astype(np.float64) for values in (least, most))
    apart = is_range(low.astype(np.float64), high.astype(np.float64), least, most, image.dtype)
    if (apart & float32_serves(low, high, image.dtype)).all():
        return normalize_mi_ma(patches, low, high)
    if not apart.all():
        letters = "".join("C" if axis == channel else letter for axis, letter in enumerate("ABDEF"[: image.ndim]))
        # Of all draws the two that are nearest: if any coincide, these do.
        nearest = max(values[0] for values in drawn), min(values[1] for values in drawn)
        shape = [-1 if axis == channel else 1 for axis in range(image.ndim)]
        wider = (values.reshape(shape) for values in streamed_range(image, letters, nearest, path))
        low, high = (np.where(apart, asked, other) for asked, other in zip((low, high), wider, strict=True))
    width = high.astype(np.float64) - low
    # Of a constant there is nothing to divide.
    return ((patches.astype(np.float64) - low) / np.where(width > 0, width, 1)).astype(np.float32)

"""One frame, plane or channel of an image, as lazy as the whole."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aeanet_tf.io.image import Image
from aeanet_tf.io.tiff import Slices


def frames_along(image: Image, axes: str) -> list[dict[str, int]]:
    """All frames along some axes of an image, the last axis fastest: index by axis, as ``{"T": 0, "Z": 2}``."""
    sizes = [image.array.shape[image.axes.index(a)] for a in axes]
    return [dict(zip(axes, index, strict=True)) for index in np.ndindex(*sizes)]


def frame_image(image: Image, frame: dict[str, int] | None) -> Image:
    """The image at one index along some axes, such as ``{"T": 0}``, without these and as lazy as the whole; ``None``
    gives ``image``."""
    for axis, index in (frame or {}).items():
        sizes = {a: size for a, size in image.pixel_size.items() if a != axis}
        array = _FrameArray(image.array, image.axes.index(axis), index)
        image = replace(image, array=array, axes=image.axes.replace(axis, ""), pixel_size=sizes)
    return image


class _FrameArray:
    """One frame along an axis, read when it is sliced."""

    def __init__(self, array: Any, axis: int, frame: int) -> None:
        self.array, self.axis, self.frame = array, axis, frame
        self.dtype = array.dtype
        self.shape = self._without_axis(array.shape)
        self.ndim = len(self.shape)
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else self._without_axis(chunks)

    def _without_axis(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return (*values[: self.axis], *values[self.axis + 1 :])

    def __getitem__(self, slices: Slices) -> np.ndarray:
        place = slice(self.frame, self.frame + 1)
        return np.asarray(self.array[(*slices[: self.axis], place, *slices[self.axis :])]).squeeze(self.axis)

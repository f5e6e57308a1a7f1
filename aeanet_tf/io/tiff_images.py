"""Which images a TIFF file holds: its series, without thumbnails and the like, pages of equal shape as one stack."""

import logging
import math
import numbers
from dataclasses import dataclass
from typing import Any

import tifffile

logger = logging.getLogger("aeanet_tf")

# Names that scanners of slides give to pictures beside the image.
_ASIDE = {"thumbnail", "label", "macro", "overview", "map", "label image", "macro image", "overview image"}
# Pages of these are joined by their shape alone: their makers name no images.
_PLAIN_KINDS = ("shaped", "generic", "uniform")


@dataclass(frozen=True)
class TiffImage:
    """An image of an open TIFF file.

    Attributes:
        series: tifffile's series of its pages: one, or for appended pages one for each.
        name: as the file calls it; empty where it does not.
        shape: of all dimensions, also those of size 1.
        axes: tifffile's letters for them.
        number: among the images that the metadata of the file names.
    """

    series: tuple[Any, ...]
    name: str
    shape: tuple[int, ...]
    axes: str
    number: int = 0

    @property
    def keyframe(self) -> tifffile.TiffPage:
        """The page whose layout the others share."""
        return self.series[0].keyframe

    def pages(self) -> list[Any]:
        """All its pages in their order, None for those that are not there."""
        return [page for series in self.series for page in series]


def tiff_images(tif: tifffile.TiffFile) -> list[TiffImage]:
    """The images of an open TIFF file, in its order.

    Pictures beside an image (reduced in size, masks, those called label, macro, thumbnail, overview or map) are left
    out where there are others, and levels of a pyramid belong to its first. Single pages of equal shape and layout, of
    which nothing says that they are images of their own, are one stack, whose first axis has no name ("I").
    """
    # Since 2026.5 tifffile is asked for all series at once with dimensions of size 1, before that each of them.
    series = list(enumerate(tif.series(squeeze=False) if callable(tif.series) else tif.series))
    images = [(number, one) for number, one in series if not _aside(one)] or series
    if len(images) > 1 and _is_stack([one for _, one in images]):
        first = images[0][1]
        page = [(n, axis) for n, axis in zip(first.shape, first.axes, strict=True) if n > 1 or axis in "YX"]
        shape = (len(images), *(n for n, _ in page))
        return [TiffImage(tuple(one for _, one in images), "", shape, "I" + "".join(axis for _, axis in page))]
    return [TiffImage((one,), one.name or "", *_dimensions(one), number) for number, one in images]


def _dimensions(series: Any) -> tuple[tuple[int, ...], str]:
    """Shape and axes of a series, with those of size 1.

    Samples take the place of a single channel. A page of which nothing else is known may be one of a stack.
    """
    shape, axes = _with_singles(series)
    # A tag may be of any type.
    if not all(isinstance(n, numbers.Integral) for n in shape):
        raise ValueError(f"its size is {shape}, expected whole numbers")
    sizes = dict(zip(axes, shape, strict=False))
    colours = sizes.get("S", 1) > 1
    dropped = "C" if colours and sizes.get("C") == 1 else "" if colours else "S"
    kept = [(n, axis) for n, axis in zip(shape, axes, strict=True) if axis != dropped]
    letters = "".join(axis for _, axis in kept)
    if sorted(letters.replace("S", "")) == ["X", "Y"]:
        kept = [(1, "I"), *kept]
    return tuple(n for n, _ in kept), "".join(axis for _, axis in kept)


def _with_singles(series: Any) -> tuple[tuple[int, ...], str]:
    if hasattr(series, "get_axes"):
        return tuple(series.get_shape(squeeze=False)), series.get_axes(squeeze=False)
    return tuple(series.shape), series.axes


def _aside(series: Any) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_mask) or (series.name or "").strip().lower() in _ASIDE


def _is_stack(series: list[Any]) -> bool:
    """Whether these are single grey or colour pages that follow each other."""
    first = series[0]

    def like_first(one: Any) -> bool:
        return (*_with_singles(one), one.keyframe.hash) == (*_with_singles(first), first.keyframe.hash)

    page = math.prod(first.shape) == math.prod(first.keyframe.shape)
    flat = sum(size > 1 for axis, size in zip(first.axes, first.shape, strict=True) if axis not in "YXS") == 0
    return page and flat and all(one.kind in _PLAIN_KINDS and len(one) == 1 and like_first(one) for one in series)

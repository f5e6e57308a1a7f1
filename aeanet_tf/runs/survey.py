"""What images are, from their headers and the pixels of a few: sizes, axes, types, intensities, labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import Image
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import open_image

PERCENTILES = (2.0, 50.0, 99.8)

# Headers that are looked at, images whose pixels are, and pixels of each of these.
_MOST_HEADERS, _MOST_IMAGES, _MOST_PIXELS = 64, 4, 2**24
# Different values of a label image with classes; pixels of label images that are read to find them.
_MOST_CLASSES, _MOST_LABELS = 16, 2**27


@dataclass
class Survey:
    """What is known of images of one side.

    Attributes:
        count: how many there are.
        axes: of each, in the order in which they are stored.
        smallest, largest: sizes along these axes.
        dtypes: names of their types.
        channels: along C, or 1.
        percentiles: values at `PERCENTILES`, over those looked at.
        pixel_size, unit: of the first.
        looked: the images whose pixels were read, as arrays by index.
        nbytes: of all pixels, about.
    """

    count: int
    axes: str
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    dtypes: tuple[str, ...]
    channels: int
    percentiles: tuple[float, ...]
    pixel_size: dict[str, float]
    unit: str | None
    nbytes: int = 0
    looked: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def spatial(self) -> str:
        """The axes without channels, in the order that networks have."""
        return "".join(axis for axis in "TZYX" if axis in self.axes)

    def size(self, axis: str) -> int:
        """The smallest size along an axis."""
        return self.smallest[self.axes.index(axis)]

    def line(self) -> str:
        """A line of words, such as ``12 images, 512 x 512 (YX), uint16, ...``."""
        sizes = " x ".join(
            f"{n}" if n == m else f"{n} to {m}" for n, m in zip(self.smallest, self.largest, strict=True)
        )
        low, _, high = self.percentiles
        parts = [
            f"{self.count} image{'s' * (self.count > 1)}",
            f"{sizes} ({self.axes})",
            " and ".join(self.dtypes),
            f"intensities {_number(low)} to {_number(high)} (percentiles {PERCENTILES[0]:g} and {PERCENTILES[-1]:g})",
        ]
        if self.pixel_size:
            steps = " x ".join(f"{self.pixel_size[axis]:.4g}" for axis in self.axes if axis in self.pixel_size)
            letters = "".join(axis for axis in self.axes if axis in self.pixel_size)
            parts.append(f"pixel {steps} {self.unit or ''}".rstrip() + f" ({letters})")
        return ", ".join(parts)


def survey(paths: Sequence[Path | ImagePath], axes: str | None = None) -> Survey:
    """Look at images: the headers of up to 64, and the pixels of up to 4, spread over all of them.

    Args:
        paths: of the images.
        axes: as `aeanet_tf.io.read.read_image` takes them.

    Raises:
        InputError: an image cannot be read; axes or channels differ, and are told with the two names.
    """
    images = [open_image(paths[i], axes) for i in spread(len(paths), _MOST_HEADERS)]
    first = images[0]
    for image in images:
        if image.axes != first.axes or _channels(image) != _channels(first):
            raise InputError(
                f"{image.path}: axes {image.axes}, {_channels(image)} channels, but {first.path} has {first.axes} and "
                f"{_channels(first)}; expected images of one kind"
            )
    shapes = np.array([image.array.shape for image in images])
    looked = {i: some_pixels(open_image(paths[i], axes)) for i in spread(len(paths), _MOST_IMAGES)}
    values = np.concatenate([array.reshape(-1)[:: max(1, array.size // 2**20)] for array in looked.values()])
    return Survey(
        len(paths),
        first.axes,
        tuple(map(int, shapes.min(0))),
        tuple(map(int, shapes.max(0))),
        tuple(dict.fromkeys(str(image.array.dtype) for image in images)),
        _channels(first),
        tuple(map(float, np.percentile(values.astype(np.float64), PERCENTILES))),
        first.pixel_size,
        first.unit,
        int(np.mean([math.prod(shape) for shape in shapes])) * len(paths) * 4,
        looked,
    )


def spread(count: int, most: int) -> list[int]:
    """Up to so many numbers from 0 to ``count - 1``, the first and the last with them, evenly spread."""
    return sorted({*np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()})


def some_pixels(image: Image) -> np.ndarray:
    """The pixels of an image; of a large one the middle part along its first axes, so that no more is read."""
    left, parts = _MOST_PIXELS, []
    for axis, size in sorted(zip(image.axes, image.array.shape, strict=True), key=lambda one: "XYCZT".index(one[0])):
        kept = max(1, min(size, left))
        left //= kept
        parts.append((axis, slice((size - kept) // 2, (size - kept) // 2 + kept)))
    chosen = dict(parts)
    return np.asarray(image.array[tuple(chosen[axis] for axis in image.axes)])


def _channels(image: Image) -> int:
    return image.array.shape[image.axes.index("C")] if "C" in image.axes else 1


def class_values(looked: Survey) -> list[int] | None:
    """The few different whole numbers that images hold which may be labels of classes; ``None`` where they are not."""
    if looked.channels > 1 or any(np.dtype(name).kind not in "biu" for name in looked.dtypes):
        return None
    values = sorted({*map(int, np.unique(np.concatenate([np.unique(array) for array in looked.looked.values()])))})
    return values if 1 < len(values) <= _MOST_CLASSES else None


def all_class_values(paths: Sequence[Path | ImagePath], axes: str | None = None) -> tuple[list[int], int]:
    """The different values of label images, and how many images were read: all of them, up to a number of pixels."""
    values: set[int] = set()
    read = pixels = 0
    for path in paths:
        array = open_image(path, axes).array
        pixels += math.prod(array.shape)
        if read and pixels > _MOST_LABELS:
            break
        values.update(map(int, np.unique(array[tuple(slice(0, n) for n in array.shape)])))
        read += 1
    return sorted(values), read


@dataclass
class Agreement:
    """How pairs agree, over those that were looked at.

    Attributes:
        correlation: the least of their correlations, after smoothing over 4 pixels against noise.
        gain: of the input against the truth, the median.
    """

    correlation: float
    gain: float


def agreement(low: Survey, gt: Survey) -> Agreement | None:
    """How well inputs and ground truths of one shape agree; ``None`` where none of them can be compared."""
    found = []
    for i, x in low.looked.items():
        y = gt.looked.get(i)
        if y is None or y.shape != x.shape or low.axes != gt.axes:
            continue
        x, y = (_smoothed(array.astype(np.float64), low.axes) for array in (x, y))
        x, y = x - x.mean(), y - y.mean()
        scale = math.sqrt((x * x).sum() * (y * y).sum())
        if scale > 0:
            found.append(((x * y).sum() / scale, (x * y).sum() / (y * y).sum()))
    if not found:
        return None
    return Agreement(float(min(one for one, _ in found)), float(np.median([gain for _, gain in found])))


def _smoothed(array: np.ndarray, axes: str) -> np.ndarray:
    """Means over 4 x 4 pixels in YX."""
    for axis in "YX":
        at = axes.index(axis)
        whole = array.shape[at] // 4 * 4
        if whole:
            array = np.moveaxis(array, at, -1)[..., :whole]
            array = np.moveaxis(array.reshape(*array.shape[:-1], -1, 4).mean(-1), -1, at)
    return array


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"

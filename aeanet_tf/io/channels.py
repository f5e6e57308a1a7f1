"""Images whose channels are files of their own, such as ``subject-9-T1.hdr`` and ``subject-9-T2.hdr``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.nifti import check_same_place
from aeanet_tf.io.read import StoredArray, find_images, open_image
from aeanet_tf.io.series import series_paths
from aeanet_tf.io.tiff import Slices


@dataclass(frozen=True)
class ChannelArray:
    """Stored arrays of one shape as the channels, behind the other axes, of one array that is read when it is sliced.

    As a `StoredArray` it is indexed with a tuple of slices, one a dimension, can be pickled, and be read by several
    threads and processes at once. Of the files only those are read whose channels are asked for.

    Attributes:
        arrays: the channels.
    """

    arrays: tuple[StoredArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.arrays[0].shape, len(self.arrays))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """The smallest that holds the values of all channels."""
        return np.result_type(*(array.dtype for array in self.arrays))

    def squeeze(self, dimension: int) -> "ChannelArray":
        """The same without a dimension, which has size 1."""
        return ChannelArray(tuple(array.squeeze(dimension) for array in self.arrays))

    def expanded(self) -> "ChannelArray":
        """The same with a first dimension of size 1."""
        return ChannelArray(tuple(array.expanded() for array in self.arrays))

    @property
    def chunks(self) -> tuple[int, ...]:
        """Of the first channel; a piece that is sensible to read at once is one of a single file."""
        return (*self.arrays[0].chunks, 1)

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """Read a part.

        Args:
            slices: one a dimension, none negative, of step 1; as in NumPy they end where the array does.

        Raises:
            IndexError: the slices are others.
            InputError: a file is damaged there, or has changed since it was opened.
        """
        if not isinstance(slices, tuple) or len(slices) != self.ndim or not isinstance(slices[-1], slice):
            raise IndexError(f"an array of {self.ndim} dimensions takes as many slices, got {slices!r}")
        # Without a channel there is still a shape.
        channels = [array[slices[:-1]] for array in self.arrays[slices[-1]]]
        shape = channels[0].shape if channels else self.arrays[0][slices[:-1]].shape
        values = np.empty((*shape, len(channels)), self.dtype)
        for index, channel in enumerate(channels):
            values[..., index] = channel
        return values


@dataclass(frozen=True)
class PickedChannels:
    """Some of the channels of a stored array, in any order, as an array that is read when it is sliced.

    Attributes:
        array: the stored one.
        axis: that of the channels.
        indices: of the channels, from 0.
    """

    array: Any
    axis: int
    indices: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._with(self.array.shape, len(self.indices))

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """As that of all channels."""
        return self.array.dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """As stored; channels are read one by one."""
        chunks = getattr(self.array, "chunks", None)
        return None if chunks is None else self._with(chunks, 1)

    def _with(self, values: Sequence[Any], own: Any) -> tuple[Any, ...]:
        return (*values[: self.axis], own, *values[self.axis + 1 :])

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """Read a part; one slice a dimension, of step 1."""
        indices = self.indices[slices[self.axis]]
        if not indices:
            return np.asarray(self.array[self._with(slices, slice(0, 0))])
        parts = [np.asarray(self.array[self._with(slices, slice(i, i + 1))]) for i in indices]
        return np.concatenate(parts, self.axis)


def channel_paths(path: str | Path | ImagePath, names: Sequence[str]) -> list[Path] | list[ImagePath]:
    """Paths of all channels of an image: the first one's, with its name replaced by that of each channel.

    Args:
        path: of the first channel; of one image of several in its file those of the others are the same.
        names: what tells the channels' files apart, such as ``["T1", "T2"]``. The first one stands in the file's name
            once.

    Raises:
        InputError: ``names`` are not different words; the file's name does not hold the first of them exactly once, or
            that of another channel; or a file is missing.
    """
    place, names = ImagePath.of(path), _checked(names)
    whole, path = place is path, place.path
    expected = f"{names[0]!r}, the first of the channels {names}, once in the file's name"
    expect(_is_first(path, names), path, "another name", expected)
    paths = [path.with_name(path.name.replace(names[0], name)) for name in names]
    for channel, name in zip(paths, names, strict=True):
        if not channel.exists():
            raise InputError(f"{channel}: no such file, expected channel {name!r} beside {path.name}")
    return [replace(place, path=channel) for channel in paths] if whole else paths


def open_channels(path: str | Path | ImagePath, names: Sequence[str], axes: str | None = None) -> Image:
    """Open an image whose channels are files of their own, as `open_image` opens a single one.

    Args:
        path: of the first channel.
        names: of the channels, see `channel_paths`.
        axes: of each file, as `read_image` takes them.

    Returns:
        The image, its ``array`` a `ChannelArray`, axes those of the files and a final C; pixel size and path are those
        of the first channel.

    Raises:
        InputError: as `channel_paths` and `open_image`; a file has channels itself, or another shape, other axes or
            another affine (`check_same_place`) than the first.
    """
    images = [open_image(channel, axes) for channel in channel_paths(path, names)]
    first = images[0]
    for image in images:
        single = "none for channels: they are files of their own"
        expect("C" not in image.axes, image.path, f"axes {image.axes}", single)
        shape, expected = (f"{one.array.shape} ({one.axes})" for one in (image, first))
        expect(shape == expected, image.path, f"shape {shape}", f"{expected} as {first.path.name} has")
        check_same_place(first.path, image.path)
    return replace(first, array=ChannelArray(tuple(image.array for image in images)), axes=first.axes + "C")


def find_channel_images(
    patterns: str | Path | Sequence[str | Path],
    names: Sequence[str],
    series: int | str | None = None,
    allow_missing: bool = False,
) -> list[Path] | list[ImagePath]:
    """List images whose channels are files of their own: of the files that `find_images` finds, the first channels'.

    Whether the other channels are there is for `channel_paths` to check.

    Args:
        patterns: as for `find_images`.
        names: of the channels, see `channel_paths`.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`.

    Returns:
        The paths, each once, sorted.

    Raises:
        InputError: a pattern matches no image, none of them is a first channel, or one is another channel without its
            first.
    """
    names, images = _checked(names), find_images(patterns)
    first = [path for path in images if _is_first(path, names)]
    for path in images:
        _check_first_beside(path, names)
    among = f"no first channel among the {len(images)} images"
    expect(first, images[0], among, f"{names[0]!r} once in a file's name")
    return series_paths(first, series, allow_missing)


def _checked(names: Sequence[str]) -> list[str]:
    differ = not isinstance(names, str) and names and all(names) and len(set(names)) == len(names)
    expect(differ, "channels", repr(names), "a list of different words of the files' names")
    return list(names)


def _check_first_beside(path: Path, names: list[str]) -> None:
    """Refuse another channel whose first one is missing: its image would be left out without a word."""
    for name in names[1:]:
        if path.name.count(name) == 1 and not _is_first(path, names):
            other = path.with_name(path.name.replace(name, names[0]))
            if not other.exists():
                raise InputError(f"{other}: no such file, expected channel {names[0]!r} beside {path.name}")


def _is_first(path: Path, names: list[str]) -> bool:
    # "t1ce" is another channel than "t1", which it holds.
    longer = (name for name in names[1:] if names[0] in name)
    return path.name.count(names[0]) == 1 and not any(name in path.name for name in longer)

"""Images written in parts, by one process or several, and taken up again after a run was killed."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from aeanet_tf.errors import InputError, writing
from aeanet_tf.io.clips import Clips, count_clipped
from aeanet_tf.io.image import check_axes, check_pixel_size
from aeanet_tf.io.ome_zarr import default_chunks
from aeanet_tf.io.tiff import Slices
from aeanet_tf.io.write_formats import Layout, NiftiTarget, ZarrTarget, target_format


class ImageTarget:
    """An image being written in parts, under the name ``.partial-`` + tag + name until it is finished.

    It can be pickled, and several processes may write at once: to a zarr regions that share no chunk, to others any
    regions that do not overlap. A NIfTI or Analyze volume lies, not compressed, in a file ``...npy`` until then.

    Attributes:
        path: where the finished image will be.
        shape: of the image, in the order of ``axes``.
        axes: the axes in the caller's order; the file has its own (TZCYX in a TIFF, TCZYX in a zarr).
        chunks: shape of a zarr's chunks in the order of ``axes``; None for others.
        dtype: of the pixels.
        clipped: when it is finished, how many pixels were below and above what their type of integers holds.
    """

    def __init__(self, layout: Layout, axes: str) -> None:
        """Attach to a partial image that has this layout; see `create` and `reopen`."""
        stored = [layout.axes.index(axis) for axis in axes]
        self.path, self.axes, self.dtype = layout.path, axes, layout.dtype
        self.shape = tuple(layout.shape[dimension] for dimension in stored)
        self.chunks = None if layout.chunks is None else tuple(layout.chunks[dimension] for dimension in stored)
        self._order = [axes.index(axis) for axis in layout.axes]
        self._store = target_format(layout.path, layout.like)(layout)
        self._clips, self.clipped = Clips(clips_path(layout)), (0, 0)

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: Sequence[int],
        axes: str,
        pixel_size: dict[str, float] | None = None,
        unit: str | None = None,
        chunks: Sequence[int] | None = None,
        tag: str = "",
        dtype: DTypeLike = "float32",
        like: str | Path | None = None,
        made_by: str | None = None,
        channel_names: Sequence[str] = (),
        like_factor: float = 1.0,
    ) -> "ImageTarget":
        """Begin an image, all zero; what an earlier run left half-written under its partial name is removed.

        The space of all but a zarr is reserved, so that a full disk shows now (where the file system can do so).

        Args:
            path: ending in .tif or .tiff (ImageJ hyperstack) or .zarr (OME-Zarr 0.4); with ``like`` in .nii, .nii.gz or
                .hdr, as for `write_nifti`. The folder is made.
            shape: of the image.
            axes: its axes, letters of TZCYX, one a dimension, in any order. Of a volume Z, which may be missing where
                ``like`` has one slice, Y, X, and C, which becomes the fourth dimension of the file.
            pixel_size: step along an axis, where known: Z, Y, X in ``unit``, T in seconds; that of ``like`` if given.
            unit: unit of length, such as "um"; needed where ``pixel_size`` has Z, Y or X.
            chunks: shape of the chunks of a zarr, in the order of ``axes``, clipped to the shape; None is up to 256
                along Y and X, 64 along Z, 1 along T and C. A TIFF has none.
            tag: part of the partial name, which tells apart what different runs write.
            dtype: of the pixels: uint8, uint16, int16 or float32 in a TIFF (what ImageJ knows), any integers or floats
                in others; see `write_nifti` for what becomes of it there.
            like: file of the NIfTI or Analyze volume whose place (affine, voxel size, header) the image takes over;
                read again, as a whole, when it is finished.
            channel_names: of the channels, or of the one that an image without C is of; not kept of volumes with
                ``like``.
            like_factor: distance of the planes of ``like`` over that of the image's, see `with_planes`.
            made_by: line that the file's metadata say of what made it, see `aeanet_tf.io.made_by`.

        Raises:
            InputError: the name, the shape, the axes, the chunks, the pixel size or the dtype do not fit; ``path`` is
                a folder that is no zarr; ``like`` cannot be read.
            WriteError: it cannot be written.
        """
        names = {"channel_names": channel_names, "like_factor": like_factor}
        layout = _layout(path, shape, axes, pixel_size, unit, chunks, tag, dtype, like, made_by, **names)
        with writing(layout.path):
            layout.path.parent.mkdir(parents=True, exist_ok=True)
            _remove(layout.partial)
            Clips(clips_path(layout)).remove()
            try:
                target_format(layout.path, layout.like).lay_out(layout)
                return cls(layout, check_axes(axes))
            except BaseException:
                _remove(layout.partial)
                raise

    @classmethod
    def reopen(
        cls, path: str | Path, shape: Sequence[int], axes: str, *options: Any, **named: Any
    ) -> "ImageTarget | None":
        """Attach to the partial image that a killed run left; what it wrote is kept.

        Args:
            path, shape, axes, options, named: as of `create`.

        Returns:
            The image, None if there is no partial one or it was begun with other arguments.

        Raises:
            InputError: the arguments do not fit each other.
        """
        layout = _layout(path, shape, axes, *options, **named)
        return cls(layout, check_axes(axes)) if target_format(layout.path, layout.like).fits(layout) else None

    def write(self, slices: Slices, values: np.ndarray) -> None:
        """Write a region.

        Args:
            slices: the region, one slice a dimension in the order of ``axes``, within the image, of step 1.
            values: its pixels, written as `as_dtype` makes them the image's.

        Raises:
            ValueError: the slices are others, the values have another shape, or NaN is to be an integer.
            WriteError: the disk is full, or the file cannot be written.
        """
        given, values = np.asarray(values), as_dtype(values, self.dtype)
        slices = checked_region(slices, self.shape, values.shape)
        with writing(self.path):
            # Before the pixels: a region that a killed process had begun is written, and noted, again.
            self._clips.enter(slices, count_clipped(given, self.dtype))
            self._store.write(tuple(slices[dimension] for dimension in self._order), values.transpose(self._order))

    def finish(self) -> None:
        """Flush the image to disk and give it its name, in the place of an earlier one.

        A volume with a ``like`` is converted, in memory, as is ``like``.

        Raises:
            InputError: ``like`` cannot be read or has changed its shape; a value of the volume is not finite.
            WriteError: it cannot be written.
        """
        self.clipped = self._clips.total()
        with writing(self.path):
            self._store.finish()
        self._clips.remove()

    def discard(self) -> None:
        """Remove what has been written; an earlier image at ``path`` stays."""
        self._clips.remove()
        _remove(self._store.layout.partial)


def as_dtype(values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Values as pixels of ``dtype``: floats are converted, integers rounded (half to even) and clipped to their range.

    Args:
        values: real numbers. What has the dtype already is given back as it is.
        dtype: of the pixels.

    Raises:
        ValueError: a value that is to become an integer is NaN.
    """
    values, dtype = np.asarray(values), np.dtype(dtype)
    if dtype.kind == "f" or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            raise ValueError(f"values: hold NaN, which no {dtype} is")
        values = np.rint(values.astype(np.float64))
        # The largest 64-bit integers are no floats: the next below.
        high = high if float(high) <= high else int(np.nextafter(float(high), 0))
    elif values.dtype.kind in "iu":
        # NumPy clips integers by what they can be only.
        low, high = max(low, np.iinfo(values.dtype).min), min(high, np.iinfo(values.dtype).max)
    return np.clip(values, low, high).astype(dtype)


def _layout(
    path,
    shape,
    axes,
    pixel_size=None,
    unit=None,
    chunks=None,
    tag="",
    dtype="float32",
    like=None,
    made_by=None,
    channel_names=(),
    like_factor=1.0,
) -> Layout:  # Arguments as of `ImageTarget.create`.
    path, like, shape = Path(path), None if like is None else Path(like), tuple(int(size) for size in shape)
    target = target_format(path, like)
    axes = check_axes(axes, target.order)
    order = [axis for axis in target.order if axis in axes]
    if len(shape) != len(axes):
        raise InputError(f"{path}: axes {axes} do not fit the image's shape {shape}")
    if min(shape) < 1:
        raise InputError(f"{path}: the image to write is empty, its shape is {shape}")
    check_pixel_size(path, pixel_size or {}, unit)
    dtype = np.dtype(dtype).newbyteorder("=")
    target.check_dtype(path, dtype)
    stored = None
    if target is ZarrTarget:
        stored = default_chunks(shape, axes) if chunks is None else tuple(int(size) for size in chunks)
        if len(stored) != len(axes) or min(stored) < 1:
            raise InputError(f"{path}: found chunks {tuple(chunks)}, expected a positive number for each of {axes}")
        stored = tuple(min(stored[axes.index(axis)], shape[axes.index(axis)]) for axis in order)
    known = {axis: float(size) for axis, size in (pixel_size or {}).items() if axis in axes}
    shape = tuple(shape[axes.index(axis)] for axis in order)
    names = tuple(channel_names) if any(channel_names) else ()
    layout = Layout(path, shape, "".join(order), stored, known, unit, tag, dtype, like, made_by, names, like_factor)
    if target is NiftiTarget:
        target.check_place(layout)
    return layout


def checked_region(slices: Slices, shape: tuple[int, ...], region: tuple[int, ...]) -> Slices:
    """Slices of an array of ``shape`` with start and stop, for values that have the shape ``region``.

    Raises:
        ValueError: the slices are none of step 1 within the array, or make another region.
    """
    if not isinstance(slices, tuple) or len(slices) != len(shape):
        raise ValueError(f"slices: found {slices!r}, expected one for each dimension of {shape}")
    full = [part.indices(size) for part, size in zip(slices, shape, strict=True)]
    outside = any(
        (part.start or 0) < 0 or (size if part.stop is None else part.stop) not in range(size + 1)
        for part, size in zip(slices, shape, strict=True)
    )
    if outside or any(step != 1 or stop < start for start, stop, step in full):
        raise ValueError(f"slices: found {slices!r}, expected a region of step 1 within {shape}")
    if region != tuple(stop - start for start, stop, _ in full):
        raise ValueError(f"values: got shape {region}, expected that of {slices!r}")
    return tuple(slice(start, stop) for start, stop, _ in full)


def clips_path(layout: Layout) -> Path:
    """Where it is noted what was clipped, beside the partial image."""
    # Of one length: names may be as long as a file system takes.
    digest = hashlib.sha256(os.fsencode(layout.partial.name)).hexdigest()[:16]
    return layout.partial.with_name(f".partial-clips-{digest}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()

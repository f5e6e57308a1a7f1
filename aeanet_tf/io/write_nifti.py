"""Volumes of NIfTI and Analyze written in parts, in the place of the volume that they were predicted from."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from aeanet_tf.errors import InputError, writing
from aeanet_tf.io.flat_file import reserve, write_region
from aeanet_tf.io.image import check_axes
from aeanet_tf.io.nifti import Volume, check_nifti, read_nifti, write_nifti
from aeanet_tf.io.tiff import Slices
from aeanet_tf.io.write import as_dtype, checked_region

# In reverse that of the file: NIfTI's first dimension is the fastest.
_ORDER = "CZYX"


class NiftiTarget:
    """A volume being written in parts, as `aeanet_tf.io.write.ImageTarget` is, and converted when it is finished.

    Until then the voxels lie, not compressed, in a file ``.partial-`` + tag + name + ``.npy`` beside it. It can be
    pickled, and several processes may write regions that do not overlap at once.

    Attributes:
        path: where the finished volume will be.
        like: the volume whose affine, voxel size and header it takes over.
        shape: of the volume, in the order of ``axes``.
        axes: letters of ZYXC in the caller's order. C becomes the fourth dimension of the file.
        dtype: of the voxels.
    """

    def __init__(self, path: Path, like: Path, shape: tuple[int, ...], axes: str, partial: Path) -> None:
        """Attach to a partial volume; see `create` and `reopen`."""
        self.path, self.like, self.shape, self.axes, self._partial = path, like, shape, axes, partial
        self._stored_shape, self.dtype, self._offset = _read_header(partial)

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: Sequence[int],
        axes: str,
        like: str | Path,
        tag: str = "",
        dtype: DTypeLike = "float32",
    ) -> "NiftiTarget":
        """Begin a volume, all zero; what an earlier run left half-written under its partial name is removed.

        The space of the partial file is reserved, so that a full disk shows now (where the file system can do so).

        Args:
            path: ending in .nii, .nii.gz or .hdr, as for `write_nifti`. The folder is made.
            shape: of the volume.
            axes: its axes, Z, Y, X in any order and C where there are channels. Z may be missing where ``like`` has one
                slice.
            like: the volume whose place it takes, a file of NIfTI or Analyze. It is read again when the volume is
                finished.
            tag: part of the partial name, which tells apart what different runs write.
            dtype: of the voxels; see `write_nifti` for what becomes of it.

        Raises:
            InputError: ``like`` cannot be read, or the name, the shape, the axes or the dtype do not fit.
            WriteError: it cannot be written.
        """
        path, like, shape, axes, stored = _checked(path, shape, axes, read_nifti(like), dtype)
        partial, dtype = _partial(path, tag), np.dtype(dtype).newbyteorder("=")
        with writing(path):
            partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(partial, "wb") as file:
                    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": stored}
                    np.lib.format.write_array_header_1_0(file, header)
                    offset = file.tell()
                reserve(partial, offset + math.prod(stored) * dtype.itemsize)
                return cls(path, like, shape, axes, partial)
            except BaseException:
                _remove(partial)
                raise

    @classmethod
    def reopen(
        cls,
        path: str | Path,
        shape: Sequence[int],
        axes: str,
        like: str | Path,
        tag: str = "",
        dtype: DTypeLike = "float32",
    ) -> "NiftiTarget | None":
        """Attach to the partial volume that a killed run left; what it wrote is kept.

        Args:
            path, shape, axes, like, tag, dtype: as of `create`.

        Returns:
            The volume, None if there is no partial one or it was begun with another shape or dtype.

        Raises:
            InputError: as `create`.
        """
        path, like, shape, axes, stored = _checked(path, shape, axes, read_nifti(like), dtype)
        partial, dtype = _partial(path, tag), np.dtype(dtype).newbyteorder("=")
        try:
            found_shape, found_dtype, offset = _read_header(partial)
            size = partial.stat().st_size
        # NumPy raises ValueError for what is no header.
        except (OSError, ValueError):
            return None
        whole = offset + math.prod(stored) * dtype.itemsize
        if (found_shape, found_dtype, size) != (stored, dtype, whole):
            return None
        return cls(path, like, shape, axes, partial)

    def write(self, slices: Slices, values: np.ndarray) -> None:
        """Write a region.

        Args:
            slices: the region, one slice a dimension in the order of ``axes``, within the volume, of step 1.
            values: its voxels, written as `as_dtype` makes them the volume's.

        Raises:
            ValueError: the slices are others, the values have another shape, or NaN is to be an integer.
            WriteError: the disk is full, or the file cannot be written.
        """
        values = as_dtype(values, self.dtype)
        by_axis = dict(zip(self.axes, checked_region(slices, self.shape, values.shape), strict=True))
        values = values.transpose([self.axes.index(axis) for axis in _ORDER if axis in self.axes])
        region = tuple(by_axis.get(axis, slice(0, 1)) for axis in _ORDER[-len(self._stored_shape) :])
        # An axis that is missing has one position.
        values = values.reshape([part.stop - part.start for part in region])
        with writing(self.path):
            write_region(self._partial, self._offset, self._stored_shape, region, values)

    def finish(self) -> None:
        """Write the volume in its format, in the place of an earlier one, and remove the partial file.

        The volume is in memory meanwhile, and so is ``like``. A run killed here leaves the partial file.

        Raises:
            InputError: ``like`` cannot be read or has changed its shape; a value is NaN or infinite.
            WriteError: the volume cannot be written.
        """
        array = np.load(self._partial)
        write_nifti(self.path, np.moveaxis(array, 0, -1) if array.ndim == 4 else array, read_nifti(self.like))
        _remove(self._partial)

    def discard(self) -> None:
        """Remove what has been written; an earlier volume at ``path`` stays."""
        _remove(self._partial)


def _checked(
    path: str | Path, shape: Sequence[int], axes: str, like: Volume, dtype: DTypeLike
) -> tuple[Path, Path, tuple[int, ...], str, tuple[int, ...]]:
    """Path, path of ``like``, shape and axes as they are kept, and the stored shape."""
    path, axes, shape = Path(path), check_axes(axes, "ZYXC"), tuple(int(size) for size in shape)
    if len(shape) != len(axes):
        raise InputError(f"{path}: axes {axes} do not fit the volume's shape {shape}")
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(f"{path}: cannot write voxels of type {np.dtype(dtype)}, expected integers or floats")
    by_axis = {"Z": 1} | dict(zip(axes, shape, strict=True))
    check_nifti(path, tuple(by_axis[axis] for axis in "ZYXC" if axis in by_axis), like)
    return path, like.path, shape, axes, tuple(by_axis[axis] for axis in _ORDER if axis in by_axis)


def _partial(path: Path, tag: str) -> Path:
    return path.with_name(f".partial-{tag}{'-' if tag else ''}{path.name}.npy")


def _read_header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return shape, dtype, file.tell()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

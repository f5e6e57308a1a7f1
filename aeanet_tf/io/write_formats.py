"""The formats in which images are written in parts: ImageJ TIFF, OME-Zarr, and NIfTI or Analyze."""

import json
import math
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.flat_file import reserve, write_region
from aeanet_tf.io.image import WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX, image_stem
from aeanet_tf.io.nifti import Volume, check_nifti, read_nifti, with_planes, write_nifti
from aeanet_tf.io.ome_zarr import ZARR_ORDER, is_zarr, zarr_documents
from aeanet_tf.io.pixel_size import normal_unit
from aeanet_tf.io.tiff import IMAGEJ_ORDER, Slices, imagej_options
from aeanet_tf.io.tiff_file import tiff_calibration, tiff_file
from aeanet_tf.paths import partial_path

_MOST_LABELS = 10_000
# What ImageJ knows; it shows signed ones as such.
_TIFF_TYPES = ("uint8", "uint16", "int16", "float32")


@dataclass(frozen=True)
class Layout:
    """What is to be stored, all of it in the order of the file's dimensions; ``partial`` is its name until then.

    Of a NIfTI or Analyze volume ``like`` is the file in whose place it is, with planes at a ``like_factor``-th of its
    distance. ``made_by`` is a line of the metadata,
    ``channel_names`` are those of the channels, empty where none is known.
    """

    path: Path
    shape: tuple[int, ...]
    axes: str
    chunks: tuple[int, ...] | None
    pixel_size: dict[str, float]
    unit: str | None
    tag: str
    dtype: np.dtype
    like: Path | None
    made_by: str | None = None
    channel_names: tuple[str, ...] = ()
    like_factor: float = 1.0

    @property
    def partial(self) -> Path:
        name = f"{self.path.name}{'.npy' if self.like else ''}"
        return partial_path(self.path.with_name(name), self.tag)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class TiffTarget:
    """An ImageJ hyperstack whose pixels lie together, from byte ``offset`` on.

    Written with ordinary writes, since a full disk ends a process that writes through a memory map.
    """

    order = IMAGEJ_ORDER

    @staticmethod
    def check_dtype(path: Path, dtype: np.dtype) -> None:
        """Raise `InputError` for pixels that the format does not hold."""
        known = f"{', '.join(_TIFF_TYPES)}, which ImageJ's TIFF holds; name it .zarr for others"
        expect(dtype.name in _TIFF_TYPES, path, f"pixels of type {dtype}", known)

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        with tiff_file(layout.partial) as tif:
            self.offset = tif.series[0].dataoffset
            self.dtype = layout.dtype.newbyteorder(tif.byteorder)

    @staticmethod
    def lay_out(layout: Layout) -> None:
        expect(not layout.path.is_dir(), layout.path, "a folder", "the name of a file to write")
        options = imagej_options(layout.path, layout.axes, layout.nbytes, layout.pixel_size, layout.unit)
        if layout.made_by:
            # ImageJ: Image > Show Info.
            options["metadata"]["Info"] = layout.made_by
        planes = math.prod(n for n, a in zip(layout.shape, layout.axes, strict=True) if a in "TZC")
        if layout.channel_names and planes <= _MOST_LABELS:
            # ImageJ: under the title of the window. Channels are the fastest.
            options["metadata"]["Labels"] = [*layout.channel_names] * (planes // len(layout.channel_names))
        tifffile.imwrite(layout.partial, shape=layout.shape, dtype=layout.dtype, **options)
        reserve(layout.partial, layout.partial.stat().st_size)

    @staticmethod
    def fits(layout: Layout) -> bool:
        if not layout.partial.is_file():
            return False
        with suppress(InputError), tiff_file(layout.partial) as tif:
            if not tif.is_imagej or tif.series[0].dataoffset is None or tif.pages[0].dtype != layout.dtype:
                return False
            names = {"T": "frames", "Z": "slices", "C": "channels"}
            stored = {axis: tif.imagej_metadata.get(name, 1) for axis, name in names.items()}
            stored |= {"Y": tif.pages[0].imagelength, "X": tif.pages[0].imagewidth}
            wanted = dict.fromkeys("TZC", 1) | dict(zip(layout.axes, layout.shape, strict=True))
            return stored == wanted and _same_calibration(layout, *tiff_calibration(tif))
        return False

    def write(self, slices: Slices, values: np.ndarray) -> None:
        write_region(self.layout.partial, self.offset, self.layout.shape, slices, np.asarray(values, self.dtype))

    def finish(self) -> None:
        _fsync(self.layout.partial)
        os.replace(self.layout.partial, self.layout.path)


class ZarrTarget:
    """An OME-Zarr 0.4 with one resolution."""

    order = ZARR_ORDER

    @staticmethod
    def check_dtype(path: Path, dtype: np.dtype) -> None:
        """Raise `InputError` for pixels that the format does not hold."""
        holds = dtype.kind in "biuf" and dtype.itemsize <= 8
        expect(holds, path, f"pixels of type {dtype}", "integers or floats of up to 64 bits")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._opened: Any = None

    @staticmethod
    def lay_out(layout: Layout) -> None:
        replaceable = is_zarr(layout.path) or not layout.path.exists()
        expect(replaceable, layout.path, "what is no zarr", "a new name, or a zarr, which is all that is replaced")
        (layout.partial / "0").mkdir(parents=True)
        for name, document in _documents(layout).items():
            (layout.partial / name).write_text(json.dumps(document, indent=1), encoding="utf-8")

    @staticmethod
    def fits(layout: Layout) -> bool:
        try:
            documents = _documents(layout).items()
            return all(json.loads((layout.partial / name).read_text("utf-8")) == wanted for name, wanted in documents)
        except (OSError, ValueError):
            return False

    def write(self, slices: Slices, values: np.ndarray) -> None:
        import zarr

        if self._opened is None:
            self._opened = zarr.open_array(str(self.layout.partial / "0"), mode="r+")
        self._opened[slices] = values

    def finish(self) -> None:
        partial, path = self.layout.partial, self.layout.path
        for file in partial.rglob("*"):
            if file.is_file():
                _fsync(file)
        old = partial_path(path, kind="replaced")
        if is_zarr(path):
            # A folder cannot be replaced at once; never is half of the old one to be seen.
            shutil.rmtree(old, ignore_errors=True)
            os.replace(path, old)
        os.replace(partial, path)
        shutil.rmtree(old, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


class NiftiTarget:
    """A volume whose voxels lie, not compressed, in a file of NumPy's until it is finished and converted."""

    # In reverse that of the file: NIfTI's first dimension is the fastest.
    order = "CZYX"

    check_dtype = staticmethod(ZarrTarget.check_dtype)

    @staticmethod
    def check_place(layout: Layout) -> None:
        """Raise `InputError` for a name or a shape that does not fit the volume's."""
        sizes = {"Z": 1} | dict(zip(layout.axes, layout.shape, strict=True))
        check_nifti(layout.path, tuple(sizes[axis] for axis in "ZYXC" if axis in sizes), _place(layout))

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.offset = _npy_header(layout.partial)[-1]

    @staticmethod
    def lay_out(layout: Layout) -> None:
        with open(layout.partial, "wb") as file:
            descr = np.lib.format.dtype_to_descr(layout.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": layout.shape}
            np.lib.format.write_array_header_1_0(file, header)
            offset = file.tell()
        reserve(layout.partial, offset + layout.nbytes)

    @staticmethod
    def fits(layout: Layout) -> bool:
        # NumPy raises ValueError for what is no header.
        with suppress(OSError, ValueError):
            shape, dtype, offset = _npy_header(layout.partial)
            whole = layout.partial.stat().st_size == offset + layout.nbytes
            return whole and (shape, dtype) == (layout.shape, layout.dtype)
        return False

    def write(self, slices: Slices, values: np.ndarray) -> None:
        write_region(self.layout.partial, self.offset, self.layout.shape, slices, values)

    def finish(self) -> None:
        array = np.load(self.layout.partial)
        if "Z" not in self.layout.axes:
            array = np.expand_dims(array, -3)
        array = np.moveaxis(array, 0, -1) if array.ndim == 4 else array
        write_nifti(self.layout.path, array, _place(self.layout), self.layout.made_by)
        self.layout.partial.unlink()


def _place(layout: Layout) -> Volume:
    return with_planes(read_nifti(layout.like), layout.like_factor)


def target_format(path: Path, like: Path | None = None) -> type[TiffTarget] | type[ZarrTarget] | type[NiftiTarget]:
    """The format, NIfTI or Analyze in the place of a volume, else by the suffix. Raises `InputError` for any other."""
    suffix = path.suffix.lower()
    if like is not None:
        return NiftiTarget
    if suffix not in (*WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX):
        raise InputError(f"{path}: written is TIFF or OME-Zarr, expected a name ending in .tif, .tiff or .zarr")
    return ZarrTarget if suffix == ZARR_SUFFIX else TiffTarget


def _npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return shape, dtype, file.tell()


def _documents(layout: Layout) -> dict[str, dict[str, Any]]:
    name, stored = image_stem(layout.path), (layout.shape, layout.axes, layout.chunks, layout.dtype)
    documents = zarr_documents(name, *stored, layout.pixel_size, layout.unit)
    if layout.made_by:
        documents[".zattrs"]["_creator"]["image"] = layout.made_by
    if layout.channel_names:
        channels = [{"label": name, "color": "FFFFFF", "active": True} for name in layout.channel_names]
        documents[".zattrs"]["omero"] = {"version": "0.4", "channels": channels}
    return documents


def _same_calibration(layout: Layout, given: dict[str, float], unit: str | None) -> bool:
    wanted = {axis: size for axis, size in layout.pixel_size.items() if axis == "T" or normal_unit(layout.unit)}
    if normal_unit(layout.unit):
        # ImageJ has X and Y together, and 1 where nothing is known
        sizes = layout.pixel_size
        wanted["X"], wanted["Y"] = sizes.get("X", sizes.get("Y", 1.0)), sizes.get("Y", sizes.get("X", 1.0))
    same = given.keys() == wanted.keys() and all(math.isclose(given[a], wanted[a], rel_tol=1e-5) for a in wanted)
    return same and unit == normal_unit(layout.unit)


def _fsync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())

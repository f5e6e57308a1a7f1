"""The two formats in which images are written in parts: ImageJ TIFF and OME-Zarr."""

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.flat_file import reserve, write_region
from aeanet_tf.io.image import TIFF_SUFFIXES, ZARR_SUFFIX, image_stem
from aeanet_tf.io.ome_zarr import ZARR_ORDER, is_zarr, zarr_documents
from aeanet_tf.io.pixel_size import normal_unit
from aeanet_tf.io.tiff import IMAGEJ_ORDER, Slices, imagej_options, tiff_calibration, tiff_file

# What ImageJ knows.
_TIFF_TYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Layout:
    """What is to be stored, all of it in the order of the file's dimensions; ``partial`` is its name until then."""

    path: Path
    shape: tuple[int, ...]
    axes: str
    chunks: tuple[int, ...] | None
    pixel_size: dict[str, float]
    unit: str | None
    tag: str
    dtype: np.dtype

    @property
    def partial(self) -> Path:
        return self.path.with_name(f".partial-{self.tag}{'-' if self.tag else ''}{self.path.name}")


class TiffTarget:
    """An ImageJ hyperstack whose pixels lie together, from byte ``offset`` on.

    Written with ordinary writes, since a full disk ends a process that writes through a memory map.
    """

    order = IMAGEJ_ORDER

    @staticmethod
    def check_dtype(path: Path, dtype: np.dtype) -> None:
        """Raise `InputError` for pixels that the format does not hold."""
        if dtype.name not in _TIFF_TYPES:
            known = ", ".join(_TIFF_TYPES)
            raise InputError(f"{path}: pixels of type {dtype}, ImageJ's TIFF holds {known}; name it .zarr for others")

    def __init__(self, layout: Layout) -> None:
        self.partial, self.shape = layout.partial, layout.shape
        with tiff_file(self.partial) as tif:
            series = tif.series[0]
            self.offset = series.dataoffset
            self.dtype = layout.dtype.newbyteorder(tif.byteorder)

    @staticmethod
    def lay_out(layout: Layout) -> None:
        if layout.path.is_dir():
            raise InputError(f"{layout.path}: is a folder, expected the name of a file to write")
        nbytes = math.prod(layout.shape) * layout.dtype.itemsize
        options = imagej_options(layout.path, layout.axes, nbytes, layout.pixel_size, layout.unit)
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
        write_region(self.partial, self.offset, self.shape, slices, np.asarray(values, self.dtype))

    def flush(self) -> None:
        _fsync(self.partial)


class ZarrTarget:
    """An OME-Zarr 0.4 with one resolution."""

    order = ZARR_ORDER

    @staticmethod
    def check_dtype(path: Path, dtype: np.dtype) -> None:
        """Raise `InputError` for pixels that the format does not hold."""
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise InputError(f"{path}: found pixels of type {dtype}, expected integers or floats of up to 64 bits")

    def __init__(self, layout: Layout) -> None:
        self.partial = layout.partial
        self._opened: Any = None

    @staticmethod
    def lay_out(layout: Layout) -> None:
        if layout.path.exists() and not is_zarr(layout.path):
            raise InputError(f"{layout.path}: exists and is no zarr, which is all that is replaced")
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
            self._opened = zarr.open_array(str(self.partial / "0"), mode="r+")
        self._opened[slices] = values

    def flush(self) -> None:
        for path in self.partial.rglob("*"):
            if path.is_file():
                _fsync(path)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


def target_format(path: Path) -> type[TiffTarget] | type[ZarrTarget]:
    """The format by the suffix. Raises `InputError` for any other."""
    suffix = path.suffix.lower()
    if suffix not in (*TIFF_SUFFIXES, ZARR_SUFFIX):
        raise InputError(f"{path}: written is TIFF or OME-Zarr, expected a name ending in .tif, .tiff or .zarr")
    return ZarrTarget if suffix == ZARR_SUFFIX else TiffTarget


def _documents(layout: Layout) -> dict[str, dict[str, Any]]:
    name = image_stem(layout.path)
    documents = zarr_documents(name, layout.shape, layout.axes, layout.chunks, layout.pixel_size, layout.unit)
    # Zeros as JSON has them for this dtype: 0.0, 0 or false.
    stored = {"dtype": layout.dtype.newbyteorder("<").str, "fill_value": layout.dtype.type(0).item()}
    documents["0/.zarray"] |= stored
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

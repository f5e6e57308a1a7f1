"""OME-Zarr folders: what their metadata says, their pixels read in parts, and new ones written in parts."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, one_line
from aeanet_tf.io.pixel_size import in_one_unit, normal_unit
from aeanet_tf.io.tiff import Slices

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
# Our name of a unit of length: its name in OME-Zarr.
_LENGTHS = {
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "um": "micrometer",
    "nm": "nanometer",
    "Å": "angstrom",
    "pm": "picometer",
}
_SECONDS = {"second": 1.0, "millisecond": 1e-3, "minute": 60.0, "hour": 3600.0}
_TYPES = {"T": "time", "C": "channel"}

ZARR_ORDER = "TCZYX"
_DEFAULT_CHUNKS = {"Z": 64, "Y": 256, "X": 256}


@dataclass
class ZarrImage:
    """What an OME-Zarr folder holds: its pixels, a letter for each dimension (Q: not known), its calibration."""

    array: "ZarrArray"
    axes: str
    pixel_size: dict[str, float]
    unit: str | None


def is_zarr(path: str | Path) -> bool:
    """Whether ``path`` is a folder with the metadata of a zarr array or group (format 2 or 3)."""
    return Path(path).is_dir() and any((Path(path) / name).is_file() for name in _MARKERS)


def open_zarr(path: str | Path, axes: str | None = None) -> ZarrImage:
    """Read the metadata of an OME-Zarr (0.1 to 0.5): its first image, at the highest resolution.

    Args:
        path: the folder.
        axes: the axes that the user gave, if any; a zarr that names none is then accepted, if it is an array or
            a group with one array, "0".

    Returns:
        The image. Sizes are those with a unit, Y and Z in the unit of X, T in seconds.

    Raises:
        InputError: there is no zarr, its metadata is damaged, it is a plate or a series of images, it names no
            axes, or its array cannot be opened.
    """
    path = Path(path)
    kind, attributes = _node(path)
    metadata = attributes.get("ome", attributes)
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: the OME-Zarr metadata is damaged, expected a table, got {metadata!r:.60}")
    if "plate" in metadata or "well" in metadata:
        raise InputError(f"{path}: the zarr is a plate or a well (HCS), expected one image, as {path / 'A/1/0'}")
    if "multiscales" in metadata:
        try:
            return _multiscale(path, metadata["multiscales"][0], axes)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = one_line(f"{type(error).__name__}: {error}")
            raise InputError(f"{path}: the OME-Zarr multiscales are damaged ({reason})") from error
    if "bioformats2raw.layout" in metadata:
        raise InputError(f"{path}: the zarr holds a series of images, expected one, as {path / '0'}")
    if axes is None:
        raise _no_axes(path, "no OME-Zarr multiscales")
    array = ZarrArray(path, path if kind == "array" else _only_array(path))
    return ZarrImage(array, "Q" * len(array.shape), {}, None)


def _no_axes(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: the zarr names no axes ({reason}); give them, as --axes ZYX")


def _node(folder: Path) -> tuple[str, dict[str, Any]]:
    """Whether a folder is an array or a group, and its attributes."""
    if not is_zarr(folder):
        raise InputError(f"{folder}: no zarr in the folder, expected zarr.json, .zgroup or .zarray")
    if (folder / "zarr.json").is_file():
        document = _json(folder / "zarr.json")
        attributes = document.get("attributes", {})
        return document.get("node_type", "group"), attributes if isinstance(attributes, dict) else {}
    attributes = _json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}
    return "array" if (folder / ".zarray").is_file() else "group", attributes


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({one_line(error)})") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a table, got {document!r:.60}")
    return document


def _only_array(path: Path) -> Path:
    nodes = sorted(child.name for child in path.iterdir() if is_zarr(child))
    if nodes != ["0"] or _node(path / "0")[0] != "array":
        listed = ", ".join(nodes[:5]) or "nothing"
        raise InputError(f"{path}: the zarr group without OME-Zarr metadata holds {listed}, expected one array, '0'")
    return path / "0"


def _multiscale(path: Path, multiscale: dict[str, Any], given: str | None) -> ZarrImage:
    dataset = multiscale["datasets"][0]
    if not multiscale.get("axes"):
        # as in the first versions, which meant TCZYX and were written with any order
        if given is None:
            raise _no_axes(path, "its OME-Zarr multiscales have none")
        array = ZarrArray(path, path / dataset["path"])
        return ZarrImage(array, "Q" * len(array.shape), {}, None)
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in multiscale["axes"]]
    array = ZarrArray(path, path / dataset["path"])
    axes = "".join(_letter(axis) for axis in named)
    if len(axes) != len(array.shape):
        names = ", ".join(str(axis["name"]) for axis in named)
        raise InputError(f"{path}: the array has shape {array.shape}, the multiscales name other axes ({names})")
    scale = np.ones(len(axes))
    transformations = dataset.get("coordinateTransformations", []) + multiscale.get("coordinateTransformations", [])
    for transformation in transformations:
        if transformation["type"] == "scale":
            scale = scale * np.asarray(transformation["scale"], float)
    return ZarrImage(array, axes, *_calibration(axes, named, scale))


def _letter(axis: dict[str, Any]) -> str:
    for letter, kind in _TYPES.items():
        if axis.get("type") == kind:
            return letter
    name = str(axis["name"]).upper()
    return name if name in ("T", "Z", "C", "Y", "X") else "Q"


def _calibration(axes: str, named: list[dict[str, Any]], scale: np.ndarray) -> tuple[dict[str, float], str | None]:
    ours = {theirs: name for name, theirs in _LENGTHS.items()}
    lengths, seconds = {}, {}
    for letter in "XYZT":
        own = named[axes.index(letter)].get("unit") if letter in axes else None
        size = float(scale[axes.index(letter)]) if own else 0.0
        # Without a unit a scale is only relative.
        if not own or not 0 < size < math.inf:
            continue
        if letter != "T":
            lengths[letter] = size, ours.get(own, own)
        elif own in _SECONDS:
            seconds["T"] = size * _SECONDS[own]
    sizes, unit = in_one_unit(lengths)
    return sizes | seconds, unit


class ZarrArray:
    """A zarr array on disk. Attributes: ``shape``, ``dtype`` (native), ``chunks``. It can be pickled."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Open ``folder``; ``path`` is the image for messages. Raises `InputError` if it is not a readable array."""
        self.folder = folder
        self._opened: Any = None
        try:
            if not is_zarr(folder):
                raise FileNotFoundError("it does not exist")
            array = self._array()
        # zarr raises whatever the damaged metadata leads it to.
        except Exception as error:
            raise InputError(f"{path}: the zarr array {folder.name!r} cannot be opened ({one_line(error)})") from error
        self.shape = tuple(int(size) for size in array.shape)
        self.chunks = tuple(min(part, max(size, 1)) for part, size in zip(array.chunks, self.shape, strict=True))
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    def _array(self) -> Any:
        import zarr

        if self._opened is None:
            if (self.folder / "zarr.json").is_file() and int(zarr.__version__.split(".")[0]) < 3:
                raise ValueError(f"it has zarr format 3, zarr {zarr.__version__} reads format 2; use Python 3.11")
            self._opened = zarr.open_array(str(self.folder), mode="r")
        return self._opened

    def read(self, slices: Slices) -> np.ndarray:
        return np.asarray(self._array()[slices], self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


def default_chunks(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """Chunks of up to 256 along Y and X and 64 along Z, 1 along T and C (16 MiB of float32)."""
    return tuple(min(size, _DEFAULT_CHUNKS.get(axis, 1)) for size, axis in zip(shape, axes, strict=True))


def zarr_documents(
    name: str,
    shape: tuple[int, ...],
    axes: str,
    chunks: tuple[int, ...],
    dtype: np.dtype,
    pixel_size: dict[str, float],
    unit: str | None,
) -> dict[str, dict[str, Any]]:
    """The metadata files of an OME-Zarr 0.4 image with one resolution, "0": content by name in the folder.

    Args:
        name: of the image.
        shape: of the pixels.
        axes: the dimensions, in the order of TCZYX.
        chunks: shape of a chunk.
        dtype: of the pixels.
        pixel_size: step along an axis, where known: Z, Y, X in ``unit``, T in seconds; 1 without a unit elsewhere.
        unit: unit of length.
    """
    named = []
    for axis in axes:
        description = {"name": axis.lower(), "type": _TYPES.get(axis, "space")}
        if axis in pixel_size:
            description["unit"] = "second" if axis == "T" else _LENGTHS.get(normal_unit(unit) or "", unit)
        named.append(description)
    scale = {"type": "scale", "scale": [float(pixel_size.get(axis, 1)) for axis in axes]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    multiscale = {"version": "0.4", "name": name, "axes": named, "datasets": datasets}
    array = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype.newbyteorder("<").str,
        # As JSON has it for this dtype: 0.0, 0 or false.
        "fill_value": dtype.type(0).item(),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
        "compressor": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0},
    }
    attributes = {"multiscales": [multiscale], "_creator": {"name": "aeanet_tf"}}
    return {".zgroup": {"zarr_format": 2}, ".zattrs": attributes, "0/.zarray": array}

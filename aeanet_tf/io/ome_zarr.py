"""OME-Zarr folders: what their metadata says of their images, and the metadata of new ones."""

import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line, reading
from aeanet_tf.io.image_path import ImagePath, Series, chosen_series
from aeanet_tf.io.pixel_size import in_one_unit, normal_unit
from aeanet_tf.io.zarr_array import ZarrArray, inside, is_zarr, read_table, zarr_shape

_LOGGER = logging.getLogger("aeanet_tf")
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

    array: ZarrArray
    axes: str
    pixel_size: dict[str, float]
    unit: str | None


@dataclass(frozen=True)
class _Member:
    """One of the images of a zarr: the group that describes it, and its entry of ``multiscales``, if it has one."""

    group: Path
    name: str
    multiscale: dict[str, Any] | None


def open_zarr(path: str | Path, axes: str | None = None, series: int | None = None) -> ZarrImage:
    """Read the metadata of an OME-Zarr (0.1 to 0.5): of one of its images, at the highest resolution.

    Nothing outside of the folder is read, and no codec that is not known (`aeanet_tf.io.codecs`).

    Args:
        path: the folder.
        axes: the axes that the user gave, if any; a zarr that names none is then accepted, if it is an array or
            a group with one array, "0".
        series: which of several images, from 0, in the order of `zarr_series`; None for the only one.

    Returns:
        The image. Sizes are those with a unit, Y and Z in the unit of X, T in seconds.

    Raises:
        InputError: there is no zarr, its metadata is damaged or claims more than is there, it is a plate, there is
            no such image or several of which none is chosen, it names no axes, or its array cannot be read.
    """
    path = Path(path)
    with reading(path):
        return _open_member(path, _chosen(path, series), axes)


def _chosen(path: Path, series: int | None) -> _Member:
    members = _members(path)
    alone = len(members) == 1 and not series
    return members[0 if alone else chosen_series(ImagePath(path, series), zarr_series(path))]


def zarr_series(path: str | Path) -> list[Series]:
    """The images of a zarr, in the order in which ``series`` counts them; the axes are Q where they are not known.

    Raises:
        InputError: as `open_zarr`.
    """
    path, listed = Path(path), []
    with reading(path):
        for number, member in enumerate(_members(path)):
            # What names no axes is listed all the same.
            image = _open_member(path, member, "")
            kept = [d for d, size in enumerate(image.array.shape) if size > 1 or image.axes[d] in "YX"]
            shape, axes = tuple(image.array.shape[d] for d in kept), "".join(image.axes[d] for d in kept)
            listed.append(Series(number, member.name, shape, axes))
    return listed


def _members(path: Path) -> list[_Member]:
    """The images of a zarr: its multiscales, those of the numbered groups of bioformats2raw, or its one array."""
    metadata = _node(path)[1]
    if "plate" in metadata or "well" in metadata:
        raise InputError(f"{path}: the zarr is a plate or a well (HCS), expected one image, as {path / 'A/1/0'}")
    if "multiscales" in metadata:
        return _multiscales(path, path, metadata)
    if "bioformats2raw.layout" in metadata:
        found = [
            member for name in _numbered(path) for member in _multiscales(path, path / name, _node(path / name)[1])
        ]
        expect(found, path, "a series of no images", "groups of images, 0, 1, ...")
        return found
    return [_Member(path, path.name, None)]


def _multiscales(path: Path, group: Path, metadata: dict[str, Any]) -> list[_Member]:
    entries = metadata.get("multiscales")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(
            f"{group}: the OME-Zarr multiscales are damaged, expected a list of tables, got {entries!r:.60}"
        )
    place = "" if group == path else group.name
    names = [str(entry.get("name") or place or number)[:60] for number, entry in enumerate(entries)]
    return [_Member(group, name, entry) for name, entry in zip(names, entries, strict=True)]


def _numbered(path: Path) -> list[str]:
    """Names of the groups of a series; bioformats2raw numbers them and, since its version 0.5, may list them."""
    listed = _node(path / "OME")[1].get("series") if is_zarr(path / "OME") else None
    if isinstance(listed, list) and listed and all(isinstance(name, str) for name in listed):
        for name in listed:
            inside(path, name)
        return listed
    names = [child.name for child in path.iterdir() if child.name.isdecimal() and is_zarr(child)]
    return sorted(names, key=lambda name: (len(name), name))


def _open_member(path: Path, member: _Member, axes: str | None) -> ZarrImage:
    if member.multiscale is not None:
        try:
            return _multiscale(path, member.group, member.multiscale, axes)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            reason = one_line(f"{type(error).__name__}: {error}")
            raise InputError(f"{path}: the OME-Zarr multiscales are damaged ({reason})") from error
    if axes is None:
        raise _no_axes(path, "no OME-Zarr multiscales")
    array = ZarrArray(path, path if _node(path)[0] == "array" else _only_array(path))
    return ZarrImage(array, "Q" * len(array.shape), {}, None)


def _no_axes(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: the zarr names no axes ({reason}); give them, as --axes ZYX")


def _node(folder: Path) -> tuple[str, dict[str, Any]]:
    """Whether a folder is an array or a group, and its OME-Zarr metadata."""
    if not is_zarr(folder):
        raise InputError(f"{folder}: no zarr in the folder, expected zarr.json, .zgroup or .zarray")
    if (folder / "zarr.json").is_file():
        document = read_table(folder, "zarr.json")
        kind, attributes = document.get("node_type", "group"), document.get("attributes", {})
        attributes = attributes if isinstance(attributes, dict) else {}
    else:
        attributes = read_table(folder, ".zattrs") if (folder / ".zattrs").is_file() else {}
        kind = "array" if (folder / ".zarray").is_file() else "group"
    metadata = attributes.get("ome", attributes)
    if not isinstance(metadata, dict):
        raise InputError(f"{folder}: the OME-Zarr metadata is damaged, expected a table, got {metadata!r:.60}")
    return kind, metadata


def _only_array(path: Path) -> Path:
    nodes = sorted(child.name for child in path.iterdir() if is_zarr(child))
    if nodes != ["0"] or _node(path / "0")[0] != "array":
        listed = ", ".join(nodes[:5]) or "nothing"
        raise InputError(f"{path}: the zarr group without OME-Zarr metadata holds {listed}, expected one array, '0'")
    return path / "0"


def _multiscale(path: Path, group: Path, multiscale: dict[str, Any], given: str | None) -> ZarrImage:
    dataset, array = _finest(path, group, multiscale["datasets"])
    if not multiscale.get("axes"):
        # as in the first versions, which meant TCZYX and were written with any order
        if given is None:
            raise _no_axes(path, "its OME-Zarr multiscales have none")
        return ZarrImage(array, "Q" * len(array.shape), {}, None)
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in multiscale["axes"]]
    axes = "".join(_letter(axis) for axis in named)
    if len(axes) != len(array.shape):
        names = ", ".join(str(axis["name"]) for axis in named)
        raise InputError(f"{path}: the array has shape {array.shape}, the multiscales name other axes ({names:.80})")
    scale = np.ones(len(axes))
    transformations = dataset.get("coordinateTransformations", []) + multiscale.get("coordinateTransformations", [])
    for transformation in transformations:
        if transformation["type"] == "scale":
            factors = np.asarray(transformation["scale"], float)
            if factors.shape != scale.shape:
                raise ValueError(f"a scale of {factors.size} factors for {scale.size} axes")
            scale = scale * factors
    return ZarrImage(array, axes, *_calibration(axes, named, scale))


def _finest(path: Path, group: Path, datasets: list[dict[str, Any]]) -> tuple[dict[str, Any], ZarrArray]:
    """The resolution with most pixels, which should be the first, but is not with every writer."""
    first = datasets[0]
    best = first, ZarrArray(path, _below(path, group, first["path"]))
    for dataset in datasets[1:]:
        folder = _below(path, group, dataset["path"])
        # Of the others nothing is needed, and some have been deleted to save space.
        if is_zarr(folder):
            with suppress(InputError):
                shape = zarr_shape(path, folder)
                if math.prod(shape) > math.prod(best[1].shape):
                    best = dataset, ZarrArray(path, folder)
    if best[0] is not first:
        _LOGGER.warning("%s: the resolution %s is read, which is higher than the first", path, best[0]["path"])
    return best


def _below(path: Path, group: Path, name: object) -> Path:
    expect(isinstance(name, str) and name, path, f"the path {name!r:.40}", "the name of an array")
    return inside(path, *(() if group == path else group.relative_to(path).parts), name)


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
        own = own if isinstance(own, str) else None
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

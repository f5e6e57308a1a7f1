"""Pixel sizes out of the metadata of TIFF files: of ImageJ, OME, Zeiss LSM and MetaMorph."""

import re
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

_MICROMETRE = {"um", "micron", "microns", "micrometer", "micrometre", "\u00b5m", "\u03bcm"}
_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12, "\u00c5": 1e-10}
_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}


def normal_unit(unit: object) -> str | None:
    """One spelling a unit: every way to write micrometre becomes "um"; no unit and "pixel" become None."""
    text = str(unit or "").strip().strip("\0")
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    if text.lower() in {"", "pixel", "pixels", "px"}:
        return None
    return "um" if text in _MICROMETRE or text.lower() in _MICROMETRE else text


def imagej_unit(unit: str) -> str:
    """A unit as ImageJ writes it, in ASCII: other letters are escaped, which `normal_unit` undoes."""
    unit = "um" if normal_unit(unit) == "um" else unit
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in unit)


def imagej_pixel_size(metadata: dict[str, Any] | None, tags: Any) -> tuple[dict[str, float], str | None]:
    """Pixel size from ImageJ's metadata and the resolution tags of the first page.

    Returns:
        Size by axis (Z, Y, X in the unit, T in seconds) and the unit. Without a unit the file is not
        calibrated, whatever its resolution tags say.
    """
    metadata = metadata or {}
    sizes: dict[str, float] = {}
    unit = normal_unit(metadata.get("unit"))
    if unit is not None:
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            numerator, denominator = tags[tag].value if tag in tags else (0, 1)
            if numerator > 0 and denominator > 0:
                sizes[axis] = denominator / numerator
        sizes.update(_positive("Z", metadata.get("spacing")))
    sizes.update(_positive("T", metadata.get("finterval")))
    return sizes, unit


def ome_pixel_size(xml: str | None, number: int = 0) -> tuple[dict[str, float], str | None]:
    """Pixel size of an image of an OME-XML description, by its number among those that the description names.

    Returns:
        Size by axis and the unit, which is that of X; Y and Z are converted to it, and left out where their
        unit is not a known length. T is in seconds.
    """
    pixels = None
    # tifffile read the pixels without it; a missing calibration is no reason to refuse the image.
    with suppress(ElementTree.ParseError):
        images = ElementTree.fromstring(xml or "").findall(".//{*}Pixels")
        pixels = images[number] if number < len(images) else None
    if pixels is None:
        return {}, None
    stated = {}
    for axis in "XYZ":
        unit = normal_unit(pixels.get(f"PhysicalSize{axis}Unit", "um"))
        size = _positive(axis, pixels.get(f"PhysicalSize{axis}"))
        if size and unit is not None:
            stated[axis] = size[axis], unit
    sizes, unit = in_one_unit(stated)
    step = _positive("T", pixels.get("TimeIncrement"))
    second = _SECONDS.get(pixels.get("TimeIncrementUnit", "s"))
    if step and second:
        sizes["T"] = step["T"] * second
    return sizes, unit


def lsm_pixel_size(metadata: dict[str, Any] | None) -> tuple[dict[str, float], str | None]:
    """Pixel size from the metadata of Zeiss LSM files: size by axis, in um and seconds, and the unit."""
    metadata = metadata or {}
    sizes: dict[str, float] = {}
    for axis in "ZYX":
        for size in _positive(axis, metadata.get(f"VoxelSize{axis}")).values():
            # In metres; a product of floats is not shown to more digits than it has.
            sizes[axis] = float(f"{size * 1e6:.12g}")
    # So it is spelled there.
    sizes.update(_positive("T", metadata.get("TimeIntervall")))
    return sizes, "um" if sizes.keys() & set("ZYX") else None


def stk_pixel_size(metadata: dict[str, Any] | None) -> tuple[dict[str, float], str | None]:
    """Pixel size from the metadata of MetaMorph stacks: size by axis, Z where all planes have one, and the unit."""
    metadata = metadata or {}
    unit = normal_unit(metadata.get("CalibrationUnits"))
    sizes: dict[str, float] = {}
    if unit is not None and metadata.get("SpatialCalibration", True):
        for axis in "YX":
            sizes.update(_positive(axis, metadata.get(f"{axis}Calibration")))
        distances = {float(distance) for distance in metadata.get("ZDistance", ())}
        if len(distances) == 1:
            sizes.update(_positive("Z", distances.pop()))
    return sizes, unit if sizes else None


def in_one_unit(stated: dict[str, tuple[float, str]]) -> tuple[dict[str, float], str | None]:
    """Sizes of X, Y and Z, each with a unit, in the unit of the first of them; others that cannot be are left out."""
    sizes: dict[str, float] = {}
    common = None
    for axis in "XYZ":
        size, unit = stated.get(axis, (0.0, None))
        common = common or unit
        if unit is not None and unit == common:
            sizes[axis] = size
        elif unit in _METRES and common in _METRES:
            sizes[axis] = size * _METRES[unit] / _METRES[common]
    return sizes, common


def _positive(axis: str, value: object) -> dict[str, float]:
    try:
        size = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return {}
    return {axis: size} if 0 < size < float("inf") else {}

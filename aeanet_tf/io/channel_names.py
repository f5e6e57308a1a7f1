"""What an image file calls its channels: OME-TIFF, OME-Zarr, and the labels of ImageJ's planes."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from aeanet_tf.errors import InputError
from aeanet_tf.files import read_json
from aeanet_tf.io.image import TIFF_SUFFIXES, image_suffix
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.tiff_file import tiff_file
from aeanet_tf.io.zarr_array import is_zarr

# Names are shown in messages and kept in the metadata of results.
_LONGEST = 80


def channel_names(path: str | Path | ImagePath | None, count: int) -> list[str]:
    """The names of the channels of an image.

    Args:
        path: of the image; of one of several in a file, its place.
        count: how many channels it has.

    Returns:
        As many names, "" for a channel without; all of them where the file states no names, or another number.
    """
    none = [""] * count
    if path is None:
        return none
    place = ImagePath.of(path)
    try:
        found = _stated(place.path, place.series or 0)
    except (InputError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, ElementTree.ParseError):
        # Names are a help only: whoever reads the pixels says what is wrong with the file.
        return none
    names = [" ".join(str(name or "").split())[:_LONGEST] for name in found]
    return names if len(names) == count else none


def _stated(path: Path, series: int) -> list[Any]:
    if path.is_dir():
        return _of_zarr(path) if is_zarr(path) else []
    if image_suffix(path) not in TIFF_SUFFIXES:
        return []
    with tiff_file(path) as tif:
        if tif.is_ome:
            return _of_ome(tif.ome_metadata, series)
        return _of_imagej(tif.imagej_metadata) if tif.is_imagej else []


def _of_ome(xml: str, series: int) -> list[Any]:
    images = [node for node in ElementTree.fromstring(xml).iter() if node.tag.endswith("}Image")]
    return [node.get("Name") for node in images[series].iter() if node.tag.endswith("}Channel")]


def _of_imagej(metadata: dict[str, Any]) -> list[Any]:
    """Labels of the planes, where all planes of a channel have the same: channels are the fastest."""
    labels, count = metadata.get("Labels") or [], metadata.get("channels", 1)
    # tifffile gives the only one as it is.
    labels = [labels] if isinstance(labels, str) else labels
    each = [labels[first::count] for first in range(count)]
    return [own[0] if own and len(set(own)) == 1 else "" for own in each]


def _of_zarr(path: Path) -> list[Any]:
    if (path / "zarr.json").is_file():
        attributes = read_json(path / "zarr.json").get("attributes", {})
    else:
        attributes = read_json(path / ".zattrs")
    metadata = attributes.get("ome", attributes)
    return [channel.get("label") for channel in metadata["omero"]["channels"]]

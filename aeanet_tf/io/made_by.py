"""Which model made an image: a line in the metadata of the file itself, that stays with it wherever it is moved."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import tifffile

from aeanet_tf.io.image import NIFTI_SUFFIXES, WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX, image_suffix

# NIfTI and Analyze have 80 bytes for it.
_LONGEST = 80
_HEADER = 540
_LINE = re.compile(r"aeanet_tf model: (.*?) \(([0-9a-f]{12})\)", re.DOTALL)


class MadeBy(NamedTuple):
    """The model that made an image.

    Attributes:
        model: its name, or those of an ensemble.
        digest: 12 letters of one over network and weights, by which models of one name are told apart.
    """

    model: str
    digest: str

    def line(self) -> str:
        """What a file says: ImageJ's Image > Show Info has it, an OME-Zarr's ``_creator``, NIfTI's ``descrip``."""
        name = self.model.encode("ascii", "backslashreplace").decode()
        room = _LONGEST - len(f"aeanet_tf model:  ({self.digest})")
        return f"aeanet_tf model: {name if len(name) <= room else f'{name[: room - 3]}...'} ({self.digest})"


def made_by(path: str | Path) -> MadeBy | None:
    """Which model made an image that `aeanet_tf` wrote; None where the file does not say so, or is not there."""
    try:
        found = _LINE.search(_metadata(Path(path)))
    # Whatever is wrong with a file, it does not say so.
    except Exception:
        return None
    return None if found is None else MadeBy(*found.groups())


def _metadata(path: Path) -> str:
    suffix = image_suffix(path)
    if suffix == ZARR_SUFFIX:
        return json.loads((path / ".zattrs").read_text(encoding="utf-8"))["_creator"]["image"]
    if suffix in NIFTI_SUFFIXES:
        import gzip

        with (gzip.open if suffix == ".nii.gz" else open)(path, "rb") as file:
            return file.read(_HEADER).decode("ascii", "replace")
    if suffix in WRITTEN_TIFF_SUFFIXES:
        with tifffile.TiffFile(path) as tif:
            return (tif.imagej_metadata or {}).get("Info", "")
    return ""

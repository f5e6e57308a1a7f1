"""The formats of microscopes' makers: which module reads which."""

from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.io.czi import czi_series, open_czi
from aeanet_tf.io.image_path import ImagePath, Series
from aeanet_tf.io.lif import lif_series, open_lif
from aeanet_tf.io.nd2 import nd2_series, open_nd2
from aeanet_tf.io.oib import oib_series, open_oib
from aeanet_tf.io.planes import Planes

_READERS = {
    ".czi": (open_czi, czi_series),
    ".nd2": (open_nd2, nd2_series),
    ".lif": (open_lif, lif_series),
    ".oib": (open_oib, oib_series),
    ".oif": (open_oib, oib_series),
}
# Formats without a library that reads them on every Python that this package runs on.
_UNREAD = {
    ".oir": "Olympus/Evident OIR",
    ".poir": "Olympus/Evident POIR",
    ".vsi": "Olympus/Evident VSI",
    ".ims": "Imaris",
    ".dv": "DeltaVision",
    ".zvi": "Zeiss ZVI",
    ".sld": "SlideBook",
    ".sldy": "SlideBook",
    ".lof": "Leica LOF",
    ".xlef": "Leica XLEF",
    ".mvd2": "Volocity",
}


def open_maker(path: str | Path | ImagePath) -> tuple[Planes, str, dict[str, float], str | None]:
    """Open an image of one of these formats, by the file's suffix: its pixels, axes, pixel size and unit."""
    return _READERS[Path(path).suffix.lower()][0](path)


def maker_series(path: str | Path) -> list[Series]:
    """The images of a file of one of these formats, by its suffix."""
    return _READERS[Path(path).suffix.lower()][1](path)


def check_readable(path: str | Path) -> None:
    """Refuse a format that is known, and not read, with what to convert it with.

    Raises:
        InputError: it is one.
    """
    name = _UNREAD.get(Path(path).suffix.lower())
    if name is not None:
        instead = "OME-TIFF, which Fiji's Bio-Formats or the command bfconvert makes of it"
        raise InputError(f"{path}: {name} files are not read, expected {instead}")

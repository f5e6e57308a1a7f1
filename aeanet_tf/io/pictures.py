"""Pictures of PNG, BMP and JPEG, of the size that memory holds."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.memory import check_claim, check_memory

# Others that Pillow knows by their first bytes, whatever the suffix says, are not tried: for one of them it starts
# Ghostscript.
_FORMATS = ("PNG", "BMP", "DIB", "JPEG")
# Bytes that a mode has for a pixel once it is an array; palettes become colours.
_BYTES = {"1": 1, "L": 1, "P": 4, "LA": 2, "RGB": 3, "YCbCr": 3, "RGBA": 4, "CMYK": 4, "I;16": 2, "I": 4, "F": 4}
# JPEG of one colour, progressive, is the smallest that can be of an image; deflate comes next.
_RATIO = 4000
_LIMIT = Lock()


def read_picture(path: str | Path) -> np.ndarray:
    """Read a PNG, BMP or JPEG as (y, x) or (y, x, sample); the pixels of a palette become its colours.

    Raises:
        InputError: it is none of these, or damaged; it is animated; it has colours of 16 bits; or it claims more
            pixels than its bytes, or memory, can hold.
    """
    path = Path(path)
    try:
        with _opened(path) as picture:
            # Cameras write other pictures behind that of a JPEG.
            expect(picture.format == "MPO" or getattr(picture, "n_frames", 1) == 1, path, "several frames", "one")
            _check_depth(path, picture)
            nbytes = math.prod(picture.size) * _BYTES.get(picture.mode, 8)
            check_claim(path, nbytes, path.stat().st_size, _RATIO)
            check_memory(path, 2 * nbytes)
            # As Pillow itself names the colours of a palette: RGB, or RGBA.
            return np.asarray(picture.convert(picture.palette.mode) if picture.mode == "P" else picture)
    except (InputError, MemoryError):
        raise
    # Pillow raises whatever the damaged bytes lead it to.
    except Exception as error:
        reason = "no PNG, BMP or JPEG" if "cannot identify" in str(error) else one_line(error)
        raise InputError(f"{path}: not a readable image ({reason})") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image

    # Pillow counts pixels before anybody can ask for their number; what is too much is decided here, by the memory.
    with _LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _check_depth(path: Path, picture: Any) -> None:
    """Refuse colours of 16 bits, of which Pillow drops the lower eight without a word."""
    if picture.format == "PNG" and picture.mode not in ("I;16", "I"):
        with open(path, "rb") as file:
            depth = file.read(25)[24]
        expect(depth <= 8, path, f"colours of {depth} bits in a PNG", "8 bits, or TIFF")

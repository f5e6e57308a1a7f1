"""Pictures of PNG, BMP and JPEG, of the size that memory holds."""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

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
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
_LIMIT = Lock()


def read_picture(path: str | Path) -> np.ndarray:
    """Read a PNG, BMP or JPEG as (y, x) or (y, x, sample); the pixels of a palette become its colours.

    Raises:
        InputError: it is none of these, or damaged; it is animated; it has colours of 16 bits, or for print; it claims
            more pixels than its bytes, or memory, can hold.
    """
    path = Path(path)
    try:
        with _opened(path) as picture:
            # Cameras write other pictures behind that of a JPEG.
            expect(picture.format == "MPO" or getattr(picture, "n_frames", 1) == 1, path, "several frames", "one")
            expect(picture.mode != "CMYK", path, "colours for print (CMYK)", "grey levels or RGB")
            nbytes = math.prod(picture.size) * _BYTES.get(picture.mode, 8)
            check_claim(path, nbytes, path.stat().st_size, _RATIO)
            check_memory(path, 2 * nbytes)
            if picture.format == "PNG":
                _check_png(path)
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


def _check_png(path: Path) -> None:
    """Refuse what Pillow takes without a word: colours of 16 bits, of which it drops the lower eight, and missing rows,
    which it leaves black.
    """
    with open(path, "rb") as file:
        head = file.read(33)
        width, height, depth, colour, _, _, interlaced = struct.unpack_from(">2I5B", head, 16)
        samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
        expect(depth <= 8 or samples == 1, path, f"colours of {depth} bits in a PNG", "8 bits, or TIFF")
        # Where Adam7 begins and how it goes on, along y and x, for each of its passes.
        grids = _ADAM7 if interlaced else ((0, 1, 0, 1),)
        sizes = [(-(-(height - y) // dy), -(-(width - x) // dx)) for y, dy, x, dx in grids]
        wanted = sum(rows * (1 + -(-columns * samples * depth // 8)) for rows, columns in sizes if columns > 0)
        found = _inflated(file, wanted)
        expect(found >= wanted, path, f"{found} bytes of pixels in the PNG", f"{wanted}; it is cut")


def _inflated(file: BinaryIO, most: int) -> int:
    """Bytes that the pixels of a PNG inflate to, from its second chunk on, counted up to ``most``."""
    engine, count = zlib.decompressobj(), 0
    while count < most and len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind != b"IDAT":
            file.seek(length + 4, 1)
            continue
        while length > 0 and (block := file.read(min(length, 2**16))):
            length -= len(block)
            while block and count < most:
                count += len(engine.decompress(block, 2**20))
                block = engine.unconsumed_tail
        file.seek(4, 1)
    return count

"""PNG, BMP and JPEG: as other programs write them, damaged, and made to do harm."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hostile.damage import content, damaged

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
BOMB = 60_000_000
MARK = "code_was_run"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(pixels):
    """Pixels as PNG has them, each row behind the number of its filter."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def png(pixels=PIXELS, bits=8, colour=0, size=None, before=b"", after=b"", data=None, method=0, interlaced=0, end=True):
    """The bytes of a PNG; ``before`` and ``after`` are chunks around the pixels."""
    height, width = size or pixels.shape[:2]
    head = struct.pack(">2I5B", width, height, bits, colour, method, 0, interlaced)
    packed = zlib.compress(rows(pixels)) if data is None else data
    return (
        SIGNATURE
        + chunk(b"IHDR", head)
        + before
        + chunk(b"IDAT", packed)
        + after
        + (chunk(b"IEND", b"") if end else b"")
    )


def picture(**options):
    return content("a.png", lambda: png(**options))


def saved(form, pixels=PIXELS, mode=None, name=None, **options):
    """A maker of what Pillow writes."""

    def data():
        stream = io.BytesIO()
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(stream, form, **options)
        return stream.getvalue()

    return content(name or f"a.{form.lower()}", data)


def changed(make, form, place, *values):
    """A maker of the same with values in the place of others."""

    def other(folder):
        path = make(folder)
        data = bytearray(path.read_bytes())
        struct.pack_into(form, data, place, *values)
        path.write_bytes(data)
        return path

    return other


def _jpeg(change):
    """A maker of a JPEG whose frame ``change`` gets with the place where it begins."""

    def make(folder):
        path = saved("JPEG", COLOURS)(folder)
        data = bytearray(path.read_bytes())
        change(data, data.index(b"\xff\xc0"))
        path.write_bytes(data)
        return path

    return make


def _frame_size(height, width):
    return lambda data, place: struct.pack_into(">2H", data, place + 5, height, width)


def _animated(folder):
    path = Path(folder) / "a.png"
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _postscript(folder):
    """PostScript that writes a file, where somebody runs it."""
    program = f"({Path(folder) / MARK}) (w) file closefile"
    text = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{program}\nshowpage\n%%EOF\n"
    return content("a.png", text.encode())(folder)


_BMP = saved("BMP")
_TEXT = chunk(b"tEXt", b"Comment\0text")
_SIZES = {"10^10 pixels": (10**5, 10**5), "2^62 pixels": (2**31 - 1, 2**31 - 1), "a row of 2^31": (1, 2**31 - 1)}

CASES = [
    ("PNG", picture(), "right"),
    ("PNG in capitals", content("A.PNG", png()), "right"),
    ("PNG with texts", picture(before=_TEXT, after=_TEXT), "right"),
    ("PNG with a resolution", picture(before=chunk(b"pHYs", struct.pack(">2IB", 3780, 3780, 1))), "right"),
    ("PNG that Pillow writes", saved("PNG"), "right"),
    ("PNG in two parts", content("a.png", lambda: _two_parts()), "right"),
    ("PNG without an end", picture(end=False), "either"),
    ("BMP", _BMP, "right"),
    ("BMP named as PNG", saved("BMP", name="a.png"), "right"),
    ("PNG named as JPEG", saved("PNG", name="a.jpg"), "right"),
    ("JPEG", saved("JPEG"), "either"),
    ("JPEG of colours", saved("JPEG", COLOURS), "either"),
    ("JPEG, progressive", saved("JPEG", COLOURS, progressive=True), "either"),
    ("JPEG of four inks", saved("JPEG", COLOURS, "CMYK"), "refused"),
    ("a palette", saved("PNG", COLOURS, "P"), "either"),
    ("two colours", saved("PNG", mode="1"), "either"),
    # Code from data
    ("PostScript", _postscript, "refused"),
    ("GIF", saved("GIF", name="a.png"), "refused"),
    ("TIFF", saved("TIFF", name="a.png"), "refused"),
    ("PDF", saved("PDF", name="a.png"), "refused"),
    ("SVG", content("a.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "refused"),
    # More than there is
    *[(f"PNG of {name}", picture(size=size), "refused") for name, size in _SIZES.items()],
    ("PNG of 10^10 pixels in colours of 16 bits", picture(size=(10**5, 10**5), bits=16, colour=6), "refused"),
    ("PNG of 0 rows", picture(size=(0, 30)), "refused"),
    ("PNG with a bomb behind its pixels", picture(data=zlib.compress(rows(PIXELS) + bytes(BOMB), 1)), "either"),
    (
        "PNG with a text that inflates",
        picture(before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(BOMB), 1))),
        "either",
    ),
    (
        "PNG with a text of Unicode that inflates",
        picture(before=chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(BOMB), 1))),
        "either",
    ),
    (
        "PNG with colours that inflate",
        picture(before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(BOMB), 1))),
        "either",
    ),
    ("PNG with 5,000 texts", picture(before=_TEXT * 5000), "either"),
    ("PNG with a chunk of 2 GB", picture(before=struct.pack(">I", 2**31 - 1) + b"tEXt"), "refused"),
    ("BMP of 10^10 pixels", changed(_BMP, "<2i", 18, 10**5, 10**5), "refused"),
    ("BMP of 2^62 pixels", changed(_BMP, "<2i", 18, 2**31 - 1, 2**31 - 1), "refused"),
    ("JPEG of 65535 squared", _jpeg(_frame_size(65535, 65535)), "refused"),
    ("JPEG of 0 rows", _jpeg(_frame_size(0, 30)), "refused"),
    ("JPEG with more rows than it has", _jpeg(_frame_size(600, 30)), "either"),
    # Damage
    ("several frames", _animated, "refused"),
    ("colours of 16 bits", picture(pixels=np.zeros((8, 8, 3), ">u2"), bits=16, colour=2), "refused"),
    ("grey of 16 bits", picture(pixels=np.zeros((8, 8), ">u2"), bits=16), "either"),
    ("5 bits", picture(bits=5), "refused"),
    ("a colour type that is not known", picture(colour=9), "refused"),
    ("a palette that is missing", picture(colour=3), "either"),
    ("another compression", picture(method=7), "either"),
    ("interlaced, but not so", picture(interlaced=1), "either"),
    ("pixels that are missing", picture(data=zlib.compress(rows(PIXELS[:5]))), "refused"),
    ("pixels that are no deflate", picture(data=b"text" * 100), "refused"),
    ("no pixels", picture(data=b""), "refused"),
    ("another checksum", changed(picture(), ">I", 29, 12345), "refused"),
    ("a filter that is not known", picture(data=zlib.compress(b"\x09".join([bytes(30)] * 21))), "either"),
    ("BMP of negative columns", changed(_BMP, "<2i", 18, -30, 20), "refused"),
    ("BMP with a header of 4 GB", changed(_BMP, "<I", 14, 2**32 - 1), "refused"),
    ("BMP with pixels beyond its end", changed(_BMP, "<I", 10, 10**9), "refused"),
    ("BMP of 7 bits", changed(_BMP, "<H", 28, 7), "refused"),
    ("BMP of a compression that is not known", changed(_BMP, "<I", 30, 99), "refused"),
    ("BMP of runs that are none", changed(_BMP, "<I", 30, 1), "either"),
    ("BMP of 10^9 colours", changed(_BMP, "<I", 46, 10**9), "refused"),
    ("JPEG without its end", _jpeg(lambda data, place: data.__delitem__(slice(-200, None))), "either"),
    ("JPEG without its tables", _jpeg(lambda data, place: data.__delitem__(slice(20, place))), "either"),
    ("JPEG of 9 samples", _jpeg(lambda data, place: data.__setitem__(place + 9, 9)), "refused"),
    ("an empty file", content("a.png", b""), "refused"),
    ("text", content("a.jpg", b"text" * 100), "refused"),
    ("the first bytes alone", content("a.png", SIGNATURE), "refused"),
    ("a web page", content("a.bmp", b"<!doctype html><html></html>"), "refused"),
    *damaged("PNG", picture(), 12, 6, 6, "either"),
    *damaged("BMP", _BMP, 8, 5, 4, "either"),
    *damaged("JPEG", saved("JPEG", COLOURS), 12, 6, 6, "either"),
]


def _two_parts():
    packed = zlib.compress(rows(PIXELS))
    return png(data=packed[:50], after=chunk(b"IDAT", packed[50:]))

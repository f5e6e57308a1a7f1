"""Training data as ``.npz``: as NumPy writes them, damaged, and made to do harm."""

import io
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tests.hostile.damage import content, damaged

PIXELS = np.random.default_rng(0).random((10, 2, 12, 14), dtype=np.float32)
MARK = "code_was_run"
BOMB = 60_000_000


class _Runs:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(Path(self.folder) / MARK),)


def npy(array, version=(1, 0)):
    """An array as NumPy writes it."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version)
    return stream.getvalue()


def header(text, version=1, data=b"", length=None):
    """An array of which the header says ``text``."""
    text = text.encode("latin1")
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def said(shape, dtype="<f4", data=b""):
    """An array that says to have this shape and dtype."""
    return header(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n", data=data)


MEMBERS = {"X.npy": npy(PIXELS), "Y.npy": npy(-PIXELS), "axes.npy": npy(np.array("SCYX"))}


def zipped(compression=zipfile.ZIP_DEFLATED, more=(), **changes):
    """A maker of a file of the members, some of them others or, for None, missing."""

    def make(folder):
        path = Path(folder) / "a.npz"
        warnings.filterwarnings("ignore", "Duplicate name")
        members = {**MEMBERS, **{f"{name}.npy": value for name, value in changes.items()}}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, value in (*members.items(), *more):
                if value is not None:
                    archive.writestr(name, value(folder) if callable(value) else value)
        return path

    return make


def patched(change, make=None):
    """A maker of a file of which bytes are changed: ``change`` gets all of them as a bytearray."""

    def other(folder):
        path = (make or zipped())(folder)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        return path

    return other


def _places(data, signature):
    place = data.find(signature)
    while place >= 0:
        yield place
        place = data.find(signature, place + 1)


def _fields(local, central, form, value):
    """Set a field of every entry, where it stands before the data and in the directory."""

    def change(data):
        for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
            for place in list(_places(data, signature)):
                struct.pack_into(form, data, place + offset, value)

    return change


def _objects(folder):
    stream = io.BytesIO()
    array = np.empty(10, object)
    array[:] = [_Runs(folder)] * 10
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def _plain_pickle(folder):
    path = Path(folder) / "a.npz"
    path.write_bytes(pickle.dumps(_Runs(folder)))
    return path


def _saved(save, **arrays):
    def make(folder):
        path = Path(folder) / "a.npz"
        save(path, **{"X": PIXELS, "Y": -PIXELS, "axes": "SCYX", **arrays})
        return path

    return make


def zipped_bytes():
    stream = io.BytesIO()
    np.savez(stream, X=PIXELS, Y=-PIXELS, axes="SCYX")
    return stream.getvalue()


_CODE = "{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').mkdir('x'),), }\n"

CASES = [
    ("as NumPy writes it", _saved(np.savez), "right"),
    ("compressed", _saved(np.savez_compressed), "right"),
    ("Fortran's order", _saved(np.savez, X=np.asfortranarray(PIXELS)), "right"),
    ("big-endian", _saved(np.savez, X=PIXELS.astype(">f4")), "right"),
    ("axes as bytes", _saved(np.savez, axes=np.array(b"SCYX")), "right"),
    ("axes in small letters", _saved(np.savez, axes="scyx"), "right"),
    ("axes in a list", _saved(np.savez, axes=np.array(["SCYX"])), "either"),
    ("not deflated", zipped(zipfile.ZIP_STORED), "right"),
    ("of LZMA", zipped(zipfile.ZIP_LZMA), "right"),
    ("of bzip2", zipped(zipfile.ZIP_BZIP2), "right"),
    ("header of version 2", zipped(X=npy(PIXELS, (2, 0))), "right"),
    ("header of version 3", zipped(X=npy(PIXELS, (3, 0))), "right"),
    ("more members", zipped(more=[("other.npy", npy(PIXELS)), ("text.txt", b"text")]), "right"),
    # Code from data
    ("objects", zipped(X=_objects), "refused"),
    ("objects as the axes", zipped(axes=_objects), "refused"),
    ("a pickle", _plain_pickle, "refused"),
    ("pickles as members", zipped(X=lambda folder: pickle.dumps(_Runs(folder))), "refused"),
    ("code in the header", zipped(X=header(_CODE)), "refused"),
    # More than there is
    ("a bomb behind the array", zipped(X=lambda _: npy(PIXELS) + bytes(BOMB)), "refused"),
    ("a bomb as the axes", zipped(axes=lambda _: npy(np.zeros(BOMB, "u1"))), "refused"),
    ("a shape of 10^12", zipped(X=said((10, 2, 10**6, 10**5))), "refused"),
    ("a shape beyond integers", zipped(X=said((10, 2, 10**30, 10**30))), "refused"),
    ("a shape of 10^12 that the directory confirms", patched(_fields(22, 24, "<I", 2**32 - 2)), "refused"),
    ("fewer samples than said", zipped(X=said((10, 2, 12, 14), data=bytes(100))), "refused"),
    ("a header of 4 GB", zipped(X=header("{}", 2, length=2**32 - 1)), "refused"),
    ("a header of 20 MB", zipped(X=header(" " * 20_000_000, 2)), "refused"),
    # Damage
    *[(f"header version {version}", zipped(X=header("{}", version)), "refused") for version in (0, 3, 4, 255)],
    *[
        (f"damaged header {number}", zipped(X=header(text)), "refused")
        for number, text in enumerate(
            (
                "",
                "{}",
                "[]",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2, 3, 4), }",
                "{'descr': '<f4', 'fortran_order': 5, 'shape': (10, 2, 12, 14), }",
                "{'descr': '<f4', 'fortran_order': False, 'shape': 'x', }",
                "{'descr': '<q9', 'fortran_order': False, 'shape': (1,), }",
                "{'descr': ('<f4', 'O'), 'fortran_order': False, 'shape': (1,), }",
                "(" * 5000,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
            )
        )
    ],
    ("text in place of an array", zipped(X=b"text"), "refused"),
    ("nothing in place of an array", zipped(Y=b""), "refused"),
    ("text in place of the axes", zipped(axes=b"SCYX"), "refused"),
    ("axes that are numbers", zipped(axes=npy(np.arange(4))), "refused"),
    ("axes of 10,000 letters", zipped(axes=npy(np.array("SCYX" * 2500))), "refused"),
    ("axes of no array", zipped(axes=npy(np.array([], "<U4"))), "refused"),
    ("texts", zipped(X=npy(np.array(["a", "b"]))), "refused"),
    ("dates", zipped(X=npy(np.zeros(5, "<M8[s]"))), "refused"),
    ("tables", zipped(X=npy(np.zeros(5, [("a", "f4")]))), "refused"),
    ("complex numbers", zipped(X=npy(PIXELS.astype(complex))), "refused"),
    ("a number", zipped(X=npy(5.0)), "refused"),
    ("NaN", zipped(X=npy(np.full_like(PIXELS, np.nan))), "refused"),
    ("no samples", zipped(X=npy(PIXELS[:0]), Y=npy(PIXELS[:0])), "refused"),
    ("one sample", zipped(X=npy(PIXELS[:1]), Y=npy(PIXELS[:1])), "refused"),
    ("encrypted", patched(_fields(6, 8, "<H", 1)), "refused"),
    ("of a compression that is not known", patched(_fields(8, 10, "<H", 99)), "refused"),
    ("of a version that is not known", patched(_fields(4, 6, "<H", 255)), "refused"),
    ("another checksum", patched(_fields(14, 16, "<I", 12345)), "refused"),
    ("an array twice", zipped(more=[("X.npy", npy(PIXELS * 2))]), "refused"),
    ("an array twice, once without its suffix", zipped(more=[("X", npy(PIXELS * 2))]), "refused"),
    ("arrays in a folder", zipped(X=None, more=[("folder/X.npy", npy(PIXELS))]), "refused"),
    ("no X", zipped(X=None), "refused"),
    ("no members", zipped(X=None, Y=None, axes=None), "refused"),
    ("2,000 other members", zipped(X=None, more=[(f"n{n}.npy", b"") for n in range(2000)]), "refused"),
    (
        "a directory that begins elsewhere",
        patched(lambda data: data.__setitem__(slice(-6, -2), b"\xff" * 4)),
        "refused",
    ),
    ("an empty file", content("a.npz", b""), "refused"),
    ("text", content("a.npz", b"text" * 100), "refused"),
    ("an array alone", content("a.npz", npy(PIXELS)), "refused"),
    ("deflated alone", content("a.npz", zlib.compress(npy(PIXELS))), "refused"),
    ("a file before it", content("a.npz", lambda: b"before" * 50 + zipped_bytes()), "either"),
    *damaged("deflated", zipped(), 12, 6, 6),
    *damaged("as NumPy writes it", _saved(np.savez), 12, 6, 6),
]

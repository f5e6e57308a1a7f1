"""Archives of a data set: as their owners pack them, damaged, and made to do harm.

What is right unpacks to `FILES`, which stand here in the place of pixels.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from tests.hostile.damage import content, damaged

FILES = {"set/low/a.tif": np.random.default_rng(0).bytes(3000), "set/GT/a.tif": b"truth" * 100}
MARK = "escaped"


def zipped(files=FILES, compression=zipfile.ZIP_DEFLATED, name="a.zip", change=None):
    """A maker of a zip; ``change`` gets its bytes as a bytearray."""

    def make(folder):
        path = Path(folder) / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for entry, data in files.items() if isinstance(files, dict) else files:
                archive.writestr(entry, data)
        if change is not None:
            data = bytearray(path.read_bytes())
            change(data)
            path.write_bytes(data)
        return path

    return make


def fields(local, central, form, value):
    """Set a field of every entry, where it stands before the data and in the directory."""

    def change(data):
        for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
            place = data.find(signature)
            while place >= 0:
                struct.pack_into(form, data, place + offset, value)
                place = data.find(signature, place + 1)

    return change


def entry(name, data=b"", kind=tarfile.REGTYPE, **attributes):
    """An entry of a tar archive with its data."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), kind
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def tar_bytes(entries=(), form=tarfile.PAX_FORMAT):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for info, data in (*[entry(name, data) for name, data in FILES.items()], *entries):
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tarred(*entries, name="a.tar.gz", pack=gzip.compress, form=tarfile.PAX_FORMAT):
    """A maker of a tar archive of `FILES` and more."""
    return content(name, lambda: pack(tar_bytes(entries, form)))


def header(name=b"x", size=b"00000000010", kind=b"0", tail=b""):
    """A maker of a tar archive whose first entry says to have a size, in octal digits or as it stands."""
    data = bytearray(512)
    data[: len(name)] = name
    data[100:108], data[108:116], data[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    data[124 : 124 + len(size)] = size
    data[136:147], data[156:157], data[257:265] = b"00000000000", kind, b"ustar\x0000"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return content("a.tar.gz", lambda: gzip.compress(bytes(data) + tail))


def link(name, target, kind=tarfile.SYMTYPE):
    return entry(name, b"", kind, linkname=target)


def _negative(size):
    """A size as tar has those that need more than 11 octal digits: two's complement of 12 bytes."""
    return (2**96 + size).to_bytes(12, "big")


def _pax(text):
    return entry("PaxHeader", text, tarfile.XHDTYPE)


def _record(key, value):
    body = f" {key}={value}\n".encode()
    size = len(body) + len(str(len(body)))
    return str(size + (len(str(size)) > len(str(len(body))))).encode() + body


_TERABYTE = 10**12
_HUGE = _TERABYTE.to_bytes(12, "big")

CASES = [
    ("zip", zipped(), "right"),
    ("zip, not compressed", zipped(compression=zipfile.ZIP_STORED), "right"),
    ("zip of LZMA", zipped(compression=zipfile.ZIP_LZMA), "right"),
    ("zip with folders", zipped({"set/": b"", "set/low/": b"", **FILES}), "right"),
    ("zip in capitals", zipped(name="A.ZIP"), "right"),
    ("tar", tarred(name="a.tar", pack=bytes), "right"),
    ("tar, compressed", tarred(), "right"),
    ("tgz", tarred(name="a.tgz"), "right"),
    ("tar of bzip2 under another name", tarred(pack=bz2.compress), "right"),
    ("tar of xz under another name", tarred(pack=lzma.compress), "right"),
    ("tar, not compressed, under another name", tarred(pack=bytes), "right"),
    ("tar of GNU", tarred(form=tarfile.GNU_FORMAT), "right"),
    ("tar with a date before its time", tarred(entry("set/low/a.tif", FILES["set/low/a.tif"], mtime=-1)), "right"),
    ("tar with zeros behind it", tarred(pack=lambda data: gzip.compress(data + bytes(10**6))), "right"),
    # Out of the folder
    *[
        (f"zip of {name!r}", zipped({name: b"x"}), "refused")
        for name in ("../escaped", "a/../../escaped", "/escaped", "..\\escaped")
    ],
    *[
        (f"tar of {name!r}", tarred(entry(name, b"x")), "refused")
        for name in ("../escaped", "a/../../escaped", "/escaped")
    ],
    ("a link upward", tarred(link("a", "../.."), entry("a/escaped", b"x")), "refused"),
    ("a link to the root", tarred(link("a", "/"), entry("a/escaped", b"x")), "refused"),
    ("a link by a link", tarred(link("a", "."), link("a/b", ".."), entry("b/escaped", b"x")), "refused"),
    ("a hard link upward", tarred(link("a", "../escaped", tarfile.LNKTYPE)), "refused"),
    ("a hard link to nothing", tarred(link("a", "none", tarfile.LNKTYPE)), "refused"),
    ("a hard link to itself", tarred(link("a", "a", tarfile.LNKTYPE)), "refused"),
    ("a link to itself", tarred(link("a", "a"), entry("a", b"x")), "either"),
    ("a hard link", tarred(link("b", "set/GT/a.tif", tarfile.LNKTYPE)), "either"),
    ("a pipe", tarred(entry("a", b"", tarfile.FIFOTYPE)), "refused"),
    ("a device", tarred(entry("a", b"", tarfile.CHRTYPE, devmajor=1, devminor=3)), "refused"),
    # More than there is
    ("zip that says to hold 4 GB", zipped(change=fields(22, 24, "<I", 2**32 - 2)), "refused"),
    ("tar of 1 TB", header(size=_HUGE.rjust(12, b"\0").replace(b"\0", b"\x80", 1)), "refused"),
    ("tar of 8 GB in octal digits", header(size=b"77777777777"), "refused"),
    ("tar of a negative size", header(size=_negative(-1024)), "refused"),
    ("tar of -2^62 bytes", header(size=_negative(-(2**62))), "refused"),
    ("a name of 8 GB", header(b"././@LongLink", b"77777777777", b"L", bytes(10**6)), "refused"),
    ("a name of a negative length", header(b"././@LongLink", _negative(-1024), b"L", bytes(10**6)), "refused"),
    ("attributes of 8 GB", header(b"PaxHeader", b"77777777777", b"x", bytes(10**6)), "refused"),
    ("attributes of 1 MB", tarred(_pax(b"1" * 10**6), entry("a", b"x")), "refused"),
    ("a size of attributes", tarred(_pax(_record("size", _TERABYTE)), entry("a", b"x")), "refused"),
    ("a negative size of attributes", tarred(_pax(_record("size", -512)), entry("a", b"x")), "refused"),
    (
        "holes of 1 TB",
        tarred(_pax(_record("GNU.sparse.size", _TERABYTE) + _record("GNU.sparse.map", "0,1")), entry("a", b"x")),
        "refused",
    ),
    # Damage
    ("encrypted", zipped(change=fields(6, 8, "<H", 1)), "refused"),
    ("a compression that is not known", zipped(change=fields(8, 10, "<H", 99)), "refused"),
    ("another checksum", zipped(change=fields(14, 16, "<I", 12345)), "refused"),
    ("a version that is not known", zipped(change=fields(4, 6, "<H", 255)), "refused"),
    (
        "zip with a directory elsewhere",
        zipped(change=lambda data: data.__setitem__(slice(-6, -2), b"\xff" * 4)),
        "refused",
    ),
    ("zip with a name of NUL", zipped(change=lambda data: data.__setitem__(slice(30, 34), b"se\0/")), "refused"),
    ("a file and a folder of one name", zipped({"a": b"x", "a/b": b"y"}), "refused"),
    ("tar, a file and a folder of one name", tarred(entry("a", b"x"), entry("a/b", b"y")), "refused"),
    ("a name of 300 letters", zipped({"x" * 300: b"x"}), "refused"),
    ("tar, a name of 300 letters", tarred(entry("x" * 300, b"x")), "refused"),
    ("tar with an attribute of text", tarred(_pax(_record("size", "text")), entry("a", b"x")), "either"),
    ("tar with an attribute without a length", tarred(_pax(b"size=5\n"), entry("a", b"x")), "either"),
    ("tar, another checksum of its header", content("a.tar", lambda: b"y" + tar_bytes()[1:]), "refused"),
    ("gzip of text", content("a.tar.gz", lambda: gzip.compress(b"text" * 300)), "refused"),
    ("gzip, another checksum", tarred(pack=lambda data: gzip.compress(data)[:-8] + bytes(8)), "refused"),
    ("gzip without an end", tarred(pack=lambda data: gzip.compress(data)[:-8]), "refused"),
    ("gzip of another method", tarred(pack=lambda data: b"\x1f\x8b\x07" + gzip.compress(data)[3:]), "refused"),
    ("text for a zip", content("a.zip", b"text" * 100), "refused"),
    ("a web page for a zip", content("a.zip", b"<!doctype html><html></html>"), "refused"),
    ("a web page for a tar", content("a.tar.gz", b"<!doctype html><html></html>"), "refused"),
    ("an empty zip file", content("a.zip", b""), "refused"),
    ("an empty tar file", content("a.tar.gz", b""), "refused"),
    ("zip for a tar", zipped(name="a.tar.gz"), "refused"),
    *damaged("zip", zipped(), 12, 6, 6),
    *damaged("tar.gz", tarred(), 12, 6, 6),
    *damaged("tar", tarred(name="a.tar", pack=bytes), 8, 4, 0),
]

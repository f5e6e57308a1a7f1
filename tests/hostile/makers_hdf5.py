"""HDF5 files with a stack at "volumes/raw": as other programs write them, damaged, and made to do harm."""

import zlib
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.damage import content, damaged

PIXELS = np.random.default_rng(0).integers(0, 60000, (6, 20, 31), dtype=np.uint16)
NAME = "volumes/raw"
BOMB = 60_000_000


def stack(libver="earliest", userblock=0, attributes=(), name=NAME, data=PIXELS, **options):
    """A maker of a file with the dataset."""

    def make(folder):
        path = Path(folder) / "a.h5"
        with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
            file.create_dataset(name, data=data, **options).attrs.update(dict(attributes))
        return path

    return make


def filled(fill):
    """A maker of a file that ``fill`` writes to; it gets the open file and the folder."""

    def make(folder):
        path = Path(folder) / "a.h5"
        with h5py.File(path, "w") as file:
            fill(file, Path(folder))
        return path

    return make


def _link(target):
    def fill(file, folder):
        file["elsewhere/raw"] = PIXELS
        file["volumes/raw"] = target

    return fill


def _circle(file, folder):
    file["volumes/raw"] = h5py.SoftLink("/volumes/other")
    file["volumes/other"] = h5py.SoftLink("/volumes/raw")


def _circle_of_groups(file, folder):
    group = file.create_group("volumes")
    group["volumes"] = group
    group["inner"] = h5py.SoftLink("/volumes/inner/inner")
    group["raw"] = h5py.SoftLink("inner/raw")


def _chain(file, folder):
    file["l0"] = PIXELS
    for number in range(100):
        file[f"l{number + 1}"] = h5py.SoftLink(f"/l{number}")
    file["volumes/raw"] = h5py.SoftLink("/l100")


def _outer(folder):
    with h5py.File(folder / "outer.h5", "w") as file:
        file[NAME] = PIXELS
    return folder / "outer.h5"


def _external_link(file, folder):
    file[NAME] = h5py.ExternalLink(str(_outer(folder)), NAME)


def _external_group(file, folder):
    file["volumes"] = h5py.ExternalLink(str(_outer(folder)), "volumes")


def _external_storage(file, folder):
    (folder / "secret").write_bytes(PIXELS.tobytes())
    file.create_dataset(NAME, PIXELS.shape, PIXELS.dtype, external=[(str(folder / "secret"), 0, PIXELS.nbytes)])


def _virtual(file, folder):
    layout = h5py.VirtualLayout(PIXELS.shape, PIXELS.dtype)
    layout[:] = h5py.VirtualSource(str(_outer(folder)), NAME, PIXELS.shape)
    file.create_virtual_dataset(NAME, layout)


def _typed(kind, value=None):
    def fill(file, folder):
        file["other"] = PIXELS
        dataset = file.create_dataset(NAME, (6, 20, 31), kind)
        if value is not None:
            dataset[0, 0, 0] = value(file)

    return fill


def _low_type(kind):
    def fill(file, folder):
        space = h5py.h5s.create_simple((6, 20, 31))
        h5py.h5d.create(file.create_group("volumes").id, b"raw", kind, space)

    return fill


def _twelve_bits():
    kind = h5py.h5t.STD_U16LE.copy()
    kind.set_precision(12)
    return kind


def _claimed(shape, chunks, **options):
    def fill(file, folder):
        file.create_dataset(NAME, shape, "u2", chunks=chunks, **options)

    return fill


def _chunk(data, compression="gzip", chunks=PIXELS.shape):
    """A dataset of one chunk that is stored as these bytes."""

    def fill(file, folder):
        dataset = file.create_dataset(NAME, PIXELS.shape, PIXELS.dtype, chunks=chunks, compression=compression)
        dataset.id.write_direct_chunk((0, 0, 0), data() if callable(data) else data)

    return fill


def _sparse(file, folder):
    dataset = file.create_dataset(NAME, (6, 20, 30), "u2", chunks=(1, 20, 30))
    dataset[2] = 7


def _many(file, folder):
    for number in range(3000):
        file.create_dataset(f"n{number}" * 20, data=0)


def _enumeration():
    return h5py.enum_dtype({"NO": 0, "YES": 1}, basetype="u2")


_COMPRESSED = {"chunks": (2, 8, 16), "compression": "gzip", "shuffle": True, "fletcher32": True}
_RESOLUTIONS = {
    "texts": np.array([b"a", b"b", b"c"]),
    "of one number": 4.0,
    "not finite": [np.nan, 4, 4],
    "of 4000 numbers": np.ones(4000),
    "a text": "4 nm",
    "empty": h5py.Empty("f4"),
}

CASES = [
    ("contiguous", stack(), "right"),
    ("chunks", stack(chunks=(2, 8, 16)), "right"),
    ("gzip", stack(**_COMPRESSED), "right"),
    ("gzip alone", stack(compression="gzip"), "right"),
    ("lzf", stack(compression="lzf"), "right"),
    ("checksums alone", stack(chunks=(2, 8, 16), fletcher32=True), "right"),
    ("latest format", stack("latest", **_COMPRESSED), "right"),
    ("latest format, one chunk", stack("latest", chunks=PIXELS.shape, compression="gzip"), "right"),
    ("a block before the file", stack(userblock=512), "right"),
    ("a block before compressed chunks", stack(userblock=512, **_COMPRESSED), "right"),
    ("big-endian", stack(data=PIXELS.astype(">u2"), **_COMPRESSED), "right"),
    ("floats", stack(data=PIXELS.astype(np.float64), **_COMPRESSED), "right"),
    ("chunks that grow", stack(maxshape=(None, None, None), chunks=(4, 16, 16)), "right"),
    ("an enumeration", stack(data=PIXELS.astype(_enumeration()), chunks=(2, 8, 16)), "right"),
    ("a soft link", filled(_link(h5py.SoftLink("/elsewhere/raw"))), "right"),
    ("a relative soft link", filled(_link(h5py.SoftLink("../elsewhere/raw"))), "refused"),
    *[(f"resolution {name}", stack(attributes={"resolution": value}), "right") for name, value in _RESOLUTIONS.items()],
    # Out of the file
    ("an external link", filled(_external_link), "refused"),
    ("a group by an external link", filled(_external_group), "refused"),
    ("a link to no file", filled(_link(h5py.ExternalLink("/etc/passwd", "x"))), "refused"),
    ("external storage", filled(_external_storage), "refused"),
    ("a virtual dataset", filled(_virtual), "refused"),
    ("links in a circle", filled(_circle), "refused"),
    ("a link to itself", filled(_link(h5py.SoftLink("/volumes/raw"))), "refused"),
    ("groups in a circle", filled(_circle_of_groups), "refused"),
    ("a hundred links", filled(_chain), "refused"),
    ("a link to nothing", filled(_link(h5py.SoftLink("/none"))), "refused"),
    ("a link through a dataset", filled(_link(h5py.SoftLink("/elsewhere/raw/raw"))), "refused"),
    # Types
    ("references", filled(_typed(h5py.ref_dtype, lambda file: file["other"].ref)), "refused"),
    ("references of regions", filled(_typed(h5py.regionref_dtype, lambda f: f["other"].regionref[:2])), "refused"),
    ("texts", filled(_typed(h5py.string_dtype(), lambda file: "a")), "refused"),
    ("lists", filled(_typed(h5py.vlen_dtype(np.uint16), lambda file: np.ones(3, "u2"))), "refused"),
    ("tables", filled(_typed(np.dtype([("a", "u2"), ("b", "O")]).fields["a"][0])), "either"),
    ("tables of numbers", filled(_typed(np.dtype([("a", "u2"), ("b", "f4")]))), "refused"),
    ("arrays of arrays", filled(_typed(np.dtype(("u2", (2,))))), "refused"),
    ("bytes", filled(_typed(np.dtype("V8"))), "refused"),
    ("complex numbers", filled(_typed(np.complex64)), "refused"),
    ("integers of 12 bits", filled(_low_type(_twelve_bits())), "refused"),
    ("bits", filled(_low_type(h5py.h5t.STD_B16LE)), "refused"),
    ("times", filled(_low_type(h5py.h5t.UNIX_D32LE)), "refused"),
    # More than there is
    ("10^9 squared", filled(_claimed((3, 10**9, 10**9), (1, 256, 256))), "refused"),
    ("10^9 squared, compressed", filled(_claimed((3, 10**9, 10**9), (1, 256, 256), compression="gzip")), "refused"),
    ("10^9 squared, contiguous", filled(_claimed((3, 10**9, 10**9), None)), "refused"),
    (
        "a chunk larger than the stack",
        filled(_claimed((6, 20, 31), (2**10, 2**10, 2**9), maxshape=(None,) * 3)),
        "refused",
    ),
    ("10^9 chunks of one pixel", filled(_claimed((10, 10**4, 10**4), (1, 1, 1))), "refused"),
    ("a bomb", filled(_chunk(lambda: zlib.compress(bytes(BOMB), 1))), "refused"),
    ("a short chunk", filled(_chunk(zlib.compress(bytes(100)))), "refused"),
    ("a chunk that is cut", filled(_chunk(zlib.compress(PIXELS.tobytes())[:-20])), "refused"),
    ("a chunk of text", filled(_chunk(b"text" * 100)), "refused"),
    ("a cut chunk, lzf", filled(_chunk(b"\x1faa", "lzf")), "refused"),
    ("a short chunk, lzf", filled(_chunk(b"\x01aa", "lzf")), "refused"),
    ("a long chunk", filled(_chunk(bytes(10**6), None)), "refused"),
    ("a filter that is not known", stack(chunks=(2, 8, 16), scaleoffset=16), "refused"),
    ("slices that are not stored", filled(_sparse), "either"),
    ("nothing stored", filled(_claimed((6, 20, 31), (1, 20, 31))), "either"),
    # What is no stack
    ("nothing", filled(lambda file, folder: None), "refused"),
    ("3,000 other datasets", filled(_many), "refused"),
    ("a group in its place", filled(lambda file, folder: file.create_group(NAME)), "refused"),
    ("a type in its place", filled(lambda file, folder: file.update({NAME: np.dtype("u2")})), "refused"),
    ("a number", stack(data=5), "refused"),
    ("no value", stack(data=h5py.Empty("u2")), "refused"),
    ("no pixels", stack(data=np.zeros((6, 0, 31), "u2")), "refused"),
    ("two slices", stack(data=PIXELS[:2]), "refused"),
    ("a row", stack(data=PIXELS[0, 0]), "refused"),
    ("four dimensions", stack(data=PIXELS[None].repeat(2, 0)), "refused"),
    ("NaN", stack(data=np.full((6, 20, 31), np.nan)), "refused"),
    ("an empty file", content("a.h5", b""), "refused"),
    ("text", content("a.h5", b"text" * 1000), "refused"),
    ("the first bytes alone", content("a.h5", b"\x89HDF\r\n\x1a\n"), "refused"),
    *damaged("contiguous", stack(), 10, 5, 5),
    *damaged("gzip", stack(**_COMPRESSED), 10, 5, 5),
    *damaged("latest", stack("latest", **_COMPRESSED), 10, 5, 5),
]

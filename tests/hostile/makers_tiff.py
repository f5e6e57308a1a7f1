"""TIFF files as they come and as they should not: types, compressions, damage, claims, bombs."""

import os
import struct
import zlib
from functools import partial

import numpy as np
import tifffile

SHAPE = (24, 24)


def pixels(dtype="uint16", shape=SHAPE, seed=0):
    """Poisson noise on a ramp."""
    rng = np.random.default_rng(seed)
    return rng.poisson(60 + 40 * np.linspace(0, 1, shape[-1]), shape).clip(0, 120).astype(dtype)


def write(folder, name="a.tif", array=None, **options):
    """A TIFF by tifffile."""
    path = folder / name
    tifffile.imwrite(path, pixels() if array is None else array, **options)
    return path


def raw(folder, tags, data=b"", name="a.tif", next_ifd=0, order="<", offset=8):
    """A TIFF of one directory written by hand: ``tags`` of (code, type, values), the pixels at the end.

    The value "data" stands for where the pixels are, "size" for how many bytes those have.
    """
    count = len(tags)
    after = offset + 2 + 12 * count + 4
    extra, entries, known = b"", b"", {1: "B", 2: "s", 3: "H", 4: "I", 11: "f", 12: "d", 16: "Q"}
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 11: 4, 12: 8, 16: 8}
    total = sum(len(values) * sizes[kind] for _, kind, values in tags if len(values) * sizes[kind] > 4)
    for code, kind, values in sorted(tags, key=lambda tag: tag[0]):
        if kind == 2:
            packed = bytes(values)
        else:
            numbers = [
                {"data": after + total, "size": len(data)}.get(v, v) if isinstance(v, str) else v for v in values
            ]
            packed = struct.pack(f"{order}{len(numbers)}{known[kind]}", *numbers)
        if len(packed) > 4:
            field = struct.pack(order + "I", after + len(extra))
            extra += packed
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", code, kind, len(values)) + field
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(order + "HI", 42, offset) + b"\0" * (offset - 8)
    ifd = struct.pack(order + "H", count) + entries + struct.pack(order + "I", next_ifd)
    path = folder / name
    path.write_bytes(header + ifd + extra + data)
    return path


def tags(width=24, height=24, bits=16, compression=1, **changes):
    """The tags of a grey image in one strip; ``changes`` by code, ``None`` leaves a tag out."""
    found = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits]),
        259: (3, [compression]),
        262: (3, [1]),
        273: (4, ["data"]),
        277: (3, [1]),
        278: (4, [height]),
        279: (4, ["size"]),
        339: (3, [1]),
    }
    for code, value in changes.items():
        found[int(code[1:])] = value
    return [(code, *value) for code, value in found.items() if value is not None]


def _raw_tags(folder, data=None, **changes):
    return raw(folder, tags(**changes), pixels().tobytes() if data is None else data)


def _compressed(folder, name):
    return write(folder, compression=name)


def _truncated(folder, share, **options):
    path = write(folder, array=pixels(shape=(6, *SHAPE)), photometric="minisblack", **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def _flipped(folder, seed, **options):
    path = write(folder, **options)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    # Headers and directories more often than pixels.
    for _ in range(4):
        place = int(rng.integers(0, min(len(data), 400 if rng.random() < 0.7 else len(data))))
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return path


def _bomb(folder, size=2 << 30):
    zeros, packer = bytes(1 << 24), zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing depends on what came before: the same bytes again are as many zeros again.
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    end, check = zlib.compressobj(9, wbits=-15).flush(), 1
    for _ in range(size >> 24):
        check = zlib.adler32(zeros, check)
    return raw(folder, tags(compression=8), head + block * (size >> 24) + end + struct.pack(">I", check))


def _cyclic(folder):
    return raw(folder, tags(), pixels().tobytes(), next_ifd=8)


def _many_directories(folder, count=20_000):
    path = folder / "a.tif"
    one = tags(width=1, height=1, bits=8)
    size = 2 + 12 * len(one) + 4
    with open(path, "wb") as file:
        file.write(b"II" + struct.pack("<HI", 42, 12) + bytes(4))
        for number in range(count):
            file.write(struct.pack("<H", len(one)))
            for code, kind, values in one:
                value = {"data": 8, "size": 1}.get(values[0], values[0])
                file.write(struct.pack("<HHI", code, kind, 1) + struct.pack("<I", value))
            file.write(struct.pack("<I", 12 + (number + 1) * size if number + 1 < count else 0))
    return path


def _bytes(folder, data, name="a.tif"):
    path = folder / name
    path.write_bytes(data)
    return path


def _folder(folder):
    (folder / "a.tif").mkdir()
    return folder / "a.tif"


def _pipe(folder):
    os.mkfifo(folder / "a.tif")
    return folder / "a.tif"


def _link(folder, target):
    (folder / "a.tif").symlink_to(target)
    return folder / "a.tif"


def _values(folder, change, dtype="float32"):
    array = pixels(dtype)
    change(array)
    return write(folder, array=array)


def _put(value, array):
    array[3, 4] = value


def _fill(value, array):
    array[...] = value


def _hot(array):
    array[...] = 100
    array[5, 5] = 60_000


def _imagej(folder, shape, axes, **metadata):
    array = pixels(shape=shape)
    tifffile.imwrite(folder / "a.tif", array, imagej=True, metadata={"axes": axes, **metadata})
    return folder / "a.tif"


def _described(folder, text):
    return write(folder, metadata=None, description=text)


def _appended(folder, shapes):
    for number, shape in enumerate(shapes):
        tifffile.imwrite(folder / "a.tif", pixels(shape=shape), append=number > 0, metadata=None)
    return folder / "a.tif"


def _thumbnail(folder):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        tif.write(pixels(shape=(6, 6)), metadata=None, subfiletype=1)
        tif.write(pixels(), metadata=None)
    return folder / "a.tif"


def _pyramid(folder):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        tif.write(pixels(shape=(64, 64)), subifds=1, tile=(16, 16))
        tif.write(pixels(shape=(32, 32)), subfiletype=1, tile=(16, 16))
    return folder / "a.tif"


def _extra(make, *extra):
    """With further options of the command line."""
    return lambda folder: [make(folder), *extra]


_JSON = '{"shape": [1000000, 1000000], "axes": "YX"}'
_TYPES = (
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
    "bool",
)
_CODECS = ("zlib", "lzw", "zstd", "lzma", "packbits", "deflate", "lerc", "png", "jpegxl", "jpeg2000")

CASES = [
    *((f"type {t}", partial(write, array=pixels(t)), "right") for t in _TYPES),
    *((f"compressed {name}", partial(_compressed, name=name), "right") for name in _CODECS),
    ("jpeg of 8 bits", partial(write, array=pixels("uint8"), compression="jpeg"), "right"),
    ("horizontal predictor", partial(write, compression="zlib", predictor=2), "right"),
    ("float predictor", partial(write, array=pixels("float32"), compression="zlib", predictor=3), "right"),
    ("tiles", partial(write, array=pixels(shape=(40, 56)), tile=(16, 16)), "right"),
    ("big endian", partial(write, byteorder=">"), "right"),
    ("BigTIFF", partial(write, bigtiff=True), "right"),
    ("ending .TIFF", partial(write, name="A.TIFF"), "right"),
    ("ending .btf", partial(write, name="a.btf", bigtiff=True), "right"),
    ("ending .tf8", partial(write, name="a.tf8", bigtiff=True), "right"),
    ("ending .ome.btf", partial(write, name="a.ome.btf", bigtiff=True), "right"),
    ("ending .LSM", partial(write, name="A.LSM"), "right"),
    ("ending .stk", partial(write, name="a.stk"), "right"),
    ("white is zero", partial(write, photometric="miniswhite"), "either"),
    (
        "palette",
        partial(write, array=pixels("uint8"), photometric="palette", colormap=np.zeros((3, 256), "u2")),
        "either",
    ),
    ("RGB", partial(write, array=pixels("uint8", (24, 24, 3)), photometric="rgb"), "refused"),
    ("RGBA", partial(write, array=pixels("uint8", (24, 24, 4)), photometric="rgb", extrasamples=[2]), "refused"),
    ("complex", partial(write, array=pixels("complex64")), "refused"),
    ("bits packed to 12", lambda f: _raw_tags(f, bytes(24 * 36), bits=12), "either"),
    ("bits packed to 1", lambda f: _raw_tags(f, bytes(range(72)), bits=1), "right"),
    ("7 bits", lambda f: _raw_tags(f, bytes(24 * 21), bits=7), "either"),
    ("0 bits", lambda f: _raw_tags(f, bits=0), "refused"),
    ("65535 bits", lambda f: _raw_tags(f, bits=65535), "refused"),
    ("one pixel", partial(write, array=pixels(shape=(1, 1))), "either"),
    ("one line", partial(write, array=pixels(shape=(1, 50)), metadata={"axes": "YX"}), "either"),
    ("constant", partial(_values, change=partial(_fill, 7), dtype="uint8"), "right"),
    ("constant zero", partial(_values, change=partial(_fill, 0), dtype="uint16"), "right"),
    ("hot pixel", partial(_values, change=_hot, dtype="uint16"), "right"),
    ("saturated", partial(_values, change=partial(_fill, 65535), dtype="uint16"), "right"),
    ("largest int64", partial(_values, change=partial(_put, 2**63 - 1), dtype="int64"), "either"),
    ("NaN", partial(_values, change=partial(_put, np.nan)), "refused"),
    ("infinity", partial(_values, change=partial(_put, -np.inf)), "refused"),
    ("beyond float32", partial(_values, change=partial(_put, 1e300), dtype="float64"), "refused"),
    ("widest float32", partial(_values, change=partial(_put, 3.4e38)), "either"),
    (
        "both ends of float32",
        partial(_values, change=lambda a: (_put(3.4e38, a), a.__setitem__((9, 9), -3.4e38))),
        "either",
    ),
    ("smallest float32", partial(_values, change=lambda a: np.multiply(a, 1e-42, out=a)), "either"),
    ("ImageJ stack", partial(_imagej, shape=(3, 24, 24), axes="ZYX"), "right"),
    ("ImageJ time lapse", partial(_imagej, shape=(3, 24, 24), axes="TYX"), "right"),
    ("ImageJ channels", partial(_imagej, shape=(3, 24, 24), axes="CYX"), "refused"),
    ("ImageJ, one slice", _extra(partial(_imagej, shape=(1, 24, 24), axes="ZYX"), "--axes", "ZYX"), "right"),
    ("ImageJ signed", partial(_described, text="ImageJ=1.54f\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n"), "right"),
    ("ImageJ, slope 0", partial(_described, text="ImageJ=1.54f\ncf=0\nc0=5.0\nc1=0.0\n"), "either"),
    ("ImageJ, calibration of letters", partial(_described, text="ImageJ=1.54f\ncf=zero\nc0=a\nc1=b\n"), "either"),
    ("ImageJ, calibration of NaN", partial(_described, text="ImageJ=1.54f\ncf=0\nc0=nan\nc1=inf\n"), "either"),
    (
        "ImageJ, a billion images",
        partial(_described, text="ImageJ=1.54f\nimages=1000000000\nslices=1000000000\n"),
        "either",
    ),
    ("ImageJ, -1 images", partial(_described, text="ImageJ=1.54f\nimages=-1\nframes=-7\n"), "either"),
    ("shape that lies", partial(_described, text=_JSON), "either"),
    ("shape of text", partial(_described, text='{"shape": "wide", "axes": 5}'), "either"),
    ("nested description", partial(_described, text='{"shape":' + "[" * 60_000), "either"),
    ("integer of 5,000 digits", partial(_described, text='{"shape": [' + "9" * 5000 + "]}"), "either"),
    ("axes HYX", partial(write, array=pixels(shape=(3, 24, 24)), metadata={"axes": "HYX"}), "refused"),
    ("appended pages", partial(_appended, shapes=[SHAPE] * 5), "refused"),
    ("appended pages as a stack", _extra(partial(_appended, shapes=[SHAPE] * 5), "--axes", "ZYX"), "right"),
    ("appended, of two sizes", partial(_appended, shapes=[SHAPE, (30, 30)]), "refused"),
    ("the second of two sizes", _extra(partial(_appended, shapes=[SHAPE, (30, 30)]), "--series", "1"), "right"),
    ("a series that is not there", _extra(partial(_appended, shapes=[SHAPE, (30, 30)]), "--series", "7"), "refused"),
    ("series -1", _extra(partial(_appended, shapes=[SHAPE, (30, 30)]), "--series=-1"), "refused"),
    ("all series", _extra(partial(_appended, shapes=[SHAPE, (30, 30)]), "--series", "all"), "right"),
    ("thumbnail in front", _thumbnail, "right"),
    ("pyramid", _pyramid, "right"),
    *(
        (f"truncated to {share:.0%}", partial(_truncated, share=share), "refused")
        for share in (0.01, 0.2, 0.5, 0.9, 0.99)
    ),
    *(
        (f"deflated, truncated to {share:.0%}", partial(_truncated, share=share, compression="zlib"), "refused")
        for share in (0.05, 0.3, 0.7, 0.97)
    ),
    *((f"bits flipped, {seed}", partial(_flipped, seed=seed), "either") for seed in range(14)),
    *(
        (f"bits flipped, deflated, {seed}", partial(_flipped, seed=seed, compression="zlib"), "either")
        for seed in range(8)
    ),
    *((f"bits flipped, LZW, {seed}", partial(_flipped, seed=seed, compression="lzw"), "either") for seed in range(4)),
    ("no byte", partial(_bytes, data=b""), "refused"),
    ("a header alone", partial(_bytes, data=b"II*\0\x08\0\0\0"), "refused"),
    ("text", partial(_bytes, data=b"these are no pixels\n" * 9), "refused"),
    ("PNG by name of TIFF", partial(_bytes, data=b"\x89PNG\r\n\x1a\n" + bytes(99)), "refused"),
    ("random bytes", partial(_bytes, data=b"II*\0" + np.random.default_rng(1).bytes(4000)), "refused"),
    ("a folder", _folder, "refused"),
    ("a pipe", _pipe, "refused"),
    ("a link to itself", partial(_link, target="a.tif"), "refused"),
    ("a link to endless zeros", partial(_link, target="/dev/zero"), "refused"),
    ("a link to nothing", partial(_link, target="nowhere.tif"), "refused"),
    ("directories in a circle", _cyclic, "either"),
    ("20,000 directories", _many_directories, "either"),
    ("directory beyond the file", partial(_bytes, data=b"II*\0\xff\xff\xff\x7f" + bytes(40)), "refused"),
    ("deflated bomb", _bomb, "refused"),
    ("claim of 10^9 x 10^9", partial(_raw_tags, width=10**9, height=10**9), "refused"),
    ("claim of 65536 x 65536", partial(_raw_tags, width=65536, height=65536), "refused"),
    ("claim of 65536 x 65536, deflated", partial(_raw_tags, width=65536, height=65536, compression=8), "refused"),
    ("width 0", partial(_raw_tags, width=0), "refused"),
    ("strip beyond the file", partial(_raw_tags, _273=(4, [10**6])), "refused"),
    ("strip at 0 of 0 bytes", partial(_raw_tags, _273=(4, [0]), _279=(4, [0])), "refused"),
    ("strip of 4 GB", partial(_raw_tags, _279=(4, [2**32 - 1])), "either"),
    ("no strip", partial(_raw_tags, _273=None, _279=None), "refused"),
    ("0 rows a strip", partial(_raw_tags, _278=(4, [0])), "either"),
    ("tiles of 0", partial(_raw_tags, _322=(4, [0]), _323=(4, [0]), _324=(4, ["data"]), _325=(4, ["size"])), "refused"),
    (
        "tiles of 2^31",
        partial(_raw_tags, _322=(4, [2**31]), _323=(4, [2**31]), _324=(4, ["data"]), _325=(4, [9])),
        "refused",
    ),
    ("0 samples", partial(_raw_tags, _277=(3, [0])), "either"),
    ("60,000 samples", partial(_raw_tags, _277=(3, [60_000])), "refused"),
    ("unknown compression", partial(_raw_tags, compression=9999), "refused"),
    ("unknown sample format", partial(_raw_tags, _339=(3, [9])), "either"),
    ("void samples", partial(_raw_tags, _339=(3, [4])), "either"),
    ("no width", partial(_raw_tags, _256=None), "refused"),
    ("width as a fraction", partial(_raw_tags, _256=(12, [24.5])), "refused"),
    ("width as text", partial(_raw_tags, _256=(2, b"wide\0")), "refused"),
]

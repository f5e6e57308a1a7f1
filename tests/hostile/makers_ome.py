"""OME-TIFF files: series, sets of files, planes that are missing, and XML that lies or attacks."""

from functools import partial
from uuid import UUID

import numpy as np
import tifffile

from tests.hostile.makers_tiff import pixels

_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def xml(places="<TiffData/>", size="", head="", uuid="", **changes):
    """The description of an image; ``changes`` of the attributes of its pixels."""
    found = {"DimensionOrder": "XYZCT", "Type": "uint16", "SizeX": 24, "SizeY": 24, "SizeZ": 1, "SizeC": 1, "SizeT": 1}
    given = " ".join(f'{key}="{value}"' for key, value in {**found, **changes}.items() if value is not None)
    return (
        f'<?xml version="1.0"?>{head}<OME xmlns="{_SCHEMA}"{uuid}><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" {given}{size}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'
    )


def described(folder, text, pages=1, name="a.ome.tif"):
    """A TIFF of pages whose first has this description, in UTF-8 or as bytes."""
    with tifffile.TiffWriter(folder / name) as tif:
        for number in range(pages):
            tif.write(pixels(seed=number), description=text if number == 0 else None, metadata=None, contiguous=False)
    return folder / name


def _series(folder, *extra, axes="YX", shapes=((24, 24), (24, 24))):
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as tif:
        for number, shape in enumerate(shapes):
            tif.write(pixels(shape=shape, seed=number), metadata={"axes": axes})
    return [folder / "a.ome.tif", *extra]


def _set(folder, *extra, left=(0, 1, 2), renamed=(), chosen="folder", lengths=None):
    """A time lapse of three files that name each other; ``left`` are there."""
    uuids = [f"urn:uuid:{UUID(int=number + 1)}" for number in range(3)]
    place = '<TiffData FirstT="{0}" IFD="0" PlaneCount="1"><UUID FileName="t{0}.ome.tif">{1}</UUID></TiffData>'
    places = "".join(place.format(number, uuids[number]) for number in range(3))
    (folder / "set").mkdir()
    for number in left:
        text = xml(places, SizeT=3, uuid=f' UUID="{uuids[number]}"')
        name = f"renamed{number}.ome.tif" if number in renamed else f"t{number}.ome.tif"
        shape = (lengths or {}).get(number, (24, 24))
        tifffile.imwrite(folder / "set" / name, pixels(shape=shape, seed=number), description=text, metadata=None)
    return [folder / "set" if chosen == "folder" else folder / "set" / chosen, *extra]


_LAUGHS = (
    "<!DOCTYPE lol ["
    + '<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghij", "bcdefghijk", strict=True))
    + "]>"
)
_OUTSIDE = '<!DOCTYPE x [<!ENTITY out SYSTEM "file:///etc/passwd">]>'
_TWO_PLANES = '<TiffData FirstT="0" IFD="0" PlaneCount="1"/><TiffData FirstT="2" IFD="1" PlaneCount="1"/>'

CASES = [
    ("one image", partial(_series, shapes=((24, 24),)), "right"),
    ("one volume", partial(_series, axes="ZYX", shapes=((4, 24, 24),)), "right"),
    ("two positions", _series, "refused"),
    ("the second position", lambda f: _series(f, "--series", "1"), "right"),
    ("all positions", lambda f: _series(f, "--series", "all"), "right"),
    ("a position that is not there", lambda f: _series(f, "--series", "2"), "refused"),
    ("positions of two sizes", partial(_series, shapes=((24, 24), (30, 20))), "refused"),
    ("a set of files", _set, "right"),
    ("a set by its second file", partial(_set, chosen="t1.ome.tif"), "right"),
    ("a set without its last file", partial(_set, left=(0, 1)), "refused"),
    ("a set without its first file", partial(_set, left=(1, 2)), "refused"),
    ("a set with a renamed file", partial(_set, renamed=(2,)), "right"),
    ("a set without its last file, allowed", lambda f: _set(f, "--allow-missing", left=(0, 1)), "right"),
    ("a set with a file of another size", partial(_set, lengths={1: (20, 30)}), "either"),
    ("planes never acquired", lambda f: described(f, xml(_TWO_PLANES, SizeT=3), 2), "refused"),
    (
        "planes never acquired, allowed",
        lambda f: [described(f, xml(_TWO_PLANES, SizeT=3), 2), "--allow-missing"],
        "right",
    ),
    ("more planes than pages", lambda f: described(f, xml(SizeT=5), 2), "refused"),
    ("fewer planes than pages", lambda f: described(f, xml(), 3), "either"),
    ("a place beyond the pages", lambda f: described(f, xml('<TiffData IFD="99"/>')), "either"),
    ("a place at -1", lambda f: described(f, xml('<TiffData IFD="-1" PlaneCount="-5"/>')), "either"),
    (
        "a place in another folder",
        lambda f: described(f, xml('<TiffData IFD="0"><UUID FileName="../../etc/passwd">urn:uuid:1</UUID></TiffData>')),
        "either",
    ),
    (
        "a place at an absolute path",
        lambda f: described(f, xml('<TiffData IFD="0"><UUID FileName="/dev/zero">urn:uuid:1</UUID></TiffData>')),
        "either",
    ),
    ("no places", lambda f: described(f, xml("")), "either"),
    ("size of 10^9", lambda f: described(f, xml(SizeX=10**9, SizeY=10**9)), "either"),
    ("10^9 slices", lambda f: described(f, xml(SizeZ=10**9)), "refused"),
    ("10^18 planes", lambda f: described(f, xml(SizeZ=10**9, SizeT=10**9)), "refused"),
    ("size of letters", lambda f: described(f, xml(SizeX="wide")), "either"),
    ("size of -3", lambda f: described(f, xml(SizeZ=-3)), "either"),
    ("size of 5,000 digits", lambda f: described(f, xml(SizeZ="9" * 5000)), "either"),
    ("no size", lambda f: described(f, xml(SizeX=None)), "either"),
    ("unknown order", lambda f: described(f, xml(DimensionOrder="QQQQQ")), "either"),
    ("unknown type", lambda f: described(f, xml(Type="quaternion")), "either"),
    ("another type than the pixels'", lambda f: described(f, xml(Type="float")), "either"),
    ("pixel size of 0", lambda f: described(f, xml(size=' PhysicalSizeX="0" PhysicalSizeY="0"')), "either"),
    ("pixel size of NaN", lambda f: described(f, xml(size=' PhysicalSizeX="nan" PhysicalSizeY="-1"')), "either"),
    ("pixel size of letters", lambda f: described(f, xml(size=' PhysicalSizeX="a bit"')), "either"),
    (
        "pixel size of an unknown unit",
        lambda f: described(f, xml(size=' PhysicalSizeX="1" PhysicalSizeXUnit="parsec" PhysicalSizeY="1"')),
        "either",
    ),
    ("XML that ends early", lambda f: described(f, xml()[:200]), "either"),
    ("XML nested deep", lambda f: described(f, xml("<a>" * 30_000 + "</a>" * 30_000)), "either"),
    ("XML of a billion laughs", lambda f: described(f, xml("<TiffData/>&k;", head=_LAUGHS)), "either"),
    ("XML that reads a file", lambda f: described(f, xml("<TiffData/>&out;", head=_OUTSIDE)), "either"),
    ("XML of another kind", lambda f: described(f, '<?xml version="1.0"?><svg/>'), "either"),
    ("XML in Latin-1", lambda f: described(f, xml(size=' PhysicalSizeXUnit="µm"').encode("latin-1")), "either"),
    (
        "metadata elsewhere",
        lambda f: described(
            f, f'<?xml version="1.0"?><OME xmlns="{_SCHEMA}"><BinaryOnly MetadataFile="m.ome" UUID="urn:uuid:1"/></OME>'
        ),
        "either",
    ),
    (
        "two images of one page",
        lambda f: described(f, xml().replace("</OME>", xml().partition('Schemas/OME/2016-06">')[2])),
        "either",
    ),
    *(
        (
            f"XML with bits flipped, {seed}",
            partial(lambda f, s: described(f, _flipped(xml(SizeT=2), s), 2), s=seed),
            "either",
        )
        for seed in range(8)
    ),
]


def _flipped(text, seed):
    data, rng = bytearray(text.encode()), np.random.default_rng(seed)
    for _ in range(3):
        data[int(rng.integers(60, len(data)))] = int(rng.integers(33, 126))
    return bytes(data)

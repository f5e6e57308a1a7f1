"""Small files in the formats of microscopes' makers: written here, or real ones where they lie.

Real files stand in the source distributions of packages on PyPI and are too large to be kept here. Fetch them with

    pip download --no-deps --no-binary :all: czitools==0.27.0 pims_nd2==1.1 oiffile==2025.5.10

unpack those of ``data.zip`` (Zeiss), ``pims_nd2/cluster.nd2`` (Nikon) and ``test.oib`` (Olympus) into one folder, and
name it in the environment variable ``AEANET_MICROSCOPE_FILES``. czitools needs Python 3.12 for that.
"""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

LIF_AXES = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


def real_file(name):
    """Path of a real file; the test is skipped where there is none."""
    folder = os.environ.get("AEANET_MICROSCOPE_FILES")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        pytest.skip(f"no {name}; see tests/io/maker_files.py")
    return path


def write_czi(path, scenes, origin=(0, 0), first_slice=0, scale=(0.1, 0.1, 0.3), left_out=()):
    """Write a CZI with the maker's own library.

    Args:
        scenes: an array (T, Z, C, Y, X) for each, side by side 10 pixels apart; a file with one has no scenes.
        origin: place (x, y) of the first scene.
        first_slice: number of the first slice.
        scale: pixel size along X, Y, Z in um.
        left_out: places (t, z, c) of planes that are not written.
    """
    from pylibCZIrw import czi

    named = len(scenes) > 1
    with czi.create_czi(str(path)) as document:
        left = origin[0]
        for scene, array in enumerate(scenes):
            for t, z, c in np.ndindex(array.shape[:3]):
                if (t, z, c) in left_out:
                    continue
                place = {"location": (left, origin[1])} | ({"scene": scene} if named else {})
                plane = {"C": c, "Z": first_slice + z, "T": t}
                document.write(np.ascontiguousarray(array[t, z, c])[..., None], plane=plane, **place)
            left += array.shape[-1] + 10
        x, y, z = (size * 1e-6 for size in scale)
        document.write_metadata("document", channel_names={0: "a"}, scale_x=x, scale_y=y, scale_z=z)


def write_lif(path, images, lengths=None):
    """Write a LIF by its layout: a header of XML, then each image's pixels behind the name of their block.

    Args:
        images: name -> (array, axes); its C, if any, are channels, each whole.
        lengths: axis -> metres or seconds from the first to the last pixel.
    """
    lengths = {"X": 1e-5, "Y": 2e-5, "Z": 3e-6, "T": 8.0} if lengths is None else lengths
    elements, blocks = [], []
    for number, (name, (array, axes)) in enumerate(images.items()):
        array = np.ascontiguousarray(array)
        strides = dict(zip(axes, array.strides, strict=True))
        sizes = dict(zip(axes, array.shape, strict=True))
        kind, bits = int(array.dtype.kind == "f"), array.dtype.itemsize * 8
        channels = "".join(
            f'<ChannelDescription DataType="{kind}" ChannelTag="0" Resolution="{bits}" NameOfMeasuredQuantity="" '
            f'Min="0" Max="1" Unit="" LUTName="Gray" IsLUTInverted="0" BitInc="0" '
            f'BytesInc="{c * strides.get("C", 0)}"/>'
            for c in range(sizes.get("C", 1))
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{LIF_AXES[a]}" NumberOfElements="{sizes[a]}" Origin="0" '
            f'Length="{lengths.get(a, 0)}" Unit="{"s" if a == "T" else "m"}" BitInc="0" BytesInc="{strides[a]}"/>'
            for a in reversed(axes)
            if a != "C"
        )
        elements.append(
            f'<Element Name="{name}" UniqueID="{number}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        blocks.append((f"MemBlock_{number}", array.astype(array.dtype.newbyteorder("<")).tobytes()))
    children = f'<Element Name="project"><Children>{"".join(elements)}</Children></Element>'
    xml = f'<LMSDataContainerHeader Version="2">{children}</LMSDataContainerHeader>'
    with open(path, "wb") as file:
        file.write(struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)) + xml.encode("utf-16-le"))
        for name, data in blocks:
            head = struct.pack("<IIBQBI", 0x70, 2 * len(name) + 14, 0x2A, len(data), 0x2A, len(name))
            file.write(head + name.encode("utf-16-le") + data)


def write_nd2(path, array, loops="", calibration=0.2, steps=None, left_out=()):
    """Write an ND2 of version 3 by its layout: named chunks, and a list of them at the end.

    Args:
        array: the loops, then C, Y, X.
        loops: their letters, of T, P and Z, the slowest first.
        calibration: pixel size along X and Y in um.
        steps: Z in um, T in seconds.
        left_out: numbers of frames that are not written.
    """
    steps = {"Z": 0.5, "T": 2.0} if steps is None else steps
    channels, height, width = array.shape[-3:]
    frames = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    bits = array.dtype.itemsize * 8
    attributes = {"uiWidth": width, "uiWidthBytes": frames[0, 0].nbytes, "uiHeight": height, "uiComp": channels}
    attributes |= {"uiBpcInMemory": bits, "uiBpcSignificant": bits, "uiSequenceCount": len(frames), "ePixelType": 1}
    attributes |= {"uiTileWidth": width, "uiTileHeight": height, "uiVirtualComponents": channels}
    attributes |= {"eCompression": 2, "dCompressionParam": 0.0}
    experiment = None
    for letter, count in reversed(list(zip(loops, array.shape, strict=False))):
        level = {"eType": {"T": 1, "P": 2, "Z": 4}[letter], "uLoopPars": _loop(letter, count, steps)}
        experiment = level | ({} if experiment is None else {"ppNextLevelEx": {"": experiment}})
    probe = {"m_sName": "dye"}
    planes = {f"a{c}": {"uiCompCount": 1, "pFluorescentProbe": probe} for c in range(channels)}
    picture = {"sPicturePlanes": {"uiCount": channels, "uiCompCount": channels, "sPlaneNew": planes}}
    picture |= {"dCalibration": calibration, "bCalibrated": True, "dAspect": 1.0, "dObjectiveMag": 1.0}
    chunks = {"ImageAttributesLV!": _variants({"SLxImageAttributes": attributes})}
    if experiment is not None:
        chunks["ImageMetadataLV!"] = _variants({"SLxExperiment": experiment})
    chunks["ImageMetadataSeqLV|0!"] = _variants({"SLxPictureMetadata": picture})
    for number, frame in enumerate(frames):
        if number not in left_out:
            chunks[f"ImageDataSeq|{number}!"] = struct.pack("<d", 0.0) + np.ascontiguousarray(frame).tobytes()
    data, places = bytearray(_chunk("ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)), {}
    for name, content in chunks.items():
        places[name] = len(data), len(content)
        data += _chunk(name, content)
    listed = b"".join(name.encode() + struct.pack("<QQ", *place) for name, place in places.items())
    start = len(data)
    listed += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", start)
    Path(path).write_bytes(data + _chunk("ND2 FILEMAP SIGNATURE NAME 0001!", listed))


def _loop(letter, count, steps):
    if letter == "T":
        ms = steps["T"] * 1000
        return {"uiCount": count, "dStart": 0.0, "dPeriod": ms, "dDuration": ms * count, "dAvgPeriodDiff": ms}
    if letter == "Z":
        return {"uiCount": count, "dZLow": 0.0, "dZHigh": steps["Z"] * (count - 1), "dZStep": steps["Z"], "iType": 0}
    point = {"dPosX": 0.0, "dPosY": 0.0, "dPosZ": 0.0, "pdOffsetZ": 0.0, "dPFSOffset": 0.0, "dPosName": ""}
    return {"uiCount": count, "Points": {f"p{i}": point for i in range(count)}, "bUseZ": False}


def _chunk(name, content, room=4072):
    """A chunk whose name is filled up, as those of frames are."""
    return (
        struct.pack("<IIQ", 0x0ABECEDA, max(room, len(name)), len(content)) + name.encode().ljust(room, b"\0") + content
    )


def _variants(level):
    """Named values, each with its type, as the format has them."""
    out = bytearray()
    for name, value in level.items():
        head = (name + "\0").encode("utf-16-le")
        begun = len(out)
        if isinstance(value, dict):
            inner = _variants(value)
            length = 2 + len(head) + 12 + len(inner)
            out += struct.pack("<BB", 11, len(name) + 1) + head + struct.pack("<IQ", len(value), length) + inner
            out += b"\0" * 8 * len(value)
            assert begun + length + 8 * len(value) == len(out)
            continue
        kind, packed = _packed(value)
        out += struct.pack("<BB", kind, len(name) + 1) + head + packed
    return bytes(out)


def _packed(value):
    if isinstance(value, bool):
        return 1, struct.pack("<B", value)
    if isinstance(value, int):
        return 3, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<d", value)
    return 8, (value + "\0").encode("utf-16-le")


def write_oif(path, array, axes, micrometres=0.25):
    """Write an OIF: settings, and a folder of a TIFF for each plane.

    Args:
        array: its last axes are Y and X.
        axes: letters of T, Z, C, Y, X.
    """
    folder = path.with_name(f"{path.name}.files")
    folder.mkdir()
    lines = ["[ProfileSaveInfo]", "Name=x", "Version=1.0.0.0", "[Axis Parameter Common]", f'AxisOrder="{axes[::-1]}"']
    for number, (axis, count) in enumerate(zip(axes[::-1], array.shape[::-1], strict=True)):
        unit, step = ("ms", 500.0) if axis == "T" else ("um", micrometres)
        lines += [f"[Axis {number} Parameters Common]", f'AxisCode="{axis}"', f"MaxSize={count}"]
        lines += ["StartPosition=0.0", f"EndPosition={(count - 1) * step}", f'UnitName="{unit}"']
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("utf-16"))
    for index in np.ndindex(array.shape[:-2]):
        name = "".join(f"{axis}{i + 1:03}" for axis, i in zip(axes, index, strict=False))
        tifffile.imwrite(folder / f"s_{name}.tif", array[index])

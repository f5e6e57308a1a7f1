"""OME-TIFFs of several files: opened once, whole or not at all."""

import os
import struct

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.series import find_series, series_of

HEAD = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
PIXELS = (
    '<Image ID="Image:{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" SizeX="12" SizeY="10" '
    'SizeZ="1" SizeC="1" SizeT="{size}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{places}</Pixels></Image>'
)
PLACE = '<TiffData FirstT="{first}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'


def uuid_of(folder, number):
    return f"urn:uuid:{folder.name}-{number}"


def plane(number):
    return np.full((10, 12), number + 1, np.uint16)


def image_xml(folder, names, number=0):
    places = "".join(
        PLACE.format(first=t, name=name, uuid=uuid_of(folder, name)) for t, name in enumerate(names) if name is not None
    )
    return PIXELS.format(i=number, size=len(names), places=places)


def write_set(folder, count=3, left_out=()):
    """A time lapse, one frame a file; each names all of them."""
    folder.mkdir(exist_ok=True)
    names = [f"t{t}.ome.tif" for t in range(count)]
    images = image_xml(folder, names)
    for t, name in enumerate(names):
        if t not in left_out:
            xml = HEAD.format(uuid=uuid_of(folder, name)) + images + "</OME>"
            tifffile.imwrite(folder / name, plane(t), description=xml, metadata=None)
    return folder


def frames(image):
    return image.array[:, :1, :1].ravel().tolist() if image.axes == "TYX" else image.array[:1, :1].ravel().tolist()


def test_a_set_is_one_image_whichever_of_its_files_is_named(tmp_path):
    folder = write_set(tmp_path / "a")
    for read in (read_image, open_image):
        for t in range(3):
            assert frames(read(folder / f"t{t}.ome.tif")) == [1, 2, 3]
    assert find_images(folder) == [folder / "t0.ome.tif"]
    assert find_images([folder / "t2.ome.tif", folder / "t1.ome.tif"]) == [folder / "t1.ome.tif"]
    assert find_images(folder / "t2.ome.tif") == [folder / "t2.ome.tif"]
    assert [one.shape for one in series_of(folder / "t1.ome.tif")] == [(3, 10, 12)]


def test_sets_and_other_images_of_a_folder_are_kept_apart(tmp_path):
    folder = write_set(tmp_path / "a")
    for t in range(2):
        xml = HEAD.format(uuid=f"urn:uuid:b{t}") + image_xml(folder, ["b0.tif", "b1.tif"]) + "</OME>"
        xml = xml.replace(uuid_of(folder, "b0.tif"), "urn:uuid:b0").replace(uuid_of(folder, "b1.tif"), "urn:uuid:b1")
        tifffile.imwrite(folder / f"b{t}.tif", plane(7 + t), description=xml, metadata=None)
    tifffile.imwrite(folder / "single.ome.tif", plane(5), metadata={"axes": "YX"})
    tifffile.imwrite(folder / "other.ome.tif", plane(6), metadata={"axes": "YX"})
    (folder / "broken.tif").write_bytes(b"II*\0nothing")
    names = [path.name for path in find_images(folder)]
    assert names == ["b0.tif", "broken.tif", "other.ome.tif", "single.ome.tif", "t0.ome.tif"]
    assert frames(read_image(folder / "b1.tif")) == [8, 9]


@pytest.mark.parametrize("read", [read_image, open_image])
def test_a_missing_file_is_refused_or_filled_and_told(tmp_path, caplog, read):
    folder = write_set(tmp_path / "a", left_out=[1])
    refused = r"t2\.ome\.tif: 1 of its 3 planes is missing \(1, counted from 0\), not there: t1\.ome\.tif, expected all"
    with pytest.raises(InputError, match=refused):
        read(folder / "t2.ome.tif")
    assert not caplog.records
    assert frames(read(folder / "t2.ome.tif", allow_missing=True)) == [1, 0, 3]
    assert "1 of its 3 planes is missing (1, counted from 0), not there: t1.ome.tif: filled with 0" in caplog.text
    (place,) = find_series(folder, allow_missing=True)
    assert place.name == "t0.ome.tif" and frames(read(place)) == [1, 0, 3]


def test_a_renamed_file_is_missing(tmp_path):
    folder = write_set(tmp_path / "a")
    os.rename(folder / "t1.ome.tif", folder / "x.ome.tif")
    assert find_images(folder) == [folder / "t0.ome.tif"]
    with pytest.raises(InputError, match=r"not there: t1\.ome\.tif"):
        read_image(folder / "t0.ome.tif")
    # It knows itself by its number.
    assert frames(read_image(folder / "x.ome.tif")) == [1, 2, 3]


def test_a_file_of_another_set_is_not_taken_for_one_of_this(tmp_path):
    folder, other = write_set(tmp_path / "a"), write_set(tmp_path / "b")
    os.replace(other / "t1.ome.tif", folder / "t1.ome.tif")
    for options in ({}, {"allow_missing": True}):
        with pytest.raises(InputError, match=r"t1\.ome\.tif: found another file of OME \(urn:uuid:b-t1.*renamed\?"):
            read_image(folder / "t0.ome.tif", **options)


def test_planes_that_were_never_acquired_are_refused_or_filled(tmp_path, caplog):
    xml = HEAD.format(uuid="urn:uuid:1") + PIXELS.format(i=0, size=5, places="<TiffData/>") + "</OME>"
    pages = np.stack([plane(0), plane(1), plane(2)])
    tifffile.imwrite(tmp_path / "a.ome.tif", pages, description=xml, metadata=None, photometric="minisblack")
    with pytest.raises(InputError, match=r"2 of its 5 planes are missing \(3, 4, counted from 0\), expected all"):
        read_image(tmp_path / "a.ome.tif")
    assert frames(read_image(tmp_path / "a.ome.tif", allow_missing=True)) == [1, 2, 3, 0, 0]
    assert "filled with 0" in caplog.text


def test_pages_without_pixels_are_missing_planes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.stack([plane(0)] * 3), compression="zlib", photometric="minisblack", metadata={"axes": "TYX"}
    )
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("StripByteCounts", "StripOffsets"):
            tif.pages[1].tags[name].overwrite(0)
    with pytest.raises(InputError, match=r"1 of its 3 planes is missing \(1, counted"):
        open_image(path)
    assert frames(read_image(path, allow_missing=True)) == [1, 0, 1]


def test_an_image_of_which_no_file_is_there_is_refused(tmp_path, caplog):
    folder = tmp_path
    images = image_xml(folder, ["t0.ome.tif"]) + image_xml(folder, ["gone.ome.tif"], 1)
    xml = HEAD.format(uuid=uuid_of(folder, "t0.ome.tif")) + images + "</OME>"
    tifffile.imwrite(folder / "t0.ome.tif", plane(0), description=xml, metadata=None)
    with pytest.raises(InputError, match=r"1 of the 2 images that its metadata name cannot be read, not there: gone"):
        read_image(folder / "t0.ome.tif")
    assert frames(read_image(folder / "t0.ome.tif", allow_missing=True)) == [1]
    assert "left out" in caplog.text


def test_images_keep_their_numbers_where_others_are_left_out(tmp_path):
    names = [f"t{t}.ome.tif" for t in range(3)]
    images = "".join(image_xml(tmp_path, [name], number) for number, name in enumerate(names))
    for t in (0, 2):
        sized = images
        for number in range(3):
            size = f'PhysicalSizeX="{number + 1}" PhysicalSizeXUnit="µm"'
            sized = sized.replace(f'ID="Pixels:{number}"', f'ID="Pixels:{number}" {size}')
        xml = HEAD.format(uuid=uuid_of(tmp_path, names[t])) + sized + "</OME>"
        tifffile.imwrite(tmp_path / names[t], plane(t), description=xml.encode(), metadata=None)
    assert [one.index for one in series_of(tmp_path / "t0.ome.tif")] == [0, 2]
    places = find_series(tmp_path, "all", allow_missing=True)
    assert [(place.series, frames(read_image(place))) for place in places] == [(0, [1]), (2, [3])]
    assert read_image(places[1]).pixel_size["X"] == 3
    with pytest.raises(InputError, match="found no series 1, the file holds 2 images, 0 to 2"):
        read_image(tmp_path / "t0.ome.tif", series=1, allow_missing=True)


@pytest.mark.parametrize("name", ["../x.tif", "/etc/passwd", "sub/x.tif", "..", "C:\\\\x.tif"])
def test_metadata_do_not_lead_out_of_the_folder(tmp_path, name):
    folder = tmp_path / "a"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "x.tif", plane(8))
    xml = HEAD.format(uuid=uuid_of(folder, "t0.ome.tif")) + image_xml(folder, ["t0.ome.tif", name]) + "</OME>"
    tifffile.imwrite(folder / "t0.ome.tif", plane(0), description=xml, metadata=None)
    for read in (series_of, read_image):
        with pytest.raises(InputError, match="in its OME metadata, expected names of files beside it"):
            read(folder / "t0.ome.tif")


def test_a_file_of_a_set_whose_pages_lead_in_a_circle_is_refused(tmp_path):
    folder = write_set(tmp_path / "a")
    with tifffile.TiffFile(folder / "t1.ome.tif") as tif:
        start, end = tif.pages[0].offset, tif.pages.next_page_offset
    with open(folder / "t1.ome.tif", "r+b") as file:
        # After the tags of the only page comes the place of the next one.
        file.seek(start)
        (tags,) = struct.unpack("<H", file.read(2))
        file.seek(start + 2 + 12 * tags)
        assert struct.unpack("<I", file.read(4)) == (0,) and end == start + 2 + 12 * tags
        file.seek(end)
        file.write(struct.pack("<I", start))
    with pytest.raises(InputError, match=r"t1\.ome\.tif: found pages that lead back to byte"):
        read_image(folder / "t0.ome.tif")


@pytest.mark.parametrize("kind", ["companion.ome", "main.ome.tif"])
def test_metadata_may_be_in_a_file_of_their_own(tmp_path, kind):
    folder, names = tmp_path, ["t0.ome.tif", "t1.ome.tif"]
    whole = HEAD.format(uuid="urn:uuid:main") + image_xml(folder, names) + "</OME>"
    if kind == "companion.ome":
        (folder / "set.companion.ome").write_text(whole, encoding="utf-8")
    else:
        tifffile.imwrite(folder / "set.main.ome.tif", plane(90), description=whole, metadata=None)
    refers = f'<BinaryOnly MetadataFile="set.{kind}" UUID="urn:uuid:main"/></OME>'
    for t, name in enumerate(names):
        xml = HEAD.format(uuid=uuid_of(folder, name)) + refers
        tifffile.imwrite(folder / name, plane(t), description=xml, metadata=None)
    assert frames(read_image(folder / "t1.ome.tif")) == [1, 2]
    assert len(find_images(folder)) == 1
    (folder / f"set.{kind}").unlink()
    with pytest.raises(InputError, match=r"set\..*: found no such file, expected the file with the metadata"):
        read_image(folder / "t1.ome.tif")

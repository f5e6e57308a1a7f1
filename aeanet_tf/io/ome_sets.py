"""OME-TIFFs of several files: which files belong together, and whether they are there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import TIFF_SUFFIXES, image_suffix
from aeanet_tf.io.tiff_claims import check_chain

# Of a companion file, which holds metadata alone.
_MOST_XML_BYTES = 2**28
_OWN_UUID = re.compile(r"<(?:\w+:)?OME\b[^>]*?\bUUID=[\"']([^\"']+)")


@dataclass(frozen=True)
class OmeFiles:
    """Which files the OME metadata of a TIFF file names.

    Attributes:
        uuid: of the file itself, None where it has none.
        files: name of the file by UUID, for every file that holds planes.
        images: for each image that the metadata names the files of its planes; none where they are in this one.
        metadata: the file beside it that holds the metadata of the set, where this one has none of its own.
    """

    uuid: str | None
    files: dict[str, str]
    images: tuple[frozenset[str], ...]
    metadata: str | None

    def left(self, absent: Sequence[str]) -> list[int]:
        """Numbers of the images that are left where the files of these names are not there."""
        return [number for number, names in enumerate(self.images) if not names or names - {*absent}]

    def others(self, path: Path) -> dict[str, str]:
        """Those of ``files`` that are not the file itself, which without a UUID is known by its name."""
        return {
            uuid: name
            for uuid, name in self.files.items()
            if uuid != self.uuid and (self.uuid is not None or name.lower() != path.name.lower())
        }


def ome_files(xml: str | None) -> OmeFiles | None:
    """What the OME-XML of a TIFF file says of files; None where it is none, or damaged."""
    try:
        root = ElementTree.fromstring(xml or "")
    except (ElementTree.ParseError, ValueError):
        return None
    files = {(one.text or "").strip(): one.get("FileName", "") for one in root.iterfind(".//{*}TiffData/{*}UUID")}
    images = tuple(
        frozenset(one.get("FileName", "") for one in image.iterfind("{*}Pixels/{*}TiffData/{*}UUID"))
        for image in root.iterfind("{*}Image")
    )
    only = root.find("{*}BinaryOnly")
    metadata = None if only is None else only.get("MetadataFile")
    return OmeFiles(root.get("UUID"), files, images, metadata)


def metadata_file(path: Path, files: OmeFiles) -> Path:
    """The file beside ``path`` that holds the metadata of its set.

    Raises:
        InputError: it is not there, or not beside it.
    """
    found = _beside(path, files.metadata or "")
    expected = f"the file with the metadata of the OME set beside {path.name}"
    expect(found.is_file(), found, "no such file", expected)
    check_chain(found)
    return found


def companion_xml(path: Path) -> str:
    """The OME-XML of a companion file.

    Raises:
        InputError: it is too large, or no text.
    """
    size = path.stat().st_size
    expect(size <= _MOST_XML_BYTES, path, f"{size} bytes", f"OME metadata of at most {_MOST_XML_BYTES}")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as OME metadata ({error})") from error


def missing_files(path: Path, files: OmeFiles) -> list[str]:
    """Names of the files of a set that are not beside ``path``; those that are there are checked.

    Raises:
        InputError: a name leads elsewhere; a file of that name is another one, or no file.
    """
    missing = []
    for uuid, name in files.others(path).items():
        beside = _beside(path, name)
        if beside.name == path.name:
            # It names itself by another number than it has.
            continue
        if not beside.exists():
            missing.append(name)
            continue
        expect(beside.is_file(), beside, "no regular file", f"one of the set of {path.name}")
        check_chain(beside)
        own = _own_uuid(beside)
        expected = f"the one that {path.name} names ({uuid}); was it renamed?"
        expect(own is None or own == uuid, beside, f"another file of OME ({own})", expected)
    return missing


def one_of_each_set(paths: Sequence[Path]) -> list[Path]:
    """Paths without those files that belong to a set of OME-TIFFs of which an earlier one is there.

    Args:
        paths: sorted; files that are no OME-TIFFs, or cannot be read, stay.
    """
    tiffs = [path for path in paths if image_suffix(path) in TIFF_SUFFIXES and path.is_file()]
    if len(tiffs) < 2:
        return list(paths)
    seen, doubled = set(), set()
    for path in tiffs:
        members = _set_of(path)
        if members in seen:
            doubled.add(path)
        if members is not None:
            seen.add(members)
    return [path for path in paths if path not in doubled]


def _set_of(path: Path) -> tuple[Path, frozenset[str]] | None:
    """What tells the set of a file from others: the folder, and the names of all files."""
    files = ome_files(_description(path))
    if files is not None and files.metadata is not None:
        try:
            main = metadata_file(path, files)
            files = ome_files(_description(main) if image_suffix(main) in TIFF_SUFFIXES else companion_xml(main))
        except InputError:
            return None
    if files is None or len(files.files) < 2:
        return None
    return path.parent.resolve(), frozenset(files.files.values())


def _beside(path: Path, name: str) -> Path:
    plain = name not in ("", ".", "..") and "/" not in name and "\\" not in name and "\0" not in name
    expect(plain, path, f"the file {name[:80]!r} in its OME metadata", "names of files beside it")
    return path.with_name(name)


def _description(path: Path) -> str | None:
    try:
        with tifffile.TiffFile(path) as tif:
            return tif.ome_metadata
    # Whether it can be read at all is found where it is opened.
    except Exception:
        return None


def _own_uuid(path: Path) -> str | None:
    # Not parsed: each file of a large set repeats the metadata of all.
    found = _OWN_UUID.search(_description(path) or "")
    return found and found[1]

"""Unpacking an archive that came from elsewhere, without letting it write outside of its folder."""

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from aeanet_tf.errors import InputError

_ZIP = (".zip",)
_TAR = (".tar.gz", ".tgz", ".tar")


def is_archive(file: Path) -> bool:
    """Whether the name is that of an archive that `unpack` knows: .zip, .tar.gz, .tgz or .tar."""
    return file.name.lower().endswith(_ZIP + _TAR)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into ``folder``, which is made; what a failure leaves there, the caller removes.

    Raises:
        InputError: the archive is damaged or of another kind (a web page, say), or an entry, or what a link of it
            points to, lies outside of the folder; such an entry is refused and not renamed, whatever comes with it.
    """
    folder.mkdir(parents=True)
    try:
        if archive.name.lower().endswith(_ZIP):
            _unzip(archive, folder)
        else:
            _untar(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{archive}: is damaged or no archive ({error})") from error


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            _check(archive, name)
        # Reads every entry to its end and compares the checksums.
        file.extractall(folder)


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError("Python: unpacking tar archives safely takes at least 3.10.12, 3.11.4 or 3.12")
    # Entry by entry: a list of all entries first would read gigabytes twice.
    with tarfile.open(archive) as file:
        for entry in file:
            _check(archive, entry.name)
            try:
                file.extract(entry, folder, filter="data")
            except tarfile.FilterError as error:
                raise InputError(f"{archive}: refused, since {error}") from error
        # The checksum stands behind the last entry, where reading a tar archive ends.
        while file.fileobj is not None and file.fileobj.read(1 << 20):
            pass


def _check(archive: Path, name: str) -> None:
    # Windows' rules know those of the others: both slashes, and drives.
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts:
        raise InputError(f"{archive}: refused, since its entry {name!r} lies outside of the folder to unpack to")

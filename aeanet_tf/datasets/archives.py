"""Archives unpacked: into their folder alone, and no more than the disk holds and their size can account for."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

from aeanet_tf.errors import InputError, WriteError, expect, one_line
from aeanet_tf.memory import in_words

_ZIP = (".zip",)
_TAR = (".tar.gz", ".tgz", ".tar")
# First bytes of what a tar archive may be compressed by; its name does not always say it.
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# Images shrink to a half or a third, labels to a hundredth; what grows more has been made to fill a disk.
_RATIO, _LITTLE = 200, 2**28
# Each takes a place of the file system, and microseconds.
_MOST_ENTRIES = 200_000
# Long names and dates; tarfile reads them whole.
_LONGEST_HEADER = 2**16


def is_archive(file: Path) -> bool:
    """Whether the name is that of an archive that `unpack` knows: .zip, .tar.gz, .tgz or .tar."""
    return file.name.lower().endswith(_ZIP + _TAR)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into ``folder``, which is made; what a failure leaves there, the caller removes.

    Raises:
        InputError: the archive is damaged, encrypted or of another kind (a web page, say); an entry, or what a link of
            it points to, lies outside of the folder; such an entry is refused and not renamed, whatever comes with it;
            it holds more than 200,000 entries, or 200 times its size, or more than the disk has left.
        OSError: the disk cannot be written.
    """
    folder.mkdir(parents=True)
    with _faults(archive):
        if archive.name.lower().endswith(_ZIP):
            _unzip(archive, folder)
        else:
            _untar(archive, folder)


@contextmanager
def _faults(archive: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # The disk's: full, no permission, a name too long for it. Those of gzip have no number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{archive}: is damaged or no archive ({one_line(error)})") from error


class _Budget:
    """What an archive may still unpack to."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive = archive
        self.free, self.entries = shutil.disk_usage(folder).free, 0
        self.most = min(self.free, max(_LITTLE, _RATIO * archive.stat().st_size))
        self.taken = 0

    def take(self, nbytes: int, entries: int = 1) -> None:
        """Count an entry before it is written. Raises `InputError` where it is too much."""
        if nbytes < 0:
            raise InputError(f"{self.archive}: is damaged (an entry of {nbytes} bytes)")
        self.taken += nbytes
        self.entries += entries
        if self.taken > self.free:
            found = f"{in_words(self.taken)} to unpack, {in_words(self.free)} free"
            raise WriteError(f"{self.archive}: found {found}, expected more of the disk")
        found, size = in_words(self.taken), in_words(self.archive.stat().st_size)
        expect(self.taken <= self.most, self.archive, f"{found} in {size}", f"at most {_RATIO} times its size")
        expect(self.entries <= _MOST_ENTRIES, self.archive, f"over {_MOST_ENTRIES} entries", "fewer")


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        budget = _Budget(archive, folder)
        for entry in file.infolist():
            _check(archive, entry.filename)
            expect(not entry.flag_bits & 1, archive, f"the encrypted entry {entry.filename!r:.80}", "one to be read")
            budget.take(entry.file_size)
        # Reads every entry to the end that it states, and compares the checksums.
        file.extractall(folder)


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError("Python: unpacking tar archives safely takes at least 3.10.12, 3.11.4 or 3.12")
    budget = _Budget(archive, folder)
    with open(archive, "rb") as file:
        start = file.read(8)
    opening = next((opening for magic, opening in _COMPRESSED.items() if start.startswith(magic)), open)
    # Entry by entry: a list of all entries first would read gigabytes twice.
    with opening(archive, "rb") as raw, _tar(raw, budget) as file:
        for entry in file:
            _check(archive, entry.name)
            _check_link(archive, entry)
            budget.take(entry.size)
            try:
                file.extract(entry, folder, filter="data")
            except tarfile.FilterError as error:
                raise InputError(f"{archive}: refused, since {error}") from error
            # tarfile looks a hard link up among what it has read.
            except KeyError as error:
                raise InputError(f"{archive}: is damaged ({entry.name!r:.80} links to what is not in it)") from error
        # The checksum stands behind the last entry, where reading a tar archive ends.
        while block := raw.read(1 << 20):
            budget.take(len(block), 0)


def _tar(raw: Any, budget: _Budget) -> tarfile.TarFile:
    # With room for the headers of the entries.
    return tarfile.open(fileobj=_Stream(raw, budget.most + 4 * 512 * _MOST_ENTRIES), mode="r:")


class _Stream:
    """An unpacked tar archive for tarfile, which reads headers at once, however long they say that they are.

    Args:
        stream: the archive.
        most: bytes that it may have.
    """

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.most = stream, most

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise ValueError(f"a header of {size} bytes")
        return self.stream.read(size)

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, place: int) -> int:
        # Through what is compressed it would go byte by byte.
        if not 0 <= place <= self.most:
            raise ValueError(f"an entry of {in_words(abs(place))}")
        return self.stream.seek(place)


def _check_link(archive: Path, entry: tarfile.TarInfo) -> None:
    """Refuse links that lead upward: by way of other links they may end anywhere, whatever tarfile's filter says."""
    if (entry.issym() or entry.islnk()) and ".." in PureWindowsPath(entry.linkname).parts:
        link = f"{entry.name!r:.80} leads upward, to {entry.linkname!r:.80}"
        raise InputError(f"{archive}: refused, since its link {link}")


def _check(archive: Path, name: str) -> None:
    # Windows' rules know those of the others: both slashes, and drives.
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts:
        raise InputError(f"{archive}: refused, since its entry {name!r:.200} lies outside of the folder to unpack to")

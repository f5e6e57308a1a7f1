"""Archives, damaged and hostile ones too, are unpacked right or refused in one line, and within their folder."""

import gzip
import io
import tarfile

import pytest

from aeanet_tf.datasets import archives
from aeanet_tf.datasets.archives import unpack
from aeanet_tf.datasets.catalogue import Dataset
from aeanet_tf.datasets.download import download
from aeanet_tf.errors import InputError, UnfinishedError, writing
from tests.hostile import makers_archives
from tests.hostile.makers_archives import FILES, tarred, zipped
from tests.hostile.test_hostile_images import check, parameters


@parameters(makers_archives)
def test_archives(tmp_path, make, expected):
    (tmp_path / "in").mkdir()
    archive, folder = make(tmp_path / "in"), tmp_path / "out" / "folder"

    def unpacked(path):
        # As the download does, whose folder cannot be written to.
        with writing(folder):
            unpack(path, folder)
        return sorted((str(f.relative_to(folder)), f.read_bytes()) for f in folder.rglob("*") if f.is_file())

    check(unpacked, archive, sorted(FILES.items()), expected)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"folder"}
    assert not list(tmp_path.rglob(makers_archives.MARK))


def test_nothing_is_left_of_an_archive_that_is_refused(tmp_path):
    archive = tarred(makers_archives.link("a", "none", tarfile.LNKTYPE), name="set.tar.gz")(tmp_path)
    found = Dataset("some", "a data set", "https://example.org", "http://127.0.0.1:9/set.tar.gz", archive.name)
    with pytest.raises(InputError, match=r"set\.tar\.gz: is damaged \('a' links to what is not in it\)"):
        download(found, tmp_path)
    # What somebody saved by hand stays.
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar.gz"]


@pytest.mark.parametrize(
    "make", [zipped({"zeros": bytes(3_000_000)}), tarred(makers_archives.entry("z", bytes(3_000_000)))]
)
def test_what_unpacks_to_much_more_than_its_size_is_refused(tmp_path, monkeypatch, make):
    archive = make(tmp_path)
    unpack(archive, tmp_path / "as it is")
    monkeypatch.setattr(archives, "_LITTLE", 1_000_000)
    with pytest.raises(InputError, match=r"found 3 MB in .* kB, expected at most 200 times its size"):
        unpack(archive, tmp_path / "much more")
    assert not list((tmp_path / "much more").rglob("z*"))


@pytest.mark.parametrize("make", [zipped(), tarred()])
def test_what_the_disk_does_not_hold_is_not_begun(tmp_path, monkeypatch, make):
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage._replace(free=2000))
    with pytest.raises(UnfinishedError, match=r"found 3 kB to unpack, 2 kB free, expected more of the disk"):
        unpack(make(tmp_path), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("make", [zipped(), tarred()])
def test_archives_of_too_many_entries_are_refused(tmp_path, monkeypatch, make):
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 1)
    with pytest.raises(InputError, match="found over 1 entries, expected fewer"):
        unpack(make(tmp_path), tmp_path / "out")


def test_an_entry_that_ends_behind_what_may_be_unpacked_is_not_gone_through(tmp_path, monkeypatch):
    # Of entries that are skipped, such as those of another kind, nothing is unpacked, but all is inflated.
    monkeypatch.setattr(archives, "_LITTLE", 10_000)
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 10)
    stream = io.BytesIO()
    info, data = makers_archives.entry("x", bytes(10**6))
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(info, io.BytesIO(data))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(stream.getvalue()))
    with pytest.raises(InputError, match="expected at most 200 times its size"):
        unpack(path, tmp_path / "out")

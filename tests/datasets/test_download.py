"""Downloads from a server at work: whole, checked and once; broken off, they go on; what is unsafe is refused."""

import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from aeanet_tf import downloads
from aeanet_tf.datasets.catalogue import DATASETS, Dataset, get_dataset
from aeanet_tf.datasets.download import download
from aeanet_tf.errors import InputError, UnfinishedError
from tests.datasets.http_server import closed_port, serving


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(entries, link=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo("link")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            file.addfile(entry)
    return buffer.getvalue()


ENTRIES = {"set/low/a.tif": noise(300_000), "set/GT/a.tif": noise(200_000, 1)}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(zipped(ENTRIES)) as server:
        yield server


def dataset(url, file="set.zip", **more):
    return Dataset("some", "a data set", "https://example.org/page", f"{url}/{file}", file, **more)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_data_set_is_unpacked_recorded_and_fetched_once(server, tmp_path):
    output = tmp_path / "new" / "data"
    result = download(dataset(server.url), output)
    assert result == (output / "some", output / "some.download.json", True)
    assert contents(result.folder) == ENTRIES
    assert names(output) == ["some", "some.download.json"]
    record = json.loads(result.record.read_text())
    assert record["url"] == f"{server.url}/set.zip" and record["bytes"] == len(server.content)
    assert record["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert download(dataset(server.url), output) == (*result[:2], False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_download_that_broke_off_fetches_only_the_rest(server, tmp_path, known):
    size = len(server.content)
    server.break_at = size // 2
    wanted = dataset(server.url, sha256=hashlib.sha256(server.content).hexdigest() if known else None)
    with pytest.raises(UnfinishedError, match=r"set\.zip: cannot be downloaded, the connection broke off; 0\.\d MB"):
        download(wanted, tmp_path)
    assert names(tmp_path) == ["set.zip.part", "set.zip.part.json"]
    kept = (tmp_path / "set.zip.part").stat().st_size
    # Up to one block of 64 KiB is lost with the connection.
    assert size // 2 - 65536 <= kept <= size // 2
    download(wanted, tmp_path)
    assert server.requests[-1] == (f"bytes={kept}-", 206, size - kept)
    assert contents(tmp_path / "some") == ENTRIES
    assert names(tmp_path) == ["some", "some.download.json"]


def change(server):
    server.content, server.mark = zipped({"other": noise(400_000, 2)}), '"2"'


def forget_ranges(server):
    server.ranges = False


def lose_mark(server):
    server.mark = None


@pytest.mark.parametrize("later", [change, forget_ranges, lose_mark])
def test_what_cannot_be_gone_on_with_starts_over(server, tmp_path, later):
    server.break_at = 200_000
    with pytest.raises(UnfinishedError):
        download(dataset(server.url), tmp_path)
    later(server)
    download(dataset(server.url), tmp_path)
    assert server.requests[-1].range and server.requests[-1][1:] == (200, len(server.content))
    assert contents(tmp_path / "some") == (ENTRIES if later is not change else {"other": noise(400_000, 2)})


def test_without_a_mark_of_the_version_no_rest_is_asked_for(server, tmp_path):
    for mark in (None, 'W/"weak"'):
        server.mark, server.break_at = mark, 200_000
        with pytest.raises(UnfinishedError, match="broke off; or get it by hand"):
            download(dataset(server.url), tmp_path)
    download(dataset(server.url), tmp_path)
    assert [request.range for request in server.requests] == [None] * 3


@pytest.mark.parametrize(
    ("kept", "more", "statuses"),
    [
        # Longer than it ever should be: not asked for.
        (9, 5, [200]),
        # The server says that there is no such rest, and that the rest is of a file of another size.
        (3, 5, [416, 200]),
        (-9, 5, [206, 200]),
    ],
)
def test_a_part_that_does_not_fit_is_dropped(server, tmp_path, kept, more, statuses):
    size = len(server.content)
    (tmp_path / "set.zip.part").write_bytes(b"x" * (size + kept))
    state = {"url": f"{server.url}/set.zip", "total": size + more, "mark": '"1"'}
    (tmp_path / "set.zip.part.json").write_text(json.dumps(state))
    download(dataset(server.url), tmp_path)
    assert [request.status for request in server.requests] == statuses
    assert contents(tmp_path / "some") == ENTRIES
    assert names(tmp_path) == ["some", "some.download.json"]


def test_an_error_of_the_server_keeps_the_part(server, tmp_path):
    server.break_at = 300_000
    with pytest.raises(UnfinishedError):
        download(dataset(server.url), tmp_path)
    kept = (tmp_path / "set.zip.part").read_bytes()
    server.status = 503
    with pytest.raises(UnfinishedError, match=r"the server answers 503 Service Unavailable; 0\.\d MB are kept"):
        download(dataset(server.url), tmp_path)
    assert (tmp_path / "set.zip.part").read_bytes() == kept == server.content[: len(kept)]


def test_an_interruption_keeps_the_part(server, tmp_path, monkeypatch):
    import tqdm

    def interrupt(self, count):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tqdm.tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(dataset(server.url), tmp_path)
    assert (tmp_path / "set.zip.part").read_bytes() == server.content[:65536]
    download(dataset(server.url), tmp_path)
    assert server.requests[-1].range == "bytes=65536-" and contents(tmp_path / "some") == ENTRIES


def test_a_part_that_is_whole_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(server.content)
    state = {"url": f"{server.url}/set.zip", "total": len(server.content), "mark": '"1"'}
    (tmp_path / "set.zip.part.json").write_text(json.dumps(state))
    assert download(dataset(server.url), tmp_path).fetched
    assert server.requests == [] and contents(tmp_path / "some") == ENTRIES


def test_another_hash_is_refused_and_the_file_removed(server, tmp_path):
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(InputError, match=f"removed again: .*expected {'0' * 64} but got {found}$"):
        download(dataset(server.url, sha256="0" * 64), tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_changed_since_the_first_download_is_refused_until_accepted(server, tmp_path):
    folder, record, _ = download(dataset(server.url), tmp_path)
    folder.rename(tmp_path / "elsewhere")
    change(server)
    with pytest.raises(InputError, match=r"removed again: .*some\.download\.json holds that of the first download"):
        download(dataset(server.url), tmp_path)
    assert names(tmp_path) == ["elsewhere", "some.download.json"]
    record.unlink()
    download(dataset(server.url), tmp_path)
    assert contents(folder) == {"other": noise(400_000, 2)}


def test_no_network_is_told_with_the_address_and_the_way_by_hand(tmp_path):
    url = closed_port()
    with pytest.raises(UnfinishedError) as caught:
        download(dataset(url), tmp_path)
    assert str(caught.value) == (
        f"{url}/set.zip: cannot be downloaded, no connection to the server; "
        f"or get it by hand, save it as {tmp_path / 'set.zip'} and call again"
    )
    assert names(tmp_path) == []
    (tmp_path / "set.zip").write_bytes(zipped(ENTRIES))
    assert download(dataset(url), tmp_path).fetched
    # Somebody's own file stays.
    assert contents(tmp_path / "some") == ENTRIES and "set.zip" in names(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("set.zip", zipped({"good": b"1", "../evil": b"2"})),
        ("set.zip", zipped({"a/../../evil": b"2"})),
        ("set.zip", zipped({"/evil": b"2"})),
        ("set.zip", zipped({"..\\evil": b"2"})),
        ("set.tar.gz", tarred({"good": b"1", "../evil": b"2"})),
        ("set.tar.gz", tarred({"/evil": b"2"})),
        ("set.tar.gz", tarred({"good": b"1"}, link="../../evil")),
    ],
    # Names of their own: the archives hold the time, and would name the tests of each process differently.
    ids=["zip", "zip twice", "zip root", "zip windows", "tar", "tar root", "tar link"],
)
def test_archives_that_lead_out_of_their_folder_are_refused(server, tmp_path, file, content):
    server.content = content
    output = tmp_path / "data"
    with pytest.raises(InputError, match=rf"{file}: refused, since"):
        download(dataset(server.url, file), output)
    assert names(output) == [] and names(tmp_path) == ["data"]


@pytest.mark.parametrize("file", ["set.zip", "set.tar.gz"])
@pytest.mark.parametrize("damage", ["page", "short", "bits"])
def test_what_is_no_whole_archive_is_told_and_removed(server, tmp_path, file, damage):
    content = zipped(ENTRIES) if file == "set.zip" else tarred(ENTRIES)
    middle = len(content) // 2
    server.content = {
        "page": b"<html>please log in</html>",
        "short": content[:middle],
        "bits": content[:middle] + bytes(255 - byte for byte in content[middle : middle + 9]) + content[middle + 9 :],
    }[damage]
    with pytest.raises(InputError, match=rf"{file}: is damaged or no archive"):
        download(dataset(server.url, file), tmp_path)
    assert names(tmp_path) == []


def test_tar_archives_and_single_files(server, tmp_path):
    server.content = tarred(ENTRIES)
    assert contents(download(dataset(server.url, "set.tar.gz"), tmp_path / "1").folder) == ENTRIES
    server.content = noise(1000)
    assert contents(download(dataset(server.url, "volume.hdf"), tmp_path / "2").folder) == {"volume.hdf": noise(1000)}
    assert names(tmp_path / "2") == ["some", "some.download.json"]


def test_an_address_that_is_gone_is_told(server, tmp_path):
    server.status = 404
    with pytest.raises(UnfinishedError, match=r"set\.zip: cannot be downloaded, the server answers 404 Not Found; or"):
        download(dataset(server.url), tmp_path)


def test_folders_that_are_not_from_here_are_left_alone(server, tmp_path):
    (tmp_path / "some").mkdir()
    with pytest.raises(InputError, match=r"some: is there, but not from a download"):
        download(dataset(server.url), tmp_path)
    (tmp_path / "some.download.json").write_text("{}")
    with pytest.raises(InputError, match=r"some\.download\.json: is not the record of a download"):
        download(dataset(server.url), tmp_path)
    with pytest.raises(UnfinishedError, match="cannot be written"):
        download(dataset(server.url), tmp_path / "some.download.json" / "below")
    assert server.requests == []


def test_data_given_out_by_hand_say_where_and_how(tmp_path):
    with pytest.raises(
        InputError, match=r"iseg2017: .* from https://iseg2017\.web\.unc\.edu/.*subject-<i>-T1.*datasets"
    ):
        download("iseg2017", tmp_path)
    (tmp_path / "iseg2017").mkdir()
    assert not download("iseg2017", tmp_path).fetched
    with pytest.raises(InputError, match="found 'tribolum', expected one of care-planaria, "):
        get_dataset("tribolum")


def test_the_catalogue_is_in_order():
    fetched = [each for each in DATASETS.values() if each.url]
    assert len({each.file for each in fetched}) == len({each.url for each in fetched}) == len(fetched)
    for name, each in DATASETS.items():
        assert name == each.name == name.lower() and each.page.startswith("https://") and each.description
        # One of the two: an address, or what to do without.
        assert bool(each.url) == bool(each.file) != bool(each.layout)
        assert each.url is None or each.url.startswith(("https://", "http://csbdeep."))
        assert each.sha256 is None or (len(each.sha256) == 64 and int(each.sha256, 16))


def test_a_file_that_the_disk_does_not_hold_is_not_begun(server, tmp_path, monkeypatch):
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        UnfinishedError, match=r"set\.zip: found 500 kB to download, 1 kB free, expected more of the disk"
    ):
        download(dataset(server.url), tmp_path / "data")
    assert names(tmp_path / "data") == []


@pytest.mark.parametrize(
    "state", [{"total": "5", "mark": '"a"'}, {"total": 10**30, "mark": 5}, {"total": [], "mark": {}}]
)
def test_a_note_of_a_part_that_is_damaged_begins_anew(server, tmp_path, state):
    (tmp_path / "set.zip.part").write_bytes(b"part")
    (tmp_path / "set.zip.part.json").write_text(json.dumps({"url": f"{server.url}/set.zip", **state}))
    assert contents(download(dataset(server.url), tmp_path).folder) == ENTRIES

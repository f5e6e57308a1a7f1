"""``aeanet download`` lists, fetches once, and says in one line what does not work."""

import hashlib
import subprocess
import sys

import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.datasets.catalogue import DATASETS, Dataset
from tests.datasets.http_server import closed_port, serving

CONTENT = b"voxels" * 1000


@pytest.fixture
def catalogue(monkeypatch):
    """Adds a data set of one file to the catalogue."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def add(url, **more):
        dataset = Dataset("some", "a data set", "https://example.org", f"{url}/v.hdf", "v.hdf", **more)
        monkeypatch.setitem(DATASETS, "some", dataset)

    return add


def error(capsys):
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("aeanet: error: ")
    return line


def test_list_names_every_data_set(capsys):
    assert main(["download", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}\n" in "\n" + printed for name in DATASETS)
    assert "by hand: iSeg-2017" in printed and "https://cremi.org/data" in printed


def test_released_checkpoints_are_listed_with_their_pages(capsys, tmp_path):
    assert main(["download", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    pages = [lines[number + 2].strip() for number, line in enumerate(lines) if line.startswith("checkpoint-")]
    assert pages == ["https://github.com/divelab/AEANets"] * 3 + ["https://github.com/divelab/GVTNets"] * 16
    assert main(["download", "checkpoint-aeanet-64", "--output", str(tmp_path)]) == 2
    message = error(capsys)
    assert "models/pooled_batch8_lib64_kshape/model.ckpt-120000.index and .data-00000-of-00001 beside it" in message
    assert f"put into {tmp_path / 'checkpoint-aeanet-64'}" in message and "docs/training.md says more" in message


def test_a_second_call_does_nothing_and_says_so(catalogue, capsys, tmp_path):
    with serving(CONTENT) as server:
        catalogue(server.url, sha256=hashlib.sha256(CONTENT).hexdigest())
        arguments = ["download", "some", "--output", str(tmp_path)]
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.out.startswith(f"some: in {tmp_path / 'some'}, ")
        # No bar into a log file.
        assert "B/s" not in captured.err
        assert (tmp_path / "some" / "v.hdf").read_bytes() == CONTENT
        assert main(arguments) == 0
        lines = [f"some: already in {tmp_path / 'some'}, nothing to do"]
        lines += [f"next: aeanet new some --data {tmp_path / 'some'}"]
        assert capsys.readouterr().out.splitlines() == lines
        assert len(server.requests) == 1


def test_no_network_is_one_line_and_code_2(catalogue, capsys, tmp_path):
    url = closed_port()
    catalogue(url)
    assert main(["download", "some", "--output", str(tmp_path)]) == 2
    assert f"{url}/v.hdf: cannot be downloaded" in error(capsys)


def test_a_wrong_hash_is_one_line_and_code_2(catalogue, capsys, tmp_path):
    with serving(CONTENT) as server:
        catalogue(server.url, sha256="0" * 64)
        assert main(["download", "some", "--output", str(tmp_path)]) == 2
    assert "removed again" in error(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "got no name"),
        (["paired-em"], "https://aml.engr.tamu.edu/2001/09/01/publications/ (J74)"),
        # Before anything is fetched.
        (["cremi-a", "cremi-d"], "found 'cremi-d', expected one of"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_code_2(names, message, capsys, tmp_path):
    assert main(["download", *names, "--output", str(tmp_path)]) == 2
    assert message in error(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["download", "--help"], ["download", "--list"]])
def test_help_and_list_are_light(arguments):
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        "print({'numpy', 'pooch', 'requests', 'tqdm', 'skimage', 'tensorflow'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"

"""``aeanet configs`` and the lookup by name, in the clone and elsewhere."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.runs.shipped import CONFIGS, shipped_configs

ROOT = Path(__file__).parents[2]


def test_the_list_has_a_line_for_each(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    *lines, train, new = lines
    assert train == "next: aeanet train --config NAME --data FOLDER" and new.startswith("next: aeanet new NAME")
    assert [line.split()[0] for line in lines] == list(shipped_configs())
    (planaria,) = (line for line in lines if line.startswith("planaria "))
    assert planaria.endswith("AEANet paper, section VI-B, appendix V, table II.")


def test_one_is_shown_as_a_file_to_begin_with(tmp_path, capsys):
    assert main(["configs", "--show", "label_free/dna"]) == 0
    shown = json.loads(capsys.readouterr().out)
    # Wherever it is kept, editors find the schema.
    assert Path(url2pathname(urlparse(shown["$schema"]).path)) == CONFIGS / "schema.json"
    assert shown | {"$schema": "../schema.json"} == json.loads((CONFIGS / "label_free" / "dna.json").read_text())
    assert main(["configs", "--show", "none"]) == 2
    assert "none: no such configuration file" in capsys.readouterr().err


def test_missing_data_are_told_at_once_with_where_they_were_looked_for_and_their_download(tmp_path):
    """Measured in processor time, which a busy machine does not stretch as it does the clock's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(ROOT / "train.py"), "--config", "planaria.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AEANET_DATA": str(tmp_path / "disk")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("aeanet: error: data.root: no folder Denoising_Planaria; looked in ")
    assert len(done.stderr.splitlines()) == 1
    for folder in (tmp_path, tmp_path / "disk", tmp_path / "data", tmp_path / "data" / "care-planaria"):
        assert f"{folder}," in done.stderr or f"{folder};" in done.stderr
    assert "`aeanet download care-planaria` fetches Denoising_Planaria.tar.gz from https://doi.org/" in done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("paired_em", "`aeanet download paired-em` says where to get it"), ("label_free/dna", "no folder Label_Free")],
)
def test_what_is_got_by_hand(name, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", name]) == 2
    assert said in capsys.readouterr().err


def test_data_are_found_where_a_download_puts_them(tmp_path, monkeypatch, capsys):
    from aeanet_tf.runs.config import load_run_config

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "care-planaria" / "Denoising_Planaria"
    folder.mkdir(parents=True)
    assert load_run_config("planaria").data.folder().absolute() == folder
    # A mistyped --data does not become the download.
    assert main(["train", "--config", "planaria", "--data", "Denoising"]) == 2
    assert "no folder Denoising;" in capsys.readouterr().err

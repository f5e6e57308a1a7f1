"""The documentation is built without a warning, and holds what it is made from."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from aeanet_tf.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    not (find_spec("mkdocs") and find_spec("mkdocstrings")), reason="mkdocs is not installed"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet, with which no warning is counted.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        if path.stem != "index":
            assert (site / path.stem / "index.html").is_file() and f'href="{path.stem}/"' in home, path.name


def test_references_are_made_from_the_code(site):
    commands = (site / "commands" / "index.html").read_text(encoding="utf-8")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        assert f"<code>aeanet {name}</code>" in commands and f"usage: aeanet {name} " in commands
    fields = (site / "settings" / "index.html").read_text(encoding="utf-8")
    from aeanet_tf.networks.spec import SSANSpec, UNetSpec
    from aeanet_tf.runs.config import TrainingSection

    for section in (TrainingSection, UNetSpec, SSANSpec):
        assert all(f"<code>{field}</code>" in fields for field in section.model_fields)
    assert "Largest norm of all gradients together; null for no limit." in fields
    python = (site / "python" / "index.html").read_text(encoding="utf-8")
    assert all(name in python for name in ("take_weights", "predict_probabilities", "SliceInterpolationNet", "GVTO"))


def test_pages_need_no_network(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not any(f'{attribute}="http' in text for attribute in ("src", 'rel="stylesheet" href')), path

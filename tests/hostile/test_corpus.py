"""Every odd, damaged and hostile input ends in a right result, or in one line and exit code 2 (docs/reliability.md)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.corpus import KINDS, cases

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"


def test_the_corpus_is_the_one_of_the_page():
    rows = [
        line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    counts = {cells[0].strip(): cells[1].strip() for cells in rows}
    found = {kind: len(cases(kind)) for kind in KINDS}
    # Of CZI there are none where its reader is not installed.
    assert {kind: counts[kind] for kind, count in found.items() if count} == {k: str(n) for k, n in found.items() if n}
    assert sum(found.values()) >= 300
    for kind in KINDS:
        names = [name for name, _, _ in cases(kind)]
        assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_input_ends_well(kind):
    # In a process of its own: one in which TensorFlow has computed cannot be forked.
    command = [sys.executable, "-m", "tests.hostile.corpus", "--faults", "--kind", kind]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout
    assert f"| {kind} | {len(cases(kind))} |" in done.stdout

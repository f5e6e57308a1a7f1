"""CSBDeep's own tests of its models pass with this package's classes in their place."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

# Releases on the package index come without their tests. This is the file as of CSBDeep 0.8.2.
SOURCE = (
    "https://raw.githubusercontent.com/CSBDeep/CSBDeep/8792b7550f8cf262e3e0ffc97b7a3d745d6d5d97/tests/test_models.py"
)


@pytest.fixture
def test_models(tmp_path):
    """The file; ``CSBDEEP_TEST_MODELS`` names a copy where there is no network."""
    copy = os.environ.get("CSBDEEP_TEST_MODELS")
    path = tmp_path / "test_models.py"
    if copy:
        path.write_bytes(Path(copy).read_bytes())
        return path
    try:
        with urllib.request.urlopen(SOURCE, timeout=20) as answer:
            path.write_bytes(answer.read())
    except (urllib.error.URLError, OSError) as error:
        pytest.skip(f"CSBDeep's tests cannot be fetched ({error})")
    return path


@pytest.mark.slow
def test_csbdeep_tests_with_the_classes_swapped(test_models):
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.models.csbdeep_swapped", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [*command, test_models.name], cwd=test_models.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    # Not that nothing was collected: 64 configurations are built alone.
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100, done.stdout

"""Published figures stand in the papers, line by line."""

import re
from pathlib import Path

import pytest

from aeanet_tf.experiments import published

PAPERS = Path(__file__).resolve().parents[2] / ".." / "shared" / "papers"
pytestmark = pytest.mark.skipif(not PAPERS.is_dir(), reason="the papers are not there")
# What the papers call our labels.
NAMES = {
    "CARE": "Unet",
    "AEANet": "AEANet",
    "Learned query": "Learned query",
    "References only": "Shared Reference (SR) only",
    "Batch-aware only": "Batch-Aware (BA) only",
    **{f"Both, {n} references": f"BA + SR ({n})" for n in (16, 32, 64)},
}


def table(number, paper="000"):
    """First cell of a row, in small letters -> its numbers, of the table from its caption to the next text."""
    (path,) = PAPERS.glob(f"{paper}_*.txt")
    text = re.split(rf"^TABLE {number}$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    rows = {}
    for line in text.splitlines()[1:]:
        name, *cells = re.sub(r"</?b>", "", line).split("\t")
        if cells:
            found = re.findall(r"-?\d+\.\d+", " ".join(cells))
            rows.setdefault(re.sub(r" [\[(].*?[\])]$", "", name).lower(), []).append([float(n) for n in found])
        elif rows and len(line) > 200:
            break
    return rows


def numbers(value):
    """Those of a nested structure, in order."""
    if value is None:
        return []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple):
        return [value]
    return [number for item in value for number in numbers(item)]


@pytest.mark.parametrize(
    ("figures", "number"),
    [
        (published.TABLE2, "II"),
        (published.TABLE3, "III"),
        (published.TABLE4, "IV"),
        (published.TABLE5, "V"),
    ],
)
def test_rows_are_those_of_the_paper(figures, number):
    rows = table(number)
    for label, row in figures.items():
        assert rows[NAMES.get(label, label).lower()] == [numbers(row)], label


def test_improvements_are_those_of_the_paper():
    first, sixth = table("I"), table("VI")
    for label, row in published.TABLE1.items():
        pooled = numbers(row)
        found = first[label.lower()][0]
        assert found == pooled + numbers(published.TABLE1_SELF.get(label))[: len(found) - 2], label
    for label, row in published.TABLE6.items():
        name = {"GVTNet": "gvtnets"}.get(label, NAMES.get(label, label).lower())
        found = [cells for key, of in sixth.items() if key in (name, name.split(" (")[0]) for cells in of]
        assert numbers(row) in found, label


def test_self_training_is_that_of_the_earlier_version():
    rows = table("1", "002")
    for label, row in published.TABLE1_SELF.items():
        assert rows[label.lower()][0][2:4] == numbers(row), label

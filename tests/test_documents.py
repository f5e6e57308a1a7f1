"""The Python snippets of README and docs run as they are written, but for the length of training."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.models import EAGER, eager_tensorflow

ROOT = Path(__file__).resolve().parents[1]
SNIPPETS = [
    (path.name, match.group(1))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for match in re.finditer(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]


def test_there_are_snippets():
    assert {name for name, _ in SNIPPETS} >= {"README.md", "networks.md"}


# Training compiles for long; tests of the models do the same with smaller ones.
SLOW = {"segmentation.md", "noise2void.md"}


@EAGER
@pytest.mark.parametrize(
    "code",
    [pytest.param(code, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, code in SNIPPETS],
)
def test_snippet_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = code.replace("train_epochs=40", "train_epochs=1").replace(
        "train_steps_per_epoch=200", "train_steps_per_epoch=1"
    )
    patches = np.random.default_rng(0).random((24, 32, 32, 1)).astype("float32")
    names = {
        "X": patches[4:],
        "Y": patches[4:],
        "X_val": patches[:4],
        "Y_val": patches[:4],
        "image": patches[0, ..., 0],
    }
    with eager_tensorflow():
        exec(compile(short, "snippet", "exec"), names)
    if "restored" in names:
        assert names["restored"].shape == names["image"].shape


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_field_of_a_run_configuration_is_documented():
    from aeanet_tf.runs.config import ModelSection, TrainingSection
    from aeanet_tf.runs.data_sections import DATA_SECTIONS

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"## `(\w+)`\n(.*?)(?=\n## |\Z)", text, re.DOTALL))
    for name, classes in (("model", [ModelSection]), ("data", DATA_SECTIONS), ("training", [TrainingSection])):
        keys = {
            key for row in re.findall(r"^\| (`.*?) \|", sections[name], re.M) for key in re.findall(r"`(\w+)`", row)
        }
        assert keys == set().union(*(section.model_fields for section in classes)), name


def test_the_architecture_names_what_there_is():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    rooms = {path.name for path in (ROOT / "aeanet_tf").iterdir() if (path / "__init__.py").exists()}
    assert len(named) > 40 and rooms == set(re.findall(r"(\w+)\[\"", text))
    for name in named:
        inside = [ROOT / name, ROOT / "aeanet_tf" / name, ROOT / "aeanet_tf" / "interop" / name]
        assert any(path.is_file() for path in inside), name

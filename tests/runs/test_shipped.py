"""Configurations of the package: found by name from anywhere, and clear about what they follow."""

import json
import re

import pytest

from aeanet_tf.datasets.catalogue import DATASETS
from aeanet_tf.errors import InputError
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.shipped import CONFIGS, find_config, first_sentence, shipped_configs

FIELDS = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in shipped_configs().items()}
# Sections are numbered, but in the SSAN paper.
PAPER = r"(AEANet|GVTNet) paper, sections? [0-9IVX]|SSAN paper, sections? [A-Z]"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["planaria", "planaria.json", "configs/planaria.json", "./planaria.json"])
def test_a_name_that_is_no_file_is_looked_up(name, tmp_path):
    (tmp_path / "planaria").mkdir()
    assert find_config(name) == CONFIGS / "planaria.json"
    assert load_run_config(name, ["training.steps=7"]).model.name == "planaria"


def test_names_below_a_folder():
    assert (
        find_config("configs/label_free/dna.json") == find_config("label_free/dna") == CONFIGS / "label_free/dna.json"
    )


def test_a_file_comes_before_what_is_shipped(tmp_path):
    own = {"model": {"name": "mine"}, "data": {"kind": "npz"}}
    (tmp_path / "planaria.json").write_text(json.dumps(own))
    assert load_run_config("planaria.json").model.name == "mine"
    assert load_run_config("planaria").model.name == "planaria"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("planarai.json", "^planarai.json: no such configuration file, .* did you mean planaria[?]; `aeanet configs`"),
        ("zzz", "^zzz: no such configuration file, and none of that name comes with the package; `aeanet configs`"),
        ("dna", "^dna: no such configuration file"),
        ("folder", "^folder: found a folder, expected a JSON file"),
        ("../configs/planaria.json", "no such configuration file"),
    ],
)
def test_what_is_neither(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        find_config(name)


def test_an_absolute_path_is_not_looked_up(tmp_path):
    with pytest.raises(InputError, match=r"planaria\.json: no such configuration file$"):
        load_run_config(tmp_path / "planaria.json")


@pytest.mark.parametrize("name", FIELDS)
def test_a_description_names_paper_section_and_table_and_where_it_differs_or_says_ours(name):
    description = FIELDS[name]["description"]
    line = first_sentence(description)
    ours = re.search(r": ours\b", line)
    assert ours or (re.search(PAPER, line) and "table" in line), line
    assert ours or re.search(r" Differs: \w.*\.$", description)
    # On a line of `aeanet configs`.
    assert len(line) < 180


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_published_without_augmentation_is_trained_without(name):
    """Of the papers the one on slices alone flips and swaps; neither is left to a default."""
    training = FIELDS[name]["training"]
    published = re.search("(AEANet|GVTNet) paper", first_sentence(FIELDS[name]["description"]))
    assert training["augment"] is not bool(published)


@pytest.mark.parametrize("name", FIELDS)
def test_the_data_are_those_of_a_download(name):
    data = FIELDS[name]["data"]
    # Simulated; images of the other structures; the user's own; or nowhere to be had by name.
    if name not in ("quickstart", "volume", "isotropic", "label_free/dna", "cremi_triplet", "n2v", "n2n"):
        assert data["download"] in DATASETS


def test_first_sentences():
    assert (
        first_sentence("One, section 4.5.2, of Wang et al., 2020. Two.") == "One, section 4.5.2, of Wang et al., 2020."
    )
    assert first_sentence("One: ours. 800 steps.") == "One: ours." and first_sentence("One") == "One"

"""The schema of configurations is that of the models, and editors can use it."""

import json

import pytest

from aeanet_tf.networks.spec import UNetSpec
from aeanet_tf.runs.config import RunConfig, load_run_config
from aeanet_tf.runs.data_sections import DATA_SECTIONS, LabelsSection
from aeanet_tf.runs.schema import field_texts, schema_text
from aeanet_tf.runs.shipped import CONFIGS, SCHEMA, find_config, shipped_configs
from tests.models import write_config

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def schema():
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_the_shipped_schema_is_current():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), (
        "aeanet configs --schema > aeanet_tf/configs/schema.json"
    )


def test_every_field_is_described(schema):
    sections = [schema, *schema["$defs"].values()]
    assert {one.__name__ for one in DATA_SECTIONS} < schema["$defs"].keys()
    for section in sections:
        assert section["description"] and section["properties"]
        for name, field in section["properties"].items():
            assert field.get("description", "").endswith("."), f"{section['description']}: {name}"
            assert "`" not in field["description"]


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_refer_to_it_and_follow_it(name, schema):
    path = find_config(name)
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / fields["$schema"]).resolve() == CONFIGS / "schema.json"
    jsonschema.validate(fields, schema)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"patchsize": [64, 64]}},
        {"training": {"patch_size": 64}},
        {"training": {"loss": "ssim"}},
        {"model": {"network": {"first_filter": 8}}},
        {"model": {"network": {"attention": {"heads": 2}}}},
        {"model": {"preset": "aeanet"}},
        {"data": {"kind": "folder"}},
        {"data": {"kind": "npz", "low": "a"}},
        {"data": {"low": 3}},
    ],
)
def test_what_is_refused_is_marked_in_an_editor(changes, schema, tmp_path):
    path = write_config(tmp_path / "run.json")
    fields = json.loads(path.read_text())
    jsonschema.validate(fields, schema)
    for section, values in changes.items():
        fields[section] = {**fields[section], **values}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(fields, schema)


def test_a_configuration_may_name_a_schema_and_its_run_does_not(tmp_path):
    path = write_config(tmp_path / "run.json")
    plain = load_run_config(path)
    path.write_text(json.dumps({"$schema": "https://example.org/any.json", **json.loads(path.read_text())}))
    assert load_run_config(path) == plain
    assert "schema" not in RunConfig.model_dump_json(plain)


def test_texts_are_those_of_the_docstrings():
    texts = field_texts(LabelsSection)
    assert texts["root"].startswith("Folder that the other paths are relative to.")
    assert texts["label_stack"] == "The label images of the slices of stack."
    assert field_texts(UNetSpec)["momentum"] == field_texts(UNetSpec)["epsilon"]

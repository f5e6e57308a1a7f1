"""The JSON schema of run configurations, by which editors check and complete them: ``configs/schema.json``.

It is made from the models that validate configurations; what fields mean is taken from the ``Attributes`` of their
docstrings. A configuration names it as ``"$schema"``, which nothing else looks at. Those that come with the package
name the file beside them. One that is written or shown by a command names the installed file, as ``file:///...``:
editors read that without a network, from any folder, and find the schema of the version that will train, which a copy
beside the configuration would not be for long. On another computer only the help is missing.
"""

import inspect
import json
import re
from typing import Annotated

from pydantic import Field, TypeAdapter

from aeanet_tf.field_errors import inner_classes
from aeanet_tf.networks.presets import presets
from aeanet_tf.networks.spec import TrainedSpec
from aeanet_tf.runs.config import RunConfig
from aeanet_tf.runs.data_sections import DATA_SECTIONS, FoldersSection

_Network = Annotated[TrainedSpec, Field(discriminator="kind")]
_DIALECT = "http://json-schema.org/draft-07/schema#"
_POINTER = {"type": "string", "description": "Where editors find the schema of these files; otherwise not looked at."}


def schema_text():
    """The schema as JSON, as it is shipped."""
    return json.dumps(run_schema(), indent=1) + "\n"


def run_schema():
    """The schema of a `RunConfig` as dicts, its sections and the fields of networks in ``$defs``.

    Draft 7 with ``$defs``, which editors know.
    """
    schema = RunConfig.model_json_schema()
    networks = TypeAdapter(_Network).json_schema()
    definitions = {**networks.pop("$defs"), **schema["$defs"]}
    model = definitions["ModelSection"]["properties"]
    model["network"] = {"anyOf": networks["oneOf"], "default": {}}
    model["preset"]["enum"] = sorted(presets)
    classes = {one.__name__: one for top in (RunConfig, _Network) for one in inner_classes(top)}
    for name, section in [*definitions.items(), (RunConfig.__name__, schema)]:
        _describe(section, classes[name], classes)
    for section in DATA_SECTIONS:
        # Without it, which only one may leave out, a section would be of several kinds.
        if section is not FoldersSection:
            own = definitions[section.__name__]
            own["required"] = ["kind", *own.get("required", ())]
    properties = {"$schema": _POINTER, **schema.pop("properties")}
    return {
        "$schema": _DIALECT,
        **{key: value for key, value in schema.items() if key != "$defs"},
        "properties": properties,
        "$defs": dict(sorted(definitions.items())),
    }


def field_texts(model):
    """What the fields of a class mean: name -> text, from the docstrings of the class and of those that it extends."""
    texts = {}
    for one in reversed(model.__mro__):
        texts.update(_attributes(one.__dict__.get("__doc__") or ""))
    return texts


def _describe(section, model, classes):
    """Give a section and its fields their texts, in the words of JSON, and leave out titles made from names."""
    section.pop("title", None)
    section["description"] = _plain((model.__doc__ or "").split("\n\n")[0])
    texts = field_texts(model)
    for name, field in section["properties"].items():
        field.pop("title", None)
        if field.get("default") and isinstance(field["default"], dict):
            # Those of a section's fields stand there.
            del field["default"]
        text = texts.get(name, "Which kind it is." if name == "kind" else "")
        same = re.match(r"As of (\w+)\.$", text)
        field["description"] = field_texts(classes[same[1]])[name] if same else text


def _attributes(docstring):
    """Names and texts of the section ``Attributes`` of a Google-style docstring."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Attributes:" not in lines:
        return {}
    texts, names = {}, []
    for line in lines[lines.index("Attributes:") + 1 :]:
        if line and not line.startswith(" "):
            break
        begin = re.fullmatch(r"    (\w+(?:, \w+)*):\s*(.*)", line)
        if begin:
            names = begin[1].split(", ")
        for name in names:
            texts[name] = f"{texts[name]} {line.strip()}" if not begin else begin[2]
    return {name: _plain(text) for name, text in texts.items()}


def _plain(text):
    """A text of a docstring in the words of JSON, on one line, as a sentence."""
    text = " ".join(text.split())
    for python, other in (("None", "null"), ("True", "true"), ("False", "false")):
        text = text.replace(f"``{python}``", other)
    text = re.sub(r"`(?:aeanet_tf\.\w+\.)*(?:\w+\.)*([^`]+)`", r"\1", text.replace("``", ""))
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")

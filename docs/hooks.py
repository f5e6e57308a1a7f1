"""What the site has beside the documents: references made from the command line's parser and the models of settings."""

import argparse
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

GENERATED = {"commands.md": "commands", "settings.md": "settings"}


def on_files(files, config):
    """Add the pages that are made from the code."""
    for path, maker in GENERATED.items():
        files.append(File.generated(config, path, content=globals()[maker]()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to files of the repository beside the documents become their names: the site stands alone. Links that are
    called by the name of a document get its title."""
    markdown = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
    folder = Path(config["docs_dir"])
    return re.sub(r"\[([\w/]+\.md)\](?=\(\1[)#])", lambda match: f"[{_title(folder / match[1])}]", markdown)


def _title(document):
    first = document.read_text(encoding="utf-8").partition("\n")[0] if document.is_file() else ""
    return first.removeprefix("# ") if first.startswith("# ") else document.name


def on_page_content(html, page, config, files):
    """Links of notebooks lead to pages. Formulas, which Arithmatex marks, become MathML: browsers show it without a
    script."""
    if page.file.src_uri.endswith(".ipynb"):
        return _with_pages_linked(html, page, files)
    for mark, (start, stop), display in (("div", r"[]", "block"), ("span", r"()", "inline")):
        pattern = rf'<{mark} class="arithmatex">\\\{start}(.*?)\\\{stop}</{mark}>'
        html = re.sub(pattern, lambda match, d=display: convert(unescape(match[1]), display=d), html, flags=re.DOTALL)
    return html


def _with_pages_linked(html, page, files):
    """Those of a notebook start from the folder ``examples``, where it lies."""

    def to_page(match):
        path, anchor = match.groups(default="")
        uri = path.removeprefix("../docs/") if path.startswith("../docs/") else f"tutorials/{path}"
        target = files.get_file_from_path(uri)
        if target is None:
            raise PluginError(f"{page.file.src_uri}: links to {path}, which is no page")
        return f'href="{target.url_relative_to(page.file)}{anchor}"'

    return re.sub(r'href="([^":#]+\.(?:md|ipynb))(#[^"]*)?"', to_page, html)


def commands() -> str:
    """The help of every command."""
    from aeanet_tf.cli.main import make_parser

    (subparsers,) = (a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    pages = ["# Commands\n\nWhat `aeanet COMMAND --help` prints.\n"]
    for name, parser in subparsers.choices.items():
        parser.formatter_class = _wide(parser.formatter_class)
        pages.append(f"## `aeanet {name}`\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(pages)


def _wide(formatter):
    return lambda prog: formatter(prog, width=100)


def settings() -> str:
    """The fields of run configurations with types, defaults and meaning, from the schema that editors use."""
    from aeanet_tf.runs.shipped import SCHEMA

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    pages = [
        "# Fields of a configuration\n\nTypes, defaults and meaning, from the models that check a configuration. "
        "[Configuration](configuration.md) says more. `model` has the fields of *Model*, `training` those of "
        "*Training*, `data` those of its `kind`, and `model.network` those of the preset's network: *UNet*, "
        "*Projection*, *SSAN* or *FNet* ([Networks](networks.md)).\n"
    ]
    for name, section in sorted(schema["$defs"].items(), key=lambda item: (item[0].endswith("Spec"), item[0])):
        lines = [f"## {_section(name)}", "", section["description"], "", "| field | type | default | meaning |"]
        lines.append("| --- | --- | --- | --- |")
        for field, facts in section["properties"].items():
            default = "required" if field in section.get("required", ()) else ""
            default = f"`{json.dumps(facts['default'])}`" if "default" in facts else default
            lines.append(f"| `{field}` | {_type(facts)} | {default} | {facts['description'].replace('|', ' ')} |")
        pages.append("\n".join((*lines, "")))
    return "\n".join(pages)


def _section(name: str) -> str:
    return re.sub(r"(Section|Spec)$", "", name)


def _type(facts: dict[str, Any]) -> str:
    if "$ref" in facts:
        return _section(facts["$ref"].rpartition("/")[2])
    if "enum" in facts or "const" in facts:
        return ", ".join(f"`{json.dumps(value)}`" for value in facts.get("enum", [facts.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in facts:
            return " or ".join(dict.fromkeys(_type(each) for each in facts[several]))
    kind = facts.get("type", "any")
    if kind == "array":
        return f"list of {_type(facts['items'])}" if isinstance(facts.get("items"), dict) else "list"
    return {"object": "object", "null": "null", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)

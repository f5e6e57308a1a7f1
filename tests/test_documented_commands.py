"""Every command of README and the documents is one that the program, or the script that it names, takes."""

import importlib.util
import re

import pytest

from aeanet_tf.cli.main import make_parser
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.shipped import shipped_configs
from tests.documented import ROOT, commands, documents

COMMANDS = [command for path in documents() for command in commands(path)]
OF_SHELL = {"source", "pip", "napari"}


def of(program):
    found = [command for command in COMMANDS if command.program == program]
    return [pytest.param(command, id=f"{command.document}-{i}") for i, command in enumerate(found)]


def test_all_programs_are_known():
    assert {command.program for command in COMMANDS} <= {"aeanet", "make", "python", *OF_SHELL}
    assert len(of("aeanet")) > 60 and len(of("make")) >= 3 and len(of("python")) >= 8


@pytest.mark.parametrize("command", of("aeanet"))
def test_the_program_takes_the_words(command):
    args = make_parser().parse_args(command.words)
    config = getattr(args, "config", None)
    if config and config.removeprefix("configs/").removesuffix(".json") in shipped_configs():
        load_run_config(config, getattr(args, "set", ()))


@pytest.mark.parametrize("command", of("make"))
def test_there_is_such_a_target(command):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(command.words) <= set(targets)


@pytest.mark.parametrize("command", of("pip"))
def test_there_are_such_extras(command):
    tomllib = pytest.importorskip("tomllib", reason="of Python 3.11 and later")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for names in re.findall(r"\[(.*?)\]", command.text):
        assert set(names.split(",")) <= set(extras)


@pytest.mark.parametrize("command", of("python"))
def test_there_is_such_a_script_with_these_options(command):
    words = command.words
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), words[1]
        return
    text = (ROOT / words[0]).read_text(encoding="utf-8")
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert f'"{option}"' in text or option in _shared_options(text), option


def _shared_options(text):
    """Those that a script has from modules of its folder."""
    modules = re.findall(r"^from (benchmarks[\w.]*) import|^from (\w+) import", text, re.M)
    found = set()
    for name in (a or b for a, b in modules):
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        path = path if path.is_file() else ROOT / "benchmarks" / f"{name}.py"
        if path.is_file():
            found |= set(re.findall(r'"(--[\w-]+)"', path.read_text(encoding="utf-8")))
    return found

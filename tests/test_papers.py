"""Every table and figure of the papers stands in docs/papers.md, with a command that there is, or a reason."""

import re
import shlex
from pathlib import Path

import pytest

from aeanet_tf.cli.main import make_parser

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "papers.md").read_text(encoding="utf-8")


def numbered(kind, last):
    return {f"{kind} {n}" for n in range(1, last + 1)}


# What the papers have, counted in them.
ITEMS = {
    "AEANet": {f"Table {n}" for n in ("I", "II", "III", "IV", "V", "VI")} | numbered("Figure", 9),
    "AEANet, first version": numbered("Table", 2) | numbered("Figure", 7),
    "AEANet, second version": numbered("Table", 2) | numbered("Figure", 7),
    "GVTNet": {"Figure 1", "Figure 5", "Section 2.2"}
    | {f"Figure {n}" for n in ("2a", "2b", "2c", "3a", "3b", "3c", "3d", "4a", "4b", "4c")}
    | numbered("Supplementary table", 6)
    | numbered("Supplementary figure", 13),
    "SSAN": numbered("Figure", 8) | numbered("Table", 5),
}


def sections():
    """Heading -> item -> what stands here for it."""
    found = {}
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE):
        rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if line.startswith("|")]
        assert all(len(row) == 3 for row in rows), heading
        names = [row[0] for row in rows[2:]]
        assert len(set(names)) == len(names), heading
        found[heading] = {name: here for name, _, here in rows[2:]}
    return found


SECTIONS = sections()
COMMANDS = sorted(
    {c for rows in SECTIONS.values() for here in rows.values() for c in re.findall(r"`(aeanet .*?)`", here)}
)


def test_every_table_and_figure_is_there():
    assert {heading: set(rows) for heading, rows in SECTIONS.items()} == ITEMS


def test_each_has_a_command_or_a_reason():
    for heading, rows in SECTIONS.items():
        for item, here in rows.items():
            assert here.startswith(("`aeanet ", "not here, because ")), f"{heading}, {item}"


def parsed(arguments, capsys):
    """The exit code of the parser, and what it printed."""
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(arguments)
    return stopped.value.code, capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command, capsys):
    program, name, *options = shlex.split(command)
    assert program == "aeanet"
    code, printed = parsed([name, *options, "--help"], capsys)
    assert code == 0 and f"usage: aeanet {name}" in printed.out
    if "--data" in options or "--model" in options:
        args = make_parser().parse_args([name, *options])
        assert args.command == name and callable(args.run)


def test_what_there_is_not_is_not_understood(capsys):
    """The check would find a table that lists an experiment that is gone."""
    for arguments in (["experiment", "table9", "--data", "a", "--output", "b"], ["repeat", "--help"]):
        code, printed = parsed(arguments, capsys)
        assert code == 2 and "invalid choice" in printed.err


def test_every_experiment_of_a_paper_is_listed():
    from aeanet_tf.experiments.registry import EXPERIMENTS

    of_papers = {name for name, experiment in EXPERIMENTS.items() if not experiment.description.startswith("ours")}
    assert of_papers <= {command.split()[2] for command in COMMANDS if command.startswith("aeanet experiment ")}

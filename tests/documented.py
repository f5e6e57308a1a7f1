"""The commands that README and the documents show."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"train.py": "train", "predict.py": "predict"}


class Command(NamedTuple):
    """A command of a document: the words behind the program's name, with those of a redirection left out."""

    document: str
    program: str
    words: list[str]
    output: str | None

    @property
    def text(self):
        return shlex.join([self.program, *self.words])


def documents():
    """README and the pages, by name."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(path):
    """The commands of the blocks of a document that are marked as a shell's, in their order."""
    found = []
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            # Variables before a command, and the words of a loop around it.
            while words and re.fullmatch(r"\w+=.*", words[0]):
                del words[0]
            if not words or words[0] in ("for", "do", "done"):
                continue
            output = words[words.index(">") + 1] if ">" in words else None
            words = words[: words.index(">")] if ">" in words else words
            if words[0] == "python" and words[1] in SCRIPTS:
                words = ["aeanet", SCRIPTS[words[1]], *words[2:]]
            found.append(Command(path.name, words[0], words[1:], output))
    return found

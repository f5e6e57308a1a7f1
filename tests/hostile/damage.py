"""Cases of files that are damaged at random, from a fixed seed.

A case, here and in the modules of makers, is ``(name, make, expected)``: ``make(folder)`` writes a file, or a folder
that is an image, and gives its path. Expected is "right" (it can be read, and holds the ``PIXELS`` of the module),
"refused" (one line says why not), or "either".
"""

import shutil
from pathlib import Path

import numpy as np


def file_of(path, rng):
    """The file, or one of those of a folder."""
    if path.is_file():
        return path
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return files[rng.integers(len(files))]


def _changed(make, seed, change):
    """A case of which one file is another; ``change`` makes its bytes of those that it has."""

    def damaged(folder):
        path, rng = make(folder), np.random.default_rng(seed)
        file = file_of(path, rng)
        file.write_bytes(change(bytearray(file.read_bytes()), rng))
        return path

    return damaged


def flipped(make, seed):
    """A case of which one bit is turned."""

    def change(content, rng):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        return content

    return _changed(make, seed, change)


def overwritten(make, seed):
    """A case of which eight bytes in a row are others."""

    def change(content, rng):
        start = int(rng.integers(max(1, len(content) - 8)))
        content[start : start + 8] = rng.bytes(min(8, len(content) - start))
        return content

    return _changed(make, seed, change)


def cut(make, seed):
    """A case of which the end is missing."""
    return _changed(make, seed, lambda content, rng: content[: rng.integers(len(content))])


def damaged(name, make, flips=10, overwrites=5, cuts=6, after_cut="refused"):
    """Cases of a file with damage of three kinds."""
    kinds = ((flipped, flips, "either"), (overwritten, overwrites, "either"), (cut, cuts, after_cut))
    return [
        (f"{name} {how.__name__} {seed}", how(make, seed), expected)
        for how, count, expected in kinds
        for seed in range(count)
    ]


def content(name, data):
    """A maker of a file with this content."""

    def make(folder):
        path = Path(folder) / name
        path.write_bytes(data() if callable(data) else data)
        return path

    return make


def renamed(make, name):
    """A maker of the same under another name."""

    def other(folder):
        path = Path(folder) / name
        shutil.move(make(folder), path)
        return path

    return other

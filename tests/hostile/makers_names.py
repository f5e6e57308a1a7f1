"""Names and places: files, folders and models called what users call them, and what no file can be called.

A case is ``(name, make, expected)``; ``make(folder)`` gives the words of a command.
"""

import os
from functools import partial

import numpy as np
import tifffile

from tests.hostile import makers_configurations, makers_model_folders

NAMES = {
    "brackets": "plate [1]",
    "stars": "a*b?",
    "signs": "#1 50% & {name} $HOME 'x' \"y\" \\",
    "umlauts": "Größe µm",
    "combining letters": "Gro\u0308ße",
    "emoji": "\U0001f52c\u200d\U0001f9ec",
    "right to left": "\u202eabc",
    "a leading dash": "-o",
    "a leading dot": ".hidden",
    "a leading tilde": "~nosuchuser",
    "two lines": "two\nlines",
    "a terminal's commands": "\x1b[2Jx",
    "bytes that are no UTF-8": "latin-\udcfc",
    "spaces at the ends": " a ",
}
LONG = "n" * 240
IMPOSSIBLE = {"NUL": "a\0b", "256 bytes": "x" * 256, "130 umlauts": "ä" * 130, "5,000 bytes of folders": "d/" * 2500}


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.random.default_rng(40).poisson(80, (24, 20)).astype("uint16"))
    return path


def words(folder, model=None, given=None, output=None):
    model = model or makers_model_folders.model(folder)
    given = given or image(folder / "a.tif")
    output = output or folder / "out"
    return ["predict", f"--model={model}", f"--input={given}", f"--output={output}"]


def file(folder, name):
    return words(folder, given=image(folder / "in" / f"{name}.tif"))


def in_folder(folder, name):
    return words(folder, given=image(folder / name / "a.tif").parent)


def pattern(folder, name):
    image(folder / name / "a.tif")
    return words(folder, given=folder / name / "*.tif")


def output(folder, name):
    return words(folder, output=folder / "out" / name)


def model(folder, name):
    made = makers_model_folders.model(folder)
    made.rename(folder / name)
    return words(folder, model=folder / name, given=folder / "a.tif")


def trained(folder, name):
    """A model of this name, of patches in a folder of this name."""
    root = folder / name
    root.mkdir()
    given = makers_configurations.field(folder, model__name=name, data__root=str(root))
    os.rename(folder / "p.npz", root / "p.npz")
    return given


def plain(folder, option, name):
    """A name that no file can have, as one of the options."""
    return words(folder, **{option: name})


def _link(folder, target):
    (folder / "in").mkdir()
    (folder / "in" / "a.tif").symlink_to(target)
    return words(folder, given=folder / "in" / "a.tif")


def _pattern_of_nothing(folder):
    return words(folder, given=folder / "z*[0-9]?.tif")


def _output_file(folder):
    path = folder / "out"
    path.write_text("mine")
    return words(folder, output=path)


def _output_below_file(folder):
    (folder / "f").write_text("mine")
    return words(folder, output=folder / "f" / "out")


def _input_over(folder):
    given = image(folder / "in" / "a.tif")
    return words(folder, given=given, output=folder / "in")


def _empty_folder(folder):
    (folder / "in").mkdir()
    return words(folder, given=folder / "in")


CASES = [
    *((f"image called by {what}", partial(file, name=name), "right") for what, name in NAMES.items()),
    *((f"folder called by {what}", partial(in_folder, name=name), "right") for what, name in NAMES.items()),
    *(
        (f"pattern in a folder called by {what}", partial(pattern, name=NAMES[what]), "right")
        for what in ("brackets", "stars", "umlauts", "two lines", "bytes that are no UTF-8")
    ),
    *(
        (f"output called by {what}", partial(output, name=NAMES[what]), "right")
        for what in ("brackets", "signs", "emoji", "two lines", "bytes that are no UTF-8", "a leading tilde")
    ),
    *(
        (f"model called by {what}", partial(model, name=NAMES[what]), "right")
        for what in ("brackets", "signs", "emoji", "two lines", "bytes that are no UTF-8")
    ),
    *(
        (f"model and data called by {what}", partial(trained, name=NAMES[what]), "right")
        for what in ("brackets", "stars", "two lines")
    ),
    ("image of 244 bytes", partial(file, name=LONG), "right"),
    ("image of 255 bytes", partial(file, name="n" * 251), "right"),
    ("folder of 250 bytes", partial(in_folder, name="n" * 250), "right"),
    ("model of 250 bytes", partial(model, name="n" * 250), "right"),
    ("model and data of 250 bytes", partial(trained, name="n" * 250), "right"),
    *(
        (f"{option} of {what}", partial(plain, option=option, name=name), "refused")
        for option in ("model", "given", "output")
        for what, name in IMPOSSIBLE.items()
    ),
    ("a link to itself", partial(_link, target="a.tif"), "refused"),
    ("a link to nothing", partial(_link, target="nowhere"), "refused"),
    ("a link to a folder", partial(_link, target="."), "refused"),
    ("a pattern of nothing", _pattern_of_nothing, "refused"),
    ("an empty folder", _empty_folder, "refused"),
    ("output that is a file", _output_file, "refused"),
    ("output below a file", _output_below_file, "refused"),
    ("output over the input", _input_over, "refused"),
]

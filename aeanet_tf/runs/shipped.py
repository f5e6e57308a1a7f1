"""Run configurations that come with the package, found by name from any folder."""

import re
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.field_errors import did_you_mean
from aeanet_tf.paths import named_path, nearest_path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
"""Their folder."""

SCHEMA = CONFIGS / "schema.json"
"""The schema of configurations, for editors (`aeanet_tf.runs.schema`)."""


def shipped_configs():
    """Name, such as ``"label_free/dna"`` -> path, in alphabetical order."""
    paths = sorted(path for path in CONFIGS.rglob("*.json") if path != SCHEMA)
    return {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in paths}


def find_config(name):
    """The path of a run configuration: the file of that name, or else what comes with the package under it.

    Args:
        name: a path, or the name of a configuration of the package, such as ``"planaria"``, with or without ``.json``
            at its end and ``configs/`` before it.

    Returns:
        A ``Path``; an absolute one is taken as it is.

    Raises:
        InputError: there is neither.
    """
    path = named_path(name)
    # A folder may well have the name of a data set and so of its configuration.
    if path.is_file() or path.is_absolute():
        return path
    shipped = shipped_configs()
    key = path.as_posix().removeprefix("configs/").removesuffix(".json")
    if key in shipped:
        return shipped[key]
    if path.exists():
        raise InputError(f"{path}: found a folder, expected a JSON file or a name that `aeanet configs` lists")
    raise InputError(
        f"{path}: no such configuration file, and none of that name comes with the package"
        f"{did_you_mean(key, shipped) or nearest_path(path)}; `aeanet configs` lists these"
    )


def first_sentence(text):
    """A text up to its first full stop that ends a sentence, or all of it."""
    return re.split(r"(?<=\.)\s+(?=[A-Z0-9])", text, maxsplit=1)[0]

"""What the command lines of the speed benchmarks share."""

import argparse
import json
from pathlib import Path

from aeanet_tf.errors import InputError


def make_parser(description, rounds, seconds=None):
    """A parser with the options that all of them have.

    Args:
        description: docstring of the script, shown as it is.
        rounds, seconds: defaults of how often programs alternate, see `timing.alternate`; without the second one there
            is no such option.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help=f"of a comparison ({rounds})")
    if seconds is not None:
        text = f"no further round after this time, but at least three ({seconds})"
        parser.add_argument("--seconds", type=float, default=seconds, metavar="S", help=text)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    return parser


def add_network(parser):
    """An option that changes fields of the preset."""
    parser.add_argument("--network", default="{}", metavar="JSON", help="such as '{\"first_filters\": 16}'")


def network_changes(options):
    """The dictionary that `add_network`'s option holds."""
    try:
        found = json.loads(options.network)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"--network: {options.network}, expected JSON of the form {{...}}")
    return found


def check_positive(options, *names):
    """Raise `InputError` unless the numbers of these options, single ones and lists, are 1 or more."""
    for name in ("rounds", *names):
        values = getattr(options, name)
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if value < 1:
                raise InputError(f"--{name.replace('_', '-')}: {value}, expected at least 1")


def given(options):
    """The options for JSON, without the name of the file."""
    return {name: value for name, value in vars(options).items() if name != "output"}

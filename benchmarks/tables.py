"""The form of all results: Markdown tables, numbers with the digits that they deserve, JSON files, one-line errors."""

import json
import math
import sys
from contextlib import contextmanager, redirect_stdout

from aeanet_tf.errors import InputError
from aeanet_tf.files import write_text

ABSENT = "–"


def markdown(header, lines):
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))


def digits(value, count=3):
    """A number with ``count`` significant digits and no exponent; a dash for ``None``."""
    if value is None:
        return ABSENT
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, count - 1 - math.floor(math.log10(abs(value))))}f}"


def spread(found, scale=1.0):
    """Median and quartiles of a program, ``"12.3 (12.1 to 12.9)"``; a dash where it was not measured.

    Args:
        found: its entry of `timing.summary`, or ``None``.
        scale: factor from seconds to the unit of the table.
    """
    if found is None:
        return ABSENT
    low, high = found["quartiles"]
    return f"{digits(scale * found['median'])} ({digits(scale * low)} to {digits(scale * high)})"


def ratio(found):
    """The ratio of a program to the baseline, ``"1.23"``; a dash where there is none."""
    return ABSENT if found is None else digits(found["ratio"])


def section(title, *texts):
    """Print a heading and what belongs under it, at once: the next measurement may take minutes."""
    print("\n\n".join([f"## {title}", *texts]), end="\n\n", flush=True)


def write_results(path, results):
    """Write results as JSON where a path was asked for."""
    if path:
        write_text(path, json.dumps(results, indent=1) + "\n")


@contextmanager
def quiet():
    """Send what others print to standard error, for standard output to be Markdown throughout."""
    with redirect_stdout(sys.stderr):
        yield


def run_script(function):
    """Run a ``main``; bad input gives one line and exit code 2."""
    try:
        function()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

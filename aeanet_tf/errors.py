"""The one exception for bad input: what a user can mend, said in one line."""

import re
import reprlib
from contextlib import contextmanager

LONGEST_MESSAGE = 900
"""Characters of a message; of a longer one the middle is left out."""

# What would begin a new line, move a terminal's cursor, or cannot be encoded: control characters, halves of surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxdict = _short.maxlist = _short.maxtuple = 12


class InputError(ValueError):
    """Something the user gave is wrong: a file, a field, a shape.

    The message is one line that names the file or field, what was found and what was expected. The command
    line prints it and leaves with exit code 2; a notebook sees a ``ValueError``. Whatever names and values it is made
    of, it stays one line of at most `LONGEST_MESSAGE` characters.
    """

    def __init__(self, message=""):
        super().__init__(bounded(message))


class UnfinishedError(InputError):
    """Work that cannot go on, for a reason outside of it. What was done so far is right, and kept for another try."""


class WriteError(UnfinishedError):
    """A result cannot be written: a full disk, a folder without permission."""


class SkippedError(InputError):
    """Some of several inputs could not be used; the others are done.

    Attributes:
        reasons: input -> why, one line.
        written: the paths that were written for the others.
    """

    def __init__(self, message, reasons=(), written=()):
        super().__init__(message)
        self.reasons, self.written = dict(reasons), list(written)


def escaped(text):
    """A text with everything that would break its line written as in Python: a new line in a name as ``\\n``."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def bounded(text, limit=LONGEST_MESSAGE):
    """A text as one line of at most ``limit`` characters: `escaped`, and without its middle where it is longer."""
    line = escaped(text)
    if len(line) <= limit:
        return line
    end = limit // 3
    return f"{line[: limit - end - 5]} ... {line[-end:]}"


def short(value):
    """``repr`` of a value, cut short where it is long or deeply nested."""
    return _short.repr(value)


@contextmanager
def reading(path):
    """Turn an ``OSError`` of the block into an `InputError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


class BusyError(InputError):
    """A folder that another process is working in."""


class DivergedError(RuntimeError):
    """A training that failed: its loss, its validation or its weights became no finite numbers.

    The message is one line; the command line prints it and leaves with exit code 1.

    Attributes:
        epoch: in which it happened, counted from 1; ``None`` for several trainings.
        kept: number of the epochs before that were good, whose weights are kept; 0 for none.
        history: Keras's ``History`` of the call that found it; ``None`` where an earlier one did.
    """

    def __init__(self, message, epoch=None, kept=0, history=None):
        super().__init__(message)
        self.epoch, self.kept, self.history = epoch, kept, history


@contextmanager
def writing(path):
    """Turn an ``OSError`` of the block into a `WriteError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error


def expect(holds, field, found, expected):
    """Raise an `InputError`, "FIELD: found FOUND, expected EXPECTED", unless ``holds``."""
    if not holds:
        raise InputError(f"{field}: found {found}, expected {expected}")


def check_choice(field, value, choices):
    """``value`` as it is; an `InputError` where it is none of ``choices``."""
    expect(value in choices, field, repr(value), f"one of {', '.join(map(repr, choices))}")
    return value


def one_line(error, limit=160):
    """The text of an exception on one line, at most ``limit`` characters of it; its type where it has none."""
    return " ".join(str(error).split())[:limit] or type(error).__name__

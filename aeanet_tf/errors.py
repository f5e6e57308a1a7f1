"""The one exception for bad input: what a user can mend, said in one line."""

from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave is wrong: a file, a field, a shape.

    The message is one line that names the file or field, what was found and what was expected. The command
    line prints it and leaves with exit code 2; a notebook sees a ``ValueError``.
    """


class UnfinishedError(InputError):
    """Work that cannot go on, for a reason outside of it. What was done so far is right, and kept for another try."""


class WriteError(UnfinishedError):
    """A result cannot be written: a full disk, a folder without permission."""


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


def from_validation(error, where, tagged=()):
    """An `InputError` for a pydantic ``ValidationError``: every offending field, what is wrong, what was given.

    Args:
        error: the ``pydantic.ValidationError``.
        where: what was being validated, for instance a file name.
        tagged: names of fields that are of one class or another by a tag, which pydantic names behind the field.
    """
    parts = []
    for item in error.errors():
        path = [
            str(part) for before, part in zip((None, *item["loc"]), item["loc"], strict=False) if before not in tagged
        ]
        message = item["msg"].removeprefix("Value error, ")
        given = "" if item["type"] in ("missing", "value_error") else f", received {item['input']!r}"
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message, given = "unknown key", ""
        elif item["type"] == "union_tag_invalid":
            path.append(item["ctx"]["discriminator"].strip("'"))
            message, given = f"found {item['ctx']['tag']!r}, expected one of {item['ctx']['expected_tags']}", ""
        field = ".".join(path) or "(whole)"
        parts.append(message if item["type"] == "value_error" and not path else f"{field}: {message}{given}")
    return InputError(f"{where}: {'; '.join(parts)}")

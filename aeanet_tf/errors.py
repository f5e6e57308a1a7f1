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


@contextmanager
def writing(path):
    """Turn an ``OSError`` of the block into a `WriteError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error


def from_validation(error, where):
    """An `InputError` for a pydantic ``ValidationError``: every offending field, what is wrong, what was given.

    Args:
        error: the ``pydantic.ValidationError``.
        where: what was being validated, for instance a file name.
    """
    parts = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "(whole)"
        message = item["msg"].removeprefix("Value error, ")
        given = "" if item["type"] in ("missing", "value_error") else f", received {item['input']!r}"
        if item["type"] == "extra_forbidden":
            message, given = "unknown key", ""
        parts.append(message if item["type"] == "value_error" and not item["loc"] else f"{field}: {message}{given}")
    return InputError(f"{where}: {'; '.join(parts)}")

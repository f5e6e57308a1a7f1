"""Files, either old or new wherever a run is killed; JSON, where a text becomes data whose fields may be changed."""

import csv
import json
import math
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aeanet_tf.errors import InputError, expect, short, writing
from aeanet_tf.paths import check_path, nearest_path, partial_path

MOST_JSON = 2**24
"""Bytes of a JSON text."""

TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}
"""How text files are opened to be written: names that are not UTF-8 are written as the bytes that they are."""

_MOST_NESTED, _MOST_DIGITS = 100, 100


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and move it to ``path`` when the block succeeds.

    The temporary name keeps the suffix (writers choose the format by it), starts with a dot, so that nothing takes
    a half-written file for a result, and is always the same for one ``path``: what a killed run left behind is
    overwritten by the next. The folder is made where it is missing. If the block fails the temporary file is removed
    and an earlier file at ``path`` stays as it was.

    Raises:
        InputError: ``path`` is a folder; it cannot be written (`WriteError`).
    """
    path = Path(path)
    temporary = partial_path(path)
    try:
        with writing(path):
            expect(not path.is_dir(), path, "a folder", "the name of a file to write")
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            # Without this a power failure can leave the new name on an empty file.
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give a name for a new folder beside ``path``, which it replaces, contents and all, when the block ends well.

    As `replacing`: whoever is killed leaves no half of a folder, and a failed block leaves ``path`` as it was. Whether
    an existing folder may be replaced is for the caller to decide.

    Raises:
        WriteError: ``path`` cannot be written.
    """
    path = Path(path)
    temporary = partial_path(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder_made(path: str | Path) -> Iterator[Path]:
    """Make a folder, parents included; those that were made are removed again, where empty, if the block fails."""
    path = check_path(path)
    missing = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def existing_folder(path: str | Path) -> Path:
    """The folder, or the nearest above it that there is."""
    return next(folder for folder in (Path(path), *Path(path).absolute().parents) if os.path.exists(folder))


def with_suffix(path: str | Path, suffix: str) -> Path:
    """``path`` with ``suffix`` behind its name where it does not end with it."""
    path = Path(path)
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def write_text(path: str | Path, text: str) -> None:
    """Replace the text file ``path`` by ``text`` (UTF-8), as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, newline="", **TEXT)


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping]) -> None:
    """Replace a CSV file by a header and ``rows``, cells empty where a row has no value, as `replacing` does."""
    with replacing(path) as temporary, open(temporary, "w", newline="", **TEXT) as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read_json(path, constants=False):
    """What a JSON file holds.

    Args:
        path: the file.
        constants: see `parse_json`.

    Raises:
        InputError: a missing or unreadable file; as `parse_json`.
    """
    try:
        # Nobody may ever write to a pipe; those of a shell's substitution are in /dev.
        if stat.S_ISFIFO(os.stat(path).st_mode) and not str(path).startswith("/dev/"):
            raise InputError(f"{path}: found a pipe, expected a file")
        with open(path, "rb") as file:
            content = file.read(MOST_JSON + 1)
    except InputError:
        raise
    # ValueError: a name that no file can have.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    return parse_json(content, path, constants)


def parse_json(content, path, constants=False):
    """The value of a JSON text: the one border where JSON, whoever wrote it, becomes data.

    A byte order mark is taken, and so is UTF-16 with one, as Windows' editors and shells write it. What the standard
    leaves to the reader is refused where it would be taken for something else: a key that is there twice, numbers
    beyond any use, halves of surrogate pairs.

    Args:
        content: text or bytes.
        path: where it comes from, for messages.
        constants: whether NaN and Infinity, which JSON does not know but Python writes, are values.

    Raises:
        InputError: no JSON or none of that kind, text that is not UTF-8, more than `MOST_JSON` bytes, or more than
            100 levels.
    """
    try:
        return _json(content, constants)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON, line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read (not UTF-8: {error.reason})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _json(content, constants):
    expect(len(content) <= MOST_JSON, "JSON", f"more than {MOST_JSON} bytes", "less")
    if isinstance(content, bytes):
        content = content.decode(json.detect_encoding(content))

    def real(text):
        value = float(text)
        return value if math.isfinite(value) else constant(text)

    def constant(text):
        expect(constants, "JSON", text, "finite numbers")
        return float(text)

    hooks = {"parse_int": _whole, "parse_float": real, "parse_constant": constant, "object_pairs_hook": _once}
    try:
        value = json.loads(content.removeprefix("\ufeff"), **hooks)
    except RecursionError:
        raise _nested() from None
    _check_values(value)
    return value


def _whole(digits):
    expect(len(digits) <= _MOST_DIGITS, "JSON", f"a number of {len(digits)} digits", f"at most {_MOST_DIGITS}")
    return int(digits)


def _once(pairs):
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise InputError(f"JSON: found the key {twice!r} twice in one object, expected it once")
    return fields


def _check_values(value):
    """Refuse what is nested too deeply for those who go through it, and texts that cannot be written."""
    level = [value]
    for _ in range(_MOST_NESTED + 1):
        for text in level:
            if isinstance(text, str) and not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise InputError(f"JSON: found half of a surrogate pair in {text!r:.60}, expected Unicode text")
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in ((*outer, *outer.values()) if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _nested()


def _nested():
    return InputError(f"JSON: found values nested too deeply, expected at most {_MOST_NESTED} levels")


def read_fields(path):
    """The fields of a run configuration as nested dicts, not validated.

    Raises:
        InputError: a missing or unreadable file, or one that holds something else.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such configuration file{nearest_path(path)}")
    data = read_json(path)
    expect(isinstance(data, dict), path, type(data).__name__, "an object with model, data and training")
    return data


def apply_override(data, text):
    """Change a field of nested dicts by a string ``section.key=value``; the value is JSON, or a string if it is not.

    Returns:
        The dotted key and the text of the value, which a field that is a string takes as it is (`restore_texts`).

    Raises:
        InputError: a text that is none, or leads through a value; JSON that `parse_json` refuses.
    """
    key, equals, value = text.partition("=")
    expect(equals and key.strip(), "--set", short(text), "key=value, for instance training.steps=500")
    given, (*parents, last) = value, key.strip().split(".")
    expect(len(parents) < _MOST_NESTED, "--set", f"a key of {len(parents) + 1} parts", "section.key=value")
    try:
        # NaN is refused by the field, which can be named.
        value = _json(value, constants=True)
    except json.JSONDecodeError:
        pass
    except InputError as error:
        raise InputError(f"--set {key}: {error}") from None
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set: {key!r} goes through {parent!r}, which is a value and has no fields")
    data[last] = value
    return key.strip(), given


def restore_texts(data, given, fields):
    """Put texts as they were given in the place of what JSON made of them.

    Args:
        data: nested dicts, which are changed.
        given: dotted key -> text, as `apply_override` returns them.
        fields: dotted keys of those that have to be strings. ``null`` stays: it says that there is none.

    Returns:
        Whether there were any.
    """
    found = [key for key in fields if key in given and given[key].strip() != "null"]
    for key in found:
        *parents, last = key.split(".")
        inner = data
        for parent in parents:
            inner = inner[parent]
        inner[last] = given[key]
    return bool(found)

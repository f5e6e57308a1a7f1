"""Files, either old or new wherever a run is killed; JSON files whose fields may be changed."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aeanet_tf.errors import InputError, expect, writing


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
    expect(not path.is_dir(), path, "a folder", "the name of a file to write")
    temporary = path.with_name(f".partial-{path.name}")
    try:
        with writing(path):
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
    temporary = path.with_name(f".partial-{path.name}")
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
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
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
    return next(folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists())


def with_suffix(path: str | Path, suffix: str) -> Path:
    """``path`` with ``suffix`` behind its name where it does not end with it."""
    path = Path(path)
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def write_text(path: str | Path, text: str) -> None:
    """Replace the text file ``path`` by ``text`` (UTF-8), as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping]) -> None:
    """Replace a CSV file by a header and ``rows``, cells empty where a row has no value, as `replacing` does."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read_fields(path):
    """The fields of a run configuration as nested dicts, not validated.

    Raises:
        InputError: a missing or unreadable file, or one that holds something else.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON, line {error.lineno}: {error.msg}") from None
    expect(isinstance(data, dict), path, type(data).__name__, "an object with model, data and training")
    return data


def apply_override(data, text):
    """Change a field of nested dicts by a string ``section.key=value``; the value is JSON, or a string if it is not."""
    key, equals, value = text.partition("=")
    expect(equals and key, "--set", repr(text), "key=value, for instance training.steps=500")
    with suppress(json.JSONDecodeError):
        value = json.loads(value)
    *parents, last = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set: {key!r} goes through {parent!r}, which is a value and has no fields")
    data[last] = value

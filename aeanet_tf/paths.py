"""Names of files and folders as users give them: names first, patterns only where there is nothing of that name."""

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from aeanet_tf.errors import InputError, expect

LONGEST_NAME = 255
"""Bytes of a part of a path, in the usual file systems."""

_LONGEST_PATH = 4095
# Names of a folder that are compared with one that is not there.
_MOST_COMPARED = 5000
# What is kept at the end of a name that is cut short: writers choose the format by it.
_LONGEST_SUFFIX = 20


def named_path(name: str | Path) -> Path:
    """The path that a name stands for: the file or folder of exactly that name, or else ``~`` as a home folder.

    A user that does not exist has no home; then ``~`` is a letter like any other.

    Raises:
        InputError: a name that no file can have: NUL, halves of surrogates, a part beyond `LONGEST_NAME` bytes.
    """
    path = check_path(name)
    return path if os.path.lexists(path) else check_path(os.path.expanduser(path))


def check_path(name: str | Path, field: str | None = None) -> Path:
    """A path as it is.

    Args:
        name: the path.
        field: what messages name; the path itself by default.

    Raises:
        InputError: a name that no file can have.
    """
    path = Path(name)
    where = str(path) if field is None else field
    expect("\0" not in str(path), where, "a name with NUL in it", "a name that a file can have")
    try:
        lengths = [len(os.fsencode(part)) for part in path.parts]
    except UnicodeEncodeError:
        raise InputError(f"{where}: found half of a surrogate pair, expected a name that a file can have") from None
    longest = max(lengths, default=0)
    expect(longest <= LONGEST_NAME, where, f"a name of {longest} bytes", f"at most {LONGEST_NAME} between slashes")
    total = sum(lengths) + len(lengths)
    expect(total <= _LONGEST_PATH, where, f"a path of {total} bytes", f"at most {_LONGEST_PATH}")
    return path


def check_name(name: str, field: str) -> str:
    """A name as it is, of what is made inside a folder; sub-folders may be named.

    Raises:
        InputError: it leads out of the folder, or is the folder itself; or no file can have it.
    """
    path = check_path(name, field)
    inside = path.parts and not path.anchor and ".." not in path.parts
    expect(inside, field, repr(name), "a name inside the folder, without .. and not absolute")
    return name


def is_file_name(name: object) -> bool:
    """Whether it is a text that names a file, and no folder with it."""
    try:
        return isinstance(name, str) and check_name(name, "name") == Path(name).name
    except InputError:
        return False


def is_pattern(path: str | Path) -> bool:
    """Whether there is a pattern in a path: ``*``, ``?`` or ``[ ]`` behind the parts that exist by these names."""
    rest = split_pattern(Path(path))[1]
    return any(map(glob.has_magic, rest))


def matching_paths(pattern: str | Path) -> list[Path]:
    """What a path or pattern matches, sorted.

    Every part that exists under exactly its name is that name, whatever characters are in it; others are patterns, as
    of the module ``glob``, with ``**`` for folders at any depth.
    """
    return sorted(set(_follow(*split_pattern(Path(pattern)))))


def nearest_path(path: str | Path) -> str:
    """For messages of what is not there: ``"; did you mean NAME?"``, the nearest name where it ends; "" for none."""
    found, rest = split_pattern(Path(path))
    if not rest or glob.has_magic(rest[0]):
        return ""
    try:
        with os.scandir(found) as entries:
            names = [entry.name for entry in islice(entries, _MOST_COMPARED) if not entry.name.startswith(".")]
    except OSError:
        return ""
    # Not before: only refusals need it.
    import difflib

    by_letters = {name.lower(): name for name in sorted(names)}
    similar = difflib.get_close_matches(rest[0].lower(), by_letters, 1)
    return f"; did you mean {found / by_letters[similar[0]]}?" if similar else ""


def split_pattern(path: Path) -> tuple[Path, Sequence[str]]:
    """The beginning of a path that exists, and the parts behind it, which may be patterns."""
    found, parts = (Path(path.anchor), path.parts[1:]) if path.anchor else (Path(), path.parts)
    for number, part in enumerate(parts):
        if not os.path.lexists(found / part):
            return found, parts[number:]
        found /= part
    return found, ()


def _follow(found: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:
        yield found
        return
    part, *rest = parts
    if os.path.lexists(found / part):
        yield from _follow(found / part, rest)
    elif part == "**":
        for name in glob.glob(os.path.join(glob.escape(str(found)), *parts), recursive=True):
            yield Path(name)
    elif glob.has_magic(part):
        for name in glob.glob(part, root_dir=found):
            yield from _follow(found / name, rest)


def partial_path(path: str | Path, tag: str = "", kind: str = "partial") -> Path:
    """The hidden name beside ``path`` under which it is written until it is complete; the same for the same arguments.

    It ends as ``path`` does. Of a name that would get too long by what stands before it, a digest takes its place.

    Args:
        path: of the file.
        tag: tells apart what different runs write.
        kind: what the name begins with, behind the dot.

    Raises:
        InputError: no file can have the name of ``path``.
    """
    path = check_path(path)
    before = f".{kind}-{tag}{'-' if tag else ''}"
    name = path.name
    if len(os.fsencode(before + name)) > LONGEST_NAME:
        end = "".join(path.suffixes[-2:])
        end = end if len(end) <= _LONGEST_SUFFIX else path.suffix
        import hashlib

        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = digest + (end if len(end) <= _LONGEST_SUFFIX else "")
    return path.with_name(before + name)

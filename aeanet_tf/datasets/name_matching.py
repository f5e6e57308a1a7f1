"""Which names of two lists belong together: by what patterns stand for, by a word that differs, or by their order."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aeanet_tf.io.image import NIFTI_SUFFIXES, SUFFIXES, ZARR_SUFFIX, image_stem, image_suffix
from aeanet_tf.paths import split_pattern

_WILDCARDS = re.compile(r"((?:\*+|\?|\[!?\]?[^\]]*\])+)")


class Affixes(NamedTuple):
    """What tells the names of one list from those of the other, and what the two have in common.

    Attributes:
        first, second: ``(prefix, suffix)`` of the names of each list; what is between is the same in both.
        pairs: ``(index, index)`` of the names that belong together.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    pairs: list[tuple[int, int]]

    def patterns(self) -> tuple[str, str]:
        """The same as patterns, such as ``("*_noisy", "*_clean")``."""
        return "*".join(self.first), "*".join(self.second)


def wildcard_texts(pattern: str | Path, path: str | Path) -> tuple[str, ...] | None:
    """What the wildcards of a pattern stand for in a path that it matches, neighbouring ones together.

    Extensions do not count, as in `image_stem`: ``*_noisy.tif`` stands for ``("a",)`` in ``a_noisy.tif`` and in
    ``a_noisy.tiff``.

    Args:
        pattern: its beginning is what exists by exactly that name (`aeanet_tf.paths.split_pattern`).
        path: as `aeanet_tf.paths.matching_paths` finds it.

    Returns:
        The texts; ``None`` where the path is none that the pattern matches.
    """
    found, parts = split_pattern(Path(pattern))
    try:
        inner = Path(path).relative_to(found)
    except ValueError:
        return None
    *folders, last = parts
    for name, own in ((_without_extension(last), image_stem(Path(path))), (last, inner.name)):
        expression = "".join(map(_folder, folders)) + _expression(name)
        match = re.fullmatch(expression, inner.with_name(own).as_posix(), re.DOTALL)
        if match:
            return tuple(match.groups())
    return None


def _without_extension(name: str) -> str:
    suffix = image_suffix(name)
    if suffix in (*SUFFIXES, *NIFTI_SUFFIXES, ZARR_SUFFIX, ".*"):
        name = name[: -len(suffix)]
    return name[:-4] if name.lower().endswith(".ome") else name


def _folder(part: str) -> str:
    return r"((?:[^/]+/)*)" if part == "**" else _expression(part) + "/"


def _expression(part: str) -> str:
    """A regular expression for what a part of a pattern matches, each run of wildcards a group."""
    pieces = _WILDCARDS.split(part)
    return "".join(f"({_wildcards(piece)})" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))


def _wildcards(text: str) -> str:
    found = re.findall(r"\*+|\?|\[!?\]?[^\]]*\]", text)
    return "".join(
        "[^/]*" if one[0] == "*" else "[^/]" if one == "?" else _set(one[1:-1].replace("\\", r"\\")) for one in found
    )


def _set(inside: str) -> str:
    inside = f"^{inside[1:]}" if inside.startswith("!") else inside.replace("^", r"\^")
    return "[" + inside.replace("[", r"\[").replace("]", r"\]") + "]"


def unique_match(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]] | None:
    """Indices of equal keys in the order of the first ones' keys; ``None`` unless every key has exactly one partner."""
    places = {key: i for i, key in enumerate(second)}
    if len(set(first)) != len(first) or len(places) != len(second) or set(first) != places.keys():
        return None
    return [(i, places[first[i]]) for i in sorted(range(len(first)), key=lambda i: first[i])]


def differing_word(first: Sequence[str], second: Sequence[str]) -> Affixes | None:
    """The word at the end, or at the beginning, that all names of a list have and those of the other do not.

    ``a_noisy, b_noisy`` and ``a_clean, b_clean`` belong together. What is cut off are whole words and numbers, and no
    numbers that differ: ``plate1_a`` and ``plate2_a`` may be two specimens, and ``t10, t11`` and ``t20, t21`` are not
    told apart by their first digit.

    Returns:
        ``None`` where names have no partner in this way, or may be matched in several that differ.
    """
    found = list(_affixes(first, second, _same_numbers))
    same = {tuple(sorted(one.pairs)) for one in found}
    return found[0] if len(same) == 1 else None


def differing_number(first: Sequence[str], second: Sequence[str]) -> Affixes | None:
    """As `differing_word`, whatever differs: for what a user is asked to confirm."""
    return next(_affixes(first, second, lambda one, other: True), None)


def _same_numbers(one: str, other: str) -> bool:
    return re.findall(r"\d+", one) == re.findall(r"\d+", other)


def _affixes(first: Sequence[str], second: Sequence[str], may: Callable[[str, str], bool]) -> Iterator[Affixes]:
    """Ways to match names one to one by a suffix, then by a prefix, the shortest first."""
    for at_end in (True, False):
        known = {other: {*_cut(second, other, at_end)} for other in _common(second, at_end)}
        for one in _common(first, at_end):
            for other, texts in known.items():
                # Most fail at the first name, before all are gone through.
                if one == other or not may(one, other) or "" in texts or _cut(first[:1], one, at_end)[0] not in texts:
                    continue
                sides = [_cut(names, cut, at_end) for names, cut in ((first, one), (second, other))]
                pairs = unique_match(*sides)
                if pairs:
                    mark = _separator(sides[0], at_end)
                    cuts = ((f"{mark}{cut}" if at_end else f"{cut}{mark}") for cut in (one, other))
                    yield Affixes(*(("", cut) if at_end else (cut, "") for cut in cuts), pairs)


def _separator(names: Sequence[str], at_end: bool) -> str:
    """The sign, no letter or digit, that all names have at their end or beginning, and not alone."""
    (mark, *others) = {name[-1 if at_end else 0] for name in names}
    return "" if others or mark.isalnum() or any(len(name) == 1 for name in names) else mark


def _cut(names: Sequence[str], cut: str, at_end: bool) -> list[str]:
    return [name[: len(name) - len(cut)] if at_end else name[len(cut) :] for name in names]


def _common(names: Sequence[str], at_end: bool) -> Iterable[str]:
    """Ends, or beginnings, of whole words and numbers that all names have; the shortest first, the empty one before."""
    words = [_words(name)[::-1] if at_end else _words(name) for name in names]
    common = [""]
    for same in zip(*words, strict=False):
        if len(set(same)) > 1:
            break
        common.append(same[0] + common[-1] if at_end else common[-1] + same[0])
    return common


def _words(name: str) -> list[str]:
    return re.findall(r"\d+|[^\W\d_]+|.", name, re.DOTALL)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """By which names are ordered as people do it: ``z2`` before ``z10``."""
    return [(0, int(word), word) if word.isdecimal() else (1, 0, word) for word in _words(name)]

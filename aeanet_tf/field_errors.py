"""Fields of configurations that are wrong, told in plain words, and the names that were probably meant."""

import difflib
import re
from typing import get_args

from aeanet_tf.errors import InputError, short

# Wrong fields that are told, the first ones.
_MOST_FIELDS = 10


def did_you_mean(name, known):
    """The end of a message on an unknown name: the nearest of those that are known, or nothing.

    Args:
        name: as it was given.
        known: names; of dotted ones the last part is compared.
    """
    by_letters = {}
    for one in known:
        by_letters.setdefault(_letters(one.rpartition(".")[2]), one)
    near = difflib.get_close_matches(_letters(str(name)[:100]), by_letters, 1, 0.7)
    return f", did you mean {by_letters[near[0]]}?" if near else ""


def _letters(name):
    return name.lower().replace("_", "").replace("-", "")


# Type of pydantic's errors -> what was expected, with the fields of the error's context.
_EXPECTED = {
    **dict.fromkeys(("string_type", "string_unicode", "string_sub_type"), "a text, in quotes"),
    "string_too_short": "a text that is not empty",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    "int_parsing_size": "a whole number of fewer digits",
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type"),
        "fields in braces, such as {{}}",
    ),
    "literal_error": "{expected}",
    "none_required": "null",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}
_LISTS = ("list_type", "tuple_type", "set_type", "frozen_set_type")
# How pydantic calls the kinds that a value may have, between the names of fields.
_KIND = re.compile(r"^(int|float|str|bool|none|constrained-\w+|(function|literal|list|tuple|dict|nullable)\b.*)$")


def from_validation(error, where, tagged=(), model=None):
    """An `InputError` for a pydantic ``ValidationError``: every offending field, what was found, what was expected.

    Args:
        error: the ``pydantic.ValidationError``.
        where: what was being validated, for instance a file name.
        tagged: names of fields that are of one class or another by a tag, which pydantic names behind the field.
        model: the class, or an annotation with classes in it, that was validated; unknown keys then name the nearest
            that is known.
    """
    told = {}
    for item in error.errors(include_url=False):
        path = [
            str(part)
            for before, part in zip((None, *item["loc"]), item["loc"], strict=False)
            if before not in tagged and not _KIND.match(str(part))
        ]
        # To look for the nearest name takes long where there are thousands of unknown ones, which nobody is told.
        begin, expected = _told(item, path, model if len(told) < _MOST_FIELDS else None)
        if not path and item["type"] != "value_error":
            path = ["(whole)"]
        told.setdefault((".".join(path), begin), []).append(expected)
    parts = []
    for (field, begin), expected in list(told.items())[:_MOST_FIELDS]:
        # One of several kinds of values: each of them said what it would take.
        ends = " or ".join(dict.fromkeys(filter(None, expected)))
        message = f"{begin}, expected {ends}" if ends else begin
        parts.append(f"{field}: {message}" if field else message)
    if len(told) > _MOST_FIELDS:
        parts.append(f"and {len(told) - _MOST_FIELDS} more")
    return InputError(f"{where}: {'; '.join(parts)}")


def _told(item, path, model):
    """What is wrong, and what was expected, if it is not said in that; ``path`` may get a name at its end."""
    kind, value = item["type"], item.get("input")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key{_nearest(item['loc'], path, model)}", ""
    if kind == "value_error":
        return item["msg"].removeprefix("Value error, "), ""
    if kind == "missing":
        return "missing", ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path.append(item["ctx"]["discriminator"].strip("'"))
        if kind == "union_tag_not_found":
            return "missing", ""
        return f"found {item['ctx']['tag']!r}", f"one of {item['ctx']['expected_tags']}"
    if kind in _LISTS:
        one = isinstance(value, int | float) and not isinstance(value, bool)
        return f"found {short(value)}", f"a list, such as [{value}, {value}]" if one else "a list in brackets"
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"found {short(value)}: {item['msg']}", ""
    return f"found {short(value)}", expected.format(**item.get("ctx", {}))


def _nearest(place, path, model):
    if model is None:
        return ""
    *parents, name = place
    hint = did_you_mean(name, field_names(model, parents))
    if hint:
        return hint
    # It may belong into another section.
    known = [known for known in _all_fields(model) if known.rpartition(".")[2] == str(name)]
    return f", did you mean {known[0]}?" if known and len(path) < 3 else ""


def field_names(model, parents=()):
    """Names of the fields below a place of nested sections.

    Args:
        model: a class of pydantic, a dataclass, or an annotation with such in it.
        parents: names of fields from the outermost on; numbers of lists, and tags behind fields, may be among them.
    """
    level = _classes(model)
    for part in parents:
        tagged = [one for one in level if _tag(one) == part]
        inner = [_annotations(one)[part] for one in level if part in _annotations(one)]
        if tagged and len(level) > 1:
            level = tagged
        elif inner:
            level = [found for annotation in inner for found in _classes(annotation)]
        elif isinstance(part, str) and not _KIND.match(part):
            return []
    return list(dict.fromkeys(name for one in level for name in _annotations(one)))


def inner_classes(model):
    """All classes of sections in a class or an annotation, itself first, each once."""
    found, waiting = {}, _classes(model)
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found[one] = None
            waiting += [inner for annotation in _annotations(one).values() for inner in _classes(annotation)]
    return list(found)


def _all_fields(model):
    """Dotted names of all fields, the outer ones first."""
    level = [((), one) for one in _classes(model)]
    found = {}
    while level:
        inner = []
        for path, one in level:
            for name, annotation in _annotations(one).items():
                found.setdefault(".".join((*path, name)))
                inner += [((*path, name), other) for other in _classes(annotation)]
        level = inner if len(level[0][0]) < 4 else []
    return list(found)


def _classes(annotation):
    """The classes with fields in an annotation."""
    if _annotations(annotation):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _classes(inner)]


def _annotations(one):
    if not isinstance(one, type):
        return {}
    fields = getattr(one, "model_fields", None) or getattr(one, "__dataclass_fields__", {})
    return {name: getattr(field, "annotation", None) or field.type for name, field in fields.items()}


def _tag(one):
    kind = getattr(one, "model_fields", {}).get("kind")
    return None if kind is None else kind.default

"""Networks from the literature as rows of an experiment: which ones, in what size (docs/networks.md)."""

import json

from pydantic import ValidationError

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.laboratory import Method
from aeanet_tf.field_errors import did_you_mean, from_validation
from aeanet_tf.networks.literature import LITERATURE, PUBLISHED, preset_and_fields
from aeanet_tf.networks.presets import presets


def chosen_methods(names, own, experiment="", offered=()):
    """The methods that ``--networks`` asks for, in its order.

    Args:
        names: each the key of one of ``own``; or a preset of `LITERATURE`, in its size of `SMALL`; with ``:published``
            behind it in that of its paper; with ``:field=value``, once or more, as published but for these fields.
            ``None`` for all of ``own``.
        own: the experiment's own, each with ``key`` and ``label``.
        offered: further ones, for whoever names them.
        experiment: with which keys of programs of others begin, and not their names here.

    Returns:
        Tuple of `Method` and of what ``own`` holds.

    Raises:
        InputError: a name that is neither, a field that the network does not have, one method twice, or programs of
            others alone, whose budget is that of ours.
    """
    if names is None:
        return tuple(own)
    known = {method.key.removeprefix(f"{experiment}-"): method for method in (*own, *offered)}
    methods = tuple(known[name] if name in known else _from_literature(name, known) for name in names)
    keys = [method.key for method in methods]
    twice = next((name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1), None)
    if twice is not None:
        raise InputError(f"--networks: found {twice} twice, expected each network once")
    if not any(isinstance(method, Method) for method in methods):
        ours = ", ".join(name for name, method in known.items() if isinstance(method, Method))
        raise InputError(f"--networks: found {', '.join(names)}, expected one of {ours} or a preset beside")
    return methods


def sizes_note(methods):
    """Paragraphs of a report that say what size the networks of the literature have; none where there is none."""
    of = [method for method in methods if getattr(method, "whole", False)]
    if not of:
        return []
    sizes = "; ".join(f"{method.label}: {_written(method.network)}" for method in of)
    return [
        f"Networks from the literature, written for this comparison (docs/networks.md); fields that differ from the "
        f"published sizes: {sizes}. All have the data, patches, loss and schedule of the others, not their papers'."
    ]


def _from_literature(name, known):
    preset, *texts = name.split(":")
    if preset not in LITERATURE:
        choices = [*known, *LITERATURE]
        hint = did_you_mean(preset, choices)
        raise InputError(f"--networks: found {preset!r}, expected some of {', '.join(choices)}{hint}")
    label, (_, fields) = LITERATURE[preset], preset_and_fields(name)
    if not texts:
        return Method(label, preset, preset, fields, whole=True)
    if texts == [PUBLISHED]:
        return Method(f"{label}, published size", f"{preset}-{PUBLISHED}", preset, whole=True)
    try:
        presets[preset].replace(**fields)
    except ValidationError as error:
        raise from_validation(error, f"--networks: {name}", model=type(presets[preset])) from None
    written = _written(fields)
    key = "-".join([preset, *(text.replace("=", "") for text in written.replace(" ", "").split(";"))])
    return Method(f"{label} ({written})", key.translate(_PLAIN), preset, fields, whole=True)


# What a list is written with has no place in names of folders.
_PLAIN = str.maketrans({"[": "", "]": "", ",": "_", '"': "", ".": "p"})


def _written(fields):
    """Fields as a user types them, but for what is between."""
    texts = (f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in fields.items())
    return "; ".join(texts) or "none"

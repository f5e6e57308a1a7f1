"""What old TensorFlow runtimes know: operations, their attributes and the attributes' values (``runtimes.json``)."""

import json
from functools import lru_cache
from importlib import resources

from aeanet_tf.errors import InputError

_TYPES = {1: "float", 3: "int32", 9: "int64", 10: "bool"}


@lru_cache
def operations():
    """The list: runtime -> operation -> attribute -> allowed values, ``None`` for any.

    It holds the operations that prediction uses, as the runtimes' own registries have them, with the types float,
    int32, int64 and bool.
    """
    return json.loads(resources.files("aeanet_tf.interop").joinpath("runtimes.json").read_text(encoding="utf-8"))


def check_target(target):
    """Raise an `InputError` for an unknown runtime."""
    if target not in operations():
        raise InputError(f"target: {target!r} is unknown, expected one of {', '.join(operations())}")


def check_graph(graph, target):
    """Make sure that a runtime knows every operation of a graph, every attribute and its value.

    Args:
        graph: a ``GraphDef`` without attributes of default value, as it will be loaded.
        target: name of a runtime.

    Raises:
        InputError: names the first node that the runtime would refuse, and why.
    """
    known = operations()[target]
    functions = [function.signature.name for function in graph.library.function]
    if functions:
        raise InputError(f"{target} would refuse the network: it calls the function {functions[0]}")
    for node in graph.node:
        reason = _refusal(node, known)
        if reason:
            raise InputError(f"{target} would refuse the network: {node.name} ({node.op}) {reason}")


def _refusal(node, known):
    if node.op not in known:
        return "is an operation that it does not have"
    for name, attribute in node.attr.items():
        if name.startswith("_"):
            continue
        if name not in known[node.op]:
            return f"has the attribute {name}, which it does not know"
        allowed, value = known[node.op][name], _value(attribute)
        if allowed is not None and value not in allowed:
            return f"has {name} = {value}, expected one of {', '.join(allowed)}"
    return None


def _value(attribute):
    """An attribute's type or string by its name in the list."""
    if attribute.WhichOneof("value") == "type":
        return _TYPES.get(attribute.type, f"type number {attribute.type}")
    return attribute.s.decode()

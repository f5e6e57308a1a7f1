"""Nothing in the package makes code of data, or lets a library do so."""

import ast
from pathlib import Path

import aeanet_tf

PACKAGE = Path(aeanet_tf.__file__).parent
# Of functions and methods the last part of the name.
RUNNING = {"eval", "exec", "compile", "__import__"}
UNPICKLING = {("pickle", "load"), ("pickle", "loads"), ("dill", "load"), ("joblib", "load"), ("torch", "load")}
# Keras makes layers, and functions out of lambda layers, of what such files say; weights are only numbers.
MAKING = {"load_model", "deserialize_keras_object", "enable_unsafe_deserialization", "model_from_json"}
# A cluster's workers read the job that the same run has written. Of a network that a user's class built Keras makes the
# layers, in its safe mode (tests/models/test_own_networks.py).
EXCEPTIONS = {"prediction/cluster.py", "networks/architecture.py"}


def calls(path):
    """Names of what is called, as (object, attribute) or (None, function), and the names of arguments that are True."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            bare = isinstance(function, ast.Name)
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else None if bare else ""
            name = function.id if bare else getattr(function, "attr", "")
            true = {k.arg for k in node.keywords if isinstance(k.value, ast.Constant) and k.value.value is True}
            yield owner, name, true


def from_keras(path):
    """Names that a module imports from Keras or TensorFlow."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("keras", "tensorflow"):
            yield from (alias.name for alias in node.names)


def test_data_stay_data():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for owner, function, true in calls(path):
            runs = function in RUNNING and owner is None
            unpickles = (owner, function) in UNPICKLING or "allow_pickle" in true
            makes = function in MAKING and (owner or "").split(".")[0] in ("keras", "tf", "models", "saving")
            if (runs or unpickles or makes) and name not in EXCEPTIONS:
                found.append(f"{name}: {owner}.{function}")
        found += [f"{name}: from keras import {item}" for item in from_keras(path) if item in MAKING]
    assert found == []

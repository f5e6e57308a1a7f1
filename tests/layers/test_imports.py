"""What runs on any Keras backend imports nothing but Keras, NumPy, pydantic and the standard library."""

import ast
import sys
from pathlib import Path

import pytest

import aeanet_tf

PACKAGE = Path(aeanet_tf.__file__).parent
PORTABLE = ("layers", "networks", "training/losses.py", "device_names.py", "errors.py", "startup.py")
# Faster kernels where TensorFlow is the backend, imported only there.
OPTIONAL = {"layers/fast_paths.py": "tensorflow"}
FILES = [f for part in PORTABLE for f in (sorted((PACKAGE / part).glob("**/*.py")) or [PACKAGE / part])]
# Downward only: layers know nothing of networks, networks nothing of training.
OWN = {
    "layers": {"layers", "startup"},
    "networks": {"layers", "networks", "device_names", "errors", "startup"},
    "training": {"errors", "startup"},
}


def imported(file):
    """Full names of the modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def imported_at_once(file):
    """Names of the modules that a file imports when it is imported itself."""
    found = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.name for node in found for alias in node.names} | {getattr(node, "module", None) for node in found}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports(file):
    own = OWN.get(file.relative_to(PACKAGE).parts[0], set())
    allowed = {"keras", "numpy", "pydantic", *sys.stdlib_module_names}
    optional = OPTIONAL.get(str(file.relative_to(PACKAGE)))
    if optional:
        assert optional not in imported_at_once(file)
        allowed.add(optional)
    for name in imported(file):
        top, _, rest = name.partition(".")
        if top == "aeanet_tf":
            assert rest.split(".")[0] in own, name
        else:
            assert top in allowed, name


def test_the_files_are_found():
    names = {str(f.relative_to(PACKAGE)) for f in FILES}
    assert {"layers/attention.py", "networks/build.py", "training/losses.py"} <= names

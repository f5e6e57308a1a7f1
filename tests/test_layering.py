"""Who may import whom, for every folder of the package, what runs on any Keras backend, and that there is no circle."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import aeanet_tf

PACKAGE = Path(aeanet_tf.__file__).parent
# Of the package's root, for all.
COMMON = {
    "errors",
    "field_errors",
    "paths",
    "progress",
    "files",
    "locks",
    "memory",
    "downloads",
    "startup",
    "device_names",
    "loss_names",
    "cubic",
}
ARRAYS = {"layers", "networks", "training", "prediction", "io"}
ALLOWED = {
    "layers": set(),
    "networks": {"layers"},
    "training": {"layers", "networks"},
    "io": set(),
    "datasets": {"io"},
    "sections": {"io"},
    "prediction": {"layers", "networks", "io"},
    "evaluation": {"layers", "networks", "prediction", "io", "datasets"},
    "reports": {"evaluation"},
    "models": {*ARRAYS, "evaluation", "sections", "reports"},
    "interop": {*ARRAYS, "models"},
    "runs": {*ARRAYS, "models", "evaluation", "datasets", "sections"},
    "experiments": {*ARRAYS, "models", "evaluation", "datasets", "sections", "runs", "interop"},
    "cli": {*ARRAYS, "models", "evaluation", "datasets", "sections", "runs", "interop", "experiments"},
    "napari": {*ARRAYS, "models", "reports", "evaluation", "datasets", "runs", "cli"},
    "errors": set(),
    "field_errors": set(),
    "paths": set(),
    "files": set(),
    "memory": set(),
    "locks": set(),
    "downloads": set(),
    "startup": set(),
    "device_names": set(),
    "loss_names": set(),
    "cubic": set(),
    "progress": set(),
}
# CSBDeep's name for the export is a method of the model, which imports it when it is called.
# The images of a run are known to a command; a model that was trained by one has them read again for its report.
EXCEPTIONS = {("models/aeanet.py", "interop"), ("models/renewed_report.py", "runs")}
# What runs on any Keras backend.
PORTABLE = {
    "layers",
    "networks",
    "training.losses",
    "errors",
    "field_errors",
    "cubic",
    "startup",
    "device_names",
    "loss_names",
}
# Faster kernels where TensorFlow is the backend, imported only there.
OPTIONAL = {"layers.fast_paths": {"tensorflow"}}
OF_TENSORFLOW = {"layers.convolution_operations"}


def modules():
    """Dotted name below the package -> path."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imported_names(path, at_once=False):
    """Full names that a file imports, anywhere in it or when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported(path):
    """Names of our modules that a file imports."""
    for name in imported_names(path):
        first, *parts = name.split(".")
        if first == "aeanet_tf":
            # Of a name in a module the module.
            while parts and ".".join(parts) not in MODULES:
                parts.pop()
            yield ".".join(parts)


def folder(name):
    return name.split(".")[0]


def is_portable(name):
    return name in PORTABLE or folder(name) in PORTABLE


def test_every_folder_is_in_the_table():
    assert {folder(name) for name in MODULES if name} == set(ALLOWED)
    # Downward only: what may be imported may not import back, directly or by others.
    for name, below in ALLOWED.items():
        reached, waiting = set(), list(below)
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting.extend(ALLOWED[one])
        assert name not in reached


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_go_downward(name):
    path, own = MODULES[name], folder(name)
    allowed = ALLOWED[own] | COMMON | {own}
    for other in imported(path):
        known = (path.relative_to(PACKAGE).as_posix(), folder(other)) in EXCEPTIONS
        assert not other or known or folder(other) in allowed, f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(set(filter(is_portable, MODULES)) - OF_TENSORFLOW))
def test_what_runs_on_any_backend_imports_the_like(name):
    path, optional = MODULES[name], OPTIONAL.get(name, set())
    allowed = {"aeanet_tf", "keras", "numpy", "pydantic", *sys.stdlib_module_names}
    assert set(map(folder, imported_names(path))) <= allowed | optional
    assert set(map(folder, imported_names(path, at_once=True))) <= allowed
    assert all(map(is_portable, filter(None, imported(path))))


@pytest.mark.parametrize("name", OF_TENSORFLOW)
def test_what_takes_tensorflow_is_imported_late(name):
    assert set(map(folder, imported_names(MODULES[name]))) <= {"tensorflow"}
    takers = [path for path in MODULES.values() if name in imported(path)]
    at_once = {one for path in takers for one in imported_names(path, at_once=True)}
    assert takers and not any(f"aeanet_tf.{name}" in one for one in at_once)


def test_no_circle():
    """Modules that import each other, even late, can only be read together; packages' lazy names left out."""
    edges = {name: {one for one in imported(path) if one and one != name} for name, path in MODULES.items()}
    for name in MODULES:
        if MODULES[name].name == "__init__.py":
            edges[name] = set()
    edges["models.aeanet"].discard("interop.fiji")
    edges["models.renewed_report"].discard("runs.train")
    done, path = set(), []

    def visit(name):
        if name in path:
            raise AssertionError(" -> ".join([*path[path.index(name) :], name]))
        if name in done:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in MODULES:
        visit(name)


def private_names_of_csbdeep():
    """Methods, properties and attributes of CSBDeep's models whose names say that they are its own."""
    folder = Path(find_spec("csbdeep").origin).parent / "models"
    nodes = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_private_names_of_csbdeep_are_read_in_one_module():
    """Its hooks may be overridden in any class of models; `PublicCARE` has public names for what others need."""
    private = private_names_of_csbdeep()
    assert {"_axes_out", "_axes_div_by", "_axes_tile_overlap", "_make_permute_axes", "_config_class"} <= private
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & private
        assert not read or name == "models.care", f"{name} reads {', '.join(sorted(read))}"

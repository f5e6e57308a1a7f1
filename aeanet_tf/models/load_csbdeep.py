"""Importing CSBDeep without the parts of SciPy that it names and hardly ever uses."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

# A Laplace distribution, and `zoom` for networks that are not ours: half of what `aeanet predict` imports beside
# TensorFlow.
_LATER = ("scipy.stats", "scipy.ndimage")


def load_csbdeep():
    """Import ``csbdeep.models``; what it takes from `_LATER` is imported when it is first used."""
    if "csbdeep.models" in sys.modules:
        return
    import_module("scipy")
    stand_ins = {name: _StandIn(name) for name in _LATER if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        import_module("csbdeep.models")
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _StandIn(ModuleType):
    """A module whose names can be imported, and are looked up in the real one when they are used."""

    def __init__(self, name):
        super().__init__(name)
        # With it, modules within the real one can be imported meanwhile.
        self.__path__ = list(find_spec(name).submodule_search_locations)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(self.__name__, name)


class _Later:
    """A function or object of a module that is imported at its first use."""

    def __init__(self, module, name):
        self._place = module, name

    def _real(self):
        module, name = self._place
        return getattr(import_module(module), name)

    def __call__(self, *args, **kwargs):
        return self._real()(*args, **kwargs)

    def __getattr__(self, name):
        if name == "_place":
            raise AttributeError(name)
        return getattr(self._real(), name)

"""Importing Keras, its backend and others: without their chatter, and without what is not used of them."""

import gc
import importlib
import os
import sys
from contextlib import contextmanager, nullcontext

# What Keras and TensorFlow import where it is installed, and do without where it is not: for wrappers of scikit-learn,
# tables, sparse matrices, galleries of images, notebooks. It is a third of the time of their import.
_UNUSED = ("IPython", "matplotlib", "pandas", "scipy.sparse", "sklearn")
_of_command = False


def begin_command():
    """Note that this process is a command of ours and nobody else's: what Keras is loaded for is known."""
    global _of_command
    _of_command = True


def load_backend():
    """Import Keras, and with it TensorFlow where that is the backend, without start-up messages on the terminal.

    TensorFlow's libraries write them to the process's standard error while they are loaded, some of them whatever
    ``TF_CPP_MIN_LOG_LEVEL`` says, so the descriptor itself is turned away for the time of the import. If the import
    fails, what was written is shown.

    In the process of a command (`begin_command`) Keras finds no scikit-learn, pandas, Matplotlib and IPython, as if
    they were not installed; whoever imports them afterwards does. In Python and in notebooks it finds them.
    """
    if "keras" in sys.modules:
        return
    lean = _of_command and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    with _collected_stderr(), _uncollected(), _hidden(_UNUSED) if lean else nullcontext():
        import keras  # noqa: F401
    if lean:
        # Millions of objects that live as long as the process: no collection has to look at them again.
        gc.freeze()


@contextmanager
def _hidden(names):
    """Let imports of modules fail that are not imported yet, as if they were not installed."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]


@contextmanager
def deferred(functions):
    """Let functions be imported by name from modules that are only imported when one of them is first used.

    Args:
        functions: dict from modules to the names; modules that are imported already are left as they are. What has
            another name is imported at once.
    """
    stand_ins = {name: _StandIn(name, those) for name, those in functions.items() if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for stand_in in stand_ins.values():
            stand_in.leave()


class _StandIn(type(sys)):
    """Takes the place of a module for a time."""

    def __init__(self, name, functions):
        super().__init__(name)
        vars(self).update({function: _Deferred(name, function) for function in functions})

    def leave(self):
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(self.__name__), name)


class _Deferred:
    """A function of a module, or an object that can be called, whose module is imported when it is first used."""

    def __init__(self, module, name):
        self._where = module, name

    def _found(self):
        module, name = self._where
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args, **kwargs):
        return self._found()(*args, **kwargs)

    def __getattr__(self, name):
        # Not of the object while it is copied or unpickled, before it knows where to look.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._found(), name)


@contextmanager
def _uncollected():
    """Without garbage collection: what is imported stays, and searching it takes a tenth of the time of an import."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _collected_stderr():
    sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:  # No standard error, as in a windowed program: nothing can be written either.
        yield
        return
    # Not before: it takes time of its own, and commands that only refuse need none.
    import tempfile

    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        except BaseException:
            collected.seek(0)
            os.write(terminal, collected.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)

"""What TensorFlow keeps of traced trainings, let go with the model."""

import weakref
from contextlib import contextmanager


@contextmanager
def released_with(owner):
    """Let go of what is traced in the block when ``owner`` is collected.

    For each function that is traced within another, as Keras's steps are, TensorFlow registers a gradient that nobody
    asks for, and never forgets it: with it go the graph, the network and its optimiser. Measured in
    docs/reliability.md. Where TensorFlow has no such registry nothing is done.

    Args:
        owner: an object that lives as long as what is traced is used.
    """
    registry = _gradients()
    before = set(registry)
    try:
        yield
    finally:
        names = [name for name in set(registry) - before if str(name).startswith("CustomGradient-")]
        # What ends with the process needs no cleaning.
        weakref.finalize(owner, _forget, registry, names).atexit = False


def _gradients():
    """TensorFlow's registry of gradients by name, which has no public name."""
    try:
        from tensorflow.python.framework import ops

        return ops.gradient_registry._registry
    except (ImportError, AttributeError):
        return {}


def _forget(registry, names):
    for name in names:
        registry.pop(name, None)

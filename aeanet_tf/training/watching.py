"""Who watches a training: callbacks from outside of the run that is started, for programs with windows."""

from contextlib import contextmanager
from contextvars import ContextVar

_maker = ContextVar("maker of callbacks", default=None)


@contextmanager
def watched(make):
    """Give the trainings of the block, in its thread, more callbacks.

    Args:
        make: ``make(model, sampler, validation)`` gives a list of Keras callbacks for a model about to be trained.
            They are called after those that keep the weights and the history, before the one that keeps what a
            resumption needs.
    """
    token = _maker.set(make)
    try:
        yield
    finally:
        _maker.reset(token)


def watching(model, sampler, validation):
    """The callbacks of who watches, none where nobody does."""
    make = _maker.get()
    return [] if make is None else make(model, sampler, validation)

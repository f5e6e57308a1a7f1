"""Whether what is traced is for this machine and its training, or for other programs to evaluate."""

from contextlib import contextmanager
from contextvars import ContextVar

_plain = ContextVar("plain", default=False)


@contextmanager
def plain_arithmetic():
    """Within it, layers are traced into multiplications and additions only, for programs other than this TensorFlow.

    The fastest operation for one processor and one TensorFlow is not that of another, which an exported graph is for;
    and what serves gradients only is nothing to export.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def is_plain():
    """Whether the caller is within `plain_arithmetic`."""
    return _plain.get()

"""Who watches a prediction: told of every tile and image that is done, and able to end it."""

from contextlib import contextmanager
from contextvars import ContextVar

_watcher = ContextVar("watcher of predictions", default=None)


@contextmanager
def watched(watcher):
    """Have the predictions of the block tell what they have done.

    Args:
        watcher: ``watcher(line, done, total)``, called in the thread of the block after each tile, with the line that
            says of which sweep it is; and, as ``watcher(IMAGE, 1, 1)``, after each image or frame. What it raises ends
            the prediction, which then leaves nothing behind.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


IMAGE = "image"
"""In place of a line: an image is finished."""


def tell(line, done, total):
    """Tell the watcher, if there is one."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(line, done, total)


def tell_image():
    """Tell the watcher that an image is finished."""
    tell(IMAGE, 1, 1)


def follow(bar):
    """A ``progress(line, total)`` that moves a bar on by one and shows the line; who watches (`tell`) is told, too."""
    done = 0

    def progress(line, total):
        nonlocal done
        done += 1
        tell(line, done, total)
        bar.total = total
        bar.set_description(line, refresh=False)
        bar.update()

    return progress

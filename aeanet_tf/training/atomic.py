"""Files that are either the old one or the new one, wherever a run is killed."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; what is written there becomes ``path`` if the block ends well.

    The temporary name keeps the suffix (Keras chooses formats by it) and is always the same for one
    ``path``, so what a killed run left behind is overwritten by the next one. Where the block raises,
    ``path`` is untouched.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        # Without this a power failure can leave the new name on an empty file.
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path, text):
    """Replace the text file ``path`` by ``text`` (UTF-8), atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")

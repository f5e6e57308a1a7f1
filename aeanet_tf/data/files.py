"""Writing a file so that it is either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aeanet_tf.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and move it to ``path`` when the block succeeds.

    The temporary name keeps the suffix (writers choose the format by it) and starts with a dot, so
    ``find_images`` never takes a half-written image for a result. The folder is made where it is missing. If
    the block fails the temporary file is removed and an earlier file at ``path`` stays as it was.

    Raises:
        InputError: ``path`` is a folder, or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        # Where the folder itself is no folder there is nothing to remove, and the first error is the one to tell.
        with suppress(OSError):
            temporary.unlink()

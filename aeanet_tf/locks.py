"""One process at a time in a folder: a file that names who works there, held by a lock of the system."""

import json
import logging
import os
import platform
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from aeanet_tf.errors import BusyError, writing

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None

logger = logging.getLogger("aeanet_tf")

# Seconds between two looks at a lock that is waited for.
PAUSE = 0.2
# (path, thread) -> descriptor of the file, of what this process holds.
_held = {}


class Owner(NamedTuple):
    """Who holds a lock, as its file says.

    Attributes:
        process: number of the process.
        host: name of the machine.
        begun: when the process was started, in seconds: numbers of processes come again.
        since: when it took the lock, for people.
    """

    process: int
    host: str
    begun: float
    since: str

    def __str__(self):
        return f"process {self.process} on {self.host} (since {self.since})"

    @property
    def runs(self):
        """Whether the process is there, on this machine."""
        try:
            return abs(psutil.Process(self.process).create_time() - self.begun) < 2
        except psutil.Error:
            return False


@contextmanager
def locked(path: str | Path, work: str, hint: str, wait: bool = False):
    """Hold the lock file ``path`` while the block runs; its folder exists.

    The system's own lock on the file goes with the process, however that ends, so what a killed process left behind is
    seen as such and taken over. Where the file system has no locks, the process that the file names is looked for. A
    thread may hold a lock several times over.

    Args:
        path: of the file, removed at the end.
        work: what is being done, for the message: "DIR: WORK by process N on HOST".
        hint: what else to do, for the message.
        wait: whether to wait until the lock is free.

    Yields:
        The `Owner` that is gone and left the lock behind; ``None`` for none.

    Raises:
        BusyError: another process, or thread, holds it and ``wait`` is not set; or the file names a process on another
            machine, of which nothing is known here.
        WriteError: the file cannot be written.
    """
    path = Path(path).absolute()
    key = str(path), threading.get_ident()
    if key in _held:
        yield None
        return
    _held[key], before = _acquired(path, work, hint, wait)
    try:
        yield before
    finally:
        _release(_held.pop(key), path)


def _release(descriptor, path):
    # The file first: whoever opened it meanwhile sees that its name is gone.
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)
    if os.name == "nt":  # Windows removes no open file.
        with suppress(OSError):
            path.unlink()


def _acquired(path, work, hint, wait):
    """The open descriptor of the lock file, taken, and who left it behind."""
    said = False
    while True:
        descriptor, owner = _attempt(path)
        if descriptor is not None:
            return descriptor, owner
        who = "another process" if owner is None else str(owner)
        away = owner is not None and owner.host != platform.node()
        text = f"{path.parent}: {work} by {who}"
        text += f", says {path.name}; remove that file if it is no longer so" if away else ""
        if not wait:
            raise BusyError(f"{text}; {hint}")
        if not said:
            logger.info("%s; waiting", text)
            said = True
        time.sleep(PAUSE)


def _attempt(path):
    """``(descriptor, owner)`` of a lock that was free, with who left it; ``(None, owner)`` of one that is held."""
    while True:
        with writing(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        taken = False
        try:
            free, owner = _system_lock(descriptor), _owner(descriptor)
            here = owner is None or owner.host == platform.node()
            # Of another machine nothing is known: locks of some network file systems do not reach so far.
            if free is False or not here or (free is None and owner is not None and owner.runs):
                return None, owner
            if free and not _is_at(descriptor, path):
                # Its holder removed it after it was opened here.
                continue
            if owner is not None:
                logger.info("%s: left by %s, which is gone", path, owner)
            with writing(path):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, _description())
            taken = True
            return descriptor, owner
        finally:
            if not taken:
                os.close(descriptor)


def _system_lock(descriptor):
    """Whether the system gave the lock; ``None`` where it has none for this file."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _owner(descriptor):
    """Who the file names; ``None`` for an empty one, or what is no such text: of a process killed when it began."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        return Owner(**json.loads(os.read(descriptor, 4096)))
    except (ValueError, TypeError):
        return None


def _description():
    now = datetime.now().isoformat(" ", "seconds")
    owner = Owner(os.getpid(), platform.node(), psutil.Process().create_time(), now)
    return json.dumps(owner._asdict()).encode()


def _forget():
    """A child that was forked holds nothing, and keeps nobody's lock alive."""
    for descriptor in _held.values():
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

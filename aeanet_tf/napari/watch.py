"""What a long job and the window that started it tell each other."""

import logging
from contextlib import contextmanager
from threading import Event, get_ident
from typing import NamedTuple

logger = logging.getLogger("aeanet_tf")


class Stopped(Exception):
    """A job ended because it was asked to."""


class Progress(NamedTuple):
    """How far a job is.

    Attributes:
        text: what it does.
        share: of the job that is done, from 0 to 1; ``None`` where that is not known.
    """

    text: str
    share: float | None = None


class Remark(NamedTuple):
    """Something that a user should read, in one line; the job goes on."""

    text: str


class Watch:
    """Given to a job, which asks it whether to stop, and tells it how far it is.

    Args:
        tell: called in the thread of the job with `Progress`, `Remark`, or what the job has beside them.
        quitting: says whether the program ends, and the job with it.
    """

    def __init__(self, tell=lambda news: None, quitting=lambda: False):
        self.tell, self._stop, self._quitting = tell, Event(), quitting

    def stop(self):
        """Ask the job to stop; any thread may."""
        self._stop.set()

    @property
    def stopped(self):
        """Whether it was asked to."""
        return self._stop.is_set() or self._quitting()

    def check(self):
        """Raise `Stopped` where the job was asked to stop."""
        if self.stopped:
            raise Stopped


@contextmanager
def remarks(watch):
    """Tell the watch the warnings that the package logs in this thread while the block runs."""
    handler, thread = logging.Handler(logging.WARNING), get_ident()
    handler.emit = lambda record: watch.tell(Remark(record.getMessage())) if record.thread == thread else None
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

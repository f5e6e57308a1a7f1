"""Python's garbage is collected in the thread of the window while jobs run in others.

Python looks for objects that refer to nothing but each other in whichever thread makes the next object. What it finds
may be parts of a window (a form that was closed, a figure), and those no other thread may delete: the window, which has
events for them, ends the process.
"""

import gc

from qtpy.QtCore import QTimer

# Milliseconds.
_INTERVAL = 200
_jobs = 0
_timer = None
_was_enabled = True


def collect_in_window():
    """From now on garbage is collected here, the thread of the window, until `collect_anywhere` was called as often."""
    global _jobs, _timer, _was_enabled
    if not _jobs:
        _was_enabled = gc.isenabled()
        gc.disable()
        _timer = QTimer()
        _timer.timeout.connect(_collect)
        _timer.start(_INTERVAL)
    _jobs += 1


def collect_anywhere():
    """A job has ended: the last one gives back to Python what it does by itself."""
    global _jobs, _timer
    _jobs -= 1
    if not _jobs:
        _timer.stop()
        _timer = None
        if _was_enabled:
            gc.enable()


def _collect():
    """What Python would have looked through by now: the oldest generation that has had its share."""
    full = [g for g, (n, most) in enumerate(zip(gc.get_count(), gc.get_threshold(), strict=True)) if n > most > 0]
    if full:
        gc.collect(max(full))

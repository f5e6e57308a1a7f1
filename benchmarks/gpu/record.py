"""What a run leaves: one JSON file that is written anew after every result, and the clock that ends the run."""

import math
from time import perf_counter

from tables import write_results


class Clock:
    """The time that a run may take.

    Args:
        seconds: all of it.
        start: of ``time.perf_counter``, when it began; now by default.
    """

    def __init__(self, seconds, start=None):
        self.seconds, self._start = seconds, perf_counter() if start is None else start

    @property
    def elapsed(self):
        """Seconds since the start."""
        return perf_counter() - self._start

    @property
    def left(self):
        """Seconds until the end; negative after it."""
        return self.seconds - self.elapsed


class Record:
    """Results that are in a file as soon as they are there; whoever is stopped leaves what was done.

    The file is replaced, never half written. Numbers that are not finite become null, as JSON has them.

    Args:
        path: of the JSON file.
        facts: what stands at its head.
    """

    def __init__(self, path, facts):
        self.path = path
        self.found = {**facts, "runs": [], "timings": [], "left_out": [], "finished": False}
        self.write()

    def update(self, **values):
        """Set entries of the file."""
        self.found.update(values)
        self.write()

    def append(self, name, *entries):
        """Add entries to a list of the file."""
        self.found[name] += entries
        self.write()

    def write(self):
        """Write the file."""
        write_results(self.path, _finite(self.found))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

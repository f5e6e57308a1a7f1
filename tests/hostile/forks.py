"""Commands run in forked processes, with bounds on time and memory, and a watch on what they touch.

TensorFlow takes seconds to import; the parent has it imported and never uses it, so that a fork costs nothing and may
use it. Whatever the command does, be killed included, is the child's.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

GRACE_SECONDS = 20.0
# Of the wall clock, for a process that waits; the processor may be shared.
WALL_SECONDS = 90.0
BYTES = int(1.5e9)
LINE = 1000
_STEP = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Ended(NamedTuple):
    """How a forked command ended.

    Attributes:
        code: exit code, ``None`` where it was killed by a signal, its own or ours.
        fault: in words, empty where it kept to the bounds.
        text: what it wrote to its standard error.
        seconds: of processor time.
        more: bytes that it held at most beyond the start.
    """

    code: int | None
    fault: str
    text: str
    seconds: float
    more: int


def preload():
    """Import what every command needs, and start no threads."""
    from aeanet_tf.startup import load_backend

    load_backend()
    import aeanet_tf.cli.main
    import aeanet_tf.models
    import aeanet_tf.runs.predict_files
    import aeanet_tf.runs.train  # noqa: F401


def run_forked(function, folder):
    """Run ``function`` in a fork, whose standard streams go to files of ``folder``.

    Args:
        function: without arguments, gives an exit code.
        folder: of the streams; also the working directory.
    """
    streams = [Path(folder) / name for name in ("stdout", "stderr")]
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _run_and_leave(function, folder, streams)
    fault, seconds, more, status = _watch(child)
    text = streams[1].read_bytes().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        fault = fault or f"killed by {signal.Signals(-code).name}"
        code = None
    elif "Traceback" in text:
        fault = fault or f"traceback: {text.strip().splitlines()[-1][:200]}"
    return Ended(code, fault, text, seconds, more)


def _run_and_leave(function, folder, streams):
    code = 70
    try:
        os.setpgid(0, 0)
        for number, path in enumerate(streams, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        os.chdir(folder)
        try:
            code = function()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code or 0)


def _watch(child):
    """Wait for the end of a process: fault, seconds, bytes and status."""
    start, began, fault, most, seconds, first = time.monotonic(), None, "", 0, 0.0, None
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            seconds = usage.ru_utime + usage.ru_stime
            # What lived too shortly to be seen is in the process's own record, which counts the pages of the parent.
            most = max(most, usage.ru_maxrss * 1024)
            break
        held, used = _memory(child), _processor(child)
        first = held if first is None else first
        most, began = max(most, held), began or time.monotonic()
        if not fault:
            if used > GRACE_SECONDS or time.monotonic() - start > WALL_SECONDS:
                fault = f"hangs: {used:.0f} s of processor time after {time.monotonic() - start:.0f} s"
            elif held - first > BYTES:
                fault = f"{(held - first) / 1e9:.1f} GB beyond the start"
            if fault:
                os.killpg(child, signal.SIGKILL)
        time.sleep(_STEP)
    more = most - (first or most)
    if not fault and more > BYTES:
        fault = f"{more / 1e9:.1f} GB beyond the start"
    return fault, seconds, more, status


def _memory(child):
    try:
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _processor(child):
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError):
        return 0.0

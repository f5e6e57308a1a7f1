"""Memory that a function takes while it runs, beyond what was there before. To be measured in a fresh process.

On a CPU: the high-water mark of the resident memory (Linux, ``VmHWM``) during the call, less what was resident before
it, with the inputs in place. What the function gives is thus counted, what it is given is not. It ran before on a tiny
input, so that libraries are loaded and traces made. On a GPU: the peak of TensorFlow's allocator, less what was
allocated before.

What an allocator holds back from earlier and hands out again is not seen as growth: hence a process of its own for
each measurement (`fresh.call_apart`), only a tiny input before, and free memory given back where the C library offers
it. Pages that are allocated but never touched do not count, as they take no memory.
"""

import ctypes
import gc
import re
import sys
from contextlib import suppress
from pathlib import Path

from aeanet_tf.errors import InputError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def extra_memory(prepare, tiny, size):
    """Bytes that ``prepare(size)()`` takes at most, beyond what was resident before that call.

    Args:
        prepare: function of a size that makes the inputs and gives a function without arguments, which has waited for
            its result when it gives it. What it compiles it must compile for both sizes.
        tiny, size: the size to warm up with, and that to measure.
    """
    prepare(tiny)()
    run = prepare(size)
    gc.collect()
    meter = _gpu_meter() or _resident_meter()
    result = run()
    extra = meter()
    del result
    return extra


def _resident_meter():
    """Start to watch the resident memory; the function given back tells by how much it grew at most."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        # Sets the high-water mark back to what is resident now.
        CLEAR.write_text("5")
        before = _status("VmRSS")
    except OSError:
        raise InputError(f"memory: cannot be measured, {CLEAR} of Linux is missing") from None
    return lambda: max(0, _status("VmHWM") - before)


def _status(key):
    return 1024 * int(re.search(rf"{key}:\s+(\d+)", STATUS.read_text())[1])


def _gpu_meter():
    """As `_resident_meter` for the memory of TensorFlow's first GPU, ``None`` without one."""
    tf = sys.modules.get("tensorflow")
    if tf is None or not tf.config.list_logical_devices("GPU"):
        return None
    memory = tf.config.experimental
    memory.reset_memory_stats("GPU:0")
    before = memory.get_memory_info("GPU:0")["current"]
    return lambda: memory.get_memory_info("GPU:0")["peak"] - before

"""What the machine has for a prediction: memory, a GPU, instructions for half precision."""

import logging
import re
from contextlib import contextmanager
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.memory import available_bytes, parse_bytes, resident_bytes

logger = logging.getLogger("aeanet_tf")

# Of the memory that is available, what a prediction takes for itself.
SHARE = 0.8
# TensorFlow's start and the tracing of stages, once for a process, and copies of pieces being read and written.
RESERVE = 250e6
# Instructions that multiply bfloat16; without them it is computed in float32, with conversions.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
# What TensorFlow holds for evaluations to come, after those that have been.
_pool = 0


def memory_budget(max_memory, reserve, available=None):
    """Bytes that are left for the network and for features kept in memory.

    Args:
        max_memory: what a process may hold in all: bytes, or a text such as "4GB"; ``None`` for 80 % of what the
            machine, the control group and the process's limits have available.
        reserve: bytes for what else will be allocated.
        available: bytes that another process has available which is to evaluate the tiles; ``None`` for this one.

    Returns:
        The bytes; ``None``, no limit, for a GPU whose memory is not limited by ``max_memory``.

    Raises:
        InputError: ``max_memory`` is no number of bytes, or less than what the process holds already.
    """
    if max_memory is None and on_accelerator():
        return None
    if max_memory is None:
        # A worker that has yet to load TensorFlow takes about what this process has taken.
        if available is not None:
            return max(0, SHARE * available - resident_bytes() - reserve)
        return max(0, SHARE * available_bytes() + _pool - reserve)
    limit, taken = parse_bytes(max_memory), resident_bytes() - _pool + reserve
    if limit <= taken:
        raise InputError(
            f"max_memory: {limit / 1e9:.2f} GB, expected more than {taken / 1e9:.2f} GB: "
            "so much the program, the image and the result take"
        )
    # What the machine does not have, no limit can give.
    return min(limit - taken, max(0, available_bytes() + _pool - reserve))


@contextmanager
def remembering_pool(results=0):
    """Note what the block leaves behind in TensorFlow's pool of memory, which it never gives back and uses again.

    Args:
        results: bytes of what else is left behind.
    """
    global _pool
    before = resident_bytes() - _pool
    try:
        yield
    finally:
        _pool = max(_pool, resident_bytes() - before - results)


def on_accelerator():
    """Whether TensorFlow evaluates the network on a GPU, whose memory is another."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def warn_if_emulated(precision, cpuinfo="/proc/cpuinfo"):
    """Log that a precision is slower than float32 here, where that is known.

    Args:
        precision: "float32" or "bfloat16".
        cpuinfo: where Linux lists the processor's instructions. Elsewhere nothing is known, and nothing said.
    """
    if precision == "float32" or on_accelerator():
        return
    path = Path(cpuinfo)
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", path.read_text() if path.exists() else "", re.MULTILINE)
    if flags and not _INSTRUCTIONS & set(flags[1].split()):
        logger.warning(
            "precision: this processor has no instructions for %s, which will be slower than float32", precision
        )

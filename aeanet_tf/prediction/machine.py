"""What the machine has for a prediction: memory, a GPU, instructions for half precision."""

import logging
import math
import re
from contextlib import contextmanager
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.memory import SHARE, available_bytes, resident_bytes

logger = logging.getLogger("aeanet_tf")

# TensorFlow's start and the tracing of stages, once for a process, and copies of pieces being read and written.
RESERVE = 250e6
# Instructions that multiply bfloat16; without them it is computed in float32, with conversions.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


class EvaluationMemory:
    """The memory that evaluations may take, in a process whose TensorFlow keeps what earlier ones took.

    TensorFlow's pool of memory is never given back, and used again: it counts as free for what comes. Models that
    predict in turn share one of these.

    Attributes:
        pool: bytes that TensorFlow holds for evaluations to come, after those within `evaluating`.
    """

    def __init__(self):
        self.pool = 0

    def left(self, max_memory, reserve, worker=None):
        """Bytes that are left for the network and for features kept in memory.

        Args:
            max_memory: what a process may hold in all: bytes, or a text such as "4GB"; ``None`` for 80 % of what the
                machine, the control group and the process's limits have available.
            reserve: bytes for what else will be allocated.
            worker: the `WorkerMemory` of other processes that are to evaluate the tiles; ``None`` for this one.

        Returns:
            The bytes; ``None``, no limit, for a GPU whose memory is not limited by ``max_memory``.

        Raises:
            InputError: ``max_memory`` is no number of bytes, or less than what the process holds already.
        """
        if max_memory is None and on_accelerator():
            return None
        available, held = worker or (available_bytes(), resident_bytes())
        pool = self.pool if worker is None else 0
        if max_memory is None:
            return max(0, SHARE * available + pool - reserve)
        limit, taken = parse_bytes(max_memory), held - pool + reserve
        if limit <= taken:
            raise InputError(
                f"max_memory: {limit / 1e9:.2f} GB, expected more than {taken / 1e9:.2f} GB: "
                "so much the program, the image and the result take"
            )
        # What the machine does not have, no limit can give.
        return min(limit - taken, max(0, available + pool - reserve))

    @contextmanager
    def evaluating(self, results=0):
        """Note what the block leaves behind in TensorFlow's pool.

        Args:
            results: bytes of what else is left behind.
        """
        before = resident_bytes() - self.pool
        try:
            yield
        finally:
            self.pool = max(self.pool, resident_bytes() - before - results)


def parse_bytes(value):
    """Bytes from a number or a text such as ``"4GB"``, ``"512 MiB"`` or ``"3.5G"``.

    k, M, G and T stand for powers of 1000, Ki, Mi, Gi and Ti for powers of 1024, in any case, with or without B.

    Raises:
        InputError: anything else, or less than one byte.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[+]?[0-9]+)?)\s*([kmgt]?i?)b?\s*", str(value).lower())
    if match is not None and match[2] in _UNITS and not isinstance(value, bool):
        count = float(match[1]) * _UNITS[match[2]]
        if 1 <= count < math.inf:
            return int(count)
    raise InputError(f"max_memory: {value!r}, expected bytes or a number with a unit, such as 4GB")


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

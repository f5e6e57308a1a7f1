"""What the machine has for a prediction: memory, a GPU, instructions for half precision."""

import logging
import math
import re
from contextlib import contextmanager
from pathlib import Path

import psutil

from aeanet_tf.errors import InputError

logger = logging.getLogger("aeanet_tf")

# Of the memory that is available, what a prediction takes for itself.
SHARE = 0.8
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

    def left(self, max_memory, reserve, available=None):
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
            return max(0, SHARE * available_bytes() + self.pool - reserve)
        limit, taken = parse_bytes(max_memory), resident_bytes() - self.pool + reserve
        if limit <= taken:
            raise InputError(
                f"max_memory: {limit / 1e9:.2f} GB, expected more than {taken / 1e9:.2f} GB: "
                "so much the program, the image and the result take"
            )
        # What the machine does not have, no limit can give.
        return min(limit - taken, max(0, available_bytes() + self.pool - reserve))

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


def resident_bytes():
    """Bytes of main memory that this process holds."""
    return psutil.Process().memory_info().rss


def available_bytes(root="/"):
    """Bytes that this process may still take: the least of what the machine has available, what its control groups
    allow, and what is left of the process's own limits (``ulimit -v``, ``ulimit -d``); 0 if that is nothing.

    Args:
        root: of the file system with ``proc`` and ``sys``, from which the control groups are read.
    """
    return max(0, min([psutil.virtual_memory().available, *_group_limits(Path(root)), *_process_limits()]))


def limited_bytes():
    """What is left of the process's own limits (``ulimit -v``, ``ulimit -d``); infinite without any."""
    return min(_process_limits(), default=math.inf)


def _process_limits():
    try:
        import resource
    except ImportError:  # Windows has none.
        return
    used = psutil.Process().memory_info()
    for name, taken in (("RLIMIT_AS", used.vms), ("RLIMIT_DATA", getattr(used, "data", 0))):
        limit = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if limit != resource.RLIM_INFINITY:
            yield limit - taken


def _group_limits(root):
    """What the process's control group and those above leave, for versions 1 and 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            places, names = ("", "unified"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            places = ("memory", controllers)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        for mount in {root / "sys/fs/cgroup" / place for place in places}:
            # A container may see its own group as the root, under a path that is not there.
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(mount):
                    yield from _left(folder, *names)


def _left(folder, limit, usage, cached):
    """What a group leaves, if it has a limit. File caches are given back when memory is short."""
    limit, usage = (_read(folder / name).strip() for name in (limit, usage))
    if limit.isdigit() and usage.isdigit():
        match = re.search(rf"^{cached} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
        yield int(limit) - int(usage) + (int(match[1]) if match else 0)


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


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

"""How much memory the evaluation of a tile takes, and how much there is."""

import math
import re
from pathlib import Path

import psutil

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.liveness import stage_peak

# Measured by benchmarks/memory_model.py with TensorFlow 2.21 on Linux, x86. Inputs exist three times: as NumPy arrays
# and twice as tensors. With oneDNN, TensorFlow takes memory from a pool that grows by doubling and gives nothing back:
# with its gaps it is 1.0 to 1.9 times what is alive, by how a tile's size happens to fit. FIXED is for small tensors.
COPIES, POOL, FIXED = 3, 2.0, 4e6

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def tile_bytes(graph, stage, size, overlapped=False):
    """Predicted peak memory of `Stages.run` on a tile, beyond what the process holds once the stage is traced.

    An upper bound for the evaluation on a CPU: what is alive at the same time (`stage_peak`), with the gaps in
    TensorFlow's pool; or without gaps but with the columns of transposed convolutions, which TensorFlow forms without
    oneDNN, if that is more. The pool stays with the process for the tiles to come, and counts as resident.

    Args:
        graph: the `NetworkGraph`.
        stage: a `Stage` of it.
        size: spatial size of the tile as it is read, halo included, one number for each of the image's axes.
        overlapped: whether another tile's inputs wait at the same time, and what one more gave is being written.

    Returns:
        Bytes of inputs, all that is between, output and kept features. It does not fall along any axis of the tile.
    """
    peak = stage_peak(graph, stage, size)
    inputs, outputs = COPIES + overlapped, 1 + overlapped
    return inputs * peak.inputs + outputs * peak.outputs + max(POOL * peak.between, peak.columns) + FIXED


def parse_bytes(value, field="max_memory"):
    """Bytes from a number or a text such as ``"4GB"``, ``"512 MiB"`` or ``"3.5G"``.

    k, M, G and T stand for powers of 1000, Ki, Mi, Gi and Ti for powers of 1024, in any case, with or without B.

    Args:
        value: the number or text.
        field: what the error message calls it.

    Raises:
        InputError: anything else, or less than one byte.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[+]?[0-9]+)?)\s*([kmgt]?i?)b?\s*", str(value).lower())
    if match is not None and match[2] in _UNITS and not isinstance(value, bool):
        found = float(match[1]) * _UNITS[match[2]]
        if 1 <= found < math.inf:
            return int(found)
    raise InputError(f"{field}: {value!r}, expected bytes or a number with a unit, such as 4GB")


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

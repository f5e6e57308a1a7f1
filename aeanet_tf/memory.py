"""How much memory there is, and whether what a file says that it holds fits into it, before any of it is reserved."""

import math
import re
from pathlib import Path

from aeanet_tf.errors import expect

# Of the memory that is available, what is taken.
SHARE = 0.8
# Bytes below which nobody asks.
_LITTLE = 2**26
# Deflate, in gzip, zip, PNG and HDF5, makes no more than this of a byte (RFC 1951: 258 bytes of two bits).
DEFLATE_RATIO = 1032


def resident_bytes():
    """Bytes of main memory that this process holds."""
    return _psutil().Process().memory_info().rss


def available_bytes(root="/"):
    """Bytes that this process may still take: the least of what the machine has available, what its control groups
    allow, and what is left of the process's own limits (``ulimit -v``, ``ulimit -d``); 0 if that is nothing.

    Args:
        root: of the file system with ``proc`` and ``sys``, from which the control groups are read.
    """
    return max(0, min([_psutil().virtual_memory().available, *_group_limits(Path(root)), *_process_limits()]))


def limited_bytes():
    """What is left of the process's own limits (``ulimit -v``, ``ulimit -d``); infinite without any."""
    return min(_process_limits(), default=math.inf)


def check_memory(path, nbytes, what="pixels"):
    """Raise an `InputError` where ``nbytes`` bytes of ``what`` of a file do not fit into the available memory."""
    if nbytes > _LITTLE:
        most = SHARE * available_bytes()
        expect(nbytes <= most, path, f"{what} of {in_words(nbytes)}", f"at most {in_words(most)}, which memory holds")


def check_claim(path, nbytes, stored, ratio=DEFLATE_RATIO, what="pixels"):
    """Raise an `InputError` where a file claims more than its bytes can hold.

    Args:
        path: the file.
        nbytes: bytes that it claims to hold.
        stored: bytes that it has for them.
        ratio: what its compression makes of a byte, at most.
        what: what it claims to hold, for the message.
    """
    found = f"{what} of {in_words(nbytes)} in {in_words(stored)} of data"
    expect(nbytes <= max(_LITTLE, ratio * stored), path, found, "no more than they can hold")


def in_words(nbytes):
    """A number of bytes with a unit, such as "2.15 GB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= size:
            return f"{float(nbytes) / size:.3g} {unit}"
    return f"{int(nbytes)} bytes"


def _psutil():
    # Layers, networks and training on another backend do without it.
    import psutil

    return psutil


def _process_limits():
    try:
        import resource
    except ImportError:  # Windows has none.
        return
    used = _psutil().Process().memory_info()
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

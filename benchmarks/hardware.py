"""The machine and the programs that a benchmark ran with: what a number means nothing without."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIB = 2**30
# A wheel of TensorFlow may have another name, according to what it was built for.
PACKAGES = {
    "tensorflow": ("tensorflow", "tensorflow_cpu", "tensorflow_intel"),
    "keras": ("keras",),
    "csbdeep": ("csbdeep",),
    "jax": ("jax",),
    "numpy": ("numpy",),
}
# Instructions that decide whether half precision is faster than single precision on a CPU.
FLAGS = ("avx512f", "avx512_bf16", "amx_bf16")
SETTINGS = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "XLA_FLAGS",
)


def facts():
    """Hardware, versions and settings as a dictionary for JSON; loads the backend, to ask it for GPUs.

    ``memory_bytes`` is that of the machine; ``load`` the average number of busy processes in the minute before: the
    figures of a benchmark that began beside other work are worth little. ``settings`` are environment variables that
    change the speed, those that are set.
    """
    cpu = _cpu()
    return {
        "cpu": cpu["model"],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "flags": {flag: flag in cpu["flags"] for flag in FLAGS},
        "gpus": gpus(),
        "backend": _backend(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "load": round(os.getloadavg()[0], 2),
    }


def line(found):
    """The facts in one line, for people."""
    flags = ", ".join(f"{name} {'present' if there else 'absent'}" for name, there in found["flags"].items())
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    settings = "".join(f"; {name}={value}" for name, value in found["settings"].items())
    return (
        f"{found['cpu']}, {found['cores']} cores ({flags}), {found['memory_bytes'] / GIB:.1f} GiB of memory, "
        f"{', '.join(found['gpus']) or 'no GPU'}; Python {found['python']}, {versions}; backend {found['backend']}"
        f"{settings}; load before the run {found['load']}"
    )


def gpus():
    """Names of the GPUs that Keras's backend uses."""
    if _backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]


def available_memory():
    """Bytes of this machine's memory that processes may still take."""
    found = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    return 1024 * int(found[1])


def instructions():
    """What the processor can do, as Linux calls it; elsewhere nothing."""
    return _cpu()["flags"]


def _backend():
    from aeanet_tf.startup import load_backend

    load_backend()
    import keras

    return keras.backend.backend()


def _cpu():
    """Model and flags, from Linux; elsewhere what Python knows."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    model, flags = (re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE) for key in ("model name", "flags"))
    return {
        "model": " ".join(model[1].split()) if model else platform.processor() or platform.machine(),
        "flags": set(flags[1].split()) if flags else set(),
    }


def _version(name):
    for package in PACKAGES[name]:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None

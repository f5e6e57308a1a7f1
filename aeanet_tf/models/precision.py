"""Whether half precision is worth while on this machine."""

import logging
import re
from pathlib import Path

logger = logging.getLogger("aeanet_tf")

# Instructions that multiply bfloat16; without them it is computed in float32, with conversions.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def warn_if_emulated(precision, cpuinfo="/proc/cpuinfo"):
    """Log that a precision is slower than float32 here, where that is known.

    Args:
        precision: "float32" or "bfloat16".
        cpuinfo: where Linux lists the processor's instructions. Elsewhere nothing is known, and nothing said.
    """
    if precision == "float32" or _has_gpu():
        return
    path = Path(cpuinfo)
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", path.read_text() if path.exists() else "", re.MULTILINE)
    if flags and not _INSTRUCTIONS & set(flags[1].split()):
        logger.warning(
            "precision: this processor has no instructions for %s, which will be slower than float32", precision
        )


def _has_gpu():
    from aeanet_tf.models.tiling import on_accelerator

    return on_accelerator()

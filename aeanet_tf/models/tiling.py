"""How an image is to be tiled: the options of prediction, checked, and what memory there is for it."""

from contextlib import contextmanager
from numbers import Real
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.memory import available_bytes, parse_bytes, resident_bytes

TILING = ("exact", "overlap", "whole")
CONTEXT = ("image", "group")
# Of the memory that is available, what a prediction takes for itself.
SHARE = 0.8
# TensorFlow's start and the tracing of stages, once for a process, and copies of pieces being read and written.
RESERVE = 250e6

# What TensorFlow holds for evaluations to come, after those that have been.
_pool = 0


class Patches(NamedTuple):
    """Tiling by overlapping patches whose predictions are averaged (`aeanet_tf.prediction.patch_average`).

    Attributes:
        size: of the patches, pixels along each spatial axis of the network.
        step: their distance along each of them.
    """

    size: tuple[int, ...]
    step: tuple[int, ...]

    @classmethod
    def checked(cls, size, step, divisor):
        """Patches for a network whose spatial axes have to divide by ``divisor``.

        Args:
            size: one number for each axis.
            step: one number for each axis, or one for all; where it is larger than a patch, patches lie side by side.

        Raises:
            InputError: a size that the network does not take, or a step below 1.
        """
        size = _numbers("patch_size", size, len(divisor))
        for n, d in zip(size, divisor, strict=True):
            if n % d:
                raise InputError(f"patch_size: {list(size)}, expected multiples of {list(divisor)} for this network")
        step = _numbers("step", (step,) * len(size) if isinstance(step, Real) else step, len(divisor))
        return cls(size, tuple(map(min, step, size)))


def _numbers(name, values, count):
    try:
        numbers = tuple(int(n) for n in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or numbers != tuple(values) or min(numbers) < 1:
        raise InputError(f"{name}: {values!r}, expected a number of at least 1 for each of {count} spatial axes")
    return numbers


def check_tiling(tiling, context):
    """Raise `InputError` for an unknown ``tiling`` (a name, or `Patches`) or ``context``."""
    if isinstance(tiling, Patches):
        if context != "image":
            raise InputError(f"context: {context!r}, expected 'image' with patches, which have attention of their own")
        return
    for name, value, known in (("tiling", tiling, TILING), ("context", context, CONTEXT)):
        if value not in known:
            raise InputError(f"{name}: {value!r} is unknown, expected one of {', '.join(known)}")


def tiling_of(model, tiling=None, patch_size=None, step=None):
    """How a model is to tile, decided and checked: a name, or `Patches`.

    Args:
        model: an `AEANet`.
        tiling: see `AEANet.predict`; for a model that segments also ``"patches"``. ``None`` is its default, and
            ``"exact"`` for others.
        patch_size, step: of patches; see `SegmentationAEANet.predict`.

    Raises:
        InputError: patches for a model that does not segment, or that do not fit.
    """
    if model.spec.model_kind == "segmentation":
        return model.checked_tiling(tiling, patch_size, step)
    for name, value in (("patch_size", patch_size), ("step", step)):
        if value is not None:
            raise InputError(f"{name}: {value!r}, expected None: the model does not segment")
    if tiling == "patches":
        raise InputError("tiling: 'patches', expected exact, overlap or whole: the model does not segment")
    return tiling or "exact"


def tiles_by_axis(model, axes, n_tiles, shape, padded):
    """Numbers of tiles along the network's spatial axes, from those along the image's.

    Args:
        model: an `AEANet`.
        axes: of the image.
        n_tiles: one number for each axis of the image, or one for its longest that can be cut, as in CSBDeep.
        shape: of the image.
        padded: the spatial sizes that the network is given, in its order of axes.

    Raises:
        InputError: numbers that do not fit the axes.
    """
    if isinstance(n_tiles, Real):
        extents = [n if a in model._axes_out and a != "C" else 0 for n, a in zip(shape, axes, strict=True)]
        n_tiles = [n_tiles if i == np.argmax(extents) else 1 for i in range(len(axes))]
    try:
        numbers = [int(n) for n in n_tiles]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != len(axes) or numbers != list(n_tiles) or min(numbers) < 1:
        raise InputError(f"n_tiles: {n_tiles!r}, expected a number of at least 1 for each of the axes {axes}")
    by_axis = dict(zip(axes, numbers, strict=True))
    spatial = model.config.axes.replace("C", "")
    for axis, n in by_axis.items():
        if n > 1 and (axis == "C" or axis not in model._axes_out):
            raise InputError(f"n_tiles: {n} along {axis}, expected 1: {_why_whole(axis, model)}")
    for axis, size, step in zip(spatial, padded, model.spec.divisor, strict=True):
        if by_axis.get(axis, 1) > size // step:
            raise InputError(
                f"n_tiles: {by_axis[axis]} along {axis}, expected at most {size // step}: "
                f"the network's tiles begin every {step} of the {size} pixels"
            )
    return [by_axis.get(axis, 1) for axis in spatial]


def _why_whole(axis, model):
    return "frames are predicted one by one" if axis == "T" else "the network needs it whole"


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

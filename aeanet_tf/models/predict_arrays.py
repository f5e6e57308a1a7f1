"""Prediction of arrays in memory, whole or in tiles that share the attention of the whole image."""

import copy
import logging
from math import prod
from numbers import Real
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from csbdeep.utils import axes_check_and_normalize
from tqdm import tqdm

from aeanet_tf.errors import InputError
from aeanet_tf.models.hardware import RESERVE, memory_budget, remembering_pool
from aeanet_tf.networks import check_precision
from aeanet_tf.prediction import cut_evenly, run_job
from aeanet_tf.prediction.job import Frame, Job
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.patch_average import averaged_patches
from aeanet_tf.prediction.plan import Budget, make_plan, most_tiles, most_together
from aeanet_tf.prediction.sweeps import ArrayTarget

logger = logging.getLogger("aeanet_tf")

TILING = ("exact", "overlap", "whole")
CONTEXT = ("image", "group")


def predict_images(model, img, axes, normalizer, resizer, n_tiles, *options):
    """``(mean, scale)`` of an image, or a list of them; along an axis T that the model lacks, frame by frame.

    Args:
        model: an `AEANet`.
        img: an array, or a list of them.
        axes, normalizer, resizer, n_tiles, options: see `predict_arrays`.
    """
    if isinstance(img, (list, tuple)):
        return predict_arrays(model, list(img), axes, normalizer, resizer, n_tiles, *options)
    letters = axes_check_and_normalize(axes, img.ndim)
    if "T" not in letters or "T" in model.config.axes:
        return predict_arrays(model, [img], letters, normalizer, resizer, n_tiles, *options)[0]
    time = letters.index("T")
    if isinstance(n_tiles, (list, tuple)) and len(n_tiles) == img.ndim:
        if n_tiles[time] != 1:
            raise InputError(f"n_tiles: {n_tiles[time]} along T, expected 1: frames are predicted one by one")
        n_tiles = [*n_tiles[:time], *n_tiles[time + 1 :]]
    frames = list(np.moveaxis(img, time, 0))
    found = predict_arrays(model, frames, letters.replace("T", ""), normalizer, resizer, n_tiles, *options)
    # An axis that is projected may have stood before T.
    time = sum(a == "C" or a in model._axes_out for a in letters[:time])
    return [None if part[0] is None else np.stack(part, time) for part in zip(*found, strict=True)]


def predict_arrays(model, images, axes, normalizer, resizer, n_tiles, tiling, max_memory, context, precision):
    """Mean and scale (``None`` for models without) of images, as CSBDeep's models return them.

    Normalisation and padding are those of CSBDeep, over each whole image. If memory runs out, the tiles are halved
    along their longest axis and prediction begins anew.

    Args:
        model: an `AEANet`.
        images: list of arrays.
        axes, normalizer, resizer: as in ``csbdeep.models.CARE.predict``; ``axes`` of each image.
        n_tiles: one number for each axis of the images, or one for the longest; ``None`` for as many as the memory
            asks for.
        tiling, max_memory, context, precision: see `AEANet.predict`. ``tiling`` may be `Patches`: then what they give
            is averaged, and ``n_tiles`` and ``max_memory`` say nothing.

    Returns:
        List of ``(mean, scale)``.

    Raises:
        InputError: an unknown ``tiling``, ``context`` or ``precision``; ``n_tiles`` of another length, below 1, more
            than an axis has steps, or more than 1 along an axis that cannot be cut; ``max_memory`` that does not
            suffice.
        MemoryError: the smallest tiles do not fit.
    """
    check_tiling(tiling, context)
    check_precision(precision)
    if not images:
        return []
    # A normaliser remembers the range of its image; the caller's own is used where there is one image.
    own = (lambda x: x) if len(images) == 1 else copy.deepcopy
    prepared = (_Prepared(model, image, axes, own(normalizer), own(resizer)) for image in images)
    if isinstance(tiling, Patches):
        return [_predict_in_patches(one, tiling, n_tiles, precision) for one in prepared]
    groups = [list(prepared)] if context == "group" else _alike(prepared)
    options = (n_tiles, tiling, max_memory, context, precision)
    return [result for group in groups for result in _predict_group(model, group, *options)]


def _alike(prepared):
    """Lists of small images of one size in a row, which are predicted together; others one by one."""
    group = []
    for one in prepared:
        if group and one.x.shape != group[0].x.shape:
            yield group
            group = []
        group.append(one)
        # At once, so that no more images are held than these.
        if len(group) == most_together(one.x.shape[:-1]):
            yield group
            group = []
    if group:
        yield group


class _Prepared:
    """An image, normalised, padded and in the network's axes, and the way back for its prediction."""

    def __init__(self, model, image, axes, normalizer, resizer):
        self.model, self.shape = model, image.shape
        self.normalizer, self.resizer = model._check_normalizer_resizer(normalizer, resizer)
        self.axes = axes_check_and_normalize(axes, image.ndim)
        net_in, self.net_out = model.config.axes, axes_check_and_normalize(model._axes_out)
        axes_out = "".join(a for a in self.axes if a in self.net_out or a not in net_in)
        self.permute = model._make_permute_axes(self.axes, net_in, self.net_out, axes_out)
        x = self.normalizer.before(self.permute(image), net_in)
        self.x = self.resizer.before(x, net_in, model._axes_div_by(net_in))

    def finish(self, y):
        """Mean and scale in the axes and the range of the image."""
        model, y = self.model, self.resizer.after(y, self.net_out)
        mean, scale = model._mean_and_scale_from_prediction(y, axis=self.net_out.index("C"))
        if self.normalizer.do_after and model.config.n_channel_in == model.config.n_channel_out:
            mean, scale = self.normalizer.after(mean, scale, self.net_out)
        return self.permute(mean, undo=True), self.permute(scale, undo=True)


def _predict_group(model, group, n_tiles, tiling, max_memory, context, precision):
    sizes = [one.x.shape[:-1] for one in group]
    given = None
    if tiling == "whole":
        given = [1] * len(sizes[0])
    elif n_tiles is not None:
        given = tiles_by_axis(model, group[0].axes, n_tiles, group[0].shape, sizes[0])
    # The output, and the copies that are made of it on the way back.
    output = 4 * sum(4 * prod(size) for size in sizes) * model.keras_model.output_shape[-1]
    memory = memory_budget(max_memory, output + RESERVE)
    # Without a shared context images are alike and do not wait for each other.
    planned, together = (sizes if context == "group" else sizes[:1]), True
    while True:
        plan = make_plan(
            model.keras_model, model.spec, planned, Budget(memory), given, tiling != "overlap", context == "group"
        )
        if not together:
            plan = plan._replace(batch=1)
        logger.info("prediction: %s", plan.line(on_disk=False))
        try:
            with remembering_pool(output):
                parts = [group] if context == "group" or not plan.shared else [[one] for one in group]
                return [result for part in parts for result in _run(model, part, plan, precision)]
        except tf.errors.ResourceExhaustedError:
            if plan.batch > 1 and len(group) * prod(plan.n_tiles) > 1:
                together = False
                logger.warning("out of memory, going on one by one")
                continue
            given = halved(model, plan.n_tiles, max(sizes, key=prod))
            logger.warning("out of memory, going on with %s tiles", " x ".join(map(str, given)))


def _predict_in_patches(one, patches, n_tiles, precision):
    if n_tiles is not None:
        raise InputError(f"n_tiles: {n_tiles!r}, expected None with patches, which have a size of their own")
    y = np.empty((*one.x.shape[:-1], one.model.keras_model.output_shape[-1]), "float32")
    with tqdm(disable=None, leave=False, unit="batch") as bar:
        for slices, values in patch_averages(one.model, one.x, patches, precision, follow(bar)):
            y[slices] = values
    return one.finish(y)


def patch_averages(model, source, patches, precision, progress=None):
    """`averaged_patches` of what a model's network gives.

    Args:
        model: an `AEANet`.
        source: the normalised, padded image, see `averaged_patches`.
        patches: `Patches`.
        precision: see `AEANet.predict`.
        progress: see `averaged_patches`.
    """
    stages = model.stages(None, precision)
    size = tuple(map(min, patches.size, source.shape[:-1]))
    inner = [(0, n) for n in size]
    batch = most_together(size)
    logger.info(
        "prediction: overlapping patches of %s every %s, averaged, %d at a time",
        " x ".join(map(str, size)),
        " x ".join(map(str, patches.step)),
        batch,
    )

    def predict(images):
        try:
            return np.stack([y for y, _ in stages.run_alike([[image] for image in images], inner)])
        except tf.errors.ResourceExhaustedError:
            if len(images) == 1:
                raise MemoryError(f"patch_size: memory runs out with a patch of {list(size)}") from None
        logger.warning("out of memory, going on one by one")
        return np.concatenate([predict(image[None]) for image in images])

    step = tuple(map(min, patches.step, size))
    return averaged_patches(source, predict, size, step, batch, progress)


def _run(model, group, plan, precision):
    stages = model.stages(plan, precision)
    frames = []
    for one in group:
        size = one.x.shape[:-1]
        edges = cut_evenly(size, plan.tiles_for(size, model.spec.divisor), model.spec.divisor)
        frames.append(Frame(one.x, ArrayTarget(size, stages.graph.output), edges, edges))
    # In one piece there is nothing to show.
    with tqdm(disable=True if prod(plan.n_tiles) == 1 else None, leave=False, unit="tile") as bar:
        run_job(Job(stages, model.spec, frames, Features(), plan.batch), progress=follow(bar))
    return [one.finish(frame.target.array) for one, frame in zip(group, frames, strict=True)]


def follow(bar):
    """A ``progress(line, total)`` that moves a bar on by one and shows the line."""

    def progress(line, total):
        bar.total = total
        bar.set_description(line, refresh=False)
        bar.update()

    return progress


def halved(model, tiles, size):
    """Numbers of tiles with twice as many along the longest axis of a tile.

    Raises:
        MemoryError: there are no smaller tiles.
    """
    most = most_tiles(model.keras_model, model.spec, size)
    lengths = [n / t if t < m else 0 for n, t, m in zip(size, tiles, most, strict=True)]
    if not any(lengths):
        raise MemoryError(f"n_tiles: memory runs out even with {list(tiles)} tiles, the most there can be") from None
    axis = int(np.argmax(lengths))
    return [min(2 * t, m) if i == axis else t for i, (t, m) in enumerate(zip(tiles, most, strict=True))]


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

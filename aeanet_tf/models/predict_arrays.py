"""Prediction of arrays in memory, whole or in tiles that share the attention of the whole image.

What does not depend on where an image lies, files use, too: the plan, the loop that takes smaller tiles until they fit,
overlapping patches, and how predictions are mapped back.
"""

import copy
import logging
from dataclasses import replace
from math import prod
from numbers import Real

import numpy as np
import tensorflow as tf
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import frame_axes
from aeanet_tf.models.given_images import check_predicted, given_axes, given_image
from aeanet_tf.models.normalizers import normalized
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.raw_values import warn_of_raw_input
from aeanet_tf.models.scale_calibration import scale_factor
from aeanet_tf.prediction.job import Frame, Job, cut_evenly
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.machine import RESERVE
from aeanet_tf.prediction.options import Patches, check_tile_count
from aeanet_tf.prediction.patch_average import averaged_patches
from aeanet_tf.prediction.plan import Budget, longest_side, make_plan, most_tiles, most_together
from aeanet_tf.prediction.progress import follow, tell_image
from aeanet_tf.prediction.sweeps import ArrayTarget, run_job
from aeanet_tf.progress import progress_bar

logger = logging.getLogger("aeanet_tf")


def predict_images(model, img, axes, normalizer, resizer, options):
    """As `predict_arrays`, of an image or a list of them; along axes T and Z that the model lacks, frame by frame."""
    if isinstance(img, (list, tuple)):
        names = [f"image {i}" for i in range(len(img))]
        images = [given_image(model, image, axes, name) for image, name in zip(img, names, strict=True)]
        return predict_arrays(model, images, axes, normalizer, resizer, options, names)
    img = given_image(model, img, axes, frames=True)
    letters = given_axes(axes, img.ndim)
    along = frame_axes(letters, model.config.axes)
    if not along:
        return predict_arrays(model, [img], letters, normalizer, resizer, options, ["image"])[0]
    options = replace(options, n_tiles=_tiles_of_frames(options.n_tiles, letters, along))
    left = "".join(a for a in letters if a not in along)
    count = [img.shape[letters.index(a)] for a in along]
    frames = np.moveaxis(img, [letters.index(a) for a in along], range(len(along)))
    frames = list(frames.reshape(-1, *frames.shape[len(along) :]))
    names = [f"frame {i}" for i in range(len(frames))]
    results = predict_arrays(model, frames, left, normalizer, resizer, options, names)
    # Without an axis that is projected; channels that the model adds are last.
    kept = kept_axes(letters, model.config.axes, model.axes_out)
    places = [kept.index(a) for a in along]

    def stacked(part):
        return np.moveaxis(np.stack(part).reshape(*count, *part[0].shape), range(len(along)), places)

    return [None if part[0] is None else stacked(part) for part in zip(*results, strict=True)]


def _tiles_of_frames(n_tiles, letters, along):
    """Numbers of tiles for the axes of each frame, from those of the image."""
    if not (isinstance(n_tiles, (list, tuple)) and len(n_tiles) == len(letters)):
        return n_tiles
    by_axis = dict(zip(letters, n_tiles, strict=True))
    for axis in along:
        if by_axis.pop(axis) != 1:
            raise InputError(
                f"n_tiles: {n_tiles[letters.index(axis)]} along {axis}, expected 1: frames are predicted one by one"
            )
    return list(by_axis.values())


def predict_arrays(model, images, axes, normalizer, resizer, options, names):
    """Mean and scale (``None`` for models without) of images, as CSBDeep's models return them; the scale calibrated.

    Normalisation and padding are those of CSBDeep, over each whole image. If memory runs out, the tiles are halved
    along their longest axis and prediction begins anew.

    Args:
        model: an `AEANet`.
        images: list of arrays that `given_image` gave.
        axes, normalizer, resizer: as in ``csbdeep.models.CARE.predict``; ``axes`` of each image.
        options: `PredictionOptions` that `AEANet.decided` gave; ``n_tiles`` may be one number for the longest axis.
        names: what messages call the images.

    Returns:
        List of ``(mean, scale)``.

    Raises:
        InputError: ``n_tiles`` of another length, below 1, more than an axis has steps, or more than 1 along an axis
            that cannot be cut; ``max_memory`` that does not suffice; an image or a prediction that is not finite when
            it is normalised or predicted.
        MemoryError: the smallest tiles do not fit.
    """
    if not images:
        return []
    # A normaliser remembers the range of its image; the caller's own is used where there is one image.
    own = (lambda x: x) if len(images) == 1 else copy.deepcopy
    prepared = (
        _PreparedImage(model, image, axes, own(normalizer), own(resizer), name)
        for image, name in zip(images, names, strict=True)
    )
    if isinstance(options.tiling, Patches):
        return [_predict_in_patches(image, options) for image in prepared]
    groups = [list(prepared)] if options.context == "group" else _alike(prepared)
    results = [result for group in groups for result in _predict_group(model, group, options)]
    factor = scale_factor(model, options)
    return results if factor == 1 else [[mean, scale * scale.dtype.type(factor)] for mean, scale in results]


def _alike(images, most=None):
    """Lists of images of one size in a row, to predict together: as many as are worth it, or ``most``."""
    group = []
    for image in images:
        if group and image.x.shape != group[0].x.shape:
            yield group
            group = []
        group.append(image)
        # At once, so that no more images are held than these.
        if len(group) == (most or most_together(image.x.shape[:-1])):
            yield group
            group = []
    if group:
        yield group


class _PreparedImage:
    """An image, normalised, padded and in the network's axes, and the way back for its prediction."""

    def __init__(self, model, image, axes, normalizer, resizer, name):
        self.model, self.shape, self.name = model, image.shape, name
        normalizer = SafePercentileNormalizer.of(normalizer)
        self.normalizer, self.resizer = model.checked_normalizer(normalizer, resizer)
        self.axes = axes_check_and_normalize(axes, image.ndim)
        net_in, net_out = model.config.axes, model.axes_out
        self.permute = model.permutation(self.axes, net_in, net_out, kept_axes(self.axes, net_in, net_out))
        x = normalized(self.normalizer, self.permute(image), net_in, name)
        warn_of_raw_input(model, x, name)
        self.x = self.resizer.before(x, net_in, (*model.spec.divisor, 1))

    def finish(self, y):
        """Mean and scale in the axes and the range of the image."""
        config, axes = self.model.config, self.model.axes_out
        y = _cropped(self.resizer, y, axes, self.model.spec.upscale)
        parts = mapped_back(y, config.probabilistic, config.n_channel_in, self.normalizer, axes)
        check_predicted(self.name, *parts)
        tell_image()
        return [self.permute(part, undo=True) for part in parts]


def _cropped(resizer, y, axes, upscale):
    """The prediction without the padding of its image, by the resizer that has padded it."""
    pad = getattr(resizer, "pad", None)
    if upscale == 1 or pad is None:
        return resizer.after(y, axes)
    # Pixels of the image that the resizer has added are more of the prediction.
    larger = copy.copy(resizer)
    larger.pad = {a: p if a == "C" else tuple(upscale * n for n in p) for a, p in pad.items()}
    return larger.after(y, axes)


def kept_axes(axes, net_axes, net_out_axes):
    """The axes of an image that its prediction has, in their order: all but one that the network projects, from
    ``net_axes`` such as "ZYXC" to ``net_out_axes`` such as "YXC"."""
    return "".join(a for a in axes if a in net_out_axes or a not in net_axes)


def mapped_back(y, probabilistic, n_channel_in, normalizer, axes):
    """Mean and scale (``None`` for models without) of a network's output, in the range of the image.

    Args:
        y: ``(*spatial, channels)``, the output or a piece of it.
        probabilistic: whether the second half of the channels is the scale.
        n_channel_in: of the network. Where it gives as many, the normaliser maps back what it can, as in CSBDeep.
        normalizer: of the image, a ``csbdeep.data.Normalizer``.
        axes: of ``y``.
    """
    channels = y.shape[-1] // 2 if probabilistic else y.shape[-1]
    mean, scale = y[..., :channels], y[..., channels:] if probabilistic else None
    if normalizer.do_after and channels == n_channel_in:
        return normalizer.after(mean, scale, axes)
    return mean, scale


def _predict_group(model, group, options):
    sizes = [image.x.shape[:-1] for image in group]
    first = given_tiles(model, options, group[0].axes, group[0].shape, sizes[0])
    # The output, and the copies that are made of it on the way back.
    larger = model.spec.upscale ** len(sizes[0])
    output = 4 * sum(4 * larger * prod(size) for size in sizes) * model.keras_model.output_shape[-1]
    budget = Budget(model.memory.left(options.max_memory, output + RESERVE))
    # Without a shared context images are alike and do not wait for each other.
    planned = sizes if options.context == "group" else sizes[:1]

    def plan(tiles, together):
        chosen = plan_images(model, options, planned, budget, tiles or first, together)
        logger.info("prediction: %s", chosen.line(on_disk=False))
        return chosen

    def run(plan):
        parts = [group] if options.context == "group" or not plan.shared else [[image] for image in group]
        return [result for part in parts for result in _run(model, part, plan, options.precision)]

    return run_until_it_fits(model, plan, run, len(group), output)


def given_tiles(model, options, axes, shape, padded):
    """The numbers of tiles along the network's spatial axes that `PredictionOptions` ask for, ``None`` for as many as
    needed; see `tiles_by_axis`."""
    if options.tiling == "whole":
        return [1] * len(padded)
    return None if options.n_tiles is None else tiles_by_axis(model, axes, options.n_tiles, shape, padded)


def plan_images(model, options, sizes, budget, tiles=None, together=True):
    """The `Plan` for images of padded spatial ``sizes`` that are predicted together; see `make_plan`.

    Args:
        model, options, sizes, budget: an `AEANet`, `PredictionOptions`, a list, and a `Budget`.
        tiles: numbers of tiles along the network's spatial axes; ``None`` for as many as the budget asks for.
        together: whether tiles may be evaluated together.
    """
    shared, group = options.tiling != "overlap", options.context == "group"
    plan = make_plan(model.stages(None), model.spec, sizes, budget, tiles, shared, group)
    return plan if together else plan._replace(batch=1)


def run_until_it_fits(model, plan, run, count, results=0):
    """Run a plan, and others that take less memory for as long as it runs out.

    Args:
        model: an `AEANet`.
        plan: ``plan(tiles, together)`` gives the `Plan`; see `plan_images`.
        run: ``run(plan)`` evaluates it.
        count: number of images and frames.
        results: bytes of results that the run leaves in memory.

    Returns:
        What ``run`` gives.

    Raises:
        MemoryError: the smallest tiles do not fit.
    """
    tiles, together = None, True
    while True:
        chosen = plan(tiles, together)
        try:
            with model.memory.evaluating(results):
                return run(chosen)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            if chosen.batch > 1 and count * prod(chosen.n_tiles) > 1:
                together = False
                logger.warning("out of memory, going on one by one")
                continue
            tiles = _halved(model, chosen)
            logger.warning("out of memory, going on with %s tiles", " x ".join(map(str, tiles)))


def _halved(model, plan):
    """Numbers of tiles with twice as many along the longest axis of a tile."""
    most, tiles = most_tiles(model.keras_model, model.spec, plan.size), list(plan.n_tiles)
    axis = longest_side(plan.size, tiles, most)
    if axis is None:
        raise MemoryError(f"n_tiles: memory runs out even with {tiles} tiles, the most there can be") from None
    tiles[axis] = min(2 * tiles[axis], most[axis])
    return tiles


def _run(model, group, plan, precision):
    stages = model.stages(plan, precision)
    if prod(plan.n_tiles) == 1 and not plan.shared:
        return [result for part in _alike(group, plan.batch) for result in _run_whole(stages, part, plan.batch)]
    frames = []
    for image in group:
        size = image.x.shape[:-1]
        edges = cut_evenly(size, plan.tiles_for(size, model.spec.divisor), model.spec.divisor)
        frames.append(Frame(image.x, ArrayTarget(size, stages.graph), edges, edges))
    # In one piece there is nothing to show.
    with progress_bar(quiet=prod(plan.n_tiles) == 1, unit="tile") as bar:
        run_job(Job(stages, model.spec, frames, Features(), plan.batch), progress=follow(bar))
    return [image.finish(frame.target.array) for image, frame in zip(group, frames, strict=True)]


def _run_whole(stages, images, batch):
    """Images of one size in one piece, all at once: nothing is to be shared or kept between tiles."""
    inner = [(0, n) for n in images[0].x.shape[:-1]]
    inputs = [[image.x] for image in images]
    outputs = stages.run_alike(inputs, inner) if batch > 1 else [stages.run(0, inputs[0], inner, [])]
    return [image.finish(y) for image, (y, _) in zip(images, outputs, strict=True)]


def _predict_in_patches(image, options):
    y = np.empty((*image.x.shape[:-1], image.model.keras_model.output_shape[-1]), "float32")
    with progress_bar(unit="batch") as bar:
        for slices, values in patch_averages(image.model, image.x, options, follow(bar)):
            y[slices] = values
    return image.finish(y)


def patch_averages(model, source, options, progress=None):
    """`averaged_patches` of what an `AEANet` gives; the ``tiling`` of the `PredictionOptions` is `Patches`."""
    stages, patches = model.stages(None, options.precision), options.tiling
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


def possible_tiles(model, img, axes, n_tiles):
    """Numbers of tiles as CSBDeep takes them: of more than there can be along an axis as many as there can.

    Args:
        model, img, axes, n_tiles: of an array, see `AEANet.predict`.
    """
    letters = given_axes(axes, np.ndim(img))
    if n_tiles is None or (not isinstance(n_tiles, Real) and len(n_tiles) != len(letters)):
        return n_tiles
    shape, steps = np.shape(img), dict(zip(model.config.axes.replace("C", ""), model.spec.divisor, strict=True))
    given = dict(zip(letters, map(int, _each_axis(model, letters, n_tiles, shape)), strict=True))
    most = {a: -(-n // steps[a]) for a, n in zip(letters, shape, strict=True) if a in steps and a in model.axes_out}
    fewer = {a: min(n, most.get(a, n)) for a, n in given.items()}
    for axis in (a for a in letters if fewer[a] < given[a]):
        text = "n_tiles: %d along %s, going on with %d: the network's tiles begin every %d pixels"
        logger.warning(text, given[axis], axis, fewer[axis], steps[axis])
    return list(fewer.values())


def _each_axis(model, axes, n_tiles, shape):
    """Numbers of tiles for all axes of an image; a single one is for the longest."""
    if not isinstance(n_tiles, Real):
        return n_tiles
    extents = [n if a in model.axes_out and a != "C" else 0 for n, a in zip(shape, axes, strict=True)]
    return [n_tiles if i == np.argmax(extents) else 1 for i in range(len(axes))]


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
    n_tiles = _each_axis(model, axes, n_tiles, shape)
    check_tile_count(n_tiles, axes)
    by_axis = dict(zip(axes, map(int, n_tiles), strict=True))
    spatial = model.config.axes.replace("C", "")
    for axis, n in by_axis.items():
        if n > 1 and (axis == "C" or axis not in model.axes_out):
            single = frame_axes(axis, model.config.axes)
            reason = "frames are predicted one by one" if single else "the network needs it whole"
            raise InputError(f"n_tiles: {n} along {axis}, expected 1: {reason}")
    for axis, size, step in zip(spatial, padded, model.spec.divisor, strict=True):
        if by_axis.get(axis, 1) > size // step:
            raise InputError(
                f"n_tiles: {by_axis[axis]} along {axis}, expected at most {size // step}: "
                f"the network's tiles begin every {step} of the {size} pixels"
            )
    return [by_axis.get(axis, 1) for axis in spatial]

"""Prediction of arrays by a model with attention, whole or in tiles that share the attention of the whole image."""

import logging
from numbers import Real

import numpy as np
import tensorflow as tf
from csbdeep.utils import axes_check_and_normalize
from tqdm import tqdm

from aeanet_tf.errors import InputError
from aeanet_tf.prediction import predict_exact

logger = logging.getLogger("aeanet_tf")

TILING = ("exact", "overlap", "whole")


def predict_mean_and_scale(model, img, axes, normalizer, resizer, n_tiles, sweeps):
    """Mean and scale (``None`` for models without) of an image, as CSBDeep's models return them.

    Normalisation and padding are those of CSBDeep, over the whole image. If memory runs out, the tiles are halved
    along their longest axis and prediction begins anew.

    Args:
        model: an `AEANet`.
        img, axes, normalizer, resizer: as in ``csbdeep.models.CARE.predict``.
        n_tiles: one number for each axis of ``img``, or one for its longest; ``None`` for the whole image.
        sweeps: `aeanet_tf.prediction.sweeps.Sweeps` of its network.

    Raises:
        InputError: ``n_tiles`` of another length, below 1, or more than 1 along an axis that cannot be cut.
        MemoryError: the smallest tiles do not fit.
    """
    normalizer, resizer = model._check_normalizer_resizer(normalizer, resizer)
    axes = axes_check_and_normalize(axes, img.ndim)
    net_in, net_out = model.config.axes, axes_check_and_normalize(model._axes_out)
    axes_out = "".join(a for a in axes if a in net_out or a not in net_in)
    permute = model._make_permute_axes(axes, net_in, net_out, axes_out)
    tiles = _tiles_by_axis(model, axes, n_tiles, img.shape)
    x = resizer.before(normalizer.before(permute(img), net_in), net_in, model._axes_div_by(net_in))
    y = resizer.after(_predict(model, x, tiles, sweeps), net_out)
    mean, scale = model._mean_and_scale_from_prediction(y, axis=net_out.index("C"))
    if normalizer.do_after and model.config.n_channel_in == model.config.n_channel_out:
        mean, scale = normalizer.after(mean, scale, net_out)
    return permute(mean, undo=True), permute(scale, undo=True)


def _tiles_by_axis(model, axes, n_tiles, shape):
    """Numbers of tiles along the network's spatial axes, from those along the image's."""
    spatial = model.config.axes.replace("C", "")
    if n_tiles is None:
        return [1] * len(spatial)
    if isinstance(n_tiles, Real):
        # As in CSBDeep: a single number is for the longest axis that can be cut.
        extents = [n if a in model._axes_out and a != "C" else 0 for n, a in zip(shape, axes, strict=True)]
        n_tiles = [n_tiles if i == np.argmax(extents) else 1 for i in range(len(axes))]
    try:
        numbers = [int(n) for n in n_tiles]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != len(axes) or numbers != list(n_tiles) or min(numbers) < 1:
        raise InputError(f"n_tiles: {n_tiles!r}, expected a number of at least 1 for each of the axes {axes}")
    by_axis = dict(zip(axes, numbers, strict=True))
    for axis, n in by_axis.items():
        if n > 1 and (axis == "C" or axis not in model._axes_out):
            raise InputError(f"n_tiles: {n} along {axis}, expected 1: the network needs it whole")
    return [by_axis.get(axis, 1) for axis in spatial]


def _predict(model, x, tiles, sweeps):
    step = model.spec.divisor
    most = [n // s for n, s in zip(x.shape, step, strict=False)]
    while True:
        # CSBDeep takes fewer tiles, too, where there are more than the network's grid has steps.
        tiles = [min(n, m) for n, m in zip(tiles, most, strict=True)]
        try:
            return _predict_once(model, x, tiles, sweeps)
        except tf.errors.ResourceExhaustedError:
            extents = [n / t if t < m else 0 for n, t, m in zip(x.shape, tiles, most, strict=False)]
            for axis, letter in enumerate(model.config.axes.replace("C", "")):
                extents[axis] *= letter in model._axes_out
            if not any(extents):
                raise MemoryError(f"n_tiles: memory runs out even with {tiles} tiles, the most there can be") from None
            tiles[int(np.argmax(extents))] *= 2
            logger.warning("out of memory, going on with %s tiles", " x ".join(map(str, tiles)))


def _predict_once(model, x, tiles, sweeps):
    if max(tiles) == 1:
        return model.keras_model.predict(x[None], verbose=0)[0]
    with tqdm(disable=None, leave=False, unit="tile") as bar:

        def progress(line, total):
            bar.total = total
            bar.set_description(line, refresh=False)
            bar.update()

        return predict_exact(model.keras_model, model.spec, x, tiles, sweeps, progress)

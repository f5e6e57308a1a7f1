"""Tiled prediction that equals the prediction of the whole image."""

import logging
import math

import numpy as np

from aeanet_tf.layers.moments import Moments
from aeanet_tf.networks import receptive_radius
from aeanet_tf.prediction.sweeps import Sweeps
from aeanet_tf.prediction.tiles import tiles

logger = logging.getLogger("aeanet_tf")


def predict_exact(network, spec, image, n_tiles, sweeps=None, progress=None):
    """Predict an image in tiles that share the attention of the whole image.

    A network with A attention operators takes A + 1 sweeps over the tiles: each of the first A gathers the context
    moments of one operator, every position counted once, given those before it; the last writes the output.
    Everything between the operators is local, so tiles with a halo of the receptive radius give what the whole image
    would, but for rounding. Memory is that of a tile and of the output.

    Args:
        network: of `build_network`, for which `can_be_swept`.
        spec: its spec.
        image: ``(*spatial, channels)``, sizes in multiples of ``spec.divisor``.
        n_tiles: number of tiles along each spatial axis; 1 along z for a projection.
        sweeps: a `Sweeps` of the network, to use what it has compiled.
        progress: called after each tile of each sweep with a line that says which, and their number in all.

    Returns:
        float32 array, ``(*spatial, channels)``, without z for a projection.

    Raises:
        InputError: tiles that are more than the axis has steps, or a size off the grid.
    """
    sweeps = Sweeps(network) if sweeps is None else sweeps
    parts = tiles(image.shape[:-1], n_tiles, spec.divisor, receptive_radius(spec))
    total = (len(sweeps.operators) + 1) * len(parts)
    contexts = []
    for index, operator in enumerate(sweeps.operators):
        gathered = []
        for tile in parts:
            gathered.append(sweeps.moments(index, image[tile.source], tile.inner, contexts))
            _report(progress, f"attention {index + 1} of {len(sweeps.operators)} ({operator.name})", total)
        contexts.append(_merged(gathered))
    output = None
    for tile in parts:
        y = sweeps.output(image[tile.source], contexts)
        # A projection's output lacks the first axis.
        dropped = image.ndim - y.ndim
        if output is None:
            output = np.empty((*image.shape[dropped:-1], y.shape[-1]), "float32")
        output[tile.target[dropped:]] = y[tuple(slice(*bounds) for bounds in tile.inner[dropped:])]
        _report(progress, "output", total)
    return output


def _report(progress, line, total):
    if progress is not None:
        progress(line, total)


def _merged(gathered):
    """Moments of all tiles together, added in float64: their order then does not show in float32."""
    weight = math.fsum(float(m.weight[0]) for m in gathered)
    mean, second = (
        sum(
            (float(m.weight[0]) / weight) * np.asarray(values, "float64")
            for m, values in zip(gathered, part, strict=True)
        )
        for part in ([m.mean for m in gathered], [m.second for m in gathered])
    )
    return Moments(np.asarray([weight], "float32"), mean.astype("float32"), second.astype("float32"))

"""Prediction of an array for the plugin: with the normalisation of the training, in tiles that can be stopped."""

from math import prod
from typing import NamedTuple

from aeanet_tf.errors import InputError
from aeanet_tf.models.folder import load_model, weight_files
from aeanet_tf.napari.backend import load_beside_opengl
from aeanet_tf.napari.watch import Progress, remarks
from aeanet_tf.prediction.progress import IMAGE, watched

LARGEST_TILE = 2**20
"""Positions of a tile where nothing else is asked for: a few seconds, between which a prediction can be stopped."""

# Folder and versions of its weights -> the model, the last one that was used.
_loaded = {}


class TileOptions(NamedTuple):
    """How a layer is cut.

    Attributes:
        n_tiles: number of tiles along each axis, one number for the longest, or ``None`` for as many as it takes.
        max_memory: what the process may hold, such as "4GB"; ``None`` for 80 % of what is free.
    """

    n_tiles: int | list[int] | None = None
    max_memory: str | None = None


def tile_options(n_tiles="", max_memory=""):
    """`TileOptions` of two texts, such as "1 2 2" and "4GB"; empty ones leave it to the program.

    Raises:
        InputError: a text that means nothing.
    """
    from aeanet_tf.prediction.options import PredictionOptions

    memory = max_memory.strip() or None
    try:
        numbers = [int(word) for word in n_tiles.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"n_tiles: found {n_tiles!r}, expected numbers such as 1 2 2, or nothing") from None
    tiles = None if not numbers else numbers[0] if len(numbers) == 1 else numbers
    PredictionOptions(n_tiles=tiles, max_memory=memory)
    return TileOptions(tiles, memory)


def predict_array(facts, array, axes, options, watch):
    """What the model in a folder predicts of an array, as `AEANet.predict` with the normalisation of its training.

    Args:
        facts: `ModelFacts` of the folder.
        array: of the layer.
        axes: of the array.
        options: `TileOptions`.
        watch: a `Watch`, which is told of every tile, and can stop the prediction between two of them.

    Raises:
        InputError: an array that the model does not take, tiles that do not fit it.
        Stopped: the watch was asked to stop.
    """
    with remarks(watch):
        watch.tell(Progress("loading TensorFlow and the model"))
        load_beside_opengl()
        watch.check()
        model = loaded_model(facts.folder)
        watch.check()
        from aeanet_tf.models.normalizers import own_normalizer

        images = array.shape[axes.index("T")] if "T" in axes and "T" not in facts.axes else 1
        n_tiles = _tiles(model, array.shape, axes) if options == TileOptions() else options.n_tiles
        watch.tell(Progress("predicting"))
        with watched(_counted(watch, images)):
            return model.predict(array, axes, own_normalizer(model), n_tiles=n_tiles, max_memory=options.max_memory)


def loaded_model(folder):
    """The model in a folder, which stays in memory until another one, or other weights in the folder, are asked for."""
    key = folder, tuple((path.name, path.stat().st_mtime_ns) for path in weight_files(folder))
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = load_model(folder)
    return _loaded[key]


def _counted(watch, images):
    """What `watched` calls: tiles of an image are a part of it, several images parts of the whole."""
    finished = 0

    def watcher(line, done, total):
        nonlocal finished
        if line == IMAGE:
            finished, within, text = finished + 1, 0.0, f"{finished + 1} of {images} images"
        else:
            within, text = done / total, f"tile {done} of {total}: {line}"
        watch.tell(Progress(text, min(1.0, (finished + within) / images)))
        watch.check()

    return watcher


def _tiles(model, shape, axes):
    """Numbers of tiles along the axes of an image, none of which is larger than `LARGEST_TILE`; ``None`` for one, and
    for networks that need the whole image, or have patches of their own."""
    from aeanet_tf.prediction.plan import longest_side, most_tiles
    from aeanet_tf.prediction.stages import attends, can_be_swept

    network, spec = model.keras_model, model.spec
    if model.checked_tiling() != "exact" or (attends(network) and not can_be_swept(network)):
        return None
    sizes, spatial = dict(zip(axes, shape, strict=True)), model.config.axes.replace("C", "")
    size = [-(-sizes.get(axis, 1) // step) * step for axis, step in zip(spatial, spec.divisor, strict=True)]
    counts, most = [1] * len(size), most_tiles(network, spec, size)
    while prod(size) > LARGEST_TILE * prod(counts) and (axis := longest_side(size, counts, most)) is not None:
        counts[axis] += 1
    if prod(counts) == 1:
        return None
    by_axis = dict(zip(spatial, counts, strict=True))
    return [by_axis.get(axis, 1) for axis in axes]

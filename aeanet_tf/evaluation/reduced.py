"""What a picture shows of an image that may be larger than memory: planes and maxima, every so many pixels."""

from collections.abc import Mapping

import numpy as np

from aeanet_tf.io.image import Image
from aeanet_tf.io.statistics import read_pieces


def reduced_plane(
    image: Image, step: int = 1, chosen: Mapping[str, int] | None = None, box: Mapping[str, slice] | None = None
) -> np.ndarray:
    """A plane of an image (Y, X), read piece by piece: the maximum along the axes that are left.

    Pixels are left out and not averaged: noise looks as it does in the image.

    Args:
        image: whose array may be lazy.
        step: every so many pixels along Y and X, from the first.
        chosen: index along other axes, such as ``{"C": 0, "Z": 12}``.
        box: slices of Y and X; all of them by default.

    Returns:
        float32 array.
    """
    places = {a: slice(0, n) for a, n in zip(image.axes, image.array.shape, strict=True)} | dict(box or {})
    places |= {a: slice(index, index + 1) for a, index in (chosen or {}).items()}
    shape = [places[a].stop - places[a].start for a in image.axes]
    size = [-(-(places[a].stop - places[a].start) // step) for a in "YX"]
    plane = np.full(size, -np.inf, np.float32)
    order = [*(i for i, a in enumerate(image.axes) if a not in "YX"), image.axes.index("Y"), image.axes.index("X")]
    chunks = getattr(image.array, "chunks", None)
    for piece in read_pieces(shape, chunks, image.array.dtype.itemsize):
        moved = zip(image.axes, piece, strict=True)
        values = image.array[tuple(slice(places[a].start + p.start, places[a].start + p.stop) for a, p in moved)]
        values = np.asarray(values).transpose(order)
        kept = [-piece[i].start % step for i in order[-2:]]
        values = values[..., kept[0] :: step, kept[1] :: step]
        if not values.size:
            # All of it is left out.
            continue
        values = values.reshape(-1, *values.shape[-2:]).max(0)
        rows, columns = (
            slice((piece[i].start + k) // step, (piece[i].start + k) // step + n)
            for i, k, n in zip(order[-2:], kept, values.shape, strict=True)
        )
        plane[rows, columns] = np.maximum(plane[rows, columns], values)
    return plane

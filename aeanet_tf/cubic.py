"""Cubic interpolation of images to a whole multiple of their pixels, of networks and of what they are compared with."""

import numpy as np

REACH = 2
"""Positions on either side that an interpolated one depends on."""


def cubic_weights(factor):
    """Weights of cubic interpolation (Keys 1981, a = -1/2) to ``factor`` times the positions, ``(factor, 5)`` float32.

    Row p is for position ``factor * i + p`` of the output, whose centre lies at ``i + (p + 1/2) / factor - 1/2`` of the
    input: pixels are areas, of which ``factor`` cover one. Column k is for position ``i - 2 + k`` of the input.

    Example:
        >>> cubic_weights(2)[1].tolist()
        [0.0, -0.0703125, 0.8671875, 0.2265625, -0.0234375]
    """
    centres = (np.arange(factor) + 0.5) / factor - 0.5
    t = np.abs(centres[:, None] - np.arange(-REACH, REACH + 1))
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0)).astype("float32")


def cubic_enlarged(image, factor):
    """An image by cubic interpolation along every axis; what lies beyond a border is what lies at it.

    Args:
        image: ``(*spatial)``, any type of numbers.
        factor: times the pixels along every axis.

    Returns:
        float32. Of 2D images it is what is called bicubic, Pillow's and MATLAB's.

    Example:
        >>> cubic_enlarged(np.arange(6.0), 2)[4:8].tolist()
        [1.75, 2.25, 2.75, 3.25]
    """
    image, weights = np.asarray(image, np.float32), cubic_weights(factor)
    for axis in range(image.ndim):
        positions = np.arange(image.shape[axis])
        phases = np.zeros((*image.shape[: axis + 1], factor, *image.shape[axis + 1 :]), np.float32)
        for k, column in enumerate(weights.T):
            shifted = image.take(np.clip(positions + k - REACH, 0, positions[-1]), axis)
            shape = [factor if i == axis + 1 else 1 for i in range(image.ndim + 1)]
            phases += np.expand_dims(shifted, axis + 1) * column.reshape(shape)
        image = phases.reshape(*image.shape[:axis], -1, *image.shape[axis + 1 :])
    return image


def times_larger(small, large):
    """The whole number by which each size of one shape is a multiple of another's, 1 for equal ones; ``None`` for
    others."""
    if len(small) != len(large) or 0 in small:
        return None
    factor = large[0] // small[0]
    return factor if factor and tuple(factor * n for n in small) == tuple(large) else None


def at_size(image, shape):
    """An image ``(*spatial)`` at a size that is a whole multiple of its own, by `cubic_enlarged`; itself where it has
    that size, or is of another shape."""
    factor = times_larger(np.shape(image), shape)
    return image if factor in (None, 1) else cubic_enlarged(image, factor)

"""What the figures share: planes of volumes, ranges of grey, saving."""

from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing

# Distinguishable with any colour vision (Okabe and Ito), black left for what is measured against.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


def save_figure(figure, path, dpi=150):
    """Write a ``matplotlib.figure.Figure``; the file appears when it is whole.

    Raises:
        InputError: it cannot be written.
    """
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=dpi)


def plane(array):
    """What a picture shows of a spatial array: a 2D array itself, the middle plane of a 3D one (our choice; a maximum
    over z would put structures of different planes beside each other).

    Raises:
        InputError: another number of axes.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3):
        raise InputError(f"figure: an array of shape {array.shape}, expected two or three spatial axes")
    return array if array.ndim == 2 else array[len(array) // 2]


def limits(arrays, low=1.0, high=99.8):
    """The range of values to draw: two percentiles of all ``arrays`` together; never empty."""
    values = np.concatenate([np.ravel(array) for array in arrays])
    dark, bright = (float(v) for v in np.percentile(values, (low, high)))
    return (dark, bright) if bright > dark else (dark, dark + max(1e-6, 1e-6 * abs(dark)))


def shortened(name, length):
    """A name that fits beside a picture: its middle is left out where it is long."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def bare(axes):
    """Take the ticks and the frame from the axes of a picture, but leave its labels."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)

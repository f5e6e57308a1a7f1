"""The quickstart's images as sample data: tissue with simulated low exposure, and what it is without noise."""

import numpy as np


def training_sample():
    """Layers of the images that the quickstart trains on: three exposures of 512 x 328 pixels, low and truth."""
    return _layers("train")


def test_sample():
    """Layers of the images that the quickstart restores: three exposures of 256 x 176 pixels, low and truth."""
    return _layers("test")


def _layers(part):
    from aeanet_tf.datasets.samples import load_sample_pairs

    names = ("tissue, low exposure", "tissue, truth")
    labels = {"axis_labels": ("c", "y", "x")}
    return [
        (np.stack(images), {"name": name, **labels}, "image")
        for name, images in zip(names, load_sample_pairs()[part], strict=True)
    ]

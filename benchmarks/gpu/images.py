"""W2S as one file: pairs of 8-bit images for training, validation and test, and what is trained on."""

import zipfile
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "val", "test")
PERCENTILES = (2, 99.8)


@dataclass(frozen=True)
class Pairs:
    """Images and their ground truths.

    Attributes:
        names: of the images, such as "fov001_c0", channel last.
        low, truth: arrays ``(image, y, x)``, uint8.
    """

    names: list[str]
    low: np.ndarray
    truth: np.ndarray

    @property
    def channels(self):
        """The channel of each image, the last part of its name."""
        return [name.rsplit("_", 1)[-1] for name in self.names]


def write_pairs(path, splits):
    """Write a .npz file of the pairs of each split, compressed by LZMA: a tenth smaller than by NumPy's deflate."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for split, pairs in splits.items():
            arrays = {"names": np.array(pairs.names), "low": pairs.low, "truth": pairs.truth}
            for name, array in arrays.items():
                with archive.open(f"{split}_{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def read_pairs(path):
    """Split -> `Pairs` from a file of `write_pairs`."""
    with np.load(path) as archive:
        return {
            split: Pairs(archive[f"{split}_names"].tolist(), archive[f"{split}_low"], archive[f"{split}_truth"])
            for split in SPLITS
        }


def normalised(low):
    """An image as networks get it, float32, with the percentiles that were mapped to 0 and 1."""
    bottom, top = np.percentile(low, PERCENTILES)
    top = max(top, bottom + 1)
    return ((low - bottom) / (top - bottom)).astype("float32"), (bottom, top)


def training_pair(low, truth):
    """Input and target of training, both float32: the truth in the intensities of the input.

    Every image of W2S was stretched to 0..255 on its own, so that between an input and its truth there are a gain and
    an offset that nothing in the input tells. They are fitted, ``low = a * truth + b`` by least squares: the truth has
    next to no noise, so the fit is unbiased (the other way round it would be too flat). The target is then
    ``a * truth + b``, and the percentiles of the input normalise both.
    """
    x, (bottom, top) = normalised(low)
    deviation = truth - truth.mean()
    variance = np.mean(deviation**2)
    gain = np.mean(deviation * low) / variance if variance else 0.0
    target = low.mean() + gain * deviation
    return x, ((target - bottom) / (top - bottom)).astype("float32")

"""What the differences between Fiji's plugin and Python cost: PSNR of a model's test images, care protocol.

    python examples/fiji_differences.py models/w2s w2s/test/low w2s/test/GT

Emulates the plugin's settings one at a time: values below the lower percentile set to it, the percentiles 3 and 99.8
of its dialog, and tiles that overlap and have attention of their own. Images are 2D; they are matched by file name.
"""

import sys

import numpy as np
from csbdeep.data import PercentileNormalizer

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.io.read import read_image
from aeanet_tf.models.folder import load_model


class Clipped(PercentileNormalizer):
    """As the plugin: nothing is darker than the lower percentile."""

    def before(self, x, axes):
        """Normalised values, none below 0."""
        return np.maximum(super().before(x, axes), 0)


def main(folder, low, gt):
    """Print a Markdown table of mean PSNR."""
    model = load_model(folder)
    ways = {
        "Python, whole image": (PercentileNormalizer(2, 99.8), None),
        "dark values cut off, as the plugin does": (Clipped(2, 99.8), None),
        "percentiles 3 and 99.8, the dialog's default": (Clipped(3, 99.8), None),
        "2 x 2 tiles": (PercentileNormalizer(2, 99.8), (2, 2)),
        "4 x 4 tiles": (PercentileNormalizer(2, 99.8), (4, 4)),
    }
    scores = {way: [] for way in ways}
    protocol = get_protocol("care")
    for pair in pair_folders(low, gt):
        image, truth = (read_image(path).array.astype("float32") for path in pair)
        for way, (normalizer, n_tiles) in ways.items():
            scores[way].append(
                protocol(truth, model.predict(image, "YX", normalizer, n_tiles=n_tiles, tiling="overlap"))["psnr"]
            )
    print("| prediction | PSNR (dB) | difference |\n| --- | --- | --- |")
    whole = np.mean(scores["Python, whole image"])
    for way, values in scores.items():
        print(f"| {way} | {np.mean(values):.3f} | {np.mean(values) - whole:+.3f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Draw what matched targets change: intensities of inputs over those of their truths, before and after.

python examples/intensities.py /path/to/low /path/to/GT intensities.png
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.io.read import read_image
from aeanet_tf.training.pairs import matched_truth

# Pairs shown, spread over all, and values of the truth between two of which the input is averaged.
PAIRS, BINS = 12, 11


def normalised(image, reference):
    """``image`` with the percentiles 2 and 99.8 of ``reference`` at 0 and 1."""
    low, high = np.percentile(reference, (2, 99.8))
    return (image - low) / (high - low)


def means(truth, low):
    """Mean of the truth and of the input in bins of equally many pixels, without the darkest and the brightest."""
    edges = np.quantile(truth, np.linspace(0.02, 0.998, BINS + 1))
    place = np.digitize(truth, edges)
    return [(truth[place == i].mean(), low[place == i].mean()) for i in range(1, BINS + 1) if (place == i).any()]


def main(low_folder, gt_folder, path):
    """Read the pairs, draw both panels."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    before, after = figure.subplots(1, 2)
    pairs = pair_folders(low_folder, gt_folder)
    for low_path, gt_path in pairs[:: -(-len(pairs) // PAIRS)]:
        low, gt = (read_image(one, "YX").array.astype("float64") for one in (low_path, gt_path))
        for axes, truth in ((before, normalised(gt, gt)), (after, normalised(matched_truth(low, gt), low))):
            axes.plot(*zip(*means(truth, normalised(low, low)), strict=True), lw=1, marker=".", ms=3)
    for axes, label in ((before, "truth normalised by its own percentiles"), (after, "truth matched to its input")):
        axes.plot([0, 1.2], [0, 1.2], "k--", lw=1)
        axes.set(xlabel=label, ylabel="mean of the input there", xlim=(-0.1, 1.2), ylim=(-0.1, 1.2))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])

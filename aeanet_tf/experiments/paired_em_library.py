"""Library non-local means in table I: the row that the paper calls paired LB-NLM."""

import numpy as np

from aeanet_tf.datasets.paired_em import REGISTRATION_FILE
from aeanet_tf.evaluation import metrics
from aeanet_tf.evaluation.patch_library import choose_library
from aeanet_tf.runs.train import load_data, model_config

LIBRARY = "Paired LB-NLM"
NOTE = (
    f"{LIBRARY}: ours, patches of the training sub-images (50,000), the size of a patch (5 x 5 or 9 x 9) and the "
    "strength chosen on the held-out ones; 32 neighbours, weighted. Published: the program of the earlier study."
)


def library_scores(lab, config, tests, protocol, part=""):
    """Scores of the library that is made of the training images of a `RunConfig`, computed once and kept.

    Args:
        lab, tests, protocol: see `Laboratory.score`.
        config: of a network on the same images.
        part: of the data, for the name of the file.
    """
    name = f"paired_em-library{part and '-'}{part}{lab.budget.suffix}"
    made_of = [config.data.folder() / config.data.prepared / REGISTRATION_FILE]

    def load():
        images = load_data(config.data, model_config(config))
        training, validation = (
            [(x[..., 0], y[..., 0]) for x, y in zip(*pairs, strict=True)]
            for pairs in ((images.X, images.Y), images.validation)
        )
        return choose_library(training, validation, _psnr)

    return lab.score_other(name, load, made_of, tests, protocol, "", lambda library, image, axes: library(image))


def _psnr(gt, image):
    """That of the protocol em, of images that are normalised to 0..1."""
    return metrics.psnr(gt, np.clip(image, 0, 1), 1.0)

"""What simple filters reach on the validation images of a model: said at the end of training, kept with the model."""

import logging
from dataclasses import dataclass

import numpy as np

from aeanet_tf.cubic import at_size
from aeanet_tf.evaluation.baselines import Filters, care_psnr, choose_filters, write_filters

logger = logging.getLogger("aeanet_tf")

# Pixels that are compared: a handful of images of 512 x 512, seconds.
MOST_PIXELS = 1 << 21


@dataclass(frozen=True)
class Comparison:
    """PSNR (dB, care protocol: gain and offset do not count) on validation images.

    Attributes:
        images: number of images, channels apart.
        input: of the inputs themselves, by cubic interpolation where the ground truth is larger.
        model: of the model's predictions.
        filters: `Filters` with the parameters that are best for these images, and what they reach.
    """

    images: int
    input: float
    model: float
    filters: Filters

    @property
    def scored_filters(self):
        """Label and PSNR of each filter."""
        scores = (self.filters.gaussian_score, self.filters.non_local_means_score)
        return [(label, score) for (label, _), score in zip(self.filters, scores, strict=False)]

    def log(self):
        """One line with all scores; a warning where a filter does as well as the model."""
        others = ", ".join(f"{label} {score:.2f}" for label, score in self.scored_filters)
        logger.info(
            "validation, care protocol, %d images: input %.2f dB, %s, model %.2f dB",
            self.images,
            self.input,
            others,
            self.model,
        )
        label, score = max(self.scored_filters, key=lambda pair: pair[1])
        if not self.model > score:
            logger.warning(
                "the model is NOT better than a filter on the validation images: %s %.2f dB, model %.2f dB; it needs "
                "longer training, more data or other settings",
                label,
                score,
                self.model,
            )


def keep_filters(model, validation, tiled=None):
    """Say what simple filters reach on the `ValidationSet` of an `AEANet`, and keep the filters in its folder.

    ``tiled`` is the `TiledValidation` of images that do not fit into memory whole.
    """
    network = model.keras_model if tiled is None else tiled.predict
    comparison = compare_with_filters(network, validation, model.config.n_channel_out)
    if comparison is None:
        return
    comparison.log()
    if model.basedir is not None:
        write_filters(model.logdir, comparison.filters)


def compare_with_filters(network, validation, channels):
    """Score a network's predictions beside filters on validation images, up to `MOST_PIXELS`, spread over all.

    Args:
        network: the Keras model, or what gives the same when it is called.
        validation: a `ValidationSet`.
        channels: of the images, without the scale of probabilistic models.

    Returns:
        A `Comparison`; ``None`` where no image has contrast.
    """
    count = min(len(validation), max(1, MOST_PIXELS // (validation.batch_size * int(np.prod(validation.size)))))
    inputs, truths, predictions = [], [], []
    for index in np.unique(np.linspace(0, len(validation) - 1, count).astype(int)):
        x, y = validation[int(index)]
        # Not compiled: it is called a few times.
        predicted = np.asarray(network(x, training=False))[..., :channels]
        for collected, batch in ((inputs, x), (truths, y), (predictions, predicted)):
            collected += [np.ascontiguousarray(image[..., c]) for image in batch for c in range(channels)]
    there = [i for i, truth in enumerate(truths) if np.ptp(np.percentile(truth, (0.1, 99.9))) > 0]
    if not there:
        return None
    filters = choose_filters([(inputs[i], truths[i]) for i in there])
    scores = [
        float(np.mean([care_psnr(truths[i], at_size(images[i], truths[i].shape)) for i in there]))
        for images in (inputs, predictions)
    ]
    return Comparison(len(there), *scores, filters)

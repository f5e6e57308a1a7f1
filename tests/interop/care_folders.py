"""What CSBDeep's models in tests/models/care_folders predicted, for exports to be compared with."""

from pathlib import Path

import numpy as np
from csbdeep.data import PadAndCropResizer, PercentileNormalizer

CARE_FOLDERS = {p.name: p for p in sorted((Path(__file__).parents[1] / "models" / "care_folders").iterdir())}


def stored(model):
    """Of a model of a folder: an image as its network takes it, CSBDeep's prediction, and for `mapped_back` the way
    from one to the other."""
    with np.load(CARE_FOLDERS[model.name] / "prediction.npz") as file:
        x, expected = file["x"], file["y"]
    axes = model.config.axes
    if x.ndim < len(axes):
        x, expected = x[..., None], expected[..., None]
    normalizer, resizer = PercentileNormalizer(), PadAndCropResizer()
    x = resizer.before(normalizer.before(x, axes), axes, (*model.spec.divisor, 1))
    return x, expected, (normalizer, resizer)


def mapped_back(model, y, back):
    """A network's output as CSBDeep gives it; scales of a probabilistic one are channels behind the means."""
    normalizer, resizer = back
    y, n = resizer.after(y, model.axes_out), model.config.n_channel_out
    mean, scale = normalizer.after(y[..., :n], y[..., n:] if model.config.probabilistic else None, model.axes_out)
    return mean if scale is None else np.concatenate([mean, scale], -1)

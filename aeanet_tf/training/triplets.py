"""Batches of two neighbours and the slice between them, with what the losses of slice interpolation look at."""

import numpy as np

from aeanet_tf.training.patches import PatchSampler, ValidationSet


class TripletSampler(PatchSampler):
    """A `PatchSampler` for slice interpolation (SSAN paper).

    The channels of X are those of the slice before and of the slice after. Of Y, the slice between, batches have the
    channels first and then those of X, which the style balance loss compares with. With ``augment=True`` half of the
    batches' neighbours, drawn at random, change places, which is the paper's swap of the temporal order.
    """

    def _batch(self, rng, images, corners):
        x, y = super()._batch(rng, images, corners)
        if self._symmetries is not None:
            swapped = rng.random(len(x)) < 0.5
            x[swapped] = np.roll(x[swapped], x.shape[-1] // 2, axis=-1)
        return x, np.concatenate([y, x], axis=-1)


class TripletValidationSet(ValidationSet):
    """A `ValidationSet` whose targets have the channels of the neighbours behind their own, as in `TripletSampler`."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, np.concatenate([y, x], axis=-1)

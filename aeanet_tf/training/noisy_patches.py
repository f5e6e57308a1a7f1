"""Batches of noisy images without any truth: pairs in which either is the input, and patches with hidden pixels."""

import math

import keras
import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.training.losses import get_loss
from aeanet_tf.training.patches import PatchSampler, ValidationSet

# Last word of a random stream's seed, another than those of patches.
_VALIDATION_STREAM = 4


class SwappingSampler(PatchSampler):
    """A `PatchSampler` for Noise2Noise: of each pair, drawn at random, one image is the input and the other the target.

    Two recordings of the same have independent noise, whose mean is what a network can learn of the other (Lehtinen et
    al. 2018); neither is better than the other. X and Y have the same channels.
    """

    def _drawn(self, rng, pairs):
        return [(y, x) if swap else (x, y) for (x, y), swap in zip(pairs, rng.random(len(pairs)) < 0.5, strict=True)]


class HiddenPixelSampler(PatchSampler):
    """A `PatchSampler` for Noise2Void: pixels of the inputs are hidden, and losses see those alone.

    Targets have the channels of the image as it was recorded and, as their last, the weight of each position in the
    loss: 0 where nothing is hidden (`HiddenPixelLoss`).

    Args:
        spots: a `BlindSpots`.
        args, kwargs: of `PatchSampler`; Y is X.

    Raises:
        InputError: an ``augment`` that is a function: targets have a channel that it does not know.
    """

    def __init__(self, *args, spots, **kwargs):
        self._spots = spots
        super().__init__(*args, **kwargs)
        expect(self._augmenter is None, "augmenter", "a function", "none where pixels are hidden")

    def _drawn(self, rng, pairs):
        # Before patches are turned: lines of correlated noise turn with them.
        return [_hidden(self._spots, rng, x) for x, _ in pairs]


class HiddenPixelValidationSet(ValidationSet):
    """A `ValidationSet` for Noise2Void: of each image always the same pixels are hidden; targets as of training.

    Args:
        spots: a `BlindSpots`.
        args, kwargs: of `ValidationSet`; Y is X.
    """

    def __init__(self, *args, spots, **kwargs):
        self._spots = spots
        super().__init__(*args, **kwargs)

    def __getitem__(self, index):
        x, _ = self.images(index)
        first = index * self.batch_size
        rngs = [np.random.default_rng([first + i, _VALIDATION_STREAM]) for i in range(len(x))]
        seen, targets = zip(*[_hidden(self._spots, *each) for each in zip(rngs, x, strict=True)], strict=True)
        return np.stack(seen), np.stack(targets)


def _hidden(spots, rng, patch):
    """A patch as the network sees it, and its target, float32 with the weights of positions as last channel."""
    # In one type: what takes a pixel's place is a value of the same patch.
    patch = np.asarray(patch, np.float32)
    seen, hidden = spots.hide(rng, patch)
    weights = hidden[..., None] * np.float32(math.prod(hidden.shape) / hidden.sum())
    return seen, np.concatenate([patch, weights], axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class HiddenPixelLoss:
    """A loss of `aeanet_tf.training.losses` of hidden pixels alone, as a function that Keras saves and makes again.

    Its mean over all positions is the mean of that loss over hidden pixels: weights, the last channel of targets, are 0
    elsewhere and have a mean of 1.

    Args:
        name: of the loss.
    """

    def __init__(self, name):
        self.name, self._loss = name, get_loss(name)
        # Under which Keras reports it.
        self.__name__ = name

    def __call__(self, y_true, y_pred):
        return y_true[..., -1] * self._loss(y_true[..., :-1], y_pred)

    def get_config(self):
        """The arguments, from which Keras makes it again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """The loss of these arguments."""
        return cls(**config)

"""What gives training batches by number in pipeline.py: the library's sampler, CSBDeep's, and plain NumPy."""

import keras
import numpy as np

from aeanet_tf.training import PatchSampler


class NumpyPatches:
    """Batches as one would write them down: a random pair, its slice, a flip, a rotation, and a stack of all.

    Args:
        images: arrays ``(*spatial, channels)``, input and target at once.
        patch: size of the crops, ``None`` for the whole images.
        augment: flips of all axes and rotations by 90 degrees in the last two.
        batch: patches a batch.
    """

    def __init__(self, images, patch, augment, batch):
        self.images, self.patch, self.batch = images, patch, batch
        self.augmenter = augmenter(0) if augment else None
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index):
        pairs = [self._crop(self.images[i]) for i in self.rng.integers(len(self.images), size=self.batch)]
        if self.augmenter:
            pairs = [self.augmenter(x, y) for x, y in pairs]
        return tuple(np.stack(part).astype("float32", copy=False) for part in zip(*pairs, strict=True))

    def _crop(self, image):
        if self.patch is None:
            return image, image
        starts = (self.rng.integers(n - p + 1) for n, p in zip(image.shape, self.patch, strict=False))
        box = tuple(slice(start, start + p) for start, p in zip(starts, self.patch, strict=True))
        return image[box], image[box]


def augmenter(seed):
    """A function ``(x, y) -> (x, y)`` of single patches, CSBDeep's ``augmenter``: random flips and rotations."""
    rng = np.random.default_rng(seed)

    def augment(x, y):
        axes = [axis for axis in range(x.ndim - 1) if rng.random() < 0.5]
        turns = rng.integers(4)
        return tuple(np.rot90(np.flip(part, axes), turns, (-3, -2)) for part in (x, y))

    return augment


def make_sampler(images, patch, augment, options, workers=1):
    """The library's `PatchSampler` of pairs of an image and itself."""
    return PatchSampler(
        images, images, options.batch, options.batches, patch_size=patch, augment=augment, workers=workers
    )


def make_csbdeep(images, augment, options):
    """CSBDeep's ``DataWrapper`` of pairs of a patch and itself."""
    from csbdeep.internals.train import DataWrapper

    return DataWrapper(images, images, options.batch, options.batches, augmenter(0) if augment else None)


class IdleModel(keras.Model):
    """A model whose training step takes its batch and does nothing with it."""

    def call(self, x):
        return x

    def train_step(self, data):
        return {"loss": 0.0}

"""Pictures of a training for TensorBoard: validation images with what is predicted of them."""

import math

import keras
import numpy as np
import tensorflow as tf

from aeanet_tf.models.training_report import ShownImages

_GAP = 4


class TensorBoardImages(keras.callbacks.Callback):
    """Callback: input, prediction and ground truth of validation images, side by side, after each validation.

    The three have one contrast, which no epoch changes: from percentile 1 to 99.8 of input and truth. Of
    segmentation the classes are shown beside the input. Of volumes it is the middle plane, of a projection's input the
    maximum.

    Args:
        model: an `AEANet`; its network has the weights of the epoch when this callback is called.
        sampler, validation: its `PatchSampler` and `ValidationSet`.
        folder: of the event files.
    """

    def __init__(self, model, sampler, validation, folder):
        super().__init__()
        # Keras gives a callback the network as ``model``.
        self.owner, self._sampler, self._validation, self._folder = model, sampler, validation, folder
        self._shown = self._writer = None

    def on_train_begin(self, logs=None):
        self._shown = ShownImages(self.owner, self._validation, (), self._sampler.positions)
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(float((logs or {}).get("val_loss", math.nan))):
            return
        self._shown.predict("last")
        with self._writer.as_default():
            for number, example in enumerate(self._shown.examples):
                picture = panels(example, self.owner.segments)
                tf.summary.image(f"input, prediction, truth/{number}", picture[None, ..., None], step=epoch)

    def on_train_end(self, logs=None):
        self._writer.close()


def panels(example, classes=False):
    """One picture of an `Example`, ``(y, x)`` from 0 to 1: input, last prediction and truth in this order.

    Args:
        example: with a prediction.
        classes: whether prediction and truth are indices of classes.
    """
    images = [np.asarray(image, float) for image in (example.flat_input, example.last, example.truth)]
    ranges = [_contrast(images[0], images[2])] * 3
    if classes:
        ranges = [_contrast(images[0]), *[(0, max(1, images[1].max(), images[2].max()))] * 2]
    planes = [_scaled(_plane(image), *limits) for image, limits in zip(images, ranges, strict=True)]
    gap = np.ones((len(planes[0]), _GAP))
    return np.hstack([planes[0], gap, planes[1], gap, planes[2]])


def _plane(image):
    return image[len(image) // 2] if image.ndim == 3 else image


def _contrast(*images):
    values = np.concatenate([_plane(image).ravel() for image in images])
    return np.percentile(values, 1), np.percentile(values, 99.8)


def _scaled(image, low, high):
    return np.clip((image - low) / max(high - low, 1e-12), 0, 1)

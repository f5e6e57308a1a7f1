"""SegmentationAEANet: the classes of the pixels of an image."""

import numpy as np
from csbdeep.data import Normalizer, PadAndCropResizer, PercentileNormalizer
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.data.labels import to_classes, to_labels
from aeanet_tf.errors import InputError
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.normalizers import OneWayNormalizer
from aeanet_tf.models.segmentation_config import SegmentationAEANetConfig
from aeanet_tf.models.tiled_prediction import predict_images
from aeanet_tf.models.tiling import Patches
from aeanet_tf.prediction.patch_average import patch_starts
from aeanet_tf.prediction.stages import attends, can_be_swept
from aeanet_tf.training.segmentation_losses import get_segmentation_loss

STEP = 8
"""Published distance of overlapping patches (Wang et al. 2020), in pixels."""


class SegmentationAEANet(AEANet):
    """Semantic segmentation with global attention (AEANet paper, section VI-C), called like any `AEANet`.

    Args:
        config: a `SegmentationAEANetConfig`, or ``None`` to load the model of an existing folder.
        name, basedir: see `AEANet`.

    `train` takes label images as Y. `predict` gives label images, `predict_probabilities` the probabilities of the
    classes. ``keras_model`` gives probabilities, too; it is trained by its logits.

    Example:
        >>> config = SegmentationAEANetConfig("YX", n_channel_out=2, labels=[0, 255], train_patch_size=(128, 128))
        >>> model = SegmentationAEANet(config, "membranes", basedir="models")
        >>> model.train(images, membranes, validation_data=(other_images, other_membranes))
        >>> labels = model.predict(image, "YX")
    """

    # They would be of logits beside labels.
    _shows_images = False

    @property
    def _config_class(self):
        return SegmentationAEANetConfig

    @property
    def _trained_spec(self):
        return self.spec.replace(last_activation="linear")

    def _loss(self, name):
        return get_segmentation_loss(name, self.config.train_class_weights)

    def prepare_for_training(self, optimizer=None, metrics=("accuracy",)):
        """See `AEANet.prepare_for_training`; metrics are names of `get_segmentation_loss`, the accuracy by default."""
        super().prepare_for_training(optimizer, metrics)

    def train(self, X, Y, validation_data, **kwargs):
        """Train the network.

        Args:
            X: as for `AEANet.train`.
            Y: label images of X: arrays of the same spatial shapes, without channels or with one, that hold the values
                of ``config.labels``.
            validation_data: pair ``(X, Y)`` in the same form. Whole images are validated in patches of the training's
                size, side by side; a last one may overlap its neighbour.
            kwargs: see `AEANet.train`.

        Returns:
            Keras's ``History``; the network then has its best weights.

        Raises:
            InputError: as `AEANet.train`; also labels of other values.
        """
        if not (isinstance(validation_data, (list, tuple)) and len(validation_data) == 2):
            raise InputError("validation_data: expected a pair (X, Y) of arrays or lists of images")
        Y = self._indices("Y", Y, X)
        held_out = validation_data[0], self._indices("validation_data", validation_data[1], validation_data[0])
        size = self.config.train_patch_size
        if size is not None:
            held_out = tuple([one[box] for one in images for box in _grid(one.shape[:-1], size)] for images in held_out)
        return super().train(X, Y, held_out, **kwargs)

    def _indices(self, name, images, X):
        """Label images as class indices with one channel."""
        values, spatial = self.config.labels, self.config.n_dim
        if isinstance(images, np.ndarray):
            found = to_classes(images, values, name)
            return found if found.ndim == np.ndim(X) else found[..., None]
        found = [to_classes(image, values, f"{name}[{i}]") for i, image in enumerate(images)]
        return [image[..., None] if image.ndim == spatial else image for image in found]

    def predict(
        self,
        img,
        axes,
        normalizer=PercentileNormalizer(),  # noqa: B008  CSBDeep's defaults, as of AEANet
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        tiling=None,
        max_memory=None,
        context="image",
        precision="float32",
        patch_size=None,
        step=STEP,
    ):
        """The class of each pixel: the one with the highest probability, the first of those where several have it.

        Args:
            img, axes, normalizer, resizer, n_tiles, max_memory, context, precision: see `AEANet.predict`.
            tiling: as for `AEANet.predict`, or ``"patches"``: probabilities are averaged over overlapping patches, each
                with attention of its own, as published (Wang et al. 2020). By default ``"exact"``, and ``"patches"``
                for networks whose attention tiles cannot share (softmax).
            patch_size: of ``"patches"``, pixels along each spatial axis of the model; that of training by default.
            step: distance of ``"patches"`` along each axis, in pixels: a number, or one for each spatial axis.

        Returns:
            Array of ``config.labels``, uint8 or uint16, with the axes of ``img`` but C; a list for a list.

        Raises:
            InputError: as `AEANet.predict`; also patches that do not fit the network.
        """
        options = (normalizer, resizer, n_tiles, tiling, max_memory, context, precision, patch_size, step)
        found = self.predict_probabilities(img, axes, *options)
        if isinstance(img, (list, tuple)):
            return [self.labels_of(one, self._channel_axis(axes)) for one in found]
        return self.labels_of(found, self._channel_axis(axes))

    def predict_probabilities(
        self,
        img,
        axes,
        normalizer=PercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        tiling=None,
        max_memory=None,
        context="image",
        precision="float32",
        patch_size=None,
        step=STEP,
    ):
        """The probability of each class at each pixel; arguments and errors as of `predict`.

        Returns:
            Float32 array with the classes along C, which is where ``img`` has it, else last; a list for a list.
        """
        tiling = self.checked_tiling(tiling, patch_size, step)
        options = (normalizer, resizer, n_tiles, tiling, max_memory, context, precision)
        found = predict_images(self, img, axes, *options)
        return [one for one, _ in found] if isinstance(img, (list, tuple)) else found[0]

    def _check_normalizer_resizer(self, normalizer, resizer):
        # Before CSBDeep's check, which warns where a normaliser would map back and the channels differ in number.
        one_way = OneWayNormalizer(normalizer) if isinstance(normalizer, Normalizer) else normalizer
        return super()._check_normalizer_resizer(one_way, resizer)

    def labels_of(self, probabilities, axis=-1):
        """The values of the most probable classes; ``axis`` is that of the classes."""
        return to_labels(np.argmax(probabilities, axis), self.config.labels)

    def _channel_axis(self, axes):
        axes = axes_check_and_normalize(axes)
        return axes.index("C") if "C" in axes else -1

    def checked_tiling(self, tiling, patch_size=None, step=STEP):
        """How to tile, decided and checked: a name, or `Patches`.

        Args:
            tiling, patch_size, step: see `predict`.

        Raises:
            InputError: patches whose size the network does not take, or a step that leaves gaps.
        """
        if tiling is None:
            shared = can_be_swept(self.keras_model) or not attends(self.keras_model)
            tiling = "exact" if shared else "patches"
        if tiling != "patches":
            return tiling
        size = self.config.train_patch_size if patch_size is None else patch_size
        if size is None:
            raise InputError("patch_size: missing, and the model's configuration has no train_patch_size")
        return Patches.checked(size, step, self.spec.divisor)


def _grid(shape, size):
    """Boxes of patches side by side that cover an image."""
    starts = [patch_starts(n, min(p, n), min(p, n)) for n, p in zip(shape, size, strict=True)]
    boxes = [()]
    for axis, p in zip(starts, size, strict=True):
        boxes = [(*box, slice(start, start + p)) for box in boxes for start in axis]
    return boxes

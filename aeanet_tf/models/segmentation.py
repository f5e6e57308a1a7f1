"""SegmentationAEANet: the classes of the pixels of an image."""

from itertools import product

import numpy as np
from csbdeep.data import Normalizer, PadAndCropResizer
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.errors import InputError
from aeanet_tf.io.labels import to_classes, to_labels
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.normalizers import OneWayNormalizer
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.sibling_configs import SegmentationAEANetConfig
from aeanet_tf.models.training_data import check_images, checked_pair
from aeanet_tf.prediction.options import Patches, PredictionOptions
from aeanet_tf.prediction.patch_average import patch_starts
from aeanet_tf.prediction.stages import attends, can_be_swept
from aeanet_tf.training.losses import get_segmentation_loss
from aeanet_tf.training.pairs import ImagePairs, PairError

STEP = 8
"""Published distance of overlapping patches (Wang et al. 2020), in pixels."""


class SegmentationAEANet(AEANet):
    """Semantic segmentation with global attention (AEANet paper, section VI-C), called like any `AEANet`.

    Args:
        config: a `SegmentationAEANetConfig`, or ``None`` to load the model of an existing folder.
        name, basedir: see `AEANet`.

    `train` takes label images as Y: arrays of the same spatial shapes as X, without channels or with one, that hold the
    values of ``config.labels``, and the same to validate on. With ``config.train_patch_size`` images are validated in
    patches of that size, side by side; a last one along an axis may overlap its neighbour. `predict` gives label
    images, `predict_probabilities` the probabilities of the classes. ``keras_model`` gives probabilities, too; it is
    trained by its logits.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import SegmentationAEANet, SegmentationAEANetConfig
        >>> config = SegmentationAEANetConfig("YX", unet_n_first=4, n_channel_out=2, labels=[0, 255])
        >>> model = SegmentationAEANet(config, "membranes", basedir=None)
        >>> labels = model.predict(np.random.rand(16, 16), "YX")
        >>> labels.shape, labels.dtype, set(np.unique(labels)) <= {0, 255}
        ((16, 16), dtype('uint8'), True)
    """

    config_class = SegmentationAEANetConfig
    segments = True
    purpose = "segments {rank}D images: it gives the probability of each of {classes} classes at each pixel"
    tags = ("semantic-segmentation", "unet")
    default_metrics = ("accuracy",)

    @property
    def _trained_spec(self):
        return self.spec.replace(last_activation="linear")

    def _loss(self, name):
        return get_segmentation_loss(name, self.config.train_class_weights)

    @classmethod
    def prepared_data(cls, config, X, Y, validation_data, steps=None, augmenter=None):
        """See `AEANet.prepared_data`.

        Raises:
            InputError: as there; also labels of other values, and validation images smaller than a patch.
        """
        Y, held_out = _class_indices(config, "Y", Y), _validation_patches(config, *checked_pair(validation_data))
        return super().prepared_data(config, X, Y, held_out, steps, augmenter)

    def predict(
        self,
        img,
        axes,
        normalizer=SafePercentileNormalizer(),  # noqa: B008  CSBDeep's defaults, as of AEANet
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        tiling=None,
        max_memory=None,
        context="image",
        precision="float32",
        patch_size=None,
        step=None,
        ensemble=None,
    ):
        """The class of each pixel: the one with the highest probability, the first of those where several have it.

        Args:
            img, axes, normalizer, resizer, n_tiles, max_memory, context, precision: see `AEANet.predict`.
            tiling: as for `AEANet.predict`, or ``"patches"``: probabilities are averaged over overlapping patches, each
                with attention of its own, as published (Wang et al. 2020). By default ``"exact"``, and ``"patches"``
                for networks whose attention tiles cannot share (softmax).
            patch_size: of ``"patches"``, pixels along each spatial axis of the model; that of training by default.
            step: distance of ``"patches"`` along each axis, in pixels: a number, or one for each spatial axis; 8 by
                default, as published. With ``"patches"`` there are no ``n_tiles``, and ``max_memory`` says nothing.
            ensemble: see `AEANet.predict`; probabilities are averaged over the orientations.

        Returns:
            Array of ``config.labels``, uint8 or uint16, with the axes of ``img`` but C; a list for a list.

        Raises:
            InputError: as `AEANet.predict`; also patches that do not fit the network.
        """
        options = PredictionOptions(n_tiles, tiling, max_memory, context, precision, ensemble, patch_size, step)
        results = self._predict(img, axes, normalizer, resizer, options, scale=False)
        if isinstance(img, (list, tuple)):
            return [self.labels_of(result, axes) for result, _ in results]
        return self.labels_of(results[0], axes)

    def predict_probabilities(
        self,
        img,
        axes,
        normalizer=SafePercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        **options,
    ):
        """The probability of each class at each pixel; arguments, ``options`` among them, and errors as of `predict`.

        Returns:
            Float32 array with the classes along C, which is where ``img`` has it, else last; a list for a list.
        """
        results = self._predict(img, axes, normalizer, resizer, PredictionOptions(n_tiles, **options), scale=False)
        return [result for result, _ in results] if isinstance(img, (list, tuple)) else results[0]

    def checked_normalizer(self, normalizer, resizer):
        """See `PublicCARE`; the normaliser maps nothing back."""
        # Before CSBDeep's check, which warns where a normaliser would map back and the channels differ in number.
        one_way = OneWayNormalizer(normalizer) if isinstance(normalizer, Normalizer) else normalizer
        return super().checked_normalizer(one_way, resizer)

    def labels_of(self, probabilities, axes=None):
        """The values of the most probable classes, of what `predict_probabilities` gives for an image with ``axes``.

        Without axes, or where they have no channel, the classes are last.
        """
        axes = axes_check_and_normalize(axes or "")
        return to_labels(np.argmax(probabilities, axes.index("C") if "C" in axes else -1), self.config.labels)

    def checked_tiling(self, tiling=None, patch_size=None, step=None):
        """How to tile, decided and checked: a name, or `Patches`.

        Args:
            tiling, patch_size, step: see `predict`.

        Raises:
            InputError: patches whose size the network does not take, a step that leaves gaps, or either without
                patches.
        """
        if tiling is None:
            shared = can_be_swept(self.keras_model) or not attends(self.keras_model)
            tiling = "exact" if shared else "patches"
        if isinstance(tiling, Patches):
            return tiling
        if tiling != "patches":
            for name, value in (("patch_size", patch_size), ("step", step)):
                if value is not None:
                    raise InputError(f"{name}: {value!r}, expected None with tiling {tiling!r}; it is for 'patches'")
            return tiling
        size = self.config.train_patch_size if patch_size is None else patch_size
        if size is None:
            raise InputError("patch_size: missing, and the model's configuration has no train_patch_size")
        return Patches.checked(size, STEP if step is None else step, self.spec.divisor)


def _validation_patches(config, X, Y):
    """Images and class indices to validate on, in patches side by side where the training is."""
    Y, size = _class_indices(config, "validation_data", Y), config.train_patch_size
    if size is None:
        return X, Y
    # While they have the numbers that they were given.
    check_images(X, config.n_channel_in, "validation_data", "X")
    try:
        pairs = ImagePairs(X, Y)
    except PairError as error:
        raise error.of("validation_data") from None
    except InputError as error:
        raise InputError(f"validation_data: {error}") from None
    patches = [], []
    for i, (x, y, shape) in enumerate(zip(pairs.x, pairs.y, pairs.shapes, strict=True)):
        if len(shape) != len(size) or any(n < p for n, p in zip(shape, size, strict=True)):
            reason = f"found size {shape}, expected at least train_patch_size {tuple(size)}"
            raise PairError(i, reason, "validation_data")
        for corner in product(*(patch_starts(n, p, p) for n, p in zip(shape, size, strict=True))):
            box = tuple(slice(start, start + p) for start, p in zip(corner, size, strict=True))
            patches[0].append(x[box])
            patches[1].append(y[box])
    return patches


def _class_indices(config, name, images):
    """Label images as class indices with one channel."""
    values, spatial = config.labels, config.n_dim
    if not hasattr(images, "__len__") or isinstance(images, (str, dict)):
        raise InputError(f"{name}: found {type(images).__name__}, expected label images, an array or a list of them")
    if isinstance(images, np.ndarray):
        classes = to_classes(images, values, name)
        return classes if classes.ndim == spatial + 2 else classes[..., None]
    classes = [to_classes(image, values, f"{name}[{i}]") for i, image in enumerate(images)]
    return [image[..., None] if image.ndim == spatial else image for image in classes]

"""SliceInterpolationNet: the slice between two neighbours of a serial section."""

import logging
from dataclasses import replace

import numpy as np
from csbdeep.data import NoNormalizer, PadAndCropResizer

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image, check_finite
from aeanet_tf.layers.sparse_attention import LARGEST_SIZE
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.folder import prediction_normalization, triplet_preparation
from aeanet_tf.models.given_images import check_predicted
from aeanet_tf.models.normalizers import fit_normalizer, normalized
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.models.sibling_configs import SliceInterpolationConfig
from aeanet_tf.sections.alignment import to_common_histogram, to_midpoint
from aeanet_tf.sections.triplet_options import TripletOptions
from aeanet_tf.training.interpolation_losses import InterpolationLoss, middle_mae, middle_mse
from aeanet_tf.training.interpolation_progress import InterpolationProgress

logger = logging.getLogger("aeanet_tf")

_METRICS = {"mae": middle_mae, "mse": middle_mse}


class SliceInterpolationNet(AEANet):
    """Prediction of a missing slice from its two neighbours with the SSAN or another network, called like any `AEANet`.

    Args:
        config: a `SliceInterpolationConfig`, or ``None`` to load the model of an existing folder.
        name, basedir: see `AEANet`.

    `train` takes as X the neighbours, ``(n, y, x, 2)`` with the slice before and the slice after as channels, and as Y
    the slices between, ``(n, y, x, 1)``; aligned and normalised, as `aeanet_tf.runs.slice_data` makes them of a
    stack. `predict` takes such a pair with axes ``"YXC"``; `interpolate` takes two slices as they are.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import SliceInterpolationConfig, SliceInterpolationNet
        >>> small = {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}
        >>> model = SliceInterpolationNet(SliceInterpolationConfig(network=small), "sections", basedir=None)
        >>> stack = np.random.rand(3, 32, 40)
        >>> model.interpolate(stack[0], stack[2]).shape
        (32, 40)
    """

    config_class = SliceInterpolationConfig
    interpolates = True
    purpose = "interpolates a slice of a serial section from the slices before and after it, its two channels"
    tags = ("slice-interpolation",)

    def _loss(self, name):
        if name in _METRICS:
            return _METRICS[name]
        self._trained_loss = InterpolationLoss(name, self.config.train_vgg_weights)
        return self._trained_loss

    def measured(self, validation):
        return [InterpolationProgress(self.keras_model, self._trained_loss, validation)]

    def interpolate(
        self,
        before,
        after,
        normalizer=None,
        max_shift=None,
        match_histograms=None,
        n_tiles=None,
        tiling="exact",
        max_memory=None,
        precision="float32",
    ):
        """The slice half way between two.

        The slices are moved half of their relative shift towards each other, given a common histogram, and normalised
        together; the prediction is mapped back by that normalisation. What is missing at a border after moving is taken
        from the other slice.

        Args:
            before, after: the slices, ``(y, x)``.
            normalizer: a CSBDeep normaliser that sees both slices as one volume; by default as in training, and
                percentiles 2 and 99.8 of both where that is unknown.
            max_shift: largest shift that is looked for, in pixels along each axis; 0 takes the slices as they lie. By
                default as in training (32), and no more than a quarter of a side.
            match_histograms: whether both slices get the mean of their histograms. By default as in training (yes).
            n_tiles: number of tiles along y and x.
            tiling, max_memory, precision: see `AEANet.predict`. Sparse attention cannot be shared by tiles: where the
                network does not fit into the memory, each tile attends to itself.

        Returns:
            Float32 array of the shape of ``before``, in its grey values.

        Raises:
            InputError: slices of different or wrong shape, and as `AEANet.predict`.
        """
        before, after = self._check(before, "before"), self._check(after, "after")
        if before.shape != after.shape:
            raise InputError(f"after: shape {after.shape}, expected {before.shape} as of the slice before")
        prepared = self.preparation(before.shape)
        shift = prepared.max_shift if max_shift is None else max_shift
        matched = prepared.match_histograms if match_histograms is None else match_histograms
        self._check_size(before.shape, n_tiles)
        pair = prepare_pair(before, after, shift, matched)
        if normalizer is None:
            section = NormalizationSection() if self.basedir is None else prediction_normalization(self.logdir)
            normalizer = pair_normalizer(section, *pair, "the two slices")
        normalizer = SafePercentileNormalizer.of(normalizer)
        x = np.moveaxis(normalized(normalizer, np.stack(pair), "ZYX", "the two slices"), 0, -1)
        tiles = None if n_tiles is None else [*n_tiles, 1]
        # A U-Net takes sides that it can halve.
        options = {"tiling": tiling, "max_memory": max_memory, "precision": precision}
        y = self.predict(x, "YXC", NoNormalizer(), PadAndCropResizer(), tiles, **options)[None, ..., 0]
        if normalizer.do_after:
            y, _ = normalizer.after(y, None, "ZYX")
            check_predicted("the two slices", y)
        return y[0].astype(np.float32)

    def _check(self, image, name):
        image = np.asarray(image)
        if self.config.n_channel_out != 1:
            raise InputError(f"n_channel_out: {self.config.n_channel_out}, slices with channels are for `predict` only")
        if image.ndim != 2:
            raise InputError(f"slice: shape {image.shape}, expected (y, x)")
        expect(image.dtype.kind in "biuf", name, f"values of type {image.dtype}", "integers or floats")
        expect(image.size, name, f"an empty slice, its shape is {image.shape}", "pixels")
        check_finite(name, image)
        return image.astype(np.uint8) if image.dtype.kind == "b" else image

    def _check_size(self, shape, n_tiles):
        sides = [-(-n // count) for n, count in zip(shape, n_tiles or (1, 1), strict=True)]
        if self.spec.attends_by_softmax and max(sides) > LARGEST_SIZE:
            raise InputError(
                f"slice: shape {shape}, expected at most {LARGEST_SIZE} pixels a side for {self.spec.attention} "
                "attention, or tiles (n_tiles, --n-tiles)"
            )

    def preparation(self, shape):
        """How slices of a shape ``(y, x)`` are aligned and matched: `TripletOptions`.

        It is that of the training, or the defaults where that is unknown; ``max_shift`` is no more than a quarter of a
        side.
        """
        options = TripletOptions() if self.basedir is None else triplet_preparation(self.logdir)
        return replace(options, max_shift=min(options.max_shift, min(shape) // 4))


def prepare_pair(before, after, max_shift, match_histograms):
    """Two slices as the network is to see them: moved to the middle of their shift, with a common histogram."""
    before, after, offset = to_midpoint(before, after, max_shift)
    if max_shift and max(abs(offset.y), abs(offset.x)) >= max_shift:
        logger.warning(
            "max_shift: two slices are %d, %d pixels apart, as far as was searched; they may lie farther apart",
            offset.y,
            offset.x,
        )
    return to_common_histogram(before, after) if match_histograms else (before, after)


def pair_normalizer(section, before, after, name=None):
    """The normaliser of a `NormalizationSection` for a pair, by the values of both slices, and for what is between;
    messages call the pair ``name``."""
    return fit_normalizer(section, Image(np.stack([before, after]), "ZYX", path=name), "ZYX")

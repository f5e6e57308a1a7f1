"""CSBDeep normalisers from the configuration of a run, the same for training and prediction."""

import logging

import numpy as np
from csbdeep.data import NoNormalizer, Normalizer
from csbdeep.utils import move_image_axes

from aeanet_tf.errors import InputError
from aeanet_tf.io.statistics import streamed_mean_std
from aeanet_tf.io.value_range import streamed_range
from aeanet_tf.models.folder import prediction_normalization
from aeanet_tf.models.percentiles import FittedPercentileNormalizer, SafePercentileNormalizer

logger = logging.getLogger("aeanet_tf")


class _NoWayBack(Normalizer):
    """Maps nothing back after prediction."""

    def after(self, mean, scale, axes):
        """There is none; see ``csbdeep.data.Normalizer``.

        Raises:
            ValueError: always.
        """
        raise ValueError("predictions are not mapped back by this normaliser")

    @property
    def do_after(self):
        """False: predictions stay as they are."""
        return False


class OneWayNormalizer(_NoWayBack):
    """Normalises as another normaliser does and maps nothing back, for predictions that are no intensities.

    CSBDeep maps predictions back where a model has as many output as input channels, and so it would with classes.

    Args:
        normalizer: the other, a ``csbdeep.data.Normalizer``.
    """

    def __init__(self, normalizer):
        self.normalizer = normalizer

    def before(self, x, axes, name=None):
        """That of the other; see ``csbdeep.data.Normalizer``."""
        return normalized(self.normalizer, x, axes, name)


class RangeNormalizer(Normalizer):
    """Maps the values ``low`` and ``high`` to 0 and 1, the same for every image, and back after prediction.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models.normalizers import RangeNormalizer
        >>> RangeNormalizer(0, 255).before(np.array([0, 51, 255], "uint8"), "X").tolist()
        [0.0, 0.20000000298023224, 1.0]
    """

    def __init__(self, low, high):
        self.low, self.high = float(low), float(high)

    def before(self, x, axes):
        """``(x - low) / (high - low)`` in float32; see ``csbdeep.data.Normalizer``."""
        return (x.astype(np.float32) - self.low) / (self.high - self.low)

    def after(self, mean, scale, axes):
        """The inverse, for mean and scale; see ``csbdeep.data.Normalizer``."""
        width = self.high - self.low
        return mean * width + self.low, None if scale is None else scale * width

    @property
    def do_after(self):
        """True: predictions are mapped back to the range of the input."""
        return True


class StandardNormalizer(_NoWayBack):
    """Gives each image, channel by channel, mean 0 and standard deviation 1; a constant channel becomes 0.

    Mean and deviation may be those of the positions that are not empty; then these get mean 0 and deviation 1, and the
    others are mapped in the same way. A volume of a brain without its skull is normalised alike whether it is cropped
    or not.

    Nothing is mapped back after prediction (``do_after`` is false): where this is used, for label-free prediction,
    the target is a fluorescence image, and mean and deviation of the transmitted-light input say nothing of its unit.

    Args:
        over: positions that mean and deviation are of: "all", or "nonzero", where any channel is above 0.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models.normalizers import StandardNormalizer
        >>> StandardNormalizer().before(np.array([[1, 1], [3, 3]]), "YX").tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """

    def __init__(self, over="all"):
        self.over = over

    def before(self, x, axes, name=None):
        """``(x - mean) / std`` in float32, mean and std in float64; see ``csbdeep.data.Normalizer``.

        Args:
            x, axes: see there.
            name: of the image, for messages.

        Raises:
            InputError: with "nonzero", no position is above 0, or a value is not finite.
        """
        if self.over != "all":
            return FittedStandardNormalizer(*streamed_mean_std(x, axes, name, over=self.over), axes).before(x, axes)
        own = tuple(i for i, axis in enumerate(axes) if axis != "C")
        mean, std = (function(x, axis=own, dtype=np.float64, keepdims=True) for function in (np.mean, np.std))
        # The mean of a constant is rounded, and so its deviation is not 0.
        std = np.where(x.min(own, keepdims=True) < x.max(own, keepdims=True), std, 0)
        _warn_of_constants(std, name)
        return _standardised(x, mean, std)


class FittedStandardNormalizer(StandardNormalizer):
    """A `StandardNormalizer` that knows mean and deviation of the image and takes it in pieces, in any order.

    Args:
        mean, std: one number a channel.
        axes: of the pieces, such as "YXC"; ``before`` also takes them in another order.
    """

    def __init__(self, mean, std, axes):
        shape = [-1 if axis == "C" else 1 for axis in axes]
        self.axes_before = axes
        self.mean, self.std = (np.asarray(values, np.float64).reshape(shape) for values in (mean, std))

    def before(self, x, axes, name=None):
        """``(x - mean) / std`` of a piece, in float32; see ``csbdeep.data.Normalizer``."""
        mean, std = (move_image_axes(values, self.axes_before, axes, True) for values in (self.mean, self.std))
        return _standardised(x, mean, std)


def _warn_of_constants(std, name):
    if not np.all(std > 0):
        logger.warning("%s: constant, in some channel at least; it is taken as 0", name or "image")


def _standardised(x, mean, std):
    return ((x - mean) / np.where(std > 0, std, 1)).astype(np.float32)


def make_normalizer(section):
    """The CSBDeep ``Normalizer`` of a `NormalizationSection`."""
    if section.kind == "percentile":
        return SafePercentileNormalizer(section.low, section.high)
    if section.kind == "range":
        return RangeNormalizer(section.low, section.high)
    if section.kind == "standard":
        return StandardNormalizer(section.over)
    return NoNormalizer()


def normalized(normalizer, x, axes, name):
    """What a normaliser makes of an image, checked.

    Args:
        normalizer: a CSBDeep ``Normalizer``; those of this package are told the name.
        x, axes: the image, or a piece of it for one that was fitted.
        name: of the image, in warnings and errors.

    Raises:
        InputError: values that cannot be normalised, or are not finite when they are.
    """
    named = isinstance(normalizer, (SafePercentileNormalizer, StandardNormalizer, OneWayNormalizer))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        normal = normalizer.before(x, axes, name) if named else normalizer.before(x, axes)
    if normal.dtype.kind == "f" and normal.size and not np.isfinite([normal.min(), normal.max()]).all():
        facts = f"{float(x.min()):.3g} to {float(x.max()):.3g}"
        raise InputError(f"{name or 'image'}: values of {facts} are not finite once they are normalised")
    return normal


def own_normalizer(model):
    """The CSBDeep ``Normalizer`` that a model with a folder is predicted with; see `prediction_normalization`."""
    return make_normalizer(prediction_normalization(model.logdir))


def fit_normalizer(section, image, net_axes, progress=None, channels_together=False, workers=None):
    """The normaliser of a `NormalizationSection` for one image, for use on pieces of it.

    It gives what that of `make_normalizer` gives for the whole image, to float32 rounding, and can be pickled.

    Args:
        section: the `NormalizationSection`.
        image: an `Image`, whose array may be lazy. Its statistics, one pair a channel, are those of all its pixels:
            for one frame of a time lapse give `aeanet_tf.io.frame.frame_image`.
        net_axes: axes of the pieces, such as "ZYXC".
        progress: as in `streamed_percentiles` and `streamed_mean_std`; other kinds do not read the image.
        channels_together: whether all channels have the statistics of all of them; over "nonzero" they are then those
            of the values above 0.
        workers: a `Cluster` whose workers read the image; ``None`` reads it here.

    Raises:
        InputError: the image holds values that are not finite or that float32 cannot hold (where it is read), its dtype
            is not a real number, or it has no position above 0 where the section is over "nonzero".
    """
    # As one of an axis that is not told apart.
    axes = image.axes.replace("C", "S") if channels_together else image.axes
    if section.kind == "standard":
        mean, std = streamed_mean_std(image.array, axes, image.path, progress, section.over, workers)
        _warn_of_constants(std, image.path)
        return FittedStandardNormalizer(mean, std, net_axes)
    if section.kind != "percentile":
        return make_normalizer(section)
    limits = section.low, section.high
    mi, ma = streamed_range(image.array, axes, limits, image.path, progress, workers)
    return FittedPercentileNormalizer(*limits, mi, ma, net_axes)

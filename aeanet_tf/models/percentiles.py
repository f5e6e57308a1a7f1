"""Percentile normalisation that always gives finite numbers: CSBDeep's, and another range where it has none."""

import numpy as np
from csbdeep.data import PercentileNormalizer
from csbdeep.utils import axes_check_and_normalize, move_image_axes, normalize_mi_ma

from aeanet_tf.io.value_range import float32_serves, is_range, measurable, streamed_range


class SafePercentileNormalizer(PercentileNormalizer):
    """CSBDeep's ``PercentileNormalizer``, also of images whose two percentiles coincide.

    Where the percentiles differ the numbers are CSBDeep's, bit by bit. Where they coincide (sparse signal, hot pixels,
    a subtracted background, saturation) CSBDeep divides by 1e-20; this takes wider percentiles, or minimum and
    maximum, as `streamed_range` has it, and logs a warning with the name of the image. A constant channel becomes 0,
    and what is predicted of it is mapped back to the constant. Ranges that float32 blurs (whole numbers above 2^24,
    numbers of 64 bits) are computed in float64 before they are rounded.

    Args: those of CSBDeep's.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models.percentiles import SafePercentileNormalizer
        >>> image = np.zeros((50, 50), "uint16")
        >>> image[20, 20:24] = 100, 200, 300, 400
        >>> normalizer = SafePercentileNormalizer()
        >>> normalizer.before(image, "YX")[20, 20:24].round(3).tolist()
        [0.286, 0.571, 0.857, 1.143]
    """

    # Values mapped to 0 and 1 where CSBDeep's cannot be: float64, in the shape of `mi` and `ma`.
    _range = None

    @classmethod
    def of(cls, normalizer):
        """A normaliser as it is, but one of CSBDeep's class as this one, which shares its attributes: whoever holds the
        other finds the percentiles of the last image there."""
        if type(normalizer) is not PercentileNormalizer:
            return normalizer
        own = cls.__new__(cls)
        own.__dict__ = normalizer.__dict__
        return own

    def before(self, x, axes, name=None):
        """``(x - mi) / (ma - mi)``, channel by channel; see ``csbdeep.data.Normalizer``.

        Args:
            x, axes: see there.
            name: of the image, for the warning.

        Raises:
            InputError: values that are not finite, or that float32 cannot hold.
        """
        self._range = None
        x = measurable(x)
        # What overflows here is what the other range is for.
        with np.errstate(all="ignore"):
            normal = super().before(x, axes)
            if self._is_sound(x):
                return normal
        self._take(*streamed_range(x, self.axes_before, (self.pmin, self.pmax), name))
        return self._in_range(x, self.axes_before)

    def after(self, mean, scale, axes):
        """The way back, for mean and scale; see ``csbdeep.data.Normalizer``."""
        # What is not finite then is for the caller to refuse.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._range is None:
                return super().after(mean, scale, axes)
            self.axes_after = axes_check_and_normalize(axes, mean.ndim)
            low, high = (move_image_axes(values, self.axes_before, self.axes_after, True) for values in self._range)
            parts = (high - low) * mean + low, None if scale is None else (high - low) * scale
            return tuple(None if part is None else part.astype(self.dtype) for part in parts)

    def _is_sound(self, x):
        """Whether what CSBDeep has computed of an image is numbers, and of all channels the image's."""
        axis = tuple(d for d, a in enumerate(self.axes_before) if a != "C")
        extremes = (extreme.astype(np.float64) for extreme in (x.min(axis, keepdims=True), x.max(axis, keepdims=True)))
        low, high = self.mi.astype(np.float64), self.ma.astype(np.float64)
        return bool((is_range(low, high, *extremes, x.dtype) & float32_serves(low, high, x.dtype)).all())

    def _take(self, low, high):
        """Normalise by these values from now on, one pair a channel, along `axes_before`."""
        shape = [-1 if axis == "C" else 1 for axis in self.axes_before]
        self._range = tuple(np.asarray(values, np.float64).reshape(shape) for values in (low, high))
        with np.errstate(over="ignore"):
            self.mi, self.ma = (values.astype(self.dtype) for values in self._range)

    def _in_range(self, x, axes):
        low, high = (move_image_axes(values, self.axes_before, axes, True) for values in self._range)
        width = high - low
        normal = (x.astype(np.float64) - low) / np.where(width > 0, width, 1)
        # As CSBDeep's, which has it among further arguments.
        normal = np.clip(normal, 0, 1) if self.kwargs.get("clip") else normal
        return normal.astype(self.dtype)


class FittedPercentileNormalizer(SafePercentileNormalizer):
    """A `SafePercentileNormalizer` that knows the range of the image and takes it in pieces, in any order.

    Args:
        pmin, pmax: the percentiles, as in CSBDeep, which also takes the further ``kwargs``.
        mi, ma: the values to map to 0 and 1, one a channel, of `streamed_range`.
        axes: of the pieces, such as "YXC"; ``before`` and ``after`` also take them in another order.
    """

    def __init__(self, pmin, pmax, mi, ma, axes, **kwargs):
        super().__init__(pmin, pmax, **kwargs)
        self.axes_before = axes
        mi, ma = (np.asarray(values, np.float64) for values in (mi, ma))
        self._take(mi, ma)
        if float32_serves(mi, ma).all():
            self._range = None

    def before(self, x, axes, name=None):
        """``(x - mi) / (ma - mi)`` of a piece, in float32; see ``csbdeep.data.Normalizer``."""
        if self._range is not None:
            return self._in_range(x, axes)
        mi, ma = (move_image_axes(values, self.axes_before, axes, True) for values in (self.mi, self.ma))
        return normalize_mi_ma(x, mi, ma, dtype=self.dtype, **self.kwargs)

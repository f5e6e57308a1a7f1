"""How images are to be predicted, arrays and files alike, and what can be checked of it before a model is loaded."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from aeanet_tf.device_names import PRECISIONS
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import check_axes
from aeanet_tf.io.image_path import check_series
from aeanet_tf.io.zoomed import check_factor
from aeanet_tf.prediction.machine import parse_bytes

TILINGS = ("exact", "overlap", "whole")
CONTEXTS = ("image", "group")
DTYPES = ("uint8", "uint16", "float32")
ALL_CHANNELS = ("all",)


class Patches(NamedTuple):
    """Tiling by overlapping patches whose predictions are averaged (`aeanet_tf.prediction.patch_average`).

    Attributes:
        size: of the patches, pixels along each spatial axis of the network.
        step: their distance along each of them.
    """

    size: tuple[int, ...]
    step: tuple[int, ...]

    @classmethod
    def checked(cls, size, step, divisor):
        """Patches for a network whose spatial axes have to divide by ``divisor``.

        Args:
            size: one number for each axis.
            step: one number for each axis, or one for all; where it is larger than a patch, patches lie side by side.

        Raises:
            InputError: a size that the network does not take, or a step below 1.
        """
        size = _numbers("patch_size", size, len(divisor))
        for n, d in zip(size, divisor, strict=True):
            if n % d:
                raise InputError(f"patch_size: {list(size)}, expected multiples of {list(divisor)} for this network")
        step = _numbers("step", (step,) * len(size) if isinstance(step, Real) else step, len(divisor))
        return cls(size, tuple(map(min, step, size)))


@dataclass(frozen=True)
class PredictionOptions:
    """How images are predicted; `AEANet.predict` says what the values mean.

    Attributes:
        n_tiles: number of tiles along each axis of the images, or one number for the longest axis; ``None`` for as
            many as the memory asks for.
        tiling: ``"exact"``, ``"overlap"``, ``"whole"``, for models that segment also ``"patches"``; ``None`` for the
            default of the model. Once the model has decided (`AEANet.decided`) the first three, or `Patches`.
        max_memory: what a process may hold in all.
        context: ``"image"``, or ``"group"``: the images of a call are a group.
        precision: ``"float32"`` or ``"bfloat16"``.
        ensemble: ``"flips"``, ``"flips-z"`` or ``None``.
        patch_size, step: of patches; see `SegmentationAEANet.predict`.
        uncalibrated: whether the scale of a probabilistic model is left as the network gives it, although it was
            calibrated.

    Raises:
        InputError: values that are unknown, or do not go together.
    """

    n_tiles: Any = None
    tiling: Any = None
    max_memory: Any = None
    context: str = "image"
    precision: str = "float32"
    ensemble: str | None = None
    patch_size: tuple[int, ...] | None = None
    step: int | tuple[int, ...] | None = None
    uncalibrated: bool = False

    def __post_init__(self):
        patches = self.tiling == "patches" or isinstance(self.tiling, Patches)
        if not (patches or self.tiling is None):
            _check_known("tiling", self.tiling, TILINGS)
        _check_known("context", self.context, CONTEXTS)
        _check_known("precision", self.precision, PRECISIONS)
        if self.n_tiles is not None:
            _numbers("n_tiles", [self.n_tiles] if isinstance(self.n_tiles, Real) else self.n_tiles)
        if self.max_memory is not None:
            parse_bytes(self.max_memory)
        if not patches:
            return
        if self.context != "image":
            expected = "expected 'image' with patches, which have attention of their own"
            raise InputError(f"context: {self.context!r}, {expected}")
        if self.n_tiles is not None:
            raise InputError(f"n_tiles: {self.n_tiles!r}, expected None with patches, which have a size of their own")


@dataclass(frozen=True)
class FileOptions(PredictionOptions):
    """How image files are predicted.

    Attributes:
        axes: of the files; by default those that they name.
        scale: also write the scale of a probabilistic model, as ``<name>_scale``.
        file_format: ``"tif"`` or ``"zarr"``; ``None`` writes a zarr for a zarr, NIfTI and Analyze for the same (with
            their affine; from models of volumes), and a tif for everything else.
        probabilities: also write the probabilities of a segmentation model's classes, as ``<name>_probabilities``.
        channels: names of the channels where each is a file of its own, such as ("T1", "T2"): see
            `aeanet_tf.io.channels`. Results have the names of the first.
        series: of files that hold several images the number of one, from 0, or "all"; results are then called
            ``<name>_s<number>``. ``None`` refuses such files.
        allow_missing: whether planes that a file lacks are filled, see `aeanet_tf.io.read.read_image`.
        slices: whether each folder is one volume, whose slices are its files.
        channel: of images with an axis C, for models of one channel: numbers from 0 or names of the channels to
            restore, each by itself, in this order; or "all". One of them gives a result without C.
        channel_models: whether there is a model for each of ``channel``, in their order.
        normalize_over: letters of T, Z and C: the frames, planes or channels along them are normalised together, by
            the same values, where else each has its own.
        isotropic: old distance of planes over new, of volumes that a model of images makes isotropic plane by plane.
        upsample: the same, of volumes that are interpolated along Z and then restored by a model of volumes.
        dtype: of the predictions: "float32", or "uint8" or "uint16", rounded and clipped. Labels, scales, probabilities
            and disagreements have their own.
        interval: also write the limits of the credible interval of this confidence, such as 0.95, of a probabilistic
            model or ensemble, as ``<name>_lower`` and ``<name>_upper``.
        divergence: also write how far the distributions of several probabilistic models are apart, 0 to 1, as
            ``<name>_divergence``; see `aeanet_tf.prediction.mixtures.LaplaceMixture.disagreement`.
    """

    axes: str | None = None
    scale: bool = False
    file_format: str | None = None
    probabilities: bool = False
    channels: tuple[str, ...] | None = None
    series: int | str | None = None
    allow_missing: bool = False
    slices: bool = False
    channel: tuple[str, ...] | None = None
    channel_models: bool = False
    normalize_over: str = ""
    dtype: str = "float32"
    isotropic: float | None = None
    upsample: float | None = None
    interval: float | None = None
    divergence: bool = False

    def __post_init__(self):
        super().__post_init__()
        _check_known("--dtype", self.dtype, DTYPES)
        object.__setattr__(self, "normalize_over", _letters(self.normalize_over))
        if self.channel is not None:
            object.__setattr__(self, "channel", _chosen(self.channel))
            if self.channels:
                raise InputError("--channel: given with --channels, expected one of both")
        if self.channel_models and self.channel in (None, ALL_CHANNELS):
            raise InputError("--channel: the models for the channels are given without these")
        if self.channel_models and self.ensemble:
            raise InputError("--ensemble: given with a model for each channel, expected one of both")
        if self.interval is not None and not 0 < self.interval < 1:
            raise InputError(
                f"--interval: found {self.interval:g}, expected a confidence between 0 and 1, such as 0.95"
            )
        if self.channel_models and (self.interval or self.divergence):
            raise InputError("--interval, --divergence: given with a model for each channel, expected one of both")
        if self.channel_models and "C" in self.normalize_over:
            raise InputError("--normalize-over: C with a model for each channel, expected T or Z")
        if self.channel_models and self.context == "group":
            raise InputError("--context: group with a model for each channel, expected image")
        self._check_zoom()
        check_series("series", self.series)
        if self.slices and self.channels:
            raise InputError("--slices: given with --channels, expected one of both")
        if self.axes is not None:
            object.__setattr__(self, "axes", check_axes(self.axes))

    def _check_zoom(self):
        given = [name for name in ("isotropic", "upsample") if getattr(self, name) is not None]
        expect(len(given) < 2, "--isotropic", "given with --upsample", "one of both")
        for name in given:
            object.__setattr__(self, name, check_factor(f"--{name}", getattr(self, name)))
        if self.isotropic is None:
            return
        others = {
            "--ensemble": self.ensemble,
            "--context group": self.context == "group",
            "--channel with several channels": self.keeps_channels or self.channel_models,
            "--channels": self.channels,
            "--n-tiles with one number": isinstance(self.n_tiles, Real) and self.n_tiles != 1,
        }
        found = next((name for name, value in others.items() if value), None)
        expect(found is None, "--isotropic", f"given with {found}", "one of both")

    @property
    def zoom(self):
        """Old distance of planes over new."""
        return self.isotropic or self.upsample or 1.0

    @property
    def keeps_channels(self):
        """Whether channels that are restored each by itself stay together in a result with an axis C."""
        return self.channel is not None and (len(self.channel) > 1 or self.channel == ALL_CHANNELS)

    @property
    def wants_scale(self):
        """Whether anything is written that the scale of a probabilistic model is needed for."""
        return self.scale or self.interval is not None or self.divergence


def _chosen(channel):
    """Numbers and names of channels as texts, each once."""
    chosen = tuple(str(one) for one in ((channel,) if isinstance(channel, (str, int)) else channel))
    expected = "numbers from 0 or names of channels, each once, or all alone"
    fits = chosen and len(set(chosen)) == len(chosen) and ("all" not in chosen or chosen == ALL_CHANNELS)
    expect(fits, "--channel", " ".join(chosen) or "nothing", expected)
    return chosen


def _letters(over):
    """Letters of axes in capitals, as one text in the order TZC."""
    letters = "".join(over or ()).upper()
    fits = set(letters) <= set("TZC") and len(set(letters)) == len(letters)
    expect(fits, "--normalize-over", letters, "letters of T, Z and C")
    return "".join(a for a in "TZC" if a in letters)


def check_tile_count(n_tiles, axes):
    """Check that there is a number of tiles for each axis of an image, one for the longest, or ``None``.

    Raises:
        InputError: another number of them.
    """
    if n_tiles is not None and not isinstance(n_tiles, Real) and len(n_tiles) != len(axes):
        raise InputError(f"n_tiles: {n_tiles!r}, expected a number of at least 1 for each of the axes {axes}")


def check_parts(options, probabilistic, segments):
    """Check that a model has the parts of a prediction that `FileOptions` ask for.

    Args:
        options: `FileOptions`.
        probabilistic, segments: whether the model predicts a scale, or classes.

    Raises:
        InputError: it does not.
    """
    if options.scale and not probabilistic:
        raise InputError("--scale: the model is not probabilistic, it predicts no scale")
    if options.wants_scale and not probabilistic:
        raise InputError("--interval, --divergence: the model is not probabilistic, it predicts no scale")
    if options.keeps_channels and segments:
        raise InputError("--channel: several channels for a model that segments, expected one")
    if options.probabilities and not segments:
        raise InputError("--probabilities: the model does not segment, it has no classes")


def _check_known(name, value, known):
    if value not in known:
        raise InputError(f"{name}: found {value!r}, expected one of {', '.join(known)}")


def _numbers(name, values, count=None):
    try:
        numbers = tuple(int(n) for n in values)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or count not in (None, len(numbers)) or numbers != tuple(values) or min(numbers) < 1:
        each = "numbers of at least 1" if count is None else f"a number of at least 1 for each of {count} spatial axes"
        raise InputError(f"{name}: {values!r}, expected {each}")
    return numbers

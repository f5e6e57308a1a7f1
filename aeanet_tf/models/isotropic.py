"""Volumes that are coarse along Z, restored: CSBDeep's IsotropicCARE and UpsamplingCARE with our networks inside."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from csbdeep.data import PadAndCropResizer
from csbdeep.internals.probability import ProbabilisticPrediction
from csbdeep.models import IsotropicCARE, UpsamplingCARE

from aeanet_tf.errors import InputError, check_choice, expect
from aeanet_tf.io.zoomed import check_factor, interpolate, plane_count
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.care_net import CARENet
from aeanet_tf.models.given_images import check_predicted, given_axes, given_image
from aeanet_tf.models.isotropic_views import VIEWS, combined
from aeanet_tf.models.normalizers import normalized
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.predict_arrays import predict_arrays
from aeanet_tf.prediction.options import PredictionOptions, check_tile_count
from aeanet_tf.progress import progress_bar

PLANES = ("ends", "step")
"""Where the planes of a result lie. ``"ends"``, as in CSBDeep: ``factor`` times as many, evenly from the first plane to
the last, so that their distance is a little less than a ``factor``-th. ``"step"``, as in files: at a ``factor``-th of
the distance, from the first plane on, so that ``N`` planes give ``(N - 1) * factor + 1``."""

_AXES = "ZYXC"


def upsampled(array, dimension, factor, planes="ends"):
    """Linear interpolation of planes along one dimension.

    Args:
        array: of numbers.
        dimension: along which.
        factor: old distance of planes over new.
        planes: one of `PLANES`; with "ends" the result has the dtype of the array, with "step" float32.
    """
    check_choice("planes", planes, PLANES)
    factor = check_factor("factor", factor)
    if planes == "ends":
        # Not before: SciPy takes longer to import than small predictions take.
        from scipy.ndimage import zoom

        return zoom(array, [factor if i == dimension else 1 for i in range(array.ndim)], order=1)
    positions = np.arange(plane_count(array.shape[dimension], factor)) / factor
    return interpolate(array, dimension, positions)


def predict_isotropic(model, img, axes, factor, normalizer, resizer=None, *, planes="ends", batch_size=8, **options):
    """The mean of `isotropic_parts`; ``resizer`` is CSBDeep's ``PadAndCropResizer`` by default, and ``options`` are
    fields of `PredictionOptions`."""
    resizer = PadAndCropResizer() if resizer is None else resizer
    chosen = PredictionOptions(**options)
    return isotropic_parts(model, img, axes, factor, normalizer, resizer, chosen, planes, batch_size)[0]


def isotropic_parts(model, img, axes, factor, normalizer, resizer, options, planes="ends", batch_size=8):
    """Mean and scale (``None`` for models without) of a volume, restored by a network of images along its planes.

    The volume is normalised and interpolated along Z. The network restores its planes YZ, one after the other, and its
    planes XZ; the geometric mean of both, of negative values 0, is the result. CSBDeep's ``IsotropicCARE`` does the
    same.

    Args:
        model: an `AEANet` of images, axes YX, that was trained on images whose X is as coarse as Z.
        img: volume, or a time lapse of volumes, which are restored one by one.
        axes: of ``img``, with Z, Y, X.
        factor: old distance of the planes over new.
        normalizer, resizer: as in ``csbdeep.models.CARE.predict``.
        options: `PredictionOptions`; ``n_tiles`` are numbers along the axes of ``img``.
        planes: one of `PLANES`.
        batch_size: planes that are predicted together at most.

    Raises:
        InputError: as of `AEANet.predict`; also a model of volumes, or one that projects or segments; an image that
            is no volume.
    """
    check_restores_planes(model)
    check_choice("planes", planes, PLANES)
    factor = check_factor("factor", factor)
    whole = isinstance(batch_size, (int, np.integer)) and batch_size >= 1
    expect(whole, "batch_size", repr(batch_size), "a whole number of at least 1")
    options = model.decided(options)
    if options.context != "image" or options.ensemble is not None:
        raise InputError("context, ensemble: found one of them, expected none for isotropic restoration")
    img = given_image(model, img, axes, frames=True)
    letters = given_axes(axes, img.ndim)
    expect(set("ZYX") <= set(letters), "axes", letters, "those of a volume, with Z, Y and X")
    way = _Way(factor, planes, normalizer, resizer, options, _by_axis(options.n_tiles, letters), batch_size)
    if "T" not in letters:
        return way.volume(model, img, letters)
    at = letters.index("T")
    parts = [way.volume(model, frame, letters.replace("T", "")) for frame in np.moveaxis(img, at, 0)]
    return tuple(None if part[0] is None else np.stack(part, at) for part in zip(*parts, strict=True))


def _by_axis(n_tiles, letters):
    check_tile_count(n_tiles, letters)
    if n_tiles is None:
        return {}
    expect(np.ndim(n_tiles) == 1, "n_tiles", n_tiles, f"a number for each of the axes {letters}")
    by_axis = dict(zip(letters, n_tiles, strict=True))
    for axis in set(letters) - set("ZYX"):
        expect(by_axis[axis] == 1, "n_tiles", f"{by_axis[axis]} along {axis}", "1")
    return by_axis


class _Way(NamedTuple):
    """How a volume is restored: the arguments of `isotropic_parts`, checked; ``n_tiles`` by axis, empty without any."""

    factor: float
    planes: str
    normalizer: Any
    resizer: Any
    options: PredictionOptions
    n_tiles: dict
    batch_size: int

    def volume(self, model, img, axes):
        """Mean and scale of one volume."""
        normalizer = SafePercentileNormalizer.of(self.normalizer)
        normalizer, resizer = model.checked_normalizer(normalizer, self.resizer)
        permute = model.permutation(axes, _AXES)
        x = upsampled(normalized(normalizer, permute(img), _AXES, "image"), 0, self.factor, self.planes)
        rows, columns = model.spec.divisor
        x = resizer.before(x, _AXES, (columns, rows, rows, 1))
        views = [self._view(model, x, view, resizer) for view in VIEWS]
        mean, scale = combined(*views)
        if normalizer.do_after and model.config.n_channel_in == mean.shape[-1]:
            mean, scale = normalizer.after(mean, scale, _AXES)
        check_predicted("image", mean, scale)
        return permute(mean, undo=True), permute(scale, undo=True)

    def _view(self, model, x, view, resizer):
        """Mean and scale, ``None`` for models without, of the volume ``x`` as one view restores it."""
        images, results = view.planes(x), []
        tiles = [self.n_tiles.get(axis, 1) for axis in (view.rows, "Z")]
        options = replace(self.options, n_tiles=[*tiles, 1] if self.n_tiles else None)
        starts = range(0, len(images), self.batch_size)
        for start in progress_bar(starts, desc=f"planes {view.rows}Z", unit="batch", quiet=len(starts) == 1):
            part = list(images[start : start + self.batch_size])
            names = [f"plane {start + i} along {view.along}" for i in range(len(part))]
            results += predict_arrays(model, part, "YXC", None, None, options, names)
        parts = zip(*results, strict=True)
        return [None if p[0] is None else resizer.after(view.volume(np.stack(p)), _AXES) for p in parts]


def check_restores_planes(model):
    """Refuse a model whose network does not restore single planes.

    Raises:
        InputError: one of volumes, or one that projects or gives labels.
    """
    restores = set(model.config.axes) == set("YXC") and not (model.segments or model.interpolates)
    expect(restores, "model", f"axes {model.config.axes}", "YX, of a model that restores images: planes with Z are 2D")
    expect(
        model.spec.upscale == 1, "model", f"network.upscale {model.spec.upscale}", "1, of planes that keep their size"
    )


def _no_psf(psf):
    if psf is not None:
        raise InputError(
            "psf: found one, expected None: it belongs to the training images, csbdeep.data.anisotropic_distortions "
            "takes it; predictions need none"
        )


class _Isotropic:
    """What models have that make volumes isotropic."""

    averages_views = True

    def predict(
        self,
        img,
        axes,
        factor,
        normalizer=SafePercentileNormalizer(),  # noqa: B008  CSBDeep's defaults, which it does not change
        resizer=PadAndCropResizer(),  # noqa: B008
        batch_size=8,
        *,
        psf=None,
        planes="ends",
        **options,
    ):
        """Restore a volume that is coarse along Z; as ``csbdeep.models.IsotropicCARE.predict``.

        Args:
            img: the volume; of a time lapse one after the other.
            axes: of ``img``.
            factor: old distance of the planes over new, as in training.
            normalizer, resizer: as in CSBDeep.
            batch_size: planes that are predicted together at most.
            psf: must be ``None``: it belongs to the training images.
            planes: one of `PLANES`.
            options: of `AEANet.predict`: ``n_tiles`` along the axes of ``img``, ``tiling``, ``max_memory``,
                ``precision``. Planes in tiles are what they are in one piece.

        Returns:
            The volume with more planes, axes as in CSBDeep.

        Raises:
            InputError: see `isotropic_parts`.
        """
        _no_psf(psf)
        chosen = PredictionOptions(**options)
        return isotropic_parts(self, img, axes, factor, normalizer, resizer, chosen, planes, batch_size)[0]

    def predict_probabilistic(
        self,
        img,
        axes,
        factor,
        normalizer=SafePercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        batch_size=8,
        *,
        psf=None,
        planes="ends",
        **options,
    ):
        """The same as CSBDeep's ``ProbabilisticPrediction``, whose scale is the larger of both views.

        Args:
            img, axes, factor, normalizer, resizer, batch_size, psf, planes, options: see `predict`.

        Raises:
            ValueError: the model is not probabilistic.
        """
        _no_psf(psf)
        if not self.config.probabilistic:
            raise ValueError("This is not a probabilistic model.")
        chosen = PredictionOptions(**options)
        parts = isotropic_parts(self, img, axes, factor, normalizer, resizer, chosen, planes, batch_size)
        return ProbabilisticPrediction(*parts)


class _Upsampling:
    """What models have that restore volumes after interpolation along Z."""

    def predict(
        self,
        img,
        axes,
        factor,
        normalizer=SafePercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        *,
        psf=None,
        planes="ends",
        **options,
    ):
        """Restore a volume that is interpolated along Z first; as ``csbdeep.models.UpsamplingCARE.predict``.

        Args:
            img, axes: see `AEANet.predict`; with an axis Z.
            factor: old distance of the planes over new, as in training.
            normalizer, resizer, n_tiles, options: see `AEANet.predict`; they see the interpolated volume.
            psf: must be ``None``: it belongs to the training images.
            planes: one of `PLANES`.

        Raises:
            InputError: as of `AEANet.predict`; an image without Z, a factor that is none.
        """
        _no_psf(psf)
        return super().predict(
            self._upsampled(img, axes, factor, planes), axes, normalizer, resizer, n_tiles, **options
        )

    def predict_probabilistic(
        self,
        img,
        axes,
        factor,
        normalizer=SafePercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        *,
        psf=None,
        planes="ends",
        **options,
    ):
        """The same as CSBDeep's ``ProbabilisticPrediction``; arguments as of `predict`.

        Args:
            img, axes, factor, normalizer, resizer, n_tiles, psf, planes, options: see `predict`.

        Raises:
            ValueError: the model is not probabilistic.
        """
        _no_psf(psf)
        img = self._upsampled(img, axes, factor, planes)
        return super().predict_probabilistic(img, axes, normalizer, resizer, n_tiles, **options)

    def _upsampled(self, img, axes, factor, planes):
        if isinstance(img, (list, tuple)):
            return [self._upsampled(one, axes, factor, planes) for one in img]
        img = given_image(self, img, axes, frames=True)
        letters = given_axes(axes, img.ndim)
        expect("Z" in letters, "axes", letters, "those of a volume, with Z")
        return upsampled(img, letters.index("Z"), factor, planes)


class IsotropicAEANet(_Isotropic, AEANet, IsotropicCARE):
    """Volumes that are coarse along Z made isotropic, called like ``csbdeep.models.IsotropicCARE``.

    The network is one of images, axes YX. It learns from planes of the coarse volume itself that are made as coarse
    along X (``csbdeep.data.anisotropic_distortions``, or data of kind "isotropic" of a run configuration), and restores
    planes that have Z as one of their axes.

    Args:
        config, name, basedir: see `AEANet`.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import AEANetConfig, IsotropicAEANet
        >>> config = AEANetConfig("YX", preset="unet-care", unet_n_first=4)
        >>> model = IsotropicAEANet(config, "isotropic", basedir=None)
        >>> model.predict(np.random.rand(5, 16, 18), "ZYX", 4).shape
        (20, 16, 18)
    """


class UpsamplingAEANet(_Upsampling, AEANet, UpsamplingCARE):
    """Restoration after interpolation along Z, called like ``csbdeep.models.UpsamplingCARE``.

    Args:
        config, name, basedir: see `AEANet`; the axes have Z.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import AEANetConfig, UpsamplingAEANet
        >>> config = AEANetConfig("ZYX", preset="unet-care", unet_n_first=4)
        >>> model = UpsamplingAEANet(config, "upsampling", basedir=None)
        >>> model.predict(np.random.rand(4, 16, 16), "ZYX", 2).shape
        (8, 16, 16)
    """


class IsotropicCARENet(_Isotropic, CARENet, IsotropicCARE):
    """The folder of a ``csbdeep.models.IsotropicCARE``: a `CARENet` that is called as `IsotropicAEANet` is.

    Args:
        config, name, basedir: see `CARENet`.
    """


class UpsamplingCARENet(_Upsampling, CARENet, UpsamplingCARE):
    """The folder of a ``csbdeep.models.UpsamplingCARE``: a `CARENet` that is called as `UpsamplingAEANet` is.

    Args:
        config, name, basedir: see `CARENet`.
    """

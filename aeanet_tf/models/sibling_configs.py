"""Configurations of the models beside `AEANet`: of projection, of slice interpolation and of segmentation."""

from csbdeep.utils import axes_dict

from aeanet_tf.errors import InputError
from aeanet_tf.loss_names import INTERPOLATION_LOSSES, SEGMENTATION_LOSSES
from aeanet_tf.models.config import AEANetConfig
from aeanet_tf.models.default_settings import INTERPOLATION, PRESETS, SEGMENTATION
from aeanet_tf.models.network_fields import customised, replaced
from aeanet_tf.models.training_settings import InterpolationSettings, SegmentationSettings
from aeanet_tf.networks import as_spec
from aeanet_tf.training import TripletSampler, TripletValidationSet
from aeanet_tf.training.losses import check_class_weights

# What label images hold: ImageJ shows labels of 8 and of 16 bits.
LARGEST_LABEL = 2**16 - 1


class ProjectionAEANetConfig(AEANetConfig):
    """Configuration of a `ProjectionAEANet`: 3D to 2D.

    As `AEANetConfig`, with ``axes`` of three spatial axes that begin with ``proj_axis`` (``"ZYX"``), and
    ``"aeanet-flywing"`` as default preset. ``network`` changes fields of the `ProjectionSpec`; the ``unet_*``
    attributes act on its ``restoration``.

    Example:
        >>> from aeanet_tf.models import ProjectionAEANetConfig
        >>> ProjectionAEANetConfig("ZYX", unet_n_first=16).restoration.first_filters
        16
    """

    projected_axis = 0
    _default_presets = {3: "aeanet-flywing"}  # noqa: RUF012  read-only

    def __init__(
        self, axes="ZYX", n_channel_in=1, n_channel_out=1, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        self.proj_axis = kwargs.pop("proj_axis", "Z")
        kwargs = {key: value for key, value in kwargs.items() if not key.startswith("proj_")}
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic, allow_new_parameters, **kwargs)
        spec = self.spec
        self.proj_n_depth = spec.levels
        self.proj_n_filt = spec.filters
        self.proj_n_conv_per_depth = 1
        self.proj_kern = [3, 5, 5]
        self.proj_pool = [1, 4, 4]

    @property
    def restoration(self):
        """The spec of the 2D U-Net behind the projection."""
        return self.spec.restoration

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind != "projection":
            raise InputError(f"preset: {self.preset!r} does not project, use the model of that network")
        if axes_dict(self.axes)[self.proj_axis] != 0:
            raise InputError(f"axes: {self.axes!r} do not begin with the projected axis {self.proj_axis!r}")
        inner = customised(spec.restoration, self, 2, {}, unet).model_dump()
        return replaced(spec.replace(in_channels=self.n_channel_in, restoration=inner), network)


class SliceInterpolationConfig(AEANetConfig):
    """Configuration of a `SliceInterpolationNet`: a slice from its two neighbours.

    As `AEANetConfig`, with ``n_channel_in`` twice ``n_channel_out``, the channels of a slice, and ``"ssan"`` as preset;
    ``"sepconv"`` and ``"flow-interpolation"`` serve, too. ``network`` changes fields of the `SSANSpec`; the ``unet_*``
    attributes mean nothing here. ``train_loss`` is one of
    `aeanet_tf.training.interpolation_losses`: ``"pixel"`` by default, ``"feature"`` or ``"style"``, the paper's.

    Attributes beside those of `AEANetConfig`: ``train_vgg_weights``, of `InterpolationSettings`.

    Example:
        >>> from aeanet_tf.models import SliceInterpolationConfig
        >>> config = SliceInterpolationConfig(network={"filters": 32})
        >>> config.spec.filters, config.n_channel_in, config.train_loss
        (32, 2, 'pixel')
    """

    settings = InterpolationSettings
    losses = INTERPOLATION_LOSSES
    samplers = TripletSampler, TripletValidationSet
    learns_intensities = False
    kind = INTERPOLATION
    _default_presets = {2: PRESETS[INTERPOLATION]}  # noqa: RUF012  read-only, as above

    def __init__(
        self, axes="YX", n_channel_in=2, n_channel_out=1, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic, allow_new_parameters, **kwargs)

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind != "ssan":
            raise InputError(f"preset: {self.preset!r} does not interpolate slices, use AEANet and its configuration")
        return replaced(spec, {"in_channels": self.n_channel_in, "out_channels": self.n_channel_out, **network})

    def _mirror(self, spec):
        self.unet_residual, self.unet_n_depth, self.unet_kern_size = False, 1, 3
        self.unet_n_first, self.unet_last_activation = spec.filters, "linear"


# Kinds of the specs of networks that may end in a softmax over classes.
_U_NETS = ("unet", "unet_variant", "ce_net")


class SegmentationAEANetConfig(AEANetConfig):
    """Configuration of a `SegmentationAEANet`: an image to the classes of its pixels.

    As `AEANetConfig`, with ``n_channel_out`` the number of classes, background included, and ``"aeanet-mri"`` as
    preset; any U-Net preset serves, in 2D and 3D. The network is given a softmax at its end and no offset.
    ``train_loss`` is one of `aeanet_tf.training.losses`: ``"cross_entropy"`` by default, ``"dice"`` or
    ``"cross_entropy_dice"``.

    Args:
        labels: the values of the classes in label images, 0 to 65535, all different; 0, 1, 2, ... by default.

    Attributes beside those of `AEANetConfig`:
        labels: list of the values.
        train_class_weights: of `SegmentationSettings`; and ``train_kernel_l2`` is 2e-6 by default.

    Raises:
        InputError: as `AEANetConfig`; also labels or class weights that do not fit the classes.

    Example:
        >>> from aeanet_tf.models import SegmentationAEANetConfig
        >>> config = SegmentationAEANetConfig("YX", n_channel_out=3)
        >>> config.labels, config.spec.last_activation
        ([0, 1, 2], 'softmax')
    """

    settings = SegmentationSettings
    losses = SEGMENTATION_LOSSES
    learns_intensities = False
    kind = SEGMENTATION
    _default_presets = dict.fromkeys((2, 3), PRESETS[SEGMENTATION])

    def __init__(
        self, axes="YX", n_channel_in=1, n_channel_out=2, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        labels = kwargs.pop("labels", None)
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic, allow_new_parameters, **kwargs)
        self.labels = check_labels(labels, self.n_channel_out)
        self.train_class_weights = check_class_weights(self.train_class_weights, self.n_channel_out)

    @property
    def target_channels(self):
        """One: the classes of a label image, whatever their number."""
        return 1

    @classmethod
    def from_csbdeep(cls, config):
        """There is none: CARE's configurations know no classes.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"config: found {type(config).__name__}, expected SegmentationAEANetConfig, which names the classes"
        )

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind not in _U_NETS or spec.input_size:
            raise InputError(f"preset: {self.preset!r} is no U-Net for images of any size, which segmentation takes")
        if self.n_channel_out < 2:
            raise InputError(f"n_channel_out: {self.n_channel_out}, expected the number of classes, at least 2")
        end = network.get("last_activation", "softmax")
        if end != "softmax":
            raise InputError(f"network.last_activation: {end!r}, expected 'softmax', over the classes; leave it out")
        # What is of images, not of classes.
        of_images = {"output_offset", "range_scaling"} & set(type(spec).model_fields)
        spec = replaced(spec, {**dict.fromkeys(of_images, False), "out_channels": self.n_channel_out})
        unet = {key: value for key, value in unet.items() if key not in ("unet_residual", "unet_last_activation")}
        return customised(spec, self, self.n_dim, {**network, "last_activation": "softmax"}, unet)

    def _mirror(self, spec):
        super()._mirror(spec)
        # CSBDeep knows no softmax.
        self.unet_last_activation = "linear"


def check_labels(labels, classes):
    """The values of classes as a list.

    Raises:
        InputError: not as many as classes, or not different whole numbers from 0 to `LARGEST_LABEL`.
    """
    if labels is None:
        return list(range(classes))
    try:
        whole = [int(label) for label in labels]
    except (TypeError, ValueError):
        whole = []
    fits = whole == list(labels) and len(set(whole)) == len(whole) and all(0 <= n <= LARGEST_LABEL for n in whole)
    if not fits or len(whole) != classes:
        raise InputError(
            f"labels: {labels!r}, expected {classes} different whole numbers from 0 to {LARGEST_LABEL}, one for each "
            "class (n_channel_out)"
        )
    return whole

"""Configurations of the models: CSBDeep's, with a network preset in them."""

import logging

from csbdeep.models import Config
from csbdeep.utils import axes_dict
from pydantic import ValidationError

from aeanet_tf.errors import InputError, expect, one_line, short
from aeanet_tf.field_errors import did_you_mean, from_validation
from aeanet_tf.loss_names import INTERPOLATION_LOSSES, RESTORATION_LOSSES, SEGMENTATION_LOSSES
from aeanet_tf.models.default_settings import (
    INTERPOLATION,
    PRESETS,
    RESTORATION,
    SEGMENTATION,
    STEPS,
    STEPS_PER_EPOCH,
    TRUTH,
    default_settings,
)
from aeanet_tf.models.noisy_targets import check_target
from aeanet_tf.models.training_settings import (
    SCHEDULES,
    InterpolationSettings,
    SegmentationSettings,
    TrainingSettings,
    attribute,
    invalid_attributes,
)
from aeanet_tf.networks import as_spec
from aeanet_tf.networks.attention_spec import DEEPEST
from aeanet_tf.networks.spec import TAGGED
from aeanet_tf.paths import is_file_name
from aeanet_tf.training import PatchSampler, TripletSampler, TripletValidationSet, ValidationSet
from aeanet_tf.training.losses import check_class_weights

logger = logging.getLogger("aeanet_tf")

_OTHER_MODELS = {
    "projection": "projects 3D to 2D, use ProjectionAEANet",
    "ssan": "interpolates slices, use SliceInterpolationNet",
}
_CHECKPOINTS = ("train_checkpoint", "train_checkpoint_last", "train_checkpoint_epoch")
_UNET_KEYS = ("unet_residual", "unet_n_depth", "unet_n_first", "unet_last_activation")
# What label images hold: ImageJ shows labels of 8 and of 16 bits.
LARGEST_LABEL = 2**16 - 1


class AEANetConfig(Config):
    """Configuration of an `AEANet`; a ``csbdeep.models.Config`` that also names a network.

    Args:
        axes: of the images, as in CSBDeep (``"YX"``, ``"ZYX"``; a channel axis is added at the end).
        n_channel_in, n_channel_out: channels of input and output.
        probabilistic: predict a Laplace distribution for each pixel.
        preset: name in `aeanet_tf.networks.presets`; ``"aeanet-care"`` by default, which has no batch norm and predicts
            a correction of its input: intensities are learned from few images (docs/training.md).
            The number of spatial axes follows from ``axes``, so any preset serves 2D and 3D.
        network: dict of spec fields that differ from the preset, for instance
            ``{"attention": {"shared_references": 16}}`` or ``{"depth": 4}``, which fills in the blocks.
        kwargs: CSBDeep's attributes. ``unet_residual``, ``unet_n_depth``, ``unet_n_first`` and
            ``unet_last_activation`` change the network where given; otherwise the preset decides.

    Attributes beside CSBDeep's:
        train_patch_size, train_beta_1, ...: the settings of `aeanet_tf.models.training_settings.TrainingSettings`, with
            ``train_`` before their names. ``train_reduce_lr`` is ``None`` where another schedule is given.
        train_match_targets: whether each target, image or patch, is fitted to its input by gain and offset, so that
            predictions have the intensities of the input (docs/training.md, `aeanet_tf.training.pairs`). ``False``.
        train_baselines: whether the trained model is compared with simple filters on the validation images. ``True``.
        train_report: whether ``report.html`` is written into its folder (docs/training.md). ``True``; the environment
            variable ``AEANET_REPORT=0`` leaves it out of every training.

    Class attributes:
        kind: of the models, as `default_settings` knows it.
        settings: the class of the settings, `TrainingSettings` or one that extends it.
        losses: names of the losses.
        samplers: the classes of what is trained on and of what is validated on.
        projected_axis: index of the spatial axis of the input that predictions lack, ``None`` for none.
        learns_intensities: whether predictions are intensities that follow from those of the same place in the input.

    What is not given is what a run configuration has, too (`default_settings`, docs/training.md). A configuration of
    CSBDeep's class keeps CSBDeep's values (`from_csbdeep`).

    Raises:
        InputError: an unknown preset, or a network field that is wrong (the field is named).

    Example:
        >>> from aeanet_tf.models import AEANetConfig
        >>> config = AEANetConfig("ZYX", preset="aeanet-em", network={"attention": {"shared_references": 16}})
        >>> config.axes, config.spec.dimension, config.spec.attention.shared_references
        ('ZYXC', 3, 16)
    """

    settings = TrainingSettings
    losses = RESTORATION_LOSSES
    samplers = PatchSampler, ValidationSet
    projected_axis = None
    learns_intensities = True
    kind = RESTORATION
    _default_presets = dict.fromkeys((2, 3), PRESETS[RESTORATION])

    def __init__(
        self, axes="YX", n_channel_in=1, n_channel_out=1, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        preset, network = kwargs.pop("preset", None), kwargs.pop("network", None)
        unet = {key: kwargs.pop(key) for key in _UNET_KEYS if key in kwargs}
        try:
            super().__init__(axes, n_channel_in, n_channel_out, probabilistic)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"axes, channels: found {axes!r:.40}, expected YX or ZYX ({one_line(error)})") from None
        if self.n_dim not in self._default_presets:
            expected = " or ".join(map(str, self._default_presets))
            raise InputError(f"axes: {axes!r} are {self.n_dim} spatial axes, expected {expected}")
        expect(preset is None or isinstance(preset, str), "preset", short(preset), "the name of one")
        self.preset = preset or self._default_presets[self.n_dim]
        self.network = self._resolve(network or {}, unet).model_dump(mode="json")
        self._check_agreement()
        given = [name for name in SCHEDULES if attribute(name) in kwargs]
        target = kwargs.get("train_target", TRUTH)
        defaults = self.settings().model_dump() | default_settings(self.kind, given, self.probabilistic, target)
        for name, value in defaults.items():
            setattr(self, attribute(name), value)
        self.train_steps_per_epoch, self.train_epochs = STEPS_PER_EPOCH, STEPS // STEPS_PER_EPOCH
        self.train_match_targets = False
        self.train_baselines = self.train_report = True
        for derived in ("n_dim", "unet_input_shape", "unet_kern_size"):
            kwargs.pop(derived, None)
        self._mirror(self.restoration)
        if not allow_new_parameters:
            self._check_names(kwargs)
        self.update_parameters(allow_new_parameters, **kwargs)
        check_target(self)
        size = self.train_patch_size
        expect(size is None or hasattr(size, "__len__"), "train_patch_size", short(size), _patch_size(size, self.axes))

    def _check_names(self, kwargs):
        """Refuse attributes that there are none of; CSBDeep's message names no other."""
        known = [name for name in vars(self) if not name.startswith("_")]
        for name in kwargs:
            if name not in known:
                setting = attribute(name)
                hint = f", did you mean {setting}?" if setting in known else did_you_mean(name, known)
                raise InputError(f"{type(self).__name__}: {name}: unknown key{hint}")

    @classmethod
    def from_csbdeep(cls, config):
        """The configuration of the attention network that stands in for a CARE network.

        Depth, first filters, residual and training settings are taken over, and what CARE does: patches are not
        augmented, and there is no seed. ``unet_kern_size`` is not: the blocks of these networks have kernels of 3.
        """
        logger.info("taking over CARE's configuration; its unet_kern_size has no counterpart here")
        known = vars(cls(config.axes, config.n_channel_in, config.n_channel_out, config.probabilistic))
        taken = {key: value for key, value in vars(config).items() if key in known}
        return cls(**{"train_augment": False, "train_seed": None, **taken})

    @property
    def spec(self):
        """The validated network spec."""
        return as_spec(self.network)

    @property
    def restoration(self):
        """The spec of the U-Net: the network itself, or the one behind the projection."""
        return self.spec

    @property
    def target_channels(self):
        """Channels of the images to train for."""
        return self.n_channel_out

    @property
    def restores(self):
        """Whether predictions are images of the axes and channels of the input, which can have its intensities and
        which a filter could make as well."""
        kept = self.projected_axis is None and self.n_channel_in == self.n_channel_out
        return self.learns_intensities and kept

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind in _OTHER_MODELS:
            raise InputError(f"preset: {self.preset!r} {_OTHER_MODELS[spec.kind]} and its configuration")
        return customised(spec, self, self.n_dim, network, unet)

    def _check_agreement(self):
        """Refuse a ``network`` that contradicts CSBDeep's own attributes, which the data are checked against."""
        spec = self.spec
        for field, own in (
            ("dimension", "n_dim"),
            ("in_channels", "n_channel_in"),
            ("out_channels", "n_channel_out"),
            ("probabilistic", "probabilistic"),
        ):
            found, expected = getattr(spec, field), getattr(self, own)
            if found != expected:
                raise InputError(f"network.{field}: {found}, expected {expected} as {own} says; leave it out")

    def _mirror(self, spec):
        """Show the network in CSBDeep's own attributes, which CARE's code and users read."""
        self.unet_residual = spec.output_offset
        self.unet_n_depth = spec.depth - 1
        self.unet_kern_size = 3
        self.unet_n_first = spec.first_filters
        self.unet_last_activation = spec.last_activation

    def is_valid(self, return_invalid=False):
        """Whether all values are valid; with ``return_invalid`` also the names of those that are not."""
        _, invalid = super().is_valid(return_invalid=True)
        # CSBDeep knows other losses.
        invalid = [key for key in invalid if key != "train_loss"]
        loss, size = self.train_loss, self.train_patch_size
        ok = {
            "train_loss": loss in self.losses and (loss == "laplace") == self.probabilistic,
            "train_patch_size": size is None or len(size) == self.n_dim,
            "train_match_targets": isinstance(self.train_match_targets, bool),
            "train_baselines": isinstance(self.train_baselines, bool),
            "train_report": isinstance(self.train_report, bool),
            # Training writes them into the model folder.
            **{name: getattr(self, name) is None or is_file_name(getattr(self, name)) for name in _CHECKPOINTS},
        }
        invalid += [*invalid_attributes(self.settings, self), *(key for key, good in ok.items() if not good)]
        invalid = tuple(dict.fromkeys(invalid))
        return (not invalid, invalid) if return_invalid else not invalid


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

    As `AEANetConfig`, with ``n_channel_in`` twice ``n_channel_out``, the channels of a slice, and ``"ssan"`` as preset.
    ``network`` changes fields of the `SSANSpec`; the ``unet_*`` attributes mean nothing here. ``train_loss`` is one of
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
        if spec.kind != "unet" or spec.input_size:
            raise InputError(f"preset: {self.preset!r} is no U-Net for images of any size, which segmentation takes")
        if self.n_channel_out < 2:
            raise InputError(f"n_channel_out: {self.n_channel_out}, expected the number of classes, at least 2")
        end = network.get("last_activation", "softmax")
        if end != "softmax":
            raise InputError(f"network.last_activation: {end!r}, expected 'softmax', over the classes; leave it out")
        spec = replaced(spec, {"output_offset": False, "out_channels": self.n_channel_out})
        unet = {key: value for key, value in unet.items() if key not in ("unet_residual", "unet_last_activation")}
        return customised(spec, self, self.n_dim, {**network, "last_activation": "softmax"}, unet)

    def _mirror(self, spec):
        super()._mirror(spec)
        # CSBDeep knows no softmax.
        self.unet_last_activation = "linear"


def _patch_size(size, axes):
    axes = axes.removesuffix("C")
    return f"a list with a number for each of the axes {axes}, such as {[size] * len(axes)}"


def customised(spec, config, dimension, network, unet):
    """``spec`` for the images of ``config``, with CSBDeep's ``unet_*`` values and the user's fields applied."""
    changes = {
        "dimension": dimension,
        "in_channels": config.n_channel_in,
        "out_channels": config.n_channel_out,
        "probabilistic": config.probabilistic,
        "output_offset": unet.get("unet_residual", spec.output_offset and config.n_channel_in == config.n_channel_out),
        "first_filters": unet.get("unet_n_first", spec.first_filters),
        "last_activation": unet.get("unet_last_activation", spec.last_activation),
    }
    if spec.input_size and len(spec.input_size) != dimension:
        changes["input_size"] = network.get("input_size")
    spec = replaced(spec, changes)
    if "unet_n_depth" in unet:
        spec = spec.with_depth(unet["unet_n_depth"] + 1)
    return replaced(spec, network)


def replaced(spec, changes):
    """``spec`` with fields changed; `InputError` names one that is wrong.

    A ``depth`` fills in the blocks and up-samplings of the resolutions, which other fields may then change.
    """
    try:
        if isinstance(changes.get("depth"), int) and 2 <= changes["depth"] <= DEEPEST:
            spec = spec.with_depth(changes["depth"])
        inner = changes.get("restoration")
        if isinstance(inner, dict) and isinstance(inner.get("depth"), int):
            changes = {**changes, "restoration": replaced(spec.restoration, inner).model_dump()}
        return spec.replace(**changes)
    except ValidationError as error:
        raise from_validation(error, "network", TAGGED, type(spec)) from None


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

"""Configurations of the models: CSBDeep's, with a network preset in them."""

import logging

from csbdeep.models import Config

from aeanet_tf.errors import InputError, expect, one_line, short
from aeanet_tf.field_errors import did_you_mean
from aeanet_tf.loss_names import RESTORATION_LOSSES
from aeanet_tf.models.adversarial import check_adversarial
from aeanet_tf.models.default_settings import (
    PRESETS,
    RESTORATION,
    STEPS,
    STEPS_PER_EPOCH,
    TRUTH,
    default_settings,
)
from aeanet_tf.models.network_fields import customised
from aeanet_tf.models.noisy_targets import check_target
from aeanet_tf.models.training_settings import (
    SCHEDULES,
    TrainingSettings,
    attribute,
    invalid_attributes,
)
from aeanet_tf.networks import as_spec
from aeanet_tf.paths import is_file_name
from aeanet_tf.training import PatchSampler, ValidationSet

logger = logging.getLogger("aeanet_tf")

_OTHER_MODELS = {
    "projection": "projects 3D to 2D, use ProjectionAEANet",
    "ssan": "interpolates slices, use SliceInterpolationNet",
}
_CHECKPOINTS = ("train_checkpoint", "train_checkpoint_last", "train_checkpoint_epoch")
_UNET_KEYS = ("unet_residual", "unet_n_depth", "unet_n_first", "unet_last_activation")
# Classes that users' own classes extend, by both.
_extended = {}


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
            ``unet_last_activation`` change the network where given; otherwise the preset decides. ``unet_kern_size`` is
            for networks of your own. With ``allow_new_parameters`` also fields of your own, which are kept with the
            model.

    Attributes beside CSBDeep's:
        train_patch_size, train_beta_1, ...: the settings of `aeanet_tf.models.training_settings.TrainingSettings`, with
            ``train_`` before their names. ``train_reduce_lr`` is ``None`` where another schedule is given.
        train_match_targets: whether each target, image or patch, is fitted to its input by gain and offset, so that
            predictions have the intensities of the input (docs/training.md, `aeanet_tf.training.pairs`). ``False``.
        train_baselines: whether the trained model is compared with simple filters on the validation images. ``True``.
        train_report: whether ``report.html`` is written into its folder (docs/training.md). ``True``; the environment
            variable ``AEANET_REPORT=0`` leaves it out of every training.
        own_fields: names of the fields that are the user's own, where there are some.

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
        own = kwargs.pop("own_fields", ())
        unet = {key: kwargs.pop(key) for key in _UNET_KEYS if key in kwargs}
        try:
            # Not that of a class of the user's that this one is extended by (`extended_by`).
            Config.__init__(self, axes, n_channel_in, n_channel_out, probabilistic)
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
        for derived in ("n_dim", "unet_input_shape"):
            kwargs.pop(derived, None)
        if self.spec.kind == "own":
            kwargs |= unet
        else:
            self._mirror(self.restoration)
            # As in CSBDeep it is `is_valid` that tells of one that channels do not allow.
            if unet.get("unet_residual") and self.n_channel_in != self.n_channel_out:
                self.unet_residual = True
        if not allow_new_parameters:
            self._check_names([name for name in kwargs if name not in own])
        new = sorted(set(kwargs) - set(vars(self)))
        if new:
            self.own_fields = new
        self.update_parameters(True, **kwargs)
        check_target(self)
        check_adversarial(self)
        self.train_reduce_lr = plateau_arguments(self.train_reduce_lr)
        size = self.train_patch_size
        expect(size is None or hasattr(size, "__len__"), "train_patch_size", short(size), _patch_size(size, self.axes))

    def _check_names(self, names):
        """Refuse attributes that there are none of; CSBDeep's message names no other."""
        known = [name for name in vars(self) if not name.startswith("_")]
        for name in names:
            if name not in known:
                setting = attribute(name)
                hint = f", did you mean {setting}?" if setting in known else did_you_mean(name, known)
                raise InputError(f"{type(self).__name__}: {name}: unknown key{hint}")

    @classmethod
    def from_csbdeep(cls, config):
        """The configuration of the attention network that stands in for a CARE network.

        Depth, first filters, residual and training settings are taken over, and what CARE does: patches are not
        augmented, and there is no seed. ``unet_kern_size`` is kept, but the blocks of our networks have kernels of 3.
        So are fields that a class of the user's adds, with its methods (`extended_by`).
        """
        logger.info("taking over CARE's configuration; its unet_kern_size has no counterpart here")
        known = vars(cls(config.axes, config.n_channel_in, config.n_channel_out, config.probabilistic))
        taken = {key: value for key, value in vars(config).items() if not key.startswith("proj_") or key in known}
        if set(taken) - set(known):
            taken["allow_new_parameters"] = True
        return cls.extended_by(type(config))(**{"train_augment": False, "train_seed": None, **taken})

    @classmethod
    def extended_by(cls, theirs):
        """This class with what a user's subclass of CSBDeep's ``Config`` adds to it; each of both is a base of it.

        It is made as this class is: ``theirs.__init__`` is not called.
        """
        if issubclass(cls, theirs) or theirs.__module__.partition(".")[0] == "csbdeep":
            return cls
        if (cls, theirs) not in _extended:
            _extended[cls, theirs] = type(theirs.__name__, (cls, theirs), {"__doc__": theirs.__doc__})
        return _extended[cls, theirs]

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
        if isinstance(network, dict) and network.get("kind") == "own":
            return as_spec(network)
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
        # CSBDeep knows no network of one resolution.
        self.unet_n_depth = max(1, spec.depth - 1)
        self.unet_kern_size = 3
        self.unet_n_first = getattr(spec, spec.width)
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


def plateau_arguments(arguments):
    """The arguments of ``ReduceLROnPlateau`` with the name that ``epsilon``, of Keras up to 2.1.5, has now."""
    if not isinstance(arguments, dict) or "epsilon" not in arguments:
        return arguments
    logger.info("train_reduce_lr: epsilon is called min_delta by now")
    kept = {name: value for name, value in arguments.items() if name != "epsilon"}
    return {"min_delta": arguments["epsilon"], **kept}


def _patch_size(size, axes):
    axes = axes.removesuffix("C")
    return f"a list with a number for each of the axes {axes}, such as {[size] * len(axes)}"

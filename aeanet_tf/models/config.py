"""Configurations of the models: CSBDeep's, with a network preset in them."""

from csbdeep.models import Config
from csbdeep.utils import axes_dict
from pydantic import ValidationError

from aeanet_tf.device_names import count_devices
from aeanet_tf.errors import InputError, from_validation
from aeanet_tf.networks import PRECISIONS, as_spec
from aeanet_tf.training.interpolation_losses import INTERPOLATION_LOSSES
from aeanet_tf.training.losses import LOSSES

_OTHER_MODELS = {
    "projection": "projects 3D to 2D, use ProjectionAEANet",
    "ssan": "interpolates slices, use SliceInterpolationNet",
}
_SCHEDULES = ("train_learning_rate_decay", "train_learning_rate_cosine", "train_reduce_lr")
_UNET_KEYS = ("unet_residual", "unet_n_depth", "unet_n_first", "unet_last_activation")


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
        train_beta_1, train_beta_2: of Adam, 0.9 and 0.999.
        train_learning_rate_decay: ``{"rate": 0.5, "steps": 10000}`` multiplies the learning rate by ``rate`` every
            ``steps`` steps, or ``None``. Excludes ``train_reduce_lr``, which is then ``None`` unless given.
        train_learning_rate_cosine: ``{"warmup": 0.1, "final": 0}``: the learning rate rises over this share of all
            steps (``train_epochs`` times ``train_steps_per_epoch``) and falls as half a cosine to this share of
            itself; or ``None``. Of the three schedules at most one is given.
        train_clip_norm: largest norm of all gradients together; ``None`` for no limit.
        train_weight_decay: of AdamW on kernels; ``None`` for Adam.
        train_average: momentum of an exponential moving average of the weights, such as 0.99, which is then validated
            and kept in place of the weights themselves; ``None`` for none.
        train_match_targets: whether each target, image or patch, is fitted to its input by gain and offset, so that
            predictions have the intensities of the input (docs/training.md, `aeanet_tf.training.pairs`). ``False``.
        train_baselines: whether the trained model is compared with simple filters on the validation images. ``True``.
        train_augment: random flips and rotations by 90 degrees in YX. ``False``, as in CARE.
        train_patch_size: spatial size of random crops when training from lists of whole images.
        train_seed: seeds weights, order of patches, crops and augmentation; ``None`` draws from the system.
        train_devices: to train on: a number n for the first n GPUs, a list such as ``["GPU:0", "GPU:1"]``, or ``None``
            for TensorFlow's own choice. Each gets an equal share of the ``train_batch_size`` patches of a step, and
            batch norm and batch-aware attention see the patches of one device (docs/networks.md). Loading and
            predicting do not look at it.
        train_precision: ``"float32"``, or ``"bfloat16"`` for layers that compute in half precision; weights, losses and
            the model that comes out are in float32 (docs/performance.md).
        train_kernel_l2: factor of half the sum of the squared kernels in the loss, 0
            (`aeanet_tf.training.optimisation`).
        train_batch_norm_batches: training batches from which batch-norm statistics are estimated before each
            validation of the first steps (docs/networks.md), 16; 0 for off.

    Where none of the three schedules is given, restoration has warm-up and cosine to a learning rate of 2e-3, and
    ``train_clip_norm`` 1 (docs/training.md). CSBDeep's configurations keep CSBDeep's.

    Raises:
        InputError: an unknown preset, or a network field that is wrong (the field is named).
    """

    _default_presets = {2: "aeanet-care", 3: "aeanet-care"}  # noqa: RUF012  read-only; pairs would be no clearer
    # What was best for restoration where no schedule is given.
    _default_training = {  # noqa: RUF012  read-only
        "train_learning_rate": 2e-3,
        "train_learning_rate_cosine": {"warmup": 0.1, "final": 0.0},
        "train_clip_norm": 1.0,
    }

    def __init__(
        self, axes="YX", n_channel_in=1, n_channel_out=1, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        preset, network = kwargs.pop("preset", None), kwargs.pop("network", None)
        unet = {key: kwargs.pop(key) for key in _UNET_KEYS if key in kwargs}
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic)
        if self.n_dim not in self._default_presets:
            expected = " or ".join(map(str, self._default_presets))
            raise InputError(f"axes: {axes!r} are {self.n_dim} spatial axes, expected {expected}")
        self.preset = preset or self._default_presets[self.n_dim]
        self.network = self._resolve(network or {}, unet).model_dump(mode="json")
        self._check_agreement()
        self.train_beta_1 = 0.9
        self.train_beta_2 = 0.999
        self.train_learning_rate_decay = self.train_learning_rate_cosine = None
        self.train_clip_norm = self.train_weight_decay = self.train_average = None
        self.train_match_targets = False
        self.train_baselines = True
        self.train_augment = False
        self.train_patch_size = None
        self.train_seed = None
        self.train_devices = None
        self.train_precision = "float32"
        self.train_kernel_l2 = 0.0
        self.train_batch_norm_batches = 16
        if not any(name in kwargs for name in _SCHEDULES):
            kwargs = {**self._default_training, **kwargs}
        if any(kwargs.get(name) is not None for name in _SCHEDULES[:2]):
            kwargs.setdefault("train_reduce_lr", None)
        for derived in ("n_dim", "unet_input_shape", "unet_kern_size"):
            kwargs.pop(derived, None)
        self._mirror(self.restoration)
        self.update_parameters(allow_new_parameters, **kwargs)

    @classmethod
    def from_csbdeep(cls, config):
        """The configuration of the attention network that stands in for a CARE network.

        Depth, first filters, residual and training settings are taken over. ``unet_kern_size`` is not: the blocks
        of these networks have kernels of 3.
        """
        known = vars(cls(config.axes, config.n_channel_in, config.n_channel_out, config.probabilistic))
        return cls(**{key: value for key, value in vars(config).items() if key in known})

    @property
    def spec(self):
        """The validated network spec."""
        return as_spec(self.network)

    @property
    def restoration(self):
        """The spec of the U-Net: the network itself, or the one behind the projection."""
        return self.spec

    @property
    def restores(self):
        """Whether predictions are images of the axes and channels of the input, which can have its intensities and
        which a filter could make as well."""
        return self.spec.model_kind == "unet" and self.n_channel_in == self.n_channel_out

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind != "unet":
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
        decay, cosine = self.train_learning_rate_decay, self.train_learning_rate_cosine
        schedules = [getattr(self, name) for name in _SCHEDULES]
        ok = {
            "train_beta_1": _is_number(self.train_beta_1) and 0 <= self.train_beta_1 < 1,
            "train_beta_2": _is_number(self.train_beta_2) and 0 <= self.train_beta_2 < 1,
            "train_learning_rate_decay": decay is None or (isinstance(decay, dict) and set(decay) == {"rate", "steps"}),
            "train_learning_rate_cosine": cosine is None
            or (
                isinstance(cosine, dict) and set(cosine) <= {"warmup", "final"} and all(map(_is_share, cosine.values()))
            ),
            "train_reduce_lr": sum(schedule is not None for schedule in schedules) <= 1,
            "train_loss": self.train_loss in self._losses,
            **{
                name: getattr(self, name) is None or (_is_number(getattr(self, name)) and getattr(self, name) > 0)
                for name in ("train_clip_norm", "train_weight_decay")
            },
            "train_average": self.train_average is None
            or (_is_number(self.train_average) and 0 < self.train_average < 1),
            "train_match_targets": isinstance(self.train_match_targets, bool),
            "train_baselines": isinstance(self.train_baselines, bool),
            "train_augment": isinstance(self.train_augment, bool),
            "train_patch_size": self.train_patch_size is None or len(self.train_patch_size) == self.n_dim,
            "train_seed": self.train_seed is None or (isinstance(self.train_seed, int) and self.train_seed >= 0),
            "train_devices": _are_devices(self.train_devices),
            "train_kernel_l2": _is_number(self.train_kernel_l2) and self.train_kernel_l2 >= 0,
            "train_precision": self.train_precision in PRECISIONS,
            "train_batch_norm_batches": isinstance(self.train_batch_norm_batches, int)
            and self.train_batch_norm_batches >= 0,
        }
        invalid = tuple(dict.fromkeys((*invalid, *(key for key, good in ok.items() if not good))))
        return (not invalid, invalid) if return_invalid else not invalid

    @property
    def _losses(self):
        """Names of the losses that it can be trained with."""
        return ("laplace",) if self.probabilistic else tuple(name for name in LOSSES if name != "laplace")


class ProjectionAEANetConfig(AEANetConfig):
    """Configuration of a `ProjectionAEANet`: 3D to 2D.

    As `AEANetConfig`, with ``axes`` of three spatial axes that begin with ``proj_axis`` (``"ZYX"``), and
    ``"aeanet-flywing"`` as default preset. ``network`` changes fields of the `ProjectionSpec`; the ``unet_*``
    attributes act on its ``restoration``.
    """

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

    _default_presets = {3: "aeanet-flywing"}  # noqa: RUF012  read-only, as above

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

    Attributes beside those of `AEANetConfig`:
        train_vgg_weights: file with the weights of VGG-16, for the losses that need it; ``None`` for those of
            `keras.applications`.
    """

    _default_presets = {2: "ssan"}  # noqa: RUF012  read-only, as above
    _default_training = {}  # noqa: RUF012  read-only; CSBDeep's

    def __init__(
        self, axes="YX", n_channel_in=2, n_channel_out=1, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        weights = kwargs.pop("train_vgg_weights", None)
        kwargs.setdefault("train_loss", "pixel")
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic, allow_new_parameters, **kwargs)
        self.train_vgg_weights = weights

    def _resolve(self, network, unet):
        spec = as_spec(self.preset)
        if spec.kind != "ssan":
            raise InputError(f"preset: {self.preset!r} does not interpolate slices, use AEANet and its configuration")
        return replaced(spec, {"in_channels": self.n_channel_in, "out_channels": self.n_channel_out, **network})

    def _mirror(self, spec):
        self.unet_residual, self.unet_n_depth, self.unet_kern_size = False, 1, 3
        self.unet_n_first, self.unet_last_activation = spec.filters, "linear"

    _losses = tuple(INTERPOLATION_LOSSES)


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
        if isinstance(changes.get("depth"), int) and changes["depth"] >= 2:
            spec = spec.with_depth(changes["depth"])
        inner = changes.get("restoration")
        if isinstance(inner, dict) and isinstance(inner.get("depth"), int):
            changes = {**changes, "restoration": replaced(spec.restoration, inner).model_dump()}
        return spec.replace(**changes)
    except ValidationError as error:
        raise from_validation(error, "network") from None


def _are_devices(value):
    try:
        return count_devices(value) > 0
    except ValueError:
        return False


def _is_share(value):
    return _is_number(value) and 0 <= value < 1


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)

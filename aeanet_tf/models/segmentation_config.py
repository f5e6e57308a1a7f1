"""Configuration of a segmentation model."""

from aeanet_tf.errors import InputError
from aeanet_tf.models.config import AEANetConfig, customised, replaced
from aeanet_tf.networks import as_spec
from aeanet_tf.training.losses import SEGMENTATION_LOSSES, check_class_weights

# What label images hold: ImageJ shows labels of 8 and of 16 bits.
LARGEST_LABEL = 2**16 - 1


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
        train_class_weights: list with a number for each class, which the loss is weighted by; ``None`` for 1.
        train_kernel_l2: 2e-6 by default, as published (Wang et al. 2020).

    Raises:
        InputError: as `AEANetConfig`; also labels or class weights that do not fit the classes.
    """

    _default_presets = {2: "aeanet-mri", 3: "aeanet-mri"}  # noqa: RUF012  read-only, as in AEANetConfig
    _default_training = {}  # noqa: RUF012  read-only; CSBDeep's

    def __init__(
        self, axes="YX", n_channel_in=1, n_channel_out=2, probabilistic=False, allow_new_parameters=False, **kwargs
    ):
        labels, weights = kwargs.pop("labels", None), kwargs.pop("train_class_weights", None)
        kwargs.setdefault("train_loss", "cross_entropy")
        kwargs.setdefault("train_kernel_l2", 2e-6)
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic, allow_new_parameters, **kwargs)
        self.labels = check_labels(labels, self.n_channel_out)
        self.train_class_weights = check_class_weights(weights, self.n_channel_out)

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

    _losses = tuple(SEGMENTATION_LOSSES)


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

"""Settings of a training: what run configurations and the configurations of models share, defined once."""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from aeanet_tf.device_names import PRECISIONS, count_devices
from aeanet_tf.field_errors import from_validation
from aeanet_tf.models.preparation import Count, Section

TARGETS = ("truth", "noise2noise", "noise2void")
"""The values of `TrainingSettings.target`."""


class DecaySection(Section):
    """``rate`` multiplies the learning rate every ``steps`` steps.

    Attributes:
        rate: what the learning rate is multiplied by.
        steps: how often, in steps of the optimiser.
    """

    rate: Annotated[float, Field(gt=0, le=1)]
    steps: Count


class CosineSection(Section):
    """The learning rate rises over ``warmup``, a share of all steps, and falls as half a cosine to ``final``, a share
    of itself.

    Attributes:
        warmup: share of all steps over which the learning rate rises.
        final: what is left of it at the end, as a share of its highest value.
    """

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    final: Annotated[float, Field(ge=0, lt=1)] = 0.0


class PlateauSection(Section):
    """The arguments of Keras's ``ReduceLROnPlateau``.

    Attributes:
        monitor: name of the value that has to fall.
        factor: what the learning rate is multiplied by.
        patience: validations without an improvement before that.
        verbose: whether it is printed.
        mode: whether lower or higher is better; "auto" goes by the name.
        min_delta: a change by less is no improvement.
        epsilon: an earlier name of ``min_delta``.
        cooldown: validations after a reduction in which nothing is counted.
        min_lr: the learning rate falls no lower.
    """

    monitor: Annotated[str, Field(min_length=1)] = "val_loss"
    factor: Annotated[float, Field(ge=0, lt=1)] = 0.5
    patience: Annotated[int, Field(ge=0, lt=2**31)] = 10
    verbose: bool | int = True
    mode: Literal["auto", "min", "max"] = "auto"
    min_delta: NonNegativeFloat = 0.0
    epsilon: NonNegativeFloat = 0.0
    cooldown: Annotated[int, Field(ge=0, lt=2**31)] = 0
    min_lr: NonNegativeFloat = 0.0


class EarlyStoppingSection(Section):
    """Training ends when the lowest validation loss is ``patience`` validations old; a loss counts as lower where it is
    so by more than ``min_delta``.

    Attributes:
        patience: validations that may pass without a lower loss.
        min_delta: how much lower a loss has to be.
    """

    patience: Count
    min_delta: NonNegativeFloat = 0.0


class BlindSpotsSection(Section):
    """Which pixels are hidden from the network where the target is "noise2void" (docs/noise2void.md).

    Attributes:
        share: of the pixels of a patch that are hidden.
        radius: a hidden pixel is given the value of another one, drawn from those up to so many pixels away along each
            axis.
        axis: along which noise is correlated, such as the "X" of a line scanner, whose neighbours are hidden as well;
            ``None`` for none.
        extent: how many neighbours on either side.
    """

    share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    radius: Annotated[int, Field(ge=1, le=64)] = 2
    axis: Literal["T", "Z", "Y", "X"] | None = None
    extent: Annotated[int, Field(ge=1, le=64)] = 5


class AdversarialSection(Section):
    """A discriminator that learns to tell predictions from recorded images, and whose judgement of the predictions is
    a term of their loss (docs/training.md#adversarial-training). Textures of such a model are invented.

    Attributes:
        weight: factor of the adversarial term beside ``loss``.
        learning_rate: of the discriminator's Adam, all through the training.
        filters: of the discriminator's first convolution; the others have up to eight times as many.
        depth: of its convolutions how many halve sizes. With 1, 2, 3 and 4 it judges 16, 34, 70 and 142 pixels along
            each axis.
        conditional: whether it sees the input beside the prediction, so that it can tell whether both belong together.
    """

    weight: Annotated[PositiveFloat, Field(le=3e38)] = 0.01
    learning_rate: Annotated[PositiveFloat, Field(le=3e38)] = 2e-4
    filters: Annotated[int, Field(ge=1, le=1024)] = 64
    depth: Annotated[int, Field(ge=1, le=6)] = 3
    conditional: bool = True


class TrainingSettings(Section):
    """What our models are trained with beyond CSBDeep's own settings, and where our defaults are not CSBDeep's.

    A run configuration has these fields in its section ``training``; an `AEANetConfig` has them as attributes with
    ``train_`` before the name (`attribute`). What depends on the kind of model is in `default_settings`.

    Attributes:
        target: what is trained for: "truth", the ground truth; "noise2noise", another noisy image of the same, either
            being the input; "noise2void", the noisy images themselves, pixel by pixel from what is around it.
        blind_spots: of "noise2void", which pixels are hidden.
        batch_size: patches of a step.
        tensorboard: whether TensorBoard's files are written into ``logs`` in the model folder, with pictures of
            validation images.
        patch_size: spatial size of random crops when training from lists of whole images; ``None`` for ready-made
            patches.
        beta_1, beta_2: of Adam.
        learning_rate_decay: ``{"rate": 0.5, "steps": 10000}`` multiplies the learning rate by ``rate`` every ``steps``
            steps; ``None`` for none.
        learning_rate_cosine: ``{"warmup": 0.1, "final": 0}``: the learning rate rises over this share of all steps and
            falls as half a cosine to this share of itself; ``None`` for none.
        reduce_learning_rate: CSBDeep's reduction on a plateau, ``train_reduce_lr`` there; ``None`` for none. Of the
            three schedules at most one is given.
        early_stopping: ``{"patience": 10, "min_delta": 0}`` ends the training when the lowest validation loss is
            ``patience`` validations old; ``None`` for never.
        clip_norm: largest norm of all gradients together; ``None`` for no limit.
        weight_decay: of AdamW on kernels; ``None`` for Adam.
        average: momentum of an exponential moving average of the weights, such as 0.99, which is then validated and
            kept in place of the weights themselves; ``None`` for none.
        kernel_l2: factor of half the sum of the squared kernels in the loss (`aeanet_tf.training.optimisation`).
        augment: random flips along every spatial axis, Z as well, and rotations by 90 degrees in YX.
        adversarial: the discriminator of an adversarial training; ``None`` for none.
        seed: of weights, order of patches, crops and augmentation; ``None`` draws from the system.
        devices: to train on: a number n for the first n GPUs, a list such as ``["GPU:0", "GPU:1"]``, or ``None`` for
            TensorFlow's own choice. Each gets an equal share of the patches of a step, and batch norm and batch-aware
            attention see the patches of one device (docs/networks.md). Loading and predicting do not look at it.
        accumulate: in how many parts the batch of a step is computed, one after another, by the mean of whose gradients
            the weights change: the same step in less memory, but that batch norm and batch-aware attention see the
            patches of one part. A divisor of ``batch_size``; 1 for all at once.
        synchronized_batch_norm: whether batch norm sees the patches of all devices instead, as on one device; without
            ``devices`` it changes nothing.
        precision: ``"float32"``, or ``"bfloat16"`` for layers that compute in half precision; weights, losses and the
            model that comes out are in float32 (docs/performance.md).
        batch_norm_batches: training batches from which batch-norm statistics are estimated before each validation of
            the first steps (docs/networks.md); 0 for off.
    """

    target: Literal[TARGETS] = "truth"
    blind_spots: BlindSpotsSection = BlindSpotsSection()
    batch_size: Count = 16
    tensorboard: bool = False
    patch_size: tuple[Count, ...] | None = None
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    learning_rate_decay: DecaySection | None = None
    learning_rate_cosine: CosineSection | None = None
    reduce_learning_rate: dict[str, Any] | None = None
    early_stopping: EarlyStoppingSection | None = None
    clip_norm: PositiveFloat | None = None
    weight_decay: PositiveFloat | None = None
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    kernel_l2: NonNegativeFloat = 0.0
    augment: bool = True
    adversarial: AdversarialSection | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = 0
    devices: Count | list[str] | None = None
    accumulate: Count = 1
    synchronized_batch_norm: bool = False
    precision: Literal[PRECISIONS] = "float32"
    batch_norm_batches: Annotated[int, Field(ge=0, lt=2**31)] = 16

    @field_validator("devices", mode="before")
    @classmethod
    def _named(cls, devices):
        count_devices(devices)
        return devices

    @field_validator("accumulate")
    @classmethod
    def _of_a_batch(cls, parts, info):
        if parts > 1:
            batch_size = info.data.get("batch_size", parts)
            if batch_size % parts:
                raise ValueError(f"found {parts}, expected a divisor of batch_size ({batch_size})")
            for name in ("devices", "adversarial"):
                if info.data.get(name) is not None:
                    raise ValueError(f"found {parts}, expected 1 with {name}")
        return parts

    @field_validator("reduce_learning_rate")
    @classmethod
    def _of_the_callback(cls, arguments):
        if arguments is not None:
            try:
                PlateauSection.model_validate(arguments)
            except ValidationError as error:
                raise ValueError(str(from_validation(error, "reduce_learning_rate", model=PlateauSection))) from None
        return arguments

    @model_validator(mode="after")
    def _one_schedule(self):
        given = [name for name in SCHEDULES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{', '.join(given)}: give at most one")
        return self


SCHEDULES = ("learning_rate_decay", "learning_rate_cosine", "reduce_learning_rate")
"""The fields of `TrainingSettings` that change the learning rate."""


class InterpolationSettings(TrainingSettings):
    """Those of slice interpolation.

    Attributes:
        vgg_weights: file with the weights of VGG-16, for the losses that need it; ``None`` for those of
            `keras.applications`.
    """

    vgg_weights: str | None = None


class SegmentationSettings(TrainingSettings):
    """Those of segmentation, whose kernels are penalised as published (Wang et al. 2020).

    Attributes:
        class_weights: a number for each class, which the loss is weighted by; ``None`` for 1.
    """

    kernel_l2: NonNegativeFloat = 2e-6
    class_weights: list[PositiveFloat] | None = None


def attribute(name):
    """The attribute of a model's configuration that holds a setting: CSBDeep's name where it has one."""
    return {"reduce_learning_rate": "train_reduce_lr"}.get(name, f"train_{name}")


def invalid_attributes(settings, config):
    """Names of the attributes of a model's configuration whose values are not valid.

    Args:
        settings: the class of the settings, `TrainingSettings` or one of those that extend it.
        config: an `AEANetConfig`.
    """
    values = {name: getattr(config, attribute(name)) for name in settings.model_fields}
    try:
        # As JSON, which a configuration is kept as: lists pass for tuples, but texts not for numbers.
        settings.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        return [attribute((item["loc"] or SCHEDULES[-1:])[0]) for item in error.errors()]
    return []

"""Run configurations: the JSON files of ``aeanet train``, validated before anything heavy is imported."""

from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from aeanet_tf.device_names import check_share
from aeanet_tf.field_errors import from_validation
from aeanet_tf.files import apply_override, read_fields, restore_texts, write_text
from aeanet_tf.loss_names import INTERPOLATION_LOSSES, RESTORATION_LOSSES, SEGMENTATION_LOSSES
from aeanet_tf.models.adversarial import VIEWS_DIFFER, why_not_adversarial
from aeanet_tf.models.default_settings import (
    INTERPOLATION,
    NOISE2NOISE,
    NOISE2VOID,
    PRESETS,
    RESTORATION,
    SEGMENTATION,
    STEPS,
    STEPS_PER_EPOCH,
    default_settings,
)
from aeanet_tf.models.folder import RUN_FILE
from aeanet_tf.models.preparation import Count, Section
from aeanet_tf.models.training_settings import DecaySection, InterpolationSettings, SegmentationSettings, attribute
from aeanet_tf.paths import check_name
from aeanet_tf.runs.common_sections import PathText
from aeanet_tf.runs.data_sections import DataSection, FoldersSection
from aeanet_tf.runs.length import (
    Decay,
    EpochDecaySection,
    Epochs,
    equal_epochs,
    steps_between_validations,
    steps_of_epochs,
)
from aeanet_tf.runs.shipped import find_config


class ModelSection(Section):
    """The model: axes, channels, preset and what differs from it.

    Attributes:
        name: of the model folder, which lies in ``basedir``; neither absolute nor with "..".
        basedir: the folder in which the model folder is made.
        preset: the network (docs/networks.md).
        axes: of the network, such as "YX" or "ZYX".
        n_channel_in, n_channel_out: channels of the input and of the output; for segmentation ``n_channel_out`` is the
            number of classes, background included.
        probabilistic: whether mean and scale of a Laplace distribution are predicted; goes with the loss "laplace".
        network: fields of the network that differ from the preset, such as {"depth": 4}.
        labels: for segmentation: the values of the classes in label images; ``None`` for 0, 1, 2, ...
    """

    name: Annotated[str, Field(min_length=1)]
    basedir: PathText = "models"
    preset: str = "aeanet-care"
    axes: str = "YX"
    n_channel_in: Count = 1
    n_channel_out: Count = 1
    probabilistic: bool = False
    network: dict[str, Any] = Field(default_factory=dict)
    labels: list[int] | None = None

    @field_validator("name")
    @classmethod
    def _inside_basedir(cls, name):
        return check_name(name, "name of the folder")

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes):
        spatial = axes.upper().removesuffix("C")
        known = {"".join(letters) for n in (2, 3) for letters in permutations("TZYX", n)}
        if spatial not in known or not {*"YX"} <= {*spatial}:
            raise ValueError(f"{axes!r}, expected 2 or 3 different letters of TZYX with Y and X, such as YX or ZYX")
        return axes.upper()


class TrainingSection(SegmentationSettings, InterpolationSettings):
    """Length, batches and optimisation.

    The fields of `TrainingSettings` and the following. The length is given by one of ``epochs``, passes over the data,
    which become ``steps`` when the data are there (`of_data`), and ``steps``, 40,000 by default. A validation follows
    every ``steps_per_epoch``: a pass over the data, but no more than a tenth of all; where ``steps`` are given, at most
    400. The last one may come earlier: the training has exactly its steps. ``learning_rate_decay`` counts ``steps`` or,
    beside ``epochs``, also ``epochs``. ``devices`` get equal shares of the ``batch_size`` patches. The losses "feature"
    and "style" need VGG-16, whose file is ``vgg_weights``. ``class_weights`` are for segmentation. ``loss``,
    ``learning_rate`` and ``kernel_l2`` that are null, and a schedule where none of the three is named, are those of the
    kind of model (`default_settings`, docs/training.md). Weights of ``initial_weights`` are taken as far as names and
    shapes are the same (`aeanet_tf.models.initial_weights`).

    Attributes:
        steps: length in steps of the optimiser; ``None`` where it is given in epochs.
        epochs: length in passes over the data, which need not be whole; in place of ``steps``.
        steps_per_epoch: steps between two validations.
        batch_size: patches a step, on all devices together.
        loss: "mae", "mse", "charbonnier" or "laplace" for restoration; "pixel", "feature" or "style" for slice
            interpolation; "cross_entropy", "dice" or "cross_entropy_dice" for segmentation.
        learning_rate: of Adam, at its highest.
        tensorboard: whether logs for TensorBoard are written to the model folder.
        initial_weights: folder of a model, or a file of weights in it, that training starts from.
    """

    steps: Count | None = None
    epochs: Epochs | None = None
    steps_per_epoch: Count | None = None
    learning_rate_decay: Decay | None = None
    loss: Literal[RESTORATION_LOSSES + INTERPOLATION_LOSSES + SEGMENTATION_LOSSES] | None = None
    learning_rate: Annotated[PositiveFloat, Field(le=3e38)] | None = None
    kernel_l2: NonNegativeFloat | None = None
    initial_weights: PathText | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_steps(cls, fields):
        if not isinstance(fields, dict) or fields.get("epochs") is not None or fields.get("steps") is not None:
            return fields
        return {**fields, "steps": STEPS}

    @model_validator(mode="after")
    def _one_length(self):
        if self.epochs is None:
            if isinstance(self.learning_rate_decay, EpochDecaySection):
                raise ValueError("learning_rate_decay.epochs: found beside steps, expected steps there, too")
            # An epoch is no longer than the training.
            self.steps_per_epoch = min(self.steps, self.steps_per_epoch or equal_epochs(self.steps, STEPS_PER_EPOCH))
        elif self.steps is not None:
            raise ValueError(f"steps, epochs: found {self.steps} and {self.epochs:g}, expected one of the two")
        return self

    @property
    def validations(self):
        """How often the training is validated, at the end of every ``steps_per_epoch``; ``None`` without the data."""
        return None if self.steps is None else -(-self.steps // self.steps_per_epoch)

    def of_data(self, pairs):
        """The section with ``steps`` in place of ``epochs``.

        Args:
            pairs: that an epoch has, see `aeanet_tf.runs.image_data.pairs_of_epoch`.
        """
        if self.epochs is None:
            return self
        steps, decay = steps_of_epochs(self.epochs, pairs, self.batch_size), self.learning_rate_decay
        if isinstance(decay, EpochDecaySection):
            decay = DecaySection(rate=decay.rate, steps=steps_of_epochs(decay.epochs, pairs, self.batch_size))
        length = self.steps_per_epoch or steps_between_validations(steps, pairs, self.batch_size)
        changed = {"steps": steps, "epochs": None, "steps_per_epoch": length, "learning_rate_decay": decay}
        return self.model_copy(update=changed)

    def arguments(self, settings):
        """What the configuration of a model is made with: attributes ``train_...`` and their values.

        The length is known, that is, given in steps or by `of_data`.

        Args:
            settings: the class of the settings that its kind of model has.
        """
        others = {*SegmentationSettings.model_fields, *InterpolationSettings.model_fields} - {*settings.model_fields}
        values = {**self.model_dump(exclude={"steps", "initial_weights", *others}), "epochs": self.validations}
        return {attribute(name): value for name, value in values.items()}


class RunConfig(Section):
    """Everything ``aeanet train`` needs.

    ``"$schema"``, where editors find the schema of these files, is dropped (`aeanet_tf.runs.schema`).

    Attributes:
        description: for people.
        model: the model: axes, channels, preset and what differs from it.
        data: where the images are, and how they are prepared.
        training: length, batches and optimisation.
    """

    description: str = ""
    model: ModelSection
    data: DataSection = FoldersSection()
    training: TrainingSection = TrainingSection()

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, fields):
        """``training.initial_weights`` was ``model.start_from`` once; ``$schema`` is for editors."""
        if isinstance(fields, dict) and "$schema" in fields:
            fields = {key: value for key, value in fields.items() if key != "$schema"}
        model = fields.get("model") if isinstance(fields, dict) else None
        if not isinstance(model, dict) or "start_from" not in model:
            return fields
        old, training = model["start_from"], fields.get("training") or {}
        fields = {**fields, "model": {key: value for key, value in model.items() if key != "start_from"}}
        if old is None or not isinstance(training, dict):
            return fields
        if training.get("initial_weights") is not None:
            raise ValueError("model.start_from: found it beside training.initial_weights, its new name; expected one")
        return {**fields, "training": {**training, "initial_weights": old}}

    @field_validator("data", mode="before")
    @classmethod
    def _of_folders(cls, data):
        return {"kind": "folders", **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _filled_in(self):
        """What is not given is what the configurations of models have, too; it does not count as set."""
        data, model, training = self.data, self.model, self.training
        kind = SEGMENTATION if data.segments else INTERPOLATION if data.interpolates else RESTORATION
        if "preset" not in model.model_fields_set:
            self.model = model.model_copy(update={"preset": PRESETS[kind]})
            self.model.model_fields_set.discard("preset")
        given = training.model_dump(exclude_unset=True)
        for name in ("loss", "learning_rate", "kernel_l2"):
            if given.get(name) is None:
                given.pop(name, None)
        defaults = default_settings(kind, given, model.probabilistic, training.target)
        self.training = TrainingSection(**{**defaults, **given})
        self.training.model_fields_set.difference_update(defaults)
        return self

    @model_validator(mode="after")
    def _fits(self):
        if self.model.probabilistic != (self.training.loss == "laplace"):
            raise ValueError(
                f"training.loss: {self.training.loss!r} does not fit model.probabilistic = {self.model.probabilistic}; "
                "probabilistic models are trained with 'laplace', others not"
            )
        self._check_target()
        self._check_adversarial()
        size, axes = self.training.patch_size, self.model.axes.removesuffix("C")
        if size is not None and len(size) != len(axes):
            raise ValueError(f"training.patch_size: {list(size)}, expected one number for each of the axes {axes}")
        if size is None and self.data.whole_images:
            raise ValueError("training.patch_size: missing; whole images are trained on in random crops of that size")
        try:
            check_share(self.training.devices, self.training.batch_size)
        except ValueError as error:
            raise ValueError(f"training.devices: {error}") from None
        return self

    def _check_adversarial(self):
        """Refuse adversarial training of what it means nothing for."""
        data, training = self.data, self.training
        if training.adversarial is None:
            return
        kind = SEGMENTATION if data.segments else INTERPOLATION if data.interpolates else RESTORATION
        why = why_not_adversarial(kind, training.target, self.model.probabilistic, training.devices)
        if data.kind == "isotropic":
            why = VIEWS_DIFFER
        if why is not None:
            raise ValueError(f"training.adversarial: found one, expected null: {why}")

    def _check_target(self):
        """Refuse data that do not go with what is trained for."""
        data, target = self.data, self.training.target
        if data.kind == "noisy":
            pairs = data.neighbours is not None
            expected = NOISE2NOISE if pairs else NOISE2VOID
            if target != expected:
                why = f"data.neighbours {data.neighbours!r}" if pairs else "noisy images that are no pairs"
                hint = "; data.neighbours=T or Z makes pairs" if target == NOISE2NOISE else ""
                raise ValueError(f"training.target: {target!r}, expected {expected!r} for {why}{hint}")
        elif target == NOISE2VOID:
            raise ValueError(
                f"data.kind: {data.kind!r} has ground truth, expected 'noisy' with training.target {NOISE2VOID!r}"
            )
        elif target == NOISE2NOISE and (data.targets or data.match_targets):
            found = "match_targets: true" if data.match_targets else f"kind: {data.kind!r} ({data.targets})"
            raise ValueError(f"data.{found}, expected pairs of noisy images as they are with {NOISE2NOISE!r}")


def load_run_config(path, overrides=()):
    """Read and validate a run configuration.

    Args:
        path: the JSON file, or the name of one that comes with the package (`find_config`).
        overrides: see `override`.

    Raises:
        InputError: a missing or unreadable file, an unknown or mistyped key, a value of the wrong kind.
    """
    path = find_config(path)
    data = read_fields(path)
    given = dict(override(data, text) for text in overrides)
    return as_run_config(data, path, given)


def override(data, text):
    """Change a field of the nested dicts of a run configuration.

    A length in steps takes the place of one in epochs, and the other way round.

    Args:
        data: the dicts.
        text: ``section.key=value``; the value is JSON, or a string if it is no JSON or the field is a string.

    Returns:
        The dotted key and the text of the value, for `as_run_config`.

    Raises:
        InputError: a text that is none, or leads through a value.
    """
    key, given = apply_override(data, text)
    other = {"training.steps": "epochs", "training.epochs": "steps"}.get(key)
    if other and data["training"][key.removeprefix("training.")] is not None:
        data["training"].pop(other, None)
    return key, given


def as_run_config(data, path, given=None):
    """The `RunConfig` of nested dicts, which come from the file ``path``.

    Args:
        data: the dicts.
        path: for messages.
        given: dotted key -> text of its value, of what was overridden: ``model.name=2024`` names a model, although
            2024 is a number elsewhere.

    Raises:
        InputError: a field that is wrong.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        places = (item["loc"] for item in error.errors() if item["type"] == "string_type")
        # Behind "data" pydantic names the kind of the section.
        names = [".".join(map(str, place[:1] + place[2:] if place[0] == "data" else place)) for place in places]
        if given and restore_texts(data, given, names):
            return as_run_config(data, path)
        raise from_validation(error, str(path), ("data", "learning_rate_decay"), RunConfig) from None


def is_same_run(found, config):
    """Whether two configurations describe one run; where it runs may change from one start to the next, and where its
    data come from may be told."""
    if found is None:
        return False
    moved = {name: getattr(config.training, name) for name in ("devices", "vgg_weights")}
    training = found.training.model_copy(update=moved)
    data = found.data.model_copy(update={"download": config.data.download})
    return found.model_copy(update={"training": training, "data": data}) == config


def save_run(folder, config):
    """Keep the merged run configuration with the model, for reproduction and for prediction's normalisation."""
    write_text(Path(folder) / RUN_FILE, config.model_dump_json(indent=2) + "\n")


def load_run(folder):
    """The `RunConfig` that a model was trained with, ``None`` for models trained from Python."""
    path = Path(folder) / RUN_FILE
    return load_run_config(path) if path.exists() else None

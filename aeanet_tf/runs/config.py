"""Run configurations: the JSON files of ``aeanet train``, validated before anything heavy is imported."""

from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from aeanet_tf.device_names import check_share
from aeanet_tf.errors import from_validation
from aeanet_tf.files import apply_override, read_fields, write_text
from aeanet_tf.models.folder import RUN_FILE
from aeanet_tf.models.preparation import NormalizationSection, Section, TripletSection


class DataSection(Section):
    """Where the training data are.

    Attributes:
        kind: ``folders`` of paired images matched by file name, an ``npz`` as CSBDeep writes it (already normalised),
            the ``sample`` images that come with scikit-image, the published ``paired_em`` BMPs, the published
            ``label_free`` images (docs/datasets.md), the ``slices`` of a stack (docs/interpolation.md), or, for
            segmentation (docs/segmentation.md), images with ``labels``, or the published ``iseg`` subjects.
        root: folder that the other paths are relative to. A relative root is looked for in the working directory,
            in the folders of ``$AEANET_DATA``, and in ``data``.
        low, GT: folders of training images; with ``labels`` GT has the label images.
        validation_low, validation_GT: folders of validation images; without them ``validation_split`` of the training
            pairs are held out.
        npz: file name or pattern that matches one file.
        axes: of the image files; by default those that the files name.
        prepared: folder of the registered sub-images of ``paired_em``, made where it is not complete.
        pair: name of the one pair of ``paired_em`` to train on (self-training); by default all (pooled training).
        structure: of ``label_free``, such as "dna".
        resize: factors along Z, Y, X by which ``label_free`` images are resized; see `label_free_images`.
        channels: of ``labels``, where the channels of an image are files of their own: what tells their names apart,
            such as ["T1", "T2"]; GT has the names of the first.
        stack: of ``slices``, and of ``labels`` in place of folders: a TIFF, OME-Zarr or HDF5 file, or a pattern of
            images of one slice each.
        dataset: in an HDF5 file; by default ``volumes/raw``, as CREMI has it.
        label_stack: the label images of the slices of ``stack``, for ``labels``.
        train_slices, validation_slices: of ``stack``, counted from 0, such as "0-19,22"; a triplet is of one of both.
        train_subjects, validation_subjects: of ``iseg``, such as "1-8".
        triplets: how they are made.
        normalization: of all images but those of an ``npz``.
        match_targets: whether each ground truth is fitted to its input by gain and offset, and normalised as that
            (docs/training.md): per image, per patch for an ``npz``. Predictions then have the intensities of the input.
    """

    kind: Literal["folders", "npz", "sample", "paired_em", "label_free", "slices", "labels", "iseg"] = "folders"
    root: str = "."
    low: str = "train/low"
    GT: str = "train/GT"
    validation_low: str | None = None
    validation_GT: str | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1
    npz: str = "train_data/*.npz"
    axes: str | None = None
    prepared: Annotated[str, Field(min_length=1)] = "prepared"
    pair: str | None = None
    structure: str | None = None
    resize: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    channels: list[str] | None = None
    stack: str | None = None
    label_stack: str | None = None
    dataset: str | None = None
    train_slices: str | None = None
    validation_slices: str | None = None
    train_subjects: str | None = None
    validation_subjects: str | None = None
    triplets: TripletSection = TripletSection()
    normalization: NormalizationSection = NormalizationSection()
    match_targets: bool = False

    @field_validator("train_slices", "validation_slices", "train_subjects", "validation_subjects", mode="before")
    @classmethod
    def _one_number(cls, value):
        # What --set is given is read as JSON.
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _slices_named(self):
        if self.kind == "slices":
            for name in ("stack", "train_slices", "validation_slices"):
                if not getattr(self, name):
                    raise ValueError(f"{name}: missing; slices are interpolated with it")
            if self.normalization.kind == "standard":
                raise ValueError("normalization.kind: 'standard' cannot be mapped back, which slices have to be")
        return self

    @model_validator(mode="after")
    def _labels_named(self):
        wanted = {
            "labels": ("stack", "label_stack", "train_slices", "validation_slices"),
            "iseg": ("train_subjects", "validation_subjects"),
        }.get(self.kind, ())
        if self.channels and (self.kind != "labels" or self.stack):
            raise ValueError(f"channels: {self.channels}, expected none but for folders of kind 'labels'")
        given = [name for name in wanted if getattr(self, name)]
        # Folders do without all of them.
        if len(given) < len(wanted) and (given or self.kind == "iseg"):
            missing = next(name for name in wanted if name not in given)
            raise ValueError(f"{missing}: missing; kind {self.kind!r} needs it" + f" beside {given[0]}" * bool(given))
        return self

    @model_validator(mode="after")
    def _targets_can_match(self):
        unlike = {"label_free": "another unit", "slices": "other slices", "labels": "classes", "iseg": "classes"}
        if self.match_targets and self.kind in unlike:
            raise ValueError(f"match_targets: true, expected false with kind {self.kind!r}, {unlike[self.kind]}")
        return self

    @model_validator(mode="after")
    def _structure_named(self):
        if self.kind == "label_free" and not self.structure:
            raise ValueError("structure: missing; label_free images are those of one structure, such as 'dna'")
        return self

    @model_validator(mode="after")
    def _validation_pair(self):
        if (self.validation_low is None) != (self.validation_GT is None):
            raise ValueError("validation_low, validation_GT: give both or none")
        return self


class ModelSection(Section):
    """The model: axes, channels, preset and what differs from it.

    ``labels`` are the values of the classes in label images, for segmentation, whose ``n_channel_out`` is their number;
    0, 1, 2, ... by default.
    """

    name: Annotated[str, Field(min_length=1)]
    basedir: str = "models"
    preset: str = "aeanet-care"
    axes: str = "YX"
    n_channel_in: PositiveInt = 1
    n_channel_out: PositiveInt = 1
    probabilistic: bool = False
    network: dict[str, Any] = Field(default_factory=dict)
    labels: list[int] | None = None

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes):
        spatial = axes.upper().removesuffix("C")
        if spatial not in {"".join(letters) for n in (2, 3) for letters in permutations("TZYX", n)}:
            raise ValueError(f"{axes!r}, expected 2 or 3 different letters of TZYX, such as YX or ZYX")
        return axes.upper()


class DecaySection(Section):
    """``rate`` multiplies the learning rate every ``steps`` steps."""

    rate: Annotated[float, Field(gt=0, le=1)]
    steps: PositiveInt


class CosineSection(Section):
    """The learning rate rises over ``warmup``, a share of all steps, and falls as half a cosine to ``final``, a share
    of itself."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    final: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TrainingSection(Section):
    """Length, batches and optimisation.

    ``steps`` are rounded up to whole epochs of ``steps_per_epoch``; an epoch ends with a validation. Of
    ``learning_rate_decay``, ``learning_rate_cosine`` and ``reduce_learning_rate`` (CSBDeep's reduce on plateau) at most
    one is given. ``clip_norm`` is the largest norm of all gradients together, ``weight_decay`` makes Adam AdamW, and
    ``average`` is the momentum of an exponential moving average of the weights, which is validated and kept.
    ``devices`` are as for `aeanet_tf.training.devices.find_devices`; each gets its share of the ``batch_size`` patches.
    ``precision`` is what the layers compute in; the trained model is one in float32 either way. The losses "pixel",
    "feature" and "style" are those of slice interpolation; the latter two need VGG-16, whose file is ``vgg_weights``.
    "cross_entropy", "dice" and "cross_entropy_dice" are those of segmentation, and so are ``class_weights``, a number
    for each class. ``kernel_l2`` penalises kernels: 2e-6 for segmentation, 0 for others, unless given.
    """

    steps: PositiveInt = 40000
    steps_per_epoch: PositiveInt = 400
    batch_size: PositiveInt = 16
    devices: PositiveInt | list[str] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    patch_size: tuple[PositiveInt, ...] | None = None
    loss: Literal[
        "mae",
        "mse",
        "charbonnier",
        "laplace",
        "pixel",
        "feature",
        "style",
        "cross_entropy",
        "dice",
        "cross_entropy_dice",
    ] = "mae"
    class_weights: list[PositiveFloat] | None = None
    kernel_l2: NonNegativeFloat | None = None
    vgg_weights: str | None = None
    learning_rate: PositiveFloat = 4e-4
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    learning_rate_decay: DecaySection | None = None
    learning_rate_cosine: CosineSection | None = None
    reduce_learning_rate: dict[str, Any] | None = None
    clip_norm: PositiveFloat | None = None
    weight_decay: PositiveFloat | None = None
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    augment: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batch_norm_batches: NonNegativeInt = 16
    tensorboard: bool = False

    @field_validator("devices", mode="before")
    @classmethod
    def _shared_out(cls, devices, info):
        # A batch size that is wrong itself is told elsewhere.
        check_share(devices, info.data.get("batch_size", 0))
        return devices

    @model_validator(mode="after")
    def _one_schedule(self):
        names = ("learning_rate_decay", "learning_rate_cosine", "reduce_learning_rate")
        given = [name for name in names if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{', '.join(given)}: give at most one")
        return self

    @property
    def epochs(self):
        """Number of epochs that make up ``steps``."""
        return -(-self.steps // self.steps_per_epoch)


class RunConfig(Section):
    """Everything ``aeanet train`` needs; ``description`` is for people."""

    description: str = ""
    model: ModelSection
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()

    @model_validator(mode="after")
    def _loss_fits(self):
        if self.model.probabilistic != (self.training.loss == "laplace"):
            raise ValueError(
                f"training.loss: {self.training.loss!r} does not fit model.probabilistic = {self.model.probabilistic}; "
                "probabilistic models are trained with 'laplace', others not"
            )
        return self

    @model_validator(mode="after")
    def _patch_fits(self):
        size, axes = self.training.patch_size, self.model.axes.removesuffix("C")
        if size is not None and len(size) != len(axes):
            raise ValueError(f"training.patch_size: {list(size)}, expected one number for each of the axes {axes}")
        return self


def load_run_config(path, overrides=()):
    """Read and validate a run configuration.

    Args:
        path: the JSON file.
        overrides: strings ``section.key=value``; the value is JSON, or a string if it is no JSON.

    Raises:
        InputError: a missing or unreadable file, an unknown or mistyped key, a value of the wrong kind.
    """
    data = read_fields(path)
    for override in overrides:
        apply_override(data, override)
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise from_validation(error, str(path)) from None


def is_same_run(found, config):
    """Whether two configurations describe one run; where it runs may change from one start to the next."""
    if found is None:
        return False
    moved = {name: getattr(config.training, name) for name in ("devices", "vgg_weights")}
    training = found.training.model_copy(update=moved)
    return found.model_copy(update={"training": training}) == config


def save_run(folder, config):
    """Keep the merged run configuration with the model, for reproduction and for prediction's normalisation."""
    write_text(Path(folder) / RUN_FILE, config.model_dump_json(indent=2) + "\n")


def load_run(folder):
    """The `RunConfig` that a model was trained with, ``None`` for models trained from Python."""
    path = Path(folder) / RUN_FILE
    return load_run_config(path) if path.is_file() else None

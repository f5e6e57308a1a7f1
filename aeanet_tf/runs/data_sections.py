"""Where the training data of a run are: one section of a run configuration for each kind of data.

A section says what may be given and what is wrong with it, without importing anything heavy; `aeanet_tf.runs.train`
knows how its images are loaded.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from aeanet_tf.runs.common_sections import (
    DEFAULTS,
    CommonSection,
    ImagesSection,
    NamedPairsSection,
    Numbers,
    PairsSection,
    PathText,
    Series,
)
from aeanet_tf.sections.triplet_options import TripletOptions


class FoldersSection(NamedPairsSection):
    """Folders ``low`` and ``GT`` of paired images, matched by file name.

    Attributes:
        slices: whether ``low`` and ``GT`` hold a folder for each volume, with a file for each of its slices.
    """

    kind: Literal["folders"] = "folders"
    slices: bool = False


class NoisySection(ImagesSection):
    """Noisy images without ground truth (docs/noise2void.md).

    Attributes:
        images: folder of the images, or a pattern such as "day1/*.tif".
        axes: of the image files; by default those that the files name.
        validation: folder of images to validate on, or a pattern.
        validation_split: share of ``images``, the last ones by name, that is held out without ``validation``; of a
            single image its end.
        validation_images: names or patterns of those that are held out, in place of ``validation_split``.
        neighbours: for the target "noise2noise": the axis along which an image and the next one are recordings of the
            same, "T" for the frames of a time lapse, "Z" for the planes of a stack.
        series: of files that hold several images the number of one, from 0, or "all"; ``None`` refuses them.
        allow_missing: whether planes that a file lacks are filled with 0, or else the file is refused.
        slices: whether ``images`` holds a folder for each volume, with a file for each of its slices.
    """

    kind: Literal["noisy"] = "noisy"
    images: PathText = "."
    axes: str | None = None
    validation: PathText | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1
    validation_images: Annotated[list[PathText], Field(min_length=1)] | None = None
    neighbours: Literal["T", "Z"] | None = None
    series: Series = None
    allow_missing: bool = False
    slices: bool = False

    targets = "no ground truth"

    @model_validator(mode="after")
    def _one_choice_of_validation(self):
        if self.validation_images and self.validation:
            raise ValueError("validation_images: found beside validation, expected one of both")
        return self

    @property
    def holds_out(self):
        return self.validation is None


class NpzSection(CommonSection):
    """Patches as CSBDeep writes them, already normalised.

    Attributes:
        npz: file name or pattern that matches one file.
        axes: of the patches where the file lacks them.
        validation_split: share of the patches, the last ones, that is held out.
    """

    kind: Literal["npz"] = "npz"
    npz: PathText = "train_data/*.npz"
    axes: str | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1

    whole_images = False

    @property
    def holds_out(self):
        return True


class SampleSection(ImagesSection):
    """Images that come with scikit-image; ``root`` does not matter."""

    kind: Literal["sample"] = "sample"

    def folder(self):
        return Path()


class PairedEMSection(PairsSection):
    """The published BMPs of paired EM (docs/datasets.md).

    Attributes:
        prepared: folder of the registered sub-images, made where it is not complete.
        pair: name of the one pair to train on (self-training); by default all (pooled training).
    """

    kind: Literal["paired_em"] = "paired_em"
    prepared: Annotated[PathText, Field(min_length=1)] = "prepared"
    pair: PathText | None = None


_Factor = Annotated[PositiveFloat, Field(le=16)]


class LabelFreeSection(PairsSection):
    """The published images of label-free prediction (docs/datasets.md).

    Attributes:
        structure: such as "dna".
        resize: factors along Z, Y, X by which the images are resized; see `label_free_images`.
    """

    kind: Literal["label_free"] = "label_free"
    structure: str | None = None
    resize: tuple[_Factor, _Factor, _Factor] | None = None

    needed = ("structure",)
    targets = "another unit"


class IsotropicSection(ImagesSection):
    """Volumes that are coarse along Z, for isotropic restoration (docs/isotropic.md); they are their own ground truth.

    Attributes:
        volumes: a file, a folder or a pattern.
        axes: of the volumes; by default those that the files name.
        factor: distance of the planes over the size of a pixel in a plane; ``None`` for what the pixel sizes of each
            file say.
        sigma: standard deviation of the blur along Z, in pixels of the planes; ``None`` for 0.42 * ``factor``, which
            is as wide as planes are apart.
        psf: in its place an image of how a point is blurred, across and along Z, in pixels of the planes.
        noise: standard deviation of normal noise that is added to the blurred planes, in grey levels.
        poisson: whether Poisson noise is, for volumes in photons.
        validation_split: share of the volumes, or of the only one's planes along Y, that is held out.
        series, allow_missing: see `FoldersSection`.
    """

    kind: Literal["isotropic"] = "isotropic"
    volumes: PathText | None = None
    axes: str | None = None
    factor: Annotated[PositiveFloat, Field(gt=1, le=64)] | None = None
    sigma: Annotated[NonNegativeFloat, Field(le=64)] | None = None
    psf: PathText | None = None
    noise: NonNegativeFloat = 0.0
    poisson: bool = False
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1
    series: Series = None
    allow_missing: bool = False

    needed = ("volumes",)
    targets = "whose truth is its own"

    @model_validator(mode="after")
    def _one_blur(self):
        if self.psf and self.sigma is not None:
            raise ValueError("sigma: found beside psf, expected one of both")
        return self

    @property
    def holds_out(self):
        return True


def _mapped_back(self):
    if self.normalization.kind == "standard":
        raise ValueError("normalization.kind: 'standard' cannot be mapped back, which slices have to be")
    return self


def _of_one_stack(self):
    if self.stack and self.series == "all":
        raise ValueError("series: 'all', expected the number of one stack")
    return self


class SlicesSection(ImagesSection):
    """The slices of a stack, for slice interpolation (docs/interpolation.md).

    Attributes:
        stack: a TIFF, OME-Zarr or HDF5 file, or a pattern of images of one slice each.
        axes: of the stack; by default those that the file names.
        dataset: in an HDF5 file; by default ``volumes/raw``, as CREMI has it.
        train_slices, validation_slices: counted from 0, such as "0-19,22"; a triplet is of one of both.
        triplets: how they are made.
        series: number of the stack in a file that holds several.
        allow_missing: whether planes that the file lacks are filled with 0, or else it is refused.
    """

    kind: Literal["slices"] = "slices"
    axes: str | None = None
    stack: PathText | None = None
    series: Series = None
    allow_missing: bool = False
    dataset: str | None = None
    train_slices: Numbers = None
    validation_slices: Numbers = None
    triplets: TripletOptions = TripletOptions()

    needed = ("stack", "train_slices", "validation_slices")
    targets = "other slices"
    interpolates = True

    _can_be_mapped_back = model_validator(mode="after")(_mapped_back)
    _one_stack = model_validator(mode="after")(_of_one_stack)


class TripletsSection(ImagesSection):
    """Ready-made triplets, for slice interpolation (docs/interpolation.md): folders of three images each.

    Attributes:
        train: a folder of such folders, or a text file that lists them (`aeanet_tf.sections.triplet_folders`).
        validation: the same, to validate on.
        validation_split: share of those to train on, the last ones, that is held out without ``validation``.
        match_histograms: whether the three are given the mean of the two neighbours' histograms, as those that are made
            of a stack.
    """

    kind: Literal["triplets"] = "triplets"
    train: PathText = "train"
    validation: PathText | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1
    match_histograms: bool = False

    targets = "other slices"
    interpolates = True

    _can_be_mapped_back = model_validator(mode="after")(_mapped_back)

    @property
    def holds_out(self):
        return self.validation is None


class LabelsSection(NamedPairsSection):
    """Images and label images, for segmentation (docs/segmentation.md): folders, or the slices of two stacks.

    Attributes:
        channels: where the channels of an image are files of their own: what tells their names apart, such as
            ["T1", "T2"]; GT has the names of the first.
        stack: in place of folders: a TIFF, OME-Zarr or HDF5 file, or a pattern of images of one slice each. ``series``
            is then a number.
        label_stack: the label images of the slices of ``stack``.
        dataset, train_slices, validation_slices: as of `SlicesSection`.
    """

    kind: Literal["labels"] = "labels"
    channels: list[str] | None = None
    stack: PathText | None = None
    label_stack: PathText | None = None
    dataset: str | None = None
    train_slices: Numbers = None
    validation_slices: Numbers = None

    _one_stack = model_validator(mode="after")(_of_one_stack)

    needed = ("stack", "label_stack", "train_slices", "validation_slices")
    optional = True
    targets = "classes"
    segments = True

    @model_validator(mode="after")
    def _channels_of_folders(self):
        if self.channels and self.stack:
            raise ValueError(f"channels: {self.channels}, expected none with a stack")
        if self.validation_images and self.stack:
            raise ValueError("validation_images: found beside stack, expected validation_slices")
        return self

    @property
    def holds_out(self):
        return not self.stack and super().holds_out


class ISegSection(ImagesSection):
    """The published subjects of iSeg-2017 (docs/segmentation.md).

    Attributes:
        train_subjects, validation_subjects: numbers, such as "1-8".
    """

    kind: Literal["iseg"] = "iseg"
    train_subjects: Numbers = None
    validation_subjects: Numbers = None

    needed = ("train_subjects", "validation_subjects")
    targets = "classes"
    segments = True


DataSection = Annotated[
    FoldersSection
    | NpzSection
    | SampleSection
    | NoisySection
    | PairedEMSection
    | LabelFreeSection
    | IsotropicSection
    | SlicesSection
    | TripletsSection
    | LabelsSection
    | ISegSection,
    Field(discriminator="kind"),
]
"""The section ``data`` of a run configuration: one of these, by its ``kind``."""

DATA_SECTIONS = DataSection.__origin__.__args__
"""The classes of all kinds."""

DEFAULTS.update({name: field.default for section in DATA_SECTIONS for name, field in section.model_fields.items()})

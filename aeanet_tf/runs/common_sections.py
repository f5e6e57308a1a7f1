"""What the sections of several kinds of training data have in common."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from aeanet_tf.datasets.catalogue import get_dataset
from aeanet_tf.errors import InputError
from aeanet_tf.models.preparation import NormalizationSection, Section
from aeanet_tf.paths import check_path, named_path

DEFAULTS = {}
"""Default of each field of any kind, which `aeanet_tf.runs.data_sections` fills in. A field that several kinds have has
the same in all."""


def _as_text(value):
    # What --set is given is read as JSON.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Numbers = Annotated[str | None, BeforeValidator(_as_text)]
"""Numbers of slices or subjects, such as "0-19,22"."""


def _as_path(value):
    check_path(value, "path")
    return value


PathText = Annotated[str, AfterValidator(_as_path)]
"""The name of a file or folder, or a pattern, that a file system takes."""


Series = Annotated[int, Field(strict=True, ge=0)] | Literal["all"] | None
"""Which image of a file that holds several: a number from 0, or all."""


class CommonSection(Section):
    """What all kinds of data have.

    Attributes:
        root: folder that the other paths are relative to. A relative root is looked for in the working directory,
            in the folders of ``$AEANET_DATA``, and in ``data``, and then in the folder `download` of each of these.
        download: name by which ``aeanet download`` knows the data, and of its folder; ``None`` for others.
        match_targets: whether each ground truth is fitted to its input by gain and offset, and normalised as that
            (docs/training.md): per image, per patch for an ``npz``. Predictions then have the intensities of the input.

    Class attributes:
        needed: fields that have to be given, all of them, or where ``optional`` none.
        targets: what the ground truth is where it has no intensities in common with its input.
        segments, interpolates: what models are trained on it, as of their classes; both ``False`` for restoration.
        whole_images: whether patches are cropped at random from whole images; otherwise they are given.
    """

    root: PathText = "."
    download: PathText | None = None
    match_targets: bool = False

    needed: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[bool] = False
    targets: ClassVar[str] = ""
    segments: ClassVar[bool] = False
    interpolates: ClassVar[bool] = False
    whole_images: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _without_others(cls, fields):
        """Leave out the fields of other kinds at their defaults: configurations once had the fields of all kinds."""
        if not isinstance(fields, dict):
            return fields
        others = {name for name in fields if name in DEFAULTS and name not in cls.model_fields}
        for name in fields:
            if name in others and not _is_default(name, fields[name]):
                kind = cls.model_fields["kind"].default
                raise ValueError(f"{name}: found {fields[name]!r}, expected none with kind {kind!r}")
        return {name: value for name, value in fields.items() if name not in others}

    @model_validator(mode="after")
    def _fits(self):
        if self.match_targets and self.targets:
            raise ValueError(f"match_targets: true, expected false with kind {self.kind!r}, {self.targets}")
        given = [name for name in self.needed if getattr(self, name)]
        if len(given) < len(self.needed) and not (self.optional and not given):
            missing = next(name for name in self.needed if name not in given)
            beside = f" beside {given[0]}" if given else ""
            raise ValueError(f"{missing}: missing; kind {self.kind!r} needs it{beside}")
        return self

    def folder(self):
        """The folder that paths are relative to: ``root`` as given, or under ``$AEANET_DATA`` or ``data``, or in the
        folder `download` of one of these.

        Raises:
            InputError: it is in none of these places.
        """
        root = named_path(self.root)
        given = [Path(p) for p in os.environ.get("AEANET_DATA", "").split(os.pathsep) if p]
        bases = [Path(), *given, Path("data")]
        places = [root] if root.is_absolute() else [base / root for base in bases]
        if self.download and not root.is_absolute():
            # An archive unpacked into a folder of its own has one of the owner's name in it.
            places += [base / self.download / root for base in bases]
        for place in places:
            if os.path.isdir(place):
                return place
        looked = dict.fromkeys(str(place.parent.absolute()) for place in places)
        raise InputError(f"data.root: no folder {root}; looked in {', '.join(looked)}{self._remedy()}")

    def _remedy(self):
        """What to do where the data are missing, for the end of a message."""
        if self.download is None:
            return ""
        dataset = get_dataset(self.download)
        what = f"fetches {dataset.file} from {dataset.page}" if dataset.url else "says where to get it"
        return f"; `aeanet download {dataset.name}` {what}, --data DIR names another folder"

    @property
    def holds_out(self):
        """Whether a share of the pairs to train on is held out for validation."""
        return False


class ImagesSection(CommonSection):
    """Images, which are normalised.

    Attributes:
        normalization: how, each image (and channel) by itself; prediction does the same.
    """

    normalization: NormalizationSection = NormalizationSection()


class PairsSection(ImagesSection):
    """Pairs of image files.

    Attributes:
        axes: of the image files; by default those that the files name.
        validation_low, validation_GT: folders of validation images, or patterns.
        validation_split: share of the training pairs that is held out where there are no such folders: the last ones by
            name, at least one; of a single image its end.
    """

    axes: str | None = None
    validation_low: PathText | None = None
    validation_GT: PathText | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _validation_pair(self):
        if (self.validation_low is None) != (self.validation_GT is None):
            raise ValueError("validation_low, validation_GT: give both or none")
        return self

    @property
    def holds_out(self):
        return self.validation_low is None


class NamedPairsSection(PairsSection):
    """Pairs of image files that the user names.

    Attributes:
        low: folder of the inputs, or a pattern such as "raw/*_noisy.tif".
        GT: the same for the ground truth, or the label images.
        match: how ``low`` and ``GT`` pair: "name", by equal names, what patterns stand for, or a word in which all
            names differ (docs/files.md); "order", in the order of the numbers in the names.
        validation_images: names or patterns of those images of ``low`` that are held out, in place of
            ``validation_split``.
        series: of files that hold several images the number of one, from 0, or "all"; ``None`` refuses them.
        allow_missing: whether planes that a file lacks are filled with 0, or else the file is refused.
    """

    low: PathText = "train/low"
    GT: PathText = "train/GT"
    match: Literal["name", "order"] = "name"
    validation_images: Annotated[list[PathText], Field(min_length=1)] | None = None
    series: Series = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _one_choice_of_validation(self):
        if self.validation_images and self.validation_low:
            raise ValueError("validation_images: found beside validation_low, expected one of both")
        return self


def _is_default(name, value):
    default = DEFAULTS[name]
    if isinstance(value, dict):
        # A section: what it lacks is at its default.
        default = TypeAdapter(type(default)).dump_python(default)
        return isinstance(default, dict) and default | value == default
    return value is None or value == default

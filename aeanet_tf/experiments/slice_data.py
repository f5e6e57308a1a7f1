"""Slices to interpolate, as the experiments find them in a folder: what to train on, and test slices."""

import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.experiments.laboratory import Case, Method, quiet
from aeanet_tf.io.write import as_dtype
from aeanet_tf.runs.slice_data import ready_made
from aeanet_tf.sections.baselines import average, registered, smoothed_average
from aeanet_tf.sections.stack import open_stack, parse_slices
from aeanet_tf.sections.triplet_folders import find_triplets, holds_triplets, split_of
from aeanet_tf.sections.triplets import triplets_of

BASELINES = {"Average": average, "Smoothed average": smoothed_average, "Registered average": registered}
"""Label -> method without a network, of the two neighbours."""

SSAN = Method("SSAN", "ssan", "ssan")
ISBI = "ISBI 2012"
SAMPLES = "ABC"
_PARTS = {
    "train": ("train", "tri_trainlist.txt"),
    "validation": ("val", "valid", "validation", "tri_vallist.txt", "tri_validlist.txt"),
    "test": ("test", "tri_testlist.txt"),
}
_PAIR, _SCORED = "ZYX", "uint8, grey levels of 0 to 255 to score"


class Place(NamedTuple):
    """Where a test image comes from: number of its slice (1 in a ready-made triplet), and corner and size of the
    window, in pixels of the slice."""

    number: int
    corner: tuple[int, int]
    size: tuple[int, int]


class SliceData(NamedTuple):
    """A data set.

    Attributes:
        name: in tables, such as "CREMI A".
        part: in names of models; empty where the run configuration says it.
        file: name of the run configuration.
        root: its folder.
        fields: of the section ``data`` that differ from the configuration's.
        tests: list of `Case`, whose input is the two neighbours ``(2, y, x)``, aligned, with one histogram.
        places: name of a test -> `Place`.
    """

    name: str
    part: str
    file: str
    root: Path
    fields: dict[str, Any]
    tests: list[Case]
    places: dict[str, Place]

    def runs(self, lab, methods, **changes):
        """The `RunConfig` of each seed by label of the method; ``changes`` are of other sections than ``data``."""
        options = {"part": self.part, "data": self.fields, **changes}
        return lab.runs(self.file, methods, self.root, **options)

    def picture(self, experiment, name):
        """Name of the file of a picture of an experiment."""
        return "_".join(filter(None, (experiment, self.part, name))) + ".png"


def find_slice_data(lab):
    """All `SliceData` of the folder ``lab.data``.

    These are: the stack of ISBI 2012 (``slices.tif``), whose slices 24 to 29 no training sees; the padded volumes of
    CREMI, each in the folder or in one called as `aeanet download` calls it; and ready-made triplets, the folder itself
    or folders in it with a part to train on and one to test on.

    Raises:
        InputError: there is none, or one that cannot be read.
    """
    found = [*_isbi(lab), *_cremi(lab), *_triplet_folders(lab)]
    forms = "slices.tif (ISBI 2012), sample_A_padded_20160501.hdf (CREMI), or triplets in folders train and test"
    expect(found, f"--data: {lab.data}", "no slices", f"{forms}; see docs/datasets.md")
    names = [data.name for data in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    expect(twice is None, f"--data: {lab.data}", f"{twice} twice", "a volume or ready-made triplets of it, not both")
    return found


def _isbi(lab):
    if (lab.data / "slices.tif").is_file():
        yield _of_stack(lab, ISBI, "", "isbi2012", lab.data, {})


def _cremi(lab):
    for sample in SAMPLES:
        name = f"sample_{sample}_padded_20160501.hdf"
        for folder in (lab.data, lab.data / f"cremi-{sample.lower()}-padded"):
            if (folder / name).is_file():
                yield _of_stack(lab, f"CREMI {sample}", sample, "cremi_padded", folder, {"stack": name})
                break


def _of_stack(lab, name, part, file, root, fields):
    """A stack, tested on the slices that its configuration neither trains nor validates on."""
    section = lab.config(file, SSAN, lab.seeds[0], root, data=fields).data
    stack = open_stack(root / section.stack, section.axes, section.dataset)
    expect(stack.dtype == np.uint8, stack.path, f"pixels of {stack.dtype}", _SCORED)
    used = {*parse_slices(section.train_slices), *parse_slices(section.validation_slices)}
    numbers = [n for n in range(1, len(stack) - 1) if used.isdisjoint((n - 1, n, n + 1))]

    @lru_cache(maxsize=1)
    def triplets(number):
        return triplets_of([stack.read(n) for n in (number - 1, number, number + 1)], number, section.triplets)[0]

    tests, places = [], {}
    for number in numbers:
        windows = triplets(number)
        for index, triplet in enumerate(windows):
            y, x = triplet.corner
            test = f"slice-{number}" if len(windows) == 1 else f"slice-{number}-y{y}-x{x}"
            places[test] = Place(number, triplet.corner, triplet.images.shape[1:])
            read = partial(_window, triplets, number, index)
            tests.append(Case(test, read, _PAIR, files=(stack.path,)))
        if lab.budget.images is not None and len(tests) >= lab.budget.images:
            break
    if not tests:
        raise InputError(
            f"{stack.path}: no three slices in a row that are neither in data.train_slices nor in "
            f"data.validation_slices of {file}.json, expected some to test on"
        )
    return SliceData(name, part and f"sample{part}", file, root, fields, lab.budget.some(tests), places)


def _triplet_folders(lab):
    for folder in (lab.data, *sorted(path for path in lab.data.iterdir() if path.is_dir())):
        parts = {name: split_of(folder, names) for name, names in _PARTS.items()}
        # Other data sets have parts of these names, too.
        if None in (parts["train"], parts["test"]) or not holds_triplets(parts["test"]):
            continue
        fields = {name: path and path.name for name, path in parts.items() if name != "test"}
        tests, places = [], {}
        for number, triplet in enumerate(lab.budget.some(find_triplets(parts["test"]))):
            read = partial(_ready_made, triplet)
            truth = read()[1]
            expect(truth.dtype == np.uint8, triplet, f"pixels of {truth.dtype}", _SCORED)
            tests.append(Case(f"triplet-{number}", read, _PAIR, files=tuple(sorted(triplet.iterdir()))))
            places[tests[-1].name] = Place(1, (0, 0), truth.shape)
        part = re.sub(r"\W", "_", folder.resolve().name)
        yield SliceData(_name(folder), part, "cremi_triplet", folder, fields, tests, places)


def _name(folder):
    """What tables call ready-made triplets: those of the paper by its names."""
    name = folder.resolve().name
    sample = re.fullmatch(r"(?i)cremi.*?_?([abc])", name)
    if sample:
        return f"CREMI {sample[1].upper()}"
    return "mouse" if "mouse" in name.lower() else name


def _window(triplets, number, index):
    return _neighbours_and_slice(triplets(number)[index].images)


def _ready_made(folder):
    return _neighbours_and_slice(ready_made(folder, False))


def _neighbours_and_slice(images):
    return np.stack([images[0], images[2]]), images[1]


def score(gt, image, _):
    """PSNR, SSIM and IE of a slice as it would be written, at data range 255."""
    return get_protocol("interpolation")(gt, as_dtype(image, np.uint8))


def interpolate(model, pair, axes, n_tiles=None):
    """What a `SliceInterpolationNet` makes of neighbours that are aligned and matched already, in 8 bits."""
    before, after = pair
    with quiet():
        found = model.interpolate(before, after, max_shift=0, match_histograms=False, n_tiles=n_tiles)
    return as_dtype(found, np.uint8)


def without_network(method):
    """One of `BASELINES` as a function of the pair, in 8 bits."""
    return lambda pair: as_dtype(method(*pair), np.uint8)

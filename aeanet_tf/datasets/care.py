"""CARE's data sets as published: patches for training, test images in three conditions with their ground truth."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import check_finite, image_stem
from aeanet_tf.io.read import find_images, open_image, read_ordered

GROUND_TRUTH = "GT"
# Of a stack, in the order of its first axis: the worst condition comes first.
_STACKED = ("C3", "C2", "C1", GROUND_TRUTH)
_CONDITION_FOLDER = re.compile(r"(?:condition[ _-]?|c[ _-]?)(\d)", re.IGNORECASE)


@dataclass(frozen=True)
class CareTestImage:
    """A test image of CARE: the same sample in several conditions, and its ground truth. Nothing is read until asked.

    Attributes:
        name: file name without its extension.
        sources: by name of the condition, and of the ground truth, its file, and which part it is of a stack of
            conditions in it; None for the whole file.
        conditions: names of the conditions, the best first: ``("C1", "C2", "C3")``.
    """

    name: str
    sources: dict[str, tuple[Path, int | None]]

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(sorted(self.sources.keys() - {GROUND_TRUTH}))

    def path(self, condition: str) -> Path:
        """The file that holds a condition, or the ground truth ("GT")."""
        return self._source(condition)[0]

    def read(self, condition: str) -> np.ndarray:
        """Read a condition ("C1", ...) or the ground truth ("GT"), and nothing else of the file.

        Returns:
            ZYX in the dtype of the file. A ground truth with one plane, or with planes that are all the same (as a
            stack of conditions needs it), comes out as YX: it is a projection. That, and what else a stack may hold,
            is our choice; the papers only say what the images show.

        Raises:
            InputError: there is no such condition, or the file cannot be read or has other axes.
        """
        path, index = self._source(condition)
        array = np.ascontiguousarray(_read_volume(path) if index is None else _read_stacked(path, index))
        check_finite(path, array)
        if condition == GROUND_TRUTH:
            return array[0] if array.ndim == 3 and (array == array[:1]).all() else array
        expect(array.ndim == 3, path, f"shape {array.shape}", "a volume (ZYX)")
        return array

    def _source(self, condition: str) -> tuple[Path, int | None]:
        known = ", ".join((*self.conditions, GROUND_TRUTH))
        expect(condition in self.sources, "condition", repr(condition), f"one of {known}")
        return self.sources[condition]


def care_test_images(root: str | Path) -> list[CareTestImage]:
    """Test images of a data set of CARE, in either of the forms in which they were published.

    ``<root>/test_data`` holds one folder a condition (``condition_1``, ``C1`` or ``c1``, and so on) and ``GT``, with
    images of the same names; or TIFFs of four volumes stacked along the first axis: conditions 3, 2 and 1, and the
    ground truth. Where there are stacks and a folder ``GT``, the ground truth comes from the folder.

    Args:
        root: folder of the data set.

    Returns:
        The images, sorted by name.

    Raises:
        InputError: there are no test images, or those of the folders do not match.
    """
    folder = Path(root) / "test_data"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected the test images")
    folders = _condition_folders(folder)
    truth = next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.upper() == "GT"), None)
    if folders:
        if truth is None:
            raise InputError(f"{folder}: has {', '.join(p.name for p in folders.values())} but no folder GT")
        return _from_folders(folders, truth)
    sources = {path: {name: (path, i) for i, name in enumerate(_STACKED)} for path in find_images(folder)}
    if truth is not None:
        for path, gt in pair_folders(folder, truth):
            sources[path][GROUND_TRUTH] = (gt, None)
    return [CareTestImage(image_stem(path), parts) for path, parts in sorted(sources.items())]


def _condition_folders(folder: Path) -> dict[str, Path]:
    """Folders by name of the condition."""
    folders: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _CONDITION_FOLDER.fullmatch(path.name)
        if match is None or not path.is_dir():
            continue
        name = f"C{match[1]}"
        if folders.setdefault(name, path) != path:
            raise InputError(f"{path}: is condition {name}, as {folders[name].name}; expected one folder a condition")
    return folders


def _from_folders(folders: dict[str, Path], truth: Path) -> list[CareTestImage]:
    sources: dict[str, dict[str, tuple[Path, int | None]]] = {}
    for name, folder in folders.items():
        for path, gt in pair_folders(folder, truth):
            sources.setdefault(image_stem(gt), {GROUND_TRUTH: (gt, None)})[name] = (path, None)
    return [CareTestImage(name, parts) for name, parts in sorted(sources.items())]


def _read_volume(path: Path) -> np.ndarray:
    """A volume or plane, its axes in the order ZYX."""
    try:
        image = open_image(path)
    except InputError:
        # A plain TIFF of several pages does not say what they are.
        image = open_image(path, "ZYX")
    if image.axes in ("TYX", "CYX"):
        image.axes = image.axes.replace(image.axes[0], "Z")
    expect({"Y", "X"} <= set(image.axes) <= set("ZYX"), path, f"axes {image.axes}", "ZYX or YX")
    return read_ordered(image, "ZYX", {})


def _read_stacked(path: Path, index: int) -> np.ndarray:
    """One of the four volumes of a stack."""
    try:
        image = open_image(path)
    except InputError:
        image = open_image(path, "CZYX")
    sizes = dict(zip(image.axes, image.array.shape, strict=True))
    # ImageJ and others have no axis for conditions: channels or time points stand for it.
    stacking = [axis for axis in "CT" if sizes.get(axis) == len(_STACKED)]
    if len(stacking) != 1 or set(image.axes) - set(stacking) != set("ZYX"):
        expected = f"{len(_STACKED)} volumes ({', '.join(_STACKED)}) stacked along the first axis"
        raise InputError(f"{path}: found shape {image.array.shape} ({image.axes}), expected {expected}")
    return read_ordered(image, "ZYX", {stacking[0]: index})

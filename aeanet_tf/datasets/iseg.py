"""The infant brains of iSeg-2017 as published: T1, T2 and labels of a subject as Analyze volumes in one folder."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import NIFTI_SUFFIXES
from aeanet_tf.io.labels import to_classes
from aeanet_tf.io.nifti import Volume, check_same_place, read_nifti

Box = tuple[slice, slice, slice]

CLASSES = ("background", "CSF", "GM", "WM")
"""What the class indices 0 to 3 mean: background, cerebrospinal fluid, grey matter, white matter."""
LABELS = (0, 10, 150, 250)
"""The values of the classes in the published label files."""
TISSUES = dict(zip(LABELS[1:], CLASSES[1:], strict=True))
"""What is scored, all classes but the background: value in the label files -> name."""
MODALITIES = ("T1", "T2")

_NAME = re.compile(r"subject-(\d+)-(?:T1|T2|label)\.(?:hdr|img|nii|nii\.gz)", re.IGNORECASE)


@dataclass(frozen=True)
class Subject:
    """A subject as stored, not normalised and not cropped.

    Attributes:
        number: i of ``subject-<i>``.
        images: (Z, Y, X, 2) float32, channels T1 and T2 in the units of the files.
        labels: (Z, Y, X) uint8, class indices 0 to 3 (`CLASSES`); None where the folder has none.
        template: the T1 volume, for `aeanet_tf.io.nifti.write_nifti` to write results in its place.
        crop: bounding box of the brain, a slice along Z, Y and X.
    """

    number: int
    images: np.ndarray
    labels: np.ndarray | None
    template: Volume
    crop: Box


def iseg_subjects(folder: str | Path) -> list[int]:
    """Numbers of the subjects of which a folder has a file, sorted; 1 to 10 have labels in the published data.

    Raises:
        InputError: there is no such folder, or no subject in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected the subjects of iSeg-2017")
    # A subject of which only T2 is left is listed, so that reading it tells what is missing.
    numbers = {int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    if not numbers:
        raise InputError(f"{folder}: no subject in it, expected subject-<i>-T1.hdr, subject-<i>-T2.hdr and their .img")
    return sorted(numbers)


def read_subject(folder: str | Path, number: int) -> Subject:
    """Read a subject: ``subject-<i>-T1``, ``-T2`` and, where there is one, ``-label``, as .hdr with .img.

    Files of these names in .nii or .nii.gz are read, too.

    Args:
        folder: that holds the files.
        number: i.

    Raises:
        InputError: T1, T2 or an .img is missing or damaged; shapes differ; a label is none of `LABELS`; T1 and T2 are
            0 everywhere; or nibabel is not installed.
    """
    folder = Path(folder)
    t1, t2 = (read_nifti(_file(folder, number, modality)) for modality in MODALITIES)
    _check_shape(t2, t1)
    labels = None
    # Any file of that name: an .img without its .hdr is a damaged subject, not one without labels.
    if any(folder.glob(f"subject-{number}-label.*")):
        stored = read_nifti(_file(folder, number, "label"))
        _check_shape(stored, t1)
        labels = to_classes(stored.array, list(LABELS), stored.path)
    images = np.stack([t1.array, t2.array], axis=-1).astype(np.float32)
    try:
        crop = brain_box(images)
    except InputError as error:
        raise InputError(f"{t1.path} and {t2.path.name}: {error}") from error
    return Subject(number, images, labels, t1, crop)


def brain_box(images: np.ndarray) -> Box:
    """Bounding box of the voxels in which T1 or T2 is above 0: what skull stripping has left.

    The code of Non-local U-Nets (Wang et al. 2020) takes the voxels where T1 alone is not 0.

    Args:
        images: (Z, Y, X, channels).

    Raises:
        InputError: there is none above 0.
    """
    from scipy.ndimage import find_objects

    boxes = find_objects((images > 0).any(axis=-1).astype(np.uint8))
    if not boxes:
        raise InputError("no voxel is above 0, expected a brain")
    return boxes[0]


def _file(folder: Path, number: int, what: str) -> Path:
    for suffix in (".hdr", *NIFTI_SUFFIXES):
        path = folder / f"subject-{number}-{what}{suffix}"
        if path.is_file():
            return path
    raise InputError(f"{folder / f'subject-{number}-{what}.hdr'}: no such file")


def _check_shape(volume: Volume, t1: Volume) -> None:
    check_same_place(t1.path, volume.path)
    shape, expected = volume.array.shape, f"{t1.array.shape} as {t1.path.name} has"
    expect(shape == t1.array.shape, volume.path, f"shape {shape} (ZYX)", expected)

"""Triplets as others have made them: a folder of three images for each, as data sets of frame interpolation have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import SUFFIXES
from aeanet_tf.io.read import read_image
from aeanet_tf.paths import named_path
from aeanet_tf.sections.stack import by_number

# Beside a list, where the paths in it begin.
SEQUENCES = "sequences"
_TRIPLET = 3


def find_triplets(source: str | Path) -> list[Path]:
    """The folders of ready-made triplets, each of which holds three images: the slices before, in the middle and after.

    Args:
        source: a folder, at any depth of which they are; or a text file that lists them, one a line, relative to the
            folder ``sequences`` beside it, or where there is none to its own folder.

    Returns:
        The folders; those of a list in its order, others in the order of the numbers in their names.

    Raises:
        InputError: the source is missing or names none, or a folder has images, but not three.
    """
    source = named_path(source)
    if source.is_file():
        return _listed(source)
    expect(source.is_dir(), source, "neither a folder nor a list of triplets", "one of both")
    folders = [folder for folder in (source, *source.rglob("*")) if folder.is_dir() and _images(folder)]
    for folder in folders:
        _check(folder)
    expect(folders, source, "no folder with images below it", f"folders of {_TRIPLET} images each")
    return sorted(folders, key=by_number)


def _listed(source: Path) -> list[Path]:
    base = source.parent / SEQUENCES
    base = base if base.is_dir() else source.parent
    try:
        lines = source.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read as a list of triplets ({error})") from error
    folders = [base / line.strip() for line in lines if line.strip()]
    expect(folders, source, "an empty list", "a folder of a triplet in each line")
    for folder in folders:
        _check(folder)
    return folders


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=by_number)


def _check(folder: Path) -> list[Path]:
    files = _images(folder)
    expect(len(files) == _TRIPLET, folder, f"{len(files)} images", "three: the slices before, in the middle and after")
    return files


def triplet_files(folder: Path) -> list[Path]:
    """The images of the folder of a triplet, in the order of the numbers in their names."""
    return _images(folder)


def holds_triplets(source: Path) -> bool:
    """Whether a list or a folder is likely to name triplets: the first folder with images below it has three."""
    if source.is_file():
        return True
    folders = (folder for folder in (source, *sorted(source.rglob("*"))) if folder.is_dir())
    return next((len(files) == _TRIPLET for files in map(_images, folders) if files), False)


def read_triplet(folder: str | Path) -> np.ndarray:
    """The three images of a folder in the order of the numbers in their names, ``(3, y, x)`` in their dtype.

    Grey images that are stored in three equal colours are taken as grey.

    Raises:
        InputError: there are not three images, one cannot be read or is in colour, or they differ in size or dtype.
    """
    files = _check(Path(folder))
    images = [_grey(path) for path in files]
    for path, image in zip(files, images, strict=True):
        same = (image.shape, image.dtype) == (images[0].shape, images[0].dtype)
        expect(same, path, f"shape {image.shape}, {image.dtype}", f"{images[0].shape}, {images[0].dtype} as {files[0]}")
    return np.stack(images)


def _grey(path: Path) -> np.ndarray:
    image = read_image(path)
    array = image.array
    if image.axes == "YXC":
        equal = array.shape[-1] == 1 or (array.shape[-1] == 3 and (array == array[..., :1]).all())
        expect(equal, path, f"an image of {array.shape[-1]} channels", "a grey one, or three equal colours")
        array, axes = array[..., 0], "YX"
    else:
        axes = image.axes
    expect(axes == "YX", path, f"axes {image.axes}", "YX, a grey image that is one slice")
    return array


def split_of(folder: str | Path, names: Sequence[str]) -> Path | None:
    """A part of a data set, such as that to test on: the first folder or list of these names; ``None`` without one."""
    there = (Path(folder) / name for name in names)
    return next((path for path in there if path.exists()), None)

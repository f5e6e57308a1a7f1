"""Where the images of a folder are that someone wants to train on: pairs, patches, a stack, or images alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aeanet_tf.datasets.name_matching import differing_number, differing_word
from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.io.read import find_images
from aeanet_tf.paths import is_pattern, named_path

_LOW = (
    "low lowsnr lq lr noisy noise input inputs raw source src images image img degraded blurred blurry widefield "
    "short fast undersampled x"
).split()
_GT = (
    "gt groundtruth truth target targets clean high highsnr hq hr reference ref long slow averaged average avg mean y"
).split()
LABEL_WORDS = (
    "labels label masks mask annotations annotation annotated seg segmentation segmentations membranes classes"
).split()
_TRAINING = ("", "train", "training", "train_data")
_VALIDATION = ("val", "valid", "validation")


class Found(NamedTuple):
    """Where the data of a training are.

    Attributes:
        kind: "pairs", "npz", "stack" (one file of slices) or "alone" (images without a ground truth).
        root: folder that the others are relative to, as the user named it.
        low: a folder, a pattern or a file; of an ``.npz`` its name.
        gt: of pairs the same for the ground truth.
        validation: ``(low, gt)`` to validate on; ``None`` where there are none.
    """

    kind: str
    root: str
    low: str
    gt: str | None = None
    validation: tuple[str, str] | None = None


def find_data(data: str | None, low: str | None = None, gt: str | None = None) -> Found:
    """Find the inputs and their ground truth.

    Args:
        data: a folder, an ``.npz`` or an image file; ``None`` where ``low`` is given.
        low, gt: folders, patterns or files, relative to ``data`` where that is given. Beside ``gt`` alone ``data`` are
            the inputs, unless ``gt`` is one of two folders in it.

    Raises:
        InputError: there is nothing; or it is not clear what is the input, and what the ground truth: the message says
            which arguments would tell.
    """
    if low is None and gt is not None and data is not None:
        data, low = _beside(data, gt)
    if low is not None:
        return _named(data, low, gt)
    expect(gt is None, "--gt", repr(gt), "--low or --data beside it")
    expect(data is not None, "--data", "nothing", "a folder of images, or --low and --gt")
    path = named_path(data)
    if path.suffix.lower() == ".npz" and path.is_file():
        return Found("npz", str(path.parent), path.name)
    if path.is_file() or is_zarr(path):
        return Found("stack", str(path.parent), path.name)
    expect(path.is_dir(), "--data", f"no file or folder {data}", "a folder of images, an image or an .npz")
    return _of_folder(path)


def _beside(data: str, gt: str) -> tuple[str | None, str]:
    """Where a ground truth alone is named: the folder that both are in, if there is one, and the inputs."""
    path = named_path(data)
    if path.is_dir() and (path / gt).is_dir():
        others = [name for name in _image_folders(path) if name != Path(gt).name]
        expect(len(others) == 1, "--gt", f"{len(others)} other folders in {path}", "--low to name one of them")
        return data, others[0]
    return None, data


def _named(data: str | None, low: str, gt: str | None) -> Found:
    root = named_path(data) if data is not None else Path()
    sides = [str(named_path(side)) if data is None else side for side in (low, gt) if side is not None]
    for flag, side in zip(("--low", "--gt"), sides, strict=False):
        there = (root / side).exists() or is_pattern(root / side)
        expect(there, flag, f"no file or folder {root / side}", "a folder of images, a pattern or a file")
    single = (root / sides[0]).is_file() or is_zarr(root / sides[0])
    if len(sides) == 1:
        return Found("stack" if single else "alone", str(root), sides[0])
    return Found("pairs", str(root), *sides)


def _of_folder(path: Path) -> Found:
    folders = {base: _image_folders(path / base) for base in _TRAINING if (path / base).is_dir()}
    undecided = ""
    # The folder of training is what is meant where there is one.
    for base in sorted(folders, reverse=True):
        names = folders[base]
        sides = _sides(names)
        if sides:
            low, gt = (f"{base}/{side}".removeprefix("/") for side in sides)
            return Found("pairs", str(path), low, gt, _validation(path, sides))
        if len(names) > 1:
            undecided = f"{path / base}: found the folders {', '.join(sorted(names)[:8])}"
    npz = sorted(one for base in folders for one in (path / base).glob("*.npz"))
    if npz and not undecided:
        expect(len(npz) == 1, "--data", f"{len(npz)} files in {path}, such as {npz[0].name}", "the name of one .npz")
        return Found("npz", str(path), npz[0].relative_to(path).as_posix())
    if undecided:
        raise InputError(f"{undecided}, expected --low and --gt to say which are inputs and ground truth")
    base = next((base for base in sorted(folders, reverse=True) if _has_images(path / base)), None)
    if base is not None:
        return _of_one_folder(path, base)
    single = next((f"{base}/{name}".removeprefix("/") for base, names in folders.items() for name in names), None)
    expect(single is not None, "--data", f"no images in {path}, nor in folders in it", "a folder of images")
    return Found("alone", str(path), single)


def _image_folders(path: Path) -> list[str]:
    """Names of the folders with images in a folder."""
    children = (child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    named = (child for child in children if not is_zarr(child) and child.name not in (*_TRAINING, *_VALIDATION, "test"))
    return sorted(child.name for child in named if _has_images(child))


def _has_images(path: Path) -> bool:
    try:
        return bool(find_images(path))
    except InputError:
        return False


def _sides(names: Sequence[str]) -> tuple[str, str] | None:
    """The folders of inputs and of ground truth among these, where their names tell."""
    roles = {name: role_of(name) for name in names}
    inputs, truths = ([name for name in names if roles[name] == role] for role in ("low", "gt"))
    if len(names) == 2 and len(inputs) + len(truths) == 1:
        # One of two is known, and with it the other.
        known = (inputs or truths)[0]
        other = next(name for name in names if name != known)
        return (known, other) if inputs else (other, known)
    return (inputs[0], truths[0]) if len(inputs) == len(truths) == 1 else None


def role_of(name: str) -> str | None:
    """Whether a name says that it is of inputs ("low") or of ground truths ("gt"); ``None`` where it does not."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    words = {*words, "".join(words)}
    low, gt = bool(words & {*_LOW}), bool(words & {*_GT, *LABEL_WORDS})
    # "input_labels" are labels, "high_input" is nobody's guess.
    if low and gt:
        return "gt" if words & {*LABEL_WORDS} else None
    return "low" if low else "gt" if gt else None


def _validation(path: Path, sides: tuple[str, str]) -> tuple[str, str] | None:
    for base in _VALIDATION:
        if all((path / base / side).is_dir() and _has_images(path / base / side) for side in sides):
            low, gt = sides
            return f"{base}/{low}", f"{base}/{gt}"
    return None


def _of_one_folder(path: Path, base: str) -> Found:
    """Images in one folder: pairs by a word in their names, or images alone."""
    images = find_images(path / base)
    if len(images) == 1:
        return Found("stack", str(path), images[0].relative_to(path).as_posix())
    if len(images) == 2 and role_of(images[0].stem) != role_of(images[1].stem):
        sides = _sides([image.name for image in images])
        if sides:
            low, gt = (f"{base}/{side}".removeprefix("/") for side in sides)
            return Found("pairs", str(path), low, gt)
    patterns = _two_patterns(images)
    if patterns is None:
        return Found("alone", str(path), base or ".")
    low, gt = (f"{base}/{pattern}".removeprefix("/") for pattern in patterns)
    roles = [role_of(pattern) for pattern in patterns]
    if {*roles} in ({"low", "gt"}, {"low", None}, {"gt", None}):
        if roles[0] == "gt" or roles[1] == "low":
            low, gt = gt, low
        return Found("pairs", str(path), low, gt)
    raise InputError(
        f"{path}: found pairs {low} and {gt}, expected --low and --gt to say which are inputs and which ground truth"
    )


def _two_patterns(images: Sequence[Path]) -> tuple[str, str] | None:
    """Two patterns that split images in halves that pair, by a word at the end or the beginning of their names."""
    names = {image_stem(image): image for image in images}
    if len(names) != len(images) or len(images) % 2:
        return None
    groups: dict[tuple[bool, str], list[str]] = {}
    for stem in names:
        words = re.findall(r"\d+|[^\W\d_]+|.", stem, re.DOTALL)
        for end in {(True, words[-1]), (True, "".join(words[-2:])), (False, words[0])}:
            groups.setdefault(end, []).append(stem)
    for end in sorted(end for end, stems in groups.items() if 2 * len(stems) == len(images)):
        first, chosen = groups[end], {*groups[end]}
        second = [stem for stem in names if stem not in chosen]
        found = differing_word(first, second) or differing_number(first, second)
        if found is None or not all(map("".join, (found.first, found.second))):
            continue
        extensions = [{names[stem].name[len(stem) :] for stem in side} for side in (first, second)]
        patterns = tuple(
            pattern + (own.pop() if len(own) == 1 else ".*")
            for pattern, own in zip(found.patterns(), extensions, strict=True)
        )
        if _split_cleanly(images[0].parent, patterns, len(first)):
            return patterns
    return None


def _split_cleanly(folder: Path, patterns: Sequence[str], count: int) -> bool:
    try:
        return len(pair_folders(*(folder / pattern for pattern in patterns))) == count
    except InputError:
        return False

"""The paired EM images as published: BMPs of two magnifications, registered and cut into sub-images."""

import csv
import glob
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from aeanet_tf.datasets.registration import RegistrationError, coverage, register, resample
from aeanet_tf.errors import InputError, expect
from aeanet_tf.files import write_rows
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image

logger = logging.getLogger("aeanet_tf")

Area: TypeAlias = tuple[slice, slice]
Pair: TypeAlias = tuple[np.ndarray, np.ndarray]

LOW, HIGH = "10000", "20000"
# Rows above the info bar of the microscope.
ROWS = 944
GRID = (3, 4)
TRAINING_COLUMNS = 3
REGISTRATION_FILE = "registration.csv"

_FIELDS = ("pair", "status", "inliers", "matches", "residual", "matrix", "size", "reason", "source")
# Low-magnification images hold the whole field of view of the others; a little less is lost at the border at most.
_LEAST_COVERAGE = 0.98


def find_paired_em(root: str | Path) -> list[tuple[str, Path, Path]]:
    """Find the pairs of a folder: ``<name>10000.bmp`` (low) and ``<name>20000.bmp`` (high, twice the magnification).

    Returns:
        (name, low, high), sorted by name; underscores, dashes and blanks at the end of a name are left out.

    Raises:
        InputError: the folder has no such images, an image has no partner, or two pairs have one name.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder, expected one of *{LOW}.bmp and *{HIGH}.bmp")
    sides: dict[str, dict[str, Path]] = {LOW: {}, HIGH: {}}
    for path in sorted(root.iterdir()):
        magnification = path.stem[-len(LOW) :]
        if path.suffix.lower() != ".bmp" or magnification not in sides or path.name.startswith("."):
            continue
        name = path.stem[: -len(LOW)].rstrip("_- ") or "image"
        if sides[magnification].setdefault(name, path) != path:
            raise InputError(f"{path}: has the same name as {sides[magnification][name]}, expected one pair a name")
    expect(sides[LOW] or sides[HIGH], root, f"no images *{LOW}.bmp and *{HIGH}.bmp", "pairs of them")
    for own, other in ((LOW, HIGH), (HIGH, LOW)):
        alone = sorted(sides[own].keys() - sides[other].keys())
        if alone:
            raise InputError(f"{sides[own][alone[0]]}: has no partner of magnification {other} beside it")
    return [(name, sides[LOW][name], sides[HIGH][name]) for name in sorted(sides[LOW])]


def prepare_paired_em(
    root: str | Path, output: str | Path, pair: str | None = None, *, rows: int = ROWS, seed: int = 0
) -> Path:
    """Register the pairs of a folder and write their sub-images, as the AEANet paper does (section VI-A).

    The low image is registered to the high one (`register`, scale 1/2), brought into its frame by bicubic
    interpolation, and both are cut into 3 rows x 4 columns. The left 3 columns are for training, the last one for
    testing: ``<output>/{train,test}/{low,GT}/<pair>_r<row>_c<column>.tif``, 8-bit. Sizes need not divide by 3 and 4:
    the edges are rounded to whole pixels, so that 944 rows become 315, 314 and 315. Warped values are rounded, too.

    ``<output>/registration.csv`` has one line a pair: ``pair``, ``status`` ("registered" or "failed"), ``inliers``,
    ``matches``, ``residual`` (pixels of the low image), ``matrix`` (the homography row by row, from the high image to
    the low one, (x, y) with the first pixel's centre at 0), ``size`` (rows and columns), ``reason`` of a failure, and
    ``source``: the files and settings it was made of. A pair with a line of the same source is not done again. A pair
    that cannot be registered is left out with a warning.

    Args:
        root: folder of the BMPs; see `find_paired_em`.
        output: folder to write to; what is in it of pairs that are no longer in ``root`` is removed.
        pair: name of the one pair to prepare (self-training); others that are there stay. None for all.
        rows: rows above the info bar; what is below is cut off.
        seed: of the registration.

    Returns:
        ``output``.

    Raises:
        InputError: pairs that do not fit together, an image that cannot be read or is not 8-bit grey, no pair of the
            name ``pair``, or no pair that can be registered.
    """
    output, pairs = Path(output), find_paired_em(root)
    done = _read_lines(output / REGISTRATION_FILE)
    for name in done.keys() - {name for name, _, _ in pairs}:
        _remove(output, name)
        del done[name]
    if pair is not None:
        chosen = [candidate for candidate in pairs if candidate[0] == pair]
        if not chosen:
            raise InputError(f"pair: {pair!r} is not in {root}, expected one of {', '.join(n for n, _, _ in pairs)}")
        pairs = chosen
    failed = {}
    for name, low, high in pairs:
        source = f"{_facts(low)} {_facts(high)} rows={rows} seed={seed}"
        line = done.get(name)
        if line is None or line["source"] != source or not _is_whole(output, line):
            _remove(output, name)
            line = done[name] = _prepare(output, name, low, high, rows, seed) | {"source": source}
            write_rows(output / REGISTRATION_FILE, _FIELDS, (done[name] for name in sorted(done)))
        if line["status"] != "registered":
            failed[name] = line["reason"]
            logger.warning("%s: left out, it cannot be registered (%s)", name, line["reason"])
    if len(failed) == len(pairs):
        name, reason = next(iter(failed.items()))
        raise InputError(f"{root}: none of {len(pairs)} pairs can be registered, for instance {name}: {reason}")
    return output


def sub_images(folder: str | Path, part: str, side: str, pair: str | None = None) -> str:
    """The pattern of the sub-images in a prepared folder: ``part`` "train" or "test", ``side`` "low" or "GT"."""
    place = glob.escape(str(Path(folder) / part / side))
    return f"{place}/{'*' if pair is None else glob.escape(pair)}_r[0-9]_c[0-9].tif"


def whole_images(folder: str | Path) -> list[tuple[str, Callable[[], Pair], list[tuple[str, Area]]]]:
    """The registered images of a prepared folder, put together from their sub-images again.

    Args:
        folder: of `prepare_paired_em`.

    Returns:
        For each pair, sorted by name: its name; a function that reads it, ``(low, GT)``, two uint8 images (y, x);
        and label ("r0_c3") and area of each of the sub-images for testing.

    Raises:
        InputError: the folder has no table, or no registered pair in it; on reading, a sub-image is missing.
    """
    folder = Path(folder)
    lines = sorted(_read_lines(folder / REGISTRATION_FILE).items())
    images = []
    for name, line in lines:
        if line["status"] == "registered":
            shape = tuple(int(size) for size in line["size"].split())
            parts = [(piece.label, piece.area) for piece in _pieces(shape) if piece.part == "test"]
            images.append((name, partial(_read_whole, folder, name, shape), parts))
    if not images:
        raise InputError(f"{folder / REGISTRATION_FILE}: lists no registered pair; see prepare_paired_em")
    return images


def _read_whole(folder: Path, name: str, shape: tuple[int, ...]) -> Pair:
    images = []
    for side in ("low", "GT"):
        whole = np.empty(shape, np.uint8)
        for piece in _pieces(shape):
            path = piece.path(folder, side, name)
            part = read_image(path).array
            expect(part.shape == whole[piece.area].shape, path, f"shape {part.shape}", whole[piece.area].shape)
            whole[piece.area] = part
        images.append(whole)
    return images[0], images[1]


@dataclass(frozen=True)
class _Piece:
    part: str
    label: str
    area: Area

    def path(self, output: Path, side: str, pair: str) -> Path:
        return output / self.part / side / f"{pair}_{self.label}.tif"


def _pieces(shape: tuple[int, ...]) -> list[_Piece]:
    """Areas of the sub-images of an image, with their labels."""
    # np.linspace and rint: halves go to the even neighbour, the same for every image of one size.
    edges = [np.rint(np.linspace(0, size, parts + 1)).astype(int) for size, parts in zip(shape, GRID, strict=True)]
    return [
        _Piece(
            "train" if column < TRAINING_COLUMNS else "test",
            f"r{row}_c{column}",
            (slice(*edges[0][row : row + 2]), slice(*edges[1][column : column + 2])),
        )
        for row in range(GRID[0])
        for column in range(GRID[1])
    ]


def _prepare(output: Path, name: str, low: Path, high: Path, rows: int, seed: int) -> dict[str, str]:
    """Register a pair and write its sub-images; what goes into its line of the table."""
    moving, fixed = (_read(path, rows) for path in (low, high))
    try:
        registration = register(fixed, moving, scale=0.5, seed=seed)
        covered = coverage(registration.matrix, fixed.shape, moving.shape)
        if covered < _LEAST_COVERAGE:
            raise RegistrationError(f"{low.name} covers {covered:.0%} of {high.name}, expected all of it")
    except RegistrationError as error:
        return {"pair": name, "status": "failed", "reason": str(error)}
    warped = np.clip(np.rint(resample(moving, registration, fixed.shape)), 0, 255).astype(np.uint8)
    for piece in _pieces(fixed.shape):
        for side, image in (("low", warped), ("GT", fixed)):
            write_image(piece.path(output, side, name), image[piece.area], "YX")
    logger.info("%s: registered, residual %.3f pixels, %d inliers", name, registration.residual, registration.inliers)
    return {
        "pair": name,
        "status": "registered",
        "inliers": str(registration.inliers),
        "matches": str(registration.matches),
        "residual": f"{registration.residual:.4f}",
        "matrix": " ".join(f"{entry:.9g}" for entry in registration.matrix.ravel()),
        "size": " ".join(str(size) for size in fixed.shape),
    }


def _read(path: Path, rows: int) -> np.ndarray:
    """Grey levels above the info bar."""
    image = read_image(path)
    array = image.array
    expect(array.dtype == np.uint8, path, f"pixels of type {array.dtype}", "8-bit grey levels")
    array = np.moveaxis(array, image.axes.index("Y"), 0)[:rows]
    if "C" in image.axes:
        # Grey images are often stored as three equal colours; the bar below may have a colour.
        if (array != array[..., :1]).any():
            raise InputError(f"{path}: a colour image above row {rows}, expected grey levels")
        array = array[..., 0]
    return np.ascontiguousarray(array)


def _is_whole(output: Path, line: dict[str, str]) -> bool:
    if line["status"] != "registered":
        return True
    pieces = _pieces(tuple(int(size) for size in line["size"].split()))
    return all(piece.path(output, side, line["pair"]).is_file() for piece in pieces for side in ("low", "GT"))


def _remove(output: Path, name: str) -> None:
    for part in ("train", "test"):
        for side in ("low", "GT"):
            for path in glob.glob(sub_images(output, part, side, name)):
                Path(path).unlink()


def _facts(path: Path) -> str:
    status = path.stat()
    return f"{path.name}:{status.st_size}:{status.st_mtime_ns}"


def _read_lines(path: Path) -> dict[str, dict[str, str]]:
    """Lines of the table by pair; nothing where it is missing or is no such table."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = tuple(reader.fieldnames or ())
        expect(columns == _FIELDS, path, f"columns {columns}", f"{', '.join(_FIELDS)}; delete the folder")
        return {line["pair"]: line for line in reader}

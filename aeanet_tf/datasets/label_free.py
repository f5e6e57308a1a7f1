"""The label-free images of the Allen Institute as published: CZI or OME-TIFF, named by CSV files."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image, check_finite, image_stem
from aeanet_tf.io.read import open_image, read_ordered

STRUCTURES: dict[str, str] = {
    "alpha_tubulin": "microtubules",
    "beta_actin": "actin filaments",
    "desmoplakin": "desmosomes",
    "dic_lamin_b1": "nuclear envelope, from DIC images",
    "dna": "DNA",
    "fibrillarin": "nucleoli",
    "lamin_b1": "nuclear envelope",
    "membrane_caax_63x": "cell membrane",
    "myosin_iib": "actomyosin bundles",
    "sec61_beta": "endoplasmic reticulum",
    "st6gal1": "Golgi apparatus",
    "tom20": "mitochondria",
    "zo1": "tight junctions",
}
"""The 13 structures, as their archives are called, and what they are."""

_ONE_FILE = ("path_czi", "path_tif", "path_tiff")
_CHANNELS = ("channel_signal", "channel_target")
_TWO_FILES = ("path_signal", "path_target")


@dataclass(frozen=True)
class LabelFreeImage:
    """A transmitted-light image and the fluorescence image to predict from it. Nothing is read until asked.

    Attributes:
        name: file name without its extension.
        signal, target: file and channel (None for the only one) of either image.
        resize: factors along Z, Y, X by which both are resized, None for none.
    """

    name: str
    signal: tuple[Path, int | None]
    target: tuple[Path, int | None]
    resize: tuple[float, float, float] | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read signal and target: two float32 arrays ZYX of one shape, in the units of the files.

        Resizing is cubic without a low-pass filter, as in the publication of the data (Ounkomol et al. 2018).

        Raises:
            InputError: a file cannot be read, lacks the channel, is not a volume, or the shapes differ.
        """
        signal, target = (_read_channel(*source) for source in (self.signal, self.target))
        same = signal.shape == target.shape
        expect(same, self.target[0], f"a target of shape {target.shape}", f"{signal.shape} as the signal's")
        return tuple(_resized(array, self.resize) for array in (signal, target))

    def read_images(self) -> tuple[Image, Image]:
        """Signal and target as `Image`, for training."""
        signal, target = self.read()
        return Image(signal, "ZYX", path=self.signal[0]), Image(target, "ZYX", path=self.target[0])


def label_free_images(
    root: str | Path, structure: str, split: str, resize: Sequence[float] | None = None
) -> list[LabelFreeImage]:
    """Images of a structure as a CSV file lists them.

    The CSV is the first of ``csvs/<structure>/<split>.csv``, ``csvs/<structure>_<split>.csv``,
    ``<structure>/<split>.csv`` and ``<structure>_<split>.csv`` in ``root``. It has the columns ``path_czi`` (or
    ``path_tif`` for OME-TIFFs), ``channel_signal`` and ``channel_target`` (numbers from 0); or ``path_signal`` and
    ``path_target`` for TIFFs of one channel. A relative path is looked for in the folder that ``root`` is in (the
    published CSVs say ``data/<structure>/...``), in ``root``, there without its first folder, and beside the CSV.

    Args:
        root: folder of the data, in which the archives were unpacked.
        structure: one of `STRUCTURES`, or another name for which there is a CSV.
        split: "train" or "test".
        resize: factors along Z, Y, X: ``(1, 0.37241, 0.37241)`` brings pixels of 0.108 to 0.29 micrometres, as in the
            publication of the data. None leaves images as they are.

    Raises:
        InputError: there is no CSV or it is wrong; a file it names is not there.
    """
    root = Path(root)
    if resize is not None and (len(resize) != 3 or not all(np.isfinite(f) and f > 0 for f in resize)):
        raise InputError(f"resize: found {resize}, expected three positive factors along Z, Y, X")
    tables = _tables(root, structure, split)
    if not tables:
        looked = f"{structure}/{split}.csv, {structure}_{split}.csv"
        raise InputError(f"{root}: no table of {structure}, {split}: looked for {looked}, also in csvs")
    table = tables[0]
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, lines = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read ({error})") from error
    layout = _layout(table, columns)
    if not lines:
        raise InputError(f"{table}: lists no image, expected at least one")
    factors = None if resize is None else tuple(float(factor) for factor in resize)
    images = []
    # The first line names the columns.
    for number, line in enumerate(lines, start=2):
        signal, target = _sources(f"{table}, line {number}", line, layout, root, table, structure)
        images.append(LabelFreeImage(image_stem(signal[0]), signal, target, factors))
    return images


def structures_in(root: str | Path) -> list[str]:
    """Those of `STRUCTURES` of which a folder has a CSV, of either split."""
    return [name for name in STRUCTURES if any(_tables(Path(root), name, split) for split in ("train", "test"))]


def _tables(root: Path, structure: str, split: str) -> list[Path]:
    """The CSVs that there are, the first of which counts."""
    names = (f"{structure}/{split}.csv", f"{structure}_{split}.csv")
    return [folder / name for folder in (root / "csvs", root) for name in names if (folder / name).is_file()]


def _layout(table: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that name the images: one file, or two."""
    for name in _ONE_FILE:
        if {name, *_CHANNELS} <= set(columns):
            return (name,)
    if set(_TWO_FILES) <= set(columns):
        return _TWO_FILES
    raise InputError(
        f"{table}: found columns {', '.join(columns) or '(none)'}; expected path_czi or path_tif with "
        f"{' and '.join(_CHANNELS)}, or {' and '.join(_TWO_FILES)}"
    )


def _sources(
    where: str, line: dict[str, str], layout: tuple[str, ...], root: Path, table: Path, structure: str
) -> tuple[tuple[Path, int | None], ...]:
    paths = [_find(where, line[column], root, table, structure) for column in layout]
    if len(paths) == 2:
        return tuple((path, None) for path in paths)
    channels = []
    for column in _CHANNELS:
        text = (line[column] or "").strip()
        if not text.isdigit():
            raise InputError(f"{where}: {column} is {text!r}, expected the number of a channel, from 0")
        channels.append(int(text))
    return tuple((paths[0], channel) for channel in channels)


def _find(where: str, text: str | None, root: Path, table: Path, structure: str) -> Path:
    if not text:
        raise InputError(f"{where}: names no file")
    path = Path(text)
    absolute = root.absolute()
    inner = Path(*path.parts[1:]) if len(path.parts) > 1 else path
    # Last, where the archive of the structure was unpacked, for tables made on another machine.
    places = [absolute.parent / path, absolute / path, absolute / inner, table.parent / path]
    places.append(absolute / structure / path.name)
    for place in places:
        if place.exists():
            return place
    raise InputError(f"{where}: no such file {text}; looked in {absolute}, beside it and beside the table")


def _read_channel(path: Path, channel: int | None) -> np.ndarray:
    image = open_image(path)
    sizes = dict(zip(image.axes, image.array.shape, strict=True))
    expect(set(image.axes) - {"C"} == set("ZYX"), path, f"axes {image.axes}", "volumes (ZYX) with channels (C)")
    channels = sizes.get("C", 1)
    expect(channel is not None or channels <= 1, path, f"{channels} channels", "one, since the table names none")
    channel = 0 if channel is None else channel
    if not 0 <= channel < channels:
        raise InputError(f"{path}: no channel {channel}, it has {channels} (numbered from 0)")
    array = read_ordered(image, "ZYX", {"C": channel})
    check_finite(path, array)
    return array


def _resized(array: np.ndarray, factors: tuple[float, float, float] | None) -> np.ndarray:
    array = np.ascontiguousarray(array, np.float32)
    if factors is None:
        return array
    from scipy.ndimage import zoom

    return zoom(array, factors, order=3, mode="nearest")

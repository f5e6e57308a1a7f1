"""Training patches in CSBDeep's .npz format, by CSBDeep's own functions, from checked images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.datasets.pairs import check_partners, read_pair
from aeanet_tf.datasets.patch_normalization import PatchNormalization
from aeanet_tf.errors import InputError, expect
from aeanet_tf.files import replacing
from aeanet_tf.io.image import TIFF_SUFFIXES, check_axes, image_suffix
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.ome_sets import one_of_each_set
from aeanet_tf.io.series import series_paths
from aeanet_tf.io.value_range import measurable
from aeanet_tf.paths import nearest_path


@dataclass(frozen=True)
class PatchSettings:
    """How to cut patches; the defaults are CSBDeep's.

    Attributes:
        axes: axes of the source images, such as "ZYX".
        patch_size: size of a patch along each of them, 0 for the whole axis.
        patches_per_image: number of patches from each pair.
        reduce: axis along which the target is projected (it lacks the axis or has size 1), None for none.
        threshold: a patch is eligible where the target's maximum nearby exceeds this part of its
            99.9th percentile; None takes background too.
        percentiles: (low, high) mapped to 0 and 1 in each image; None draws them for each patch from 1..3 and
            99.5..99.9.
        seed: of the positions, the percentiles and the order of the patches.
    """

    axes: str
    patch_size: Sequence[int]
    patches_per_image: int = 16
    reduce: str | None = None
    threshold: float | None = 0.4
    percentiles: tuple[float, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        axes = check_axes(self.axes)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        fits = len(self.patch_size) == len(axes) and min(self.patch_size) >= 0
        expect(fits, "patch size", self.patch_size, f"{len(axes)} sizes for the axes {axes}")
        expect(self.patches_per_image >= 1, "patches per image", self.patches_per_image, "at least 1")
        if self.reduce is not None and (self.reduce not in axes or self.reduce not in tuple("TZ")):
            raise InputError(f"reduce: found {self.reduce!r}, expected T or Z, and one of the axes {axes}")
        expect(self.threshold is None or 0 <= self.threshold <= 1, "threshold", self.threshold, "0 to 1")
        if self.percentiles is not None and not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise InputError(f"percentiles: found {self.percentiles}, expected 0 <= low < high <= 100")
        expect(0 <= self.seed < 2**32, "seed", self.seed, "0 to 2^32 - 1")


def find_pairs(
    basepath: str | Path,
    sources: Sequence[str],
    target: str,
    pattern: str | None = None,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> list[tuple[Path | ImagePath, Path | ImagePath]]:
    """Match source images to targets of the same file name, as ``RawData.from_folder`` does.

    Targets without a source are left out, since each source folder may hold some of the images.

    Args:
        basepath: folder of the folders.
        sources: names of those of the images.
        target: name of that of the targets.
        pattern: of the files in a folder of images; None takes every TIFF.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`.

    Raises:
        InputError: a folder is missing, a source folder has no image, or a source has no target.
    """
    basepath = Path(basepath)
    for folder in (basepath, *(basepath / source for source in sources), basepath / target):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder{nearest_path(folder)}")
    pairs = []
    for source in sources:
        names = _names(basepath / source, pattern)
        alone = [name for name in names if not (basepath / target / name).is_file()]
        check_partners(basepath / source, names, alone, basepath / target)
        for name in names:
            pairs += _chosen(basepath / source / name, basepath / target / name, series, allow_missing)
    return pairs


def _names(folder: Path, pattern: str | None) -> list[str]:
    files = [path for path in folder.glob(pattern or "*") if path.name[0] != "." and path.is_file()]
    if pattern is None:
        files = [path for path in files if image_suffix(path) in TIFF_SUFFIXES]
    if not files:
        raise InputError(f"{folder}: no image matches {pattern or 'a name of a TIFF'}")
    return [path.name for path in one_of_each_set(sorted(files))]


def _chosen(
    low: Path, gt: Path, series: int | str | None, allow_missing: bool
) -> list[tuple[Path | ImagePath, Path | ImagePath]]:
    images, targets = (series_paths([path], series, allow_missing) for path in (low, gt))
    expect(len(images) == len(targets), gt, f"{len(targets)} images in it", f"{len(images)} as {low} has")
    return list(zip(images, targets, strict=True))


def check_pairs(pairs: Sequence[tuple[Path | ImagePath, Path | ImagePath]], settings: PatchSettings) -> tuple[int, ...]:
    """Read every pair once, so that a bad file is found before hours of cutting.

    Returns:
        The patch size, with the size of the first image for 0.

    Raises:
        InputError: an image is unreadable or not finite, the shapes of a pair differ, or an image is smaller
            than a patch.
    """
    size = settings.patch_size
    for number, (low_path, gt_path) in enumerate(pairs):
        low, _ = read_pair(low_path, gt_path, settings.axes, settings.reduce)
        shape = low.array.shape
        if number == 0:
            size = tuple(wanted or whole for wanted, whole in zip(size, shape, strict=True))
        if any(wanted > there for wanted, there in zip(size, shape, strict=True)):
            raise InputError(f"{low_path}: shape {shape} ({settings.axes}), smaller than a patch of {size}")
        for axis, wanted, there in zip(settings.axes, size, shape, strict=True):
            if axis == "C" and wanted != there:
                raise InputError(f"{low_path}: {there} channels, but patches of {wanted}; expected all of them (or 0)")
    return size


def cut_patches(
    basepath: str | Path,
    sources: Sequence[str],
    target: str,
    settings: PatchSettings,
    pattern: str | None = None,
    verbose: bool = True,
    series: int | str | None = None,
    allow_missing: bool = False,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Cut normalised patches with CSBDeep's ``create_patches`` or ``create_patches_reduced_target``.

    Folders as for ``RawData.from_folder``: ``basepath/<source>/name.tif`` and ``basepath/<target>/name.tif``.
    Files are taken in the order of their names and the seed is set through NumPy's global generator, which
    CSBDeep draws from and which is put back afterwards, so that equal calls give equal patches.

    Args:
        basepath, sources, target, pattern, series, allow_missing: as for `find_pairs`.
        settings: what is cut.
        verbose: whether CSBDeep tells what it does.

    Returns:
        X, Y (float32, of shape (patch, channel, ...)) and their axes, "SC" and the spatial ones.

    Raises:
        InputError: see ``find_pairs`` and ``check_pairs``; or no place passes the background filter.
    """
    pairs = find_pairs(basepath, sources, target, pattern, series, allow_missing)
    size = check_pairs(pairs, settings)
    from csbdeep.data import RawData, create_patches, create_patches_reduced_target

    current: tuple[Path, Path] | None = None

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray, str, None]]:
        nonlocal current
        for current in pairs:
            low, gt = read_pair(*current, settings.axes, settings.reduce)
            yield measurable(low.array), measurable(gt.array), low.axes, None

    # As RawData.from_folder makes it, which takes the files in the order of the file system, however, and fails
    # on dimensions of size 1.
    raw = RawData(generate, len(pairs), f"{basepath}: {', '.join(sources)} -> {target} ({pattern or 'every TIFF'})")
    options: dict[str, Any] = {**_options(settings, lambda: current), "verbose": verbose}
    with _numpy_seed(settings.seed):
        try:
            if settings.reduce is None:
                return create_patches(raw, size, settings.patches_per_image, **options)
            return create_patches_reduced_target(
                raw,
                size,
                settings.patches_per_image,
                reduction_axes=settings.reduce,
                target_axes=settings.axes.replace(settings.reduce, ""),
                **options,
            )
        except ValueError as error:
            if isinstance(error, InputError) or "patch_filter" not in str(error):
                raise
            raise InputError(
                f"{current and current[1]}: no place for a patch of {size} passes the background filter; lower the "
                f"threshold ({settings.threshold}) or switch the filter off"
            ) from error


def _options(settings: PatchSettings, paths: Callable[[], tuple[Path, Path] | None]) -> dict[str, Any]:
    from csbdeep.data import no_background_patches

    patch_filter = None if settings.threshold is None else no_background_patches(threshold=settings.threshold)
    return {"patch_filter": patch_filter, "normalization": PatchNormalization(settings.percentiles, paths)}


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002 - CSBDeep draws from the global generator
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def save_patches(path: str | Path, x: np.ndarray, y: np.ndarray, axes: str) -> None:
    """Write a .npz file that ``csbdeep.io.load_training_data`` reads; it appears only when it is whole.

    Raises:
        InputError: the name does not end in .npz, or the file cannot be written.
    """
    if Path(path).suffix != ".npz":
        raise InputError(f"{path}: expected a name ending in .npz")
    with replacing(path) as temporary:
        np.savez(temporary, X=x, Y=y, axes=axes)

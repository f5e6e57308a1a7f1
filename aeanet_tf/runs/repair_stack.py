"""Missing slices of a stack put in their place, its sampling doubled, and known slices left out as a test.

The functions take any ``interpolate(before, after)``: the method of a model, or a baseline of
`aeanet_tf.sections.baselines`. One slice after another is read, interpolated and written.

What takes seconds to import, Keras by `aeanet_tf.prediction` and SciPy by the scores, is imported where it is used, so
that arguments are checked before.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import folder_made
from aeanet_tf.io.image import SUFFIXES, WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX, image_stem
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.io.write import ImageTarget, as_dtype
from aeanet_tf.io.write_formats import target_format
from aeanet_tf.paths import is_pattern
from aeanet_tf.progress import progress_bar
from aeanet_tf.sections.stack import HDF5_SUFFIXES, check_slice
from aeanet_tf.sections.triplets import TripletOptions, aligned_triplet

logger = logging.getLogger("aeanet_tf")

# One slice a chunk along the serial axis: a slice is written at once.
_CHUNK = 512


def output_path(stack, output):
    """The file that a repaired stack is written to.

    Args:
        stack: `aeanet_tf.sections.stack.SerialStack`.
        output: name of a file that ends in .tif, .tiff or .zarr, or a folder, in which the file has the name of the
            input: an OME-Zarr for an OME-Zarr, else a TIFF.

    Returns:
        Its path; nothing is made.

    Raises:
        InputError: another kind of file; the file is the input or would be one of its slices; it is a TIFF and does
            not hold the stack's dtype: integers and floats other than uint8, uint16, int16 and float32 are not
            converted, since the slices that are there would change.
    """
    output = Path(output)
    source = Path(stack.path)
    suffix = output.suffix.lower()
    if suffix in (*WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX):
        path = output
    elif output.is_dir() or suffix not in (*SUFFIXES, *HDF5_SUFFIXES):
        path = output / f"{_stem(stack.path)}{ZARR_SUFFIX if _is_zarr(source) else '.tif'}"
    else:
        raise InputError(f"--output: {output}, expected a folder or a name ending in .tif, .tiff or .zarr")
    check_apart(stack, path)
    _check_dtype(stack, path)
    return path


def _stem(place):
    source = Path(place)
    if is_pattern(source):
        source = place = source.parent
    folder = source.is_dir() and not _is_zarr(source)
    return source.resolve().name if folder else image_stem(place.resolve())


def _is_zarr(source):
    return source.suffix.lower() == ZARR_SUFFIX or is_zarr(source)


def check_apart(stack, path):
    """Refuse to write over the input, into it, or among its slices, where the next run would count the file as one.

    Raises:
        InputError: ``path`` is there.
    """
    source, path = Path(stack.path), Path(path)
    own, target = source.resolve(), path.resolve()
    if own == target:
        raise InputError(f"--output: {path} is the input, choose another name")
    if is_pattern(source):
        among = target.match(str(own))
    else:
        among = own in target.parents if _is_zarr(source) else own == target.parent
    if among:
        raise InputError(f"--output: {path} would be part of the input {source}, choose another folder")


def _check_dtype(stack, path):
    dtype = np.dtype(stack.dtype)
    try:
        target_format(path).check_dtype(path, dtype)
    except InputError as error:
        if path.suffix.lower() == ZARR_SUFFIX:
            raise
        instead = path.with_suffix(ZARR_SUFFIX)
        raise InputError(
            f"{path}: the pixels of {stack.path} are {dtype}, ImageJ's TIFF holds uint8, uint16, int16 and float32; "
            f"write an OME-Zarr: --output {instead}"
        ) from error


class Repair:
    """The repair of a stack, checked before a model is loaded for it.

    Args:
        stack: `aeanet_tf.sections.stack.SerialStack` of n slices (Y, X).
        missing: numbers of the missing slices, from 0; what the stack holds in their place is not looked at. May be
            empty where ``upsample`` is 2.
        output: file or folder, see `output_path`.
        upsample: 1, or 2 to double the sampling along the serial axis: 2 n - 1 slices, every second one of the stack,
            repaired before, and half the pixel size along that axis.

    Attributes:
        path: of the file to write.

    Raises:
        InputError: a missing slice has not two neighbours, there is nothing to do, or `output_path` refuses the output.
    """

    def __init__(self, stack, missing, output, upsample=1):
        self.stack, self.missing, self.upsample = stack, check_missing(missing, len(stack)), upsample
        if upsample not in (1, 2):
            raise InputError(f"--upsample: {upsample}, expected 2")
        if upsample == 1 and not self.missing:
            raise InputError("--missing: no slice, expected at least one, or --upsample 2")
        self.path = output_path(stack, output)

    def run(self, interpolate):
        """Write the stack with its missing slices interpolated, all others as they are.

        Axes, dtype and voxel size are kept. Interpolated slices are rounded and clipped where pixels are integers.
        Several missing slices in a row are interpolated by recursion, see `aeanet_tf.sections.repair`. What is written
        has a hidden name until it is complete; a run that was stopped begins anew.

        Args:
            interpolate: gives the slice (Y, X) between two, in their grey values.

        Returns:
            The path written.

        Raises:
            InputError: a slice that cannot be read, an interpolated one that is not finite, a disk that is full.
                Nothing is left then.
        """
        stack = self.stack
        _log_task(stack, self.missing, self.upsample)
        method = _checked(interpolate, stack.path)
        slices = _repaired(stack, self.missing, method)
        if self.upsample == 2:
            slices = _doubled(slices, method, stack.dtype)
        count = self.upsample * (len(stack) - 1) + 1
        axis = serial_axis(stack)
        sizes = {a: size / self.upsample if a == axis else size for a, size in stack.pixel_size.items()}
        _write(self.path, stack, slices, count, sizes)
        kept = len(stack) - len(self.missing)
        logger.info("%s: %d slices interpolated, %d as in the input", self.path, count - kept, kept)
        return self.path


def serial_axis(stack):
    """The axis of a stack that is neither Y nor X, as a letter."""
    return next(axis for axis in stack.axes if axis not in "YX")


def check_missing(missing, count, field="--missing"):
    """Check that every missing slice has one before and one after it.

    Args:
        missing: numbers of the slices, from 0, in any order.
        count: slices of the stack, those missing included.
        field: what to call ``missing`` in messages.

    Returns:
        The numbers, each once, ascending.

    Raises:
        InputError: there is no such slice; the first or the last, or all of them, are missing.
    """
    numbers = sorted(set(missing))
    for number in numbers:
        check_slice(number, count, field)
    if len(numbers) == count:
        raise InputError(f"{field}: all {count} slices, expected some with a slice before and one after them")
    for end, name in ((0, "first"), (count - 1, "last")):
        if end in numbers:
            raise InputError(
                f"{field}: slice {end} is the {name} of the stack, expected slices with one before and one after them"
            )
    return numbers


def _log_task(stack, missing, upsample):
    from aeanet_tf.sections.repair import positions, runs

    for first, last in runs(missing):
        n = last - first + 1
        if n > 1:
            places = [f"{place:g}" for place in positions(n)]
            where = f"{', '.join(places[:-1])} and {places[-1]}"
            logger.info(
                f"slices {first}-{last}: {n} missing in a row, interpolated by recursion at {where} of the gap; "
                "expect less than for a single one"
            )
    if upsample == 2:
        logger.info(
            "sampling along %s doubled: %d slices become %d", serial_axis(stack), len(stack), 2 * len(stack) - 1
        )


def _checked(interpolate, path):
    """An ``interpolate`` whose results are slices of the shape of the others, with finite values."""

    def checked(before, after):
        between = np.asarray(interpolate(before, after))
        if between.shape != before.shape:
            raise ValueError(f"interpolate: gave shape {between.shape}, expected {before.shape} as the slices")
        if not np.isfinite([between.min(), between.max()]).all():
            raise InputError(f"{path}: an interpolated slice holds NaN or infinite values, expected finite ones")
        return between

    return checked


def _repaired(stack, missing, interpolate):
    """All slices in the stack's dtype, one after another."""
    from aeanet_tf.sections.repair import fill_run, runs

    number, last_of = 0, dict(runs(missing))
    while number < len(stack):
        if number not in last_of:
            yield stack.read(number)
            number += 1
            continue
        after = last_of[number] + 1
        for pixels in fill_run(stack.read(number - 1), stack.read(after), after - number, interpolate):
            yield as_dtype(pixels, stack.dtype)
        number = after


def _doubled(slices, interpolate, dtype):
    """The slices with one between any two, from their pixels as they are written."""
    previous = None
    for current in slices:
        if previous is not None:
            yield as_dtype(interpolate(previous, current), dtype)
        yield current
        previous = current


def _write(path, stack, slices, count, pixel_size):
    size, chunks = tuple(stack.shape), (1, _CHUNK, _CHUNK)
    axes = f"{serial_axis(stack)}YX"
    with folder_made(path.parent):
        target = ImageTarget.create(path, (count, *size), axes, pixel_size, stack.unit, chunks, dtype=stack.dtype)
        try:
            for number, pixels in enumerate(progress_bar(slices, total=count, unit="slice")):
                target.write((slice(number, number + 1), slice(0, size[0]), slice(0, size[1])), pixels[None])
            target.finish()
        except BaseException:
            target.discard()
            raise


@dataclass(frozen=True)
class LeftOut:
    """A known slice, and what several methods make of its neighbours.

    Attributes:
        number: of the slice, from 0.
        before, after: its neighbours, as the methods are given them.
        truth: the slice itself, prepared as they are.
        predictions: by the name of the method, rounded and clipped as they would be written, in the dtype of the stack.
        scores: by the name of the method, those of the protocol "interpolation": psnr, ssim, ie.
    """

    number: int
    before: np.ndarray
    after: np.ndarray
    truth: np.ndarray
    predictions: dict[str, np.ndarray]
    scores: dict[str, dict[str, float]]


def leave_out(stack, slices, methods, options=None):
    """Leave known slices out, one at a time, interpolate each from its two neighbours, and score what comes.

    All methods are given, and scored on, the same: a slice and its neighbours, aligned to it, cropped to what the three
    have in common, with matched histograms, as the triplets of a training and as in the paper. So the score is of what
    a method makes of the neighbours, and not of where the slice lay, which is not to be known when it is missing.

    Scores are those of the protocol "interpolation" at data range 255. uint8 is scored as it is. Pixels of other
    dtypes are mapped linearly, those of all methods as those of the true slice, whose minimum and maximum become 0 and
    255 (our choice: the data sets of the papers have 8 bits).

    Args:
        stack: `aeanet_tf.sections.stack.SerialStack`.
        slices: their numbers, from 0.
        methods: name -> function that gives the slice (Y, X) between two; or a function without arguments that gives
            these and the options, which is called when the numbers are checked.
        options: `aeanet_tf.sections.triplets.TripletOptions`, of which ``max_shift`` and ``match_histograms`` count;
            its defaults by default.

    Returns:
        Iterator of `LeftOut`, in ascending order.

    Raises:
        InputError: a slice without two neighbours (at once), or, when it comes to it, one that cannot be read or
            aligned, is too small for SSIM, or is constant and not uint8; a prediction that is not finite.
    """
    numbers = check_missing(slices, len(stack), "--test")
    if callable(methods):
        methods, options = methods()
    checked = {name: _checked(method, stack.path) for name, method in methods.items()}
    return (_left_out(stack, number, checked, options or TripletOptions()) for number in numbers)


def _left_out(stack, number, methods, options):
    images = [stack.read(n) for n in (number - 1, number, number + 1)]
    (before, truth, after), _ = aligned_triplet(images, options)
    predictions = {name: as_dtype(method(before, after), stack.dtype) for name, method in methods.items()}
    try:
        scores = {name: _scores(truth, prediction) for name, prediction in predictions.items()}
    except InputError as error:
        raise InputError(f"{stack.path}, slice {number}: {error}") from error
    return LeftOut(number, before, after, truth, predictions, scores)


def _scores(truth, prediction):
    from aeanet_tf.evaluation.protocols import get_protocol

    if prediction.dtype != np.uint8:
        low, high = (np.float64(value) for value in (truth.min(), truth.max()))
        if low == high:
            raise InputError(f"is constant ({low:g}), expected contrast to score by")
        truth, prediction = ((pixels.astype(np.float64) - low) / (high - low) * 255 for pixels in (truth, prediction))
        # Of the true slice, up to rounding.
        truth = truth.clip(0, 255)
    return get_protocol("interpolation")(truth, prediction)

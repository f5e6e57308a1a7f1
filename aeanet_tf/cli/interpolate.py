"""``aeanet interpolate``: missing slices of a stack from their neighbours."""

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import add_series_arguments
from aeanet_tf.device_names import PRECISIONS
from aeanet_tf.errors import InputError, writing

HELP = "interpolate missing slices of a stack"
DESCRIPTION = """\
Interpolate missing slices of a stack of serial sections from their neighbours, and write the stack with them; all
other slices, axes, pixel type and voxel size are kept. Or double the sampling along the serial axis. Or test the
model: leave known slices out, and compare with simple methods. Slices are counted from 0."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder, of a slice interpolation model")
    parser.add_argument(
        "--input", required=True, metavar="STACK", help="TIFF, OME-Zarr, HDF5, or folder or quoted pattern of 2D images"
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="file to write (.tif, .tiff or .zarr), or a folder, where it is named after the input; with --test a "
        "folder",
    )
    task = parser.add_argument_group("what to do (--missing and --upsample go together)")
    task.add_argument("--missing", metavar="LIST", help="missing slices, counted from 0, such as 7,12-13")
    task.add_argument("--upsample", type=int, choices=(2,), help="double the sampling along the serial axis")
    task.add_argument(
        "--test",
        metavar="LIST",
        help="known slices, counted from 0, such as 25-28: interpolate each from its neighbours with the model and "
        "with simple methods (average, smoothed average, registered average), all aligned to the slice and with "
        "matched histograms, and write scores.csv, a picture a slice, and the model's slices",
    )
    parser.add_argument("--axes", help="axes of the stack, such as ZYX (default: as the file states)")
    add_series_arguments(parser, several=False)
    parser.add_argument("--dataset", metavar="NAME", help="data set of an HDF5 file (default: volumes/raw)")
    _add_alignment(parser)
    _add_tiling(parser)


def _add_alignment(parser):
    group = parser.add_argument_group("the neighbours (default: as in training)")
    group.add_argument(
        "--max-shift", type=int, metavar="N", help="largest shift between them, in pixels; 0 takes them as they lie"
    )
    group.add_argument(
        "--no-histogram-matching", action="store_true", help="do not give the two neighbours a common histogram"
    )


def _add_tiling(parser):
    group = parser.add_argument_group("large slices (docs/large_images.md)")
    group.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="what the process may hold, such as 4GB, from which the tiles follow (default: 80 %% of what is free)",
    )
    group.add_argument("--n-tiles", type=int, nargs=2, metavar=("Y", "X"), help="tiles (default: as needed)")
    group.add_argument(
        "--tiling",
        choices=("exact", "overlap", "whole"),
        default="exact",
        help="exact (default) and overlap: as in predict; whole: no tiles",
    )
    group.add_argument("--precision", choices=PRECISIONS, default="float32", help="as in predict (default: float32)")


def run(args):
    """Interpolate; see `aeanet_tf.runs.repair_stack`."""
    _check(args)
    from aeanet_tf.runs.repair_stack import Repair
    from aeanet_tf.sections.stack import open_stack, parse_slices

    stack = open_stack(args.input, args.axes, args.dataset, args.series, args.allow_missing)
    if args.test is not None:
        slices = parse_slices(args.test, len(stack), "--test")
        _check_folder(stack, args.output)
        _test(stack, slices, args)
        return
    missing = [] if args.missing is None else parse_slices(args.missing, len(stack), "--missing")
    repair = Repair(stack, missing, args.output, args.upsample or 1)
    method = _method(_model(args), args, args.max_shift, False if args.no_histogram_matching else None)
    with _each_line_once():
        path = repair.run(method)
    tested = command_line("aeanet", "interpolate", "--model", args.model, "--input", args.input)
    say_next(f"open {path}", f"{tested} --test SLICES --output FOLDER, to see how it does on slices that are there")


def _check(args):
    from aeanet_tf.prediction.options import PredictionOptions

    if args.test is None and args.missing is None and args.upsample is None:
        raise InputError("--missing, --upsample, --test: none given, expected what to interpolate")
    if args.test is not None and not (args.missing is None and args.upsample is None):
        other = "--upsample" if args.missing is None else "--missing"
        raise InputError(f"--test: given with {other}, expected one of them; a test writes no stack")
    if args.max_shift is not None and args.max_shift < 0:
        raise InputError(f"--max-shift: {args.max_shift}, expected at least 0")
    PredictionOptions(args.n_tiles, args.tiling, args.max_memory, precision=args.precision)


def _check_folder(stack, output):
    from aeanet_tf.io.image import TIFF_SUFFIXES, ZARR_SUFFIX
    from aeanet_tf.runs.repair_stack import check_apart

    output = Path(output)
    if output.suffix.lower() in (*TIFF_SUFFIXES, ZARR_SUFFIX) or (output.exists() and not output.is_dir()):
        raise InputError(f"--output: {output}, expected a folder: a test writes several files")
    for name in (f"{_name(stack, 0)}.tif", f"{_name(stack, 0)}.png"):
        check_apart(stack, output / name)


def _name(stack, number):
    return f"slice_{number:0{len(str(len(stack) - 1))}d}"


def _model(args):
    """The model of the command line."""
    from aeanet_tf.models.folder import load_model
    from aeanet_tf.models.stored import stored_model

    stored = stored_model(args.model)
    if not stored.interpolates:
        does = "segments" if stored.segments else "restores"
        raise InputError(f"{args.model}: a model that {does} images, expected one that interpolates slices")
    return load_model(args.model)


def _method(model, args, max_shift, match_histograms):
    """The model's ``interpolate(before, after)`` with the options of the command line."""
    tiles = {"n_tiles": args.n_tiles, "tiling": args.tiling, "max_memory": args.max_memory}
    tiles["precision"] = args.precision
    return partial(model.interpolate, max_shift=max_shift, match_histograms=match_histograms, **tiles)


@contextmanager
def _each_line_once():
    """Keep the model from saying of every slice how it is predicted."""
    import logging

    said = set()

    def new(record):
        line = record.getMessage()
        known = line in said
        said.add(line)
        return not (known and line.startswith(("prediction: ", "tiling: ")))

    logger = logging.getLogger("aeanet_tf")
    logger.addFilter(new)
    try:
        yield
    finally:
        logger.removeFilter(new)


def _test(stack, slices, args):
    """Write scores, pictures and the model's slices, all of them or none, and print the means."""
    from aeanet_tf.io.tiff import write_image
    from aeanet_tf.progress import progress_bar
    from aeanet_tf.runs.repair_stack import leave_out
    from aeanet_tf.sections.baselines import average, registered, smoothed_average

    def load():
        model = _model(args)
        # Aligned and matched before, for all methods alike.
        methods = {
            "model": _method(model, args, 0, False),
            "registered": registered,
            "smoothed": smoothed_average,
            "average": average,
        }
        return methods, _options(stack, model, args)

    results = leave_out(stack, slices, load)
    # Not before: they take SciPy and Matplotlib, and what is wrong with the slices is known now.
    from aeanet_tf.evaluation.figures import save_figure
    from aeanet_tf.evaluation.slice_report import score_table, slice_figure, write_scores

    output, scores = Path(args.output), {}
    sizes = {axis: size for axis, size in stack.pixel_size.items() if axis in "YX"}
    with _together(output) as folder, _each_line_once():
        for tested in progress_bar(results, total=len(slices), unit="slice"):
            name = _name(stack, tested.number)
            write_image(folder / f"{name}.tif", tested.predictions["model"], "YX", sizes, stack.unit if sizes else None)
            save_figure(slice_figure(tested, Path(stack.path).name), folder / f"{name}.png")
            scores[tested.number] = tested.scores
        write_scores(folder / "scores.csv", scores)
    print(f"{stack.path}: slices {', '.join(map(str, scores))} left out one at a time")
    if stack.dtype != "uint8":
        print(f"pixels are {stack.dtype}: mapped linearly so that each true slice's minimum and maximum are 0 and 255")
    print(score_table(scores))
    print(f"\nscores, pictures and the model's slices in {output}")
    say_next(f"open {output / _name(stack, slices[0])}.png")


def _options(stack, model, args):
    """How slices are aligned and matched for a test."""
    from aeanet_tf.sections.triplet_options import TripletOptions

    prepared = model.preparation(stack.shape)
    shift = prepared.max_shift if args.max_shift is None else args.max_shift
    return TripletOptions(
        max_shift=shift, match_histograms=prepared.match_histograms and not args.no_histogram_matching
    )


@contextmanager
def _together(output):
    """Give a hidden folder to write to; what is in it takes the place of an earlier test when the block succeeds."""
    import shutil

    from aeanet_tf.files import folder_made

    with folder_made(output), writing(output):
        # Inside, since the folder may be a file system of its own.
        temporary = output / ".partial-test"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            yield temporary
            for path in output.glob("slice_*"):
                path.unlink()
            for path in sorted(temporary.iterdir()):
                os.replace(path, output / path.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

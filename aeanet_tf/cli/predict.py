"""``aeanet predict``: restore images with a trained model."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import add_series_arguments
from aeanet_tf.device_names import PRECISIONS
from aeanet_tf.errors import InputError, expect

HELP = "restore images with a trained model"
DESCRIPTION = """\
Restore images, piece by piece, and write ImageJ-compatible tifs (OME-Zarr for OME-Zarr, NIfTI for NIfTI) of
the same names; axes, pixel size and affine are kept. Models that segment write labels. Images are normalised as in
training. A run that was stopped goes on when the same command is given again."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="DIR",
        help="model folder; of several the mean is written, and their standard deviation as NAME_disagreement",
    )
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH", help="images, OME-Zarrs, folders or quoted patterns"
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="folder of the predictions; or for one image a file: .tif, .tiff, .zarr, of NIfTI also .nii, .nii.gz",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float32 (default), or bfloat16: faster where the processor or GPU has instructions for it",
    )
    parser.add_argument(
        "--ensemble",
        choices=("flips", "flips-z"),
        help="average over the 8 orientations in YX, or the 16 with Z reversed, too (docs/ensembles.md)",
    )
    parser.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="of the lowest validation loss (default), or those at the end of the training",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="restore the others where images cannot be read or do not fit; exit code 3, and they are listed",
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait where another process makes the same prediction in the output folder"
    )
    _add_images(parser)
    _add_results(parser)
    _add_tiling(parser)
    _add_volumes(parser)
    _add_segmentation(parser)


def _add_images(parser):
    group = parser.add_argument_group("what is in the images (docs/files.md, docs/restore.md)")
    group.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")
    group.add_argument(
        "--channel",
        nargs="+",
        action="extend",
        metavar="N[=DIR]",
        help="for models of one channel: the channels to restore, by number from 0 or name, each by itself; or all. "
        "0=DIR 1=DIR gives each channel a model of its own, in place of --model",
    )
    add_series_arguments(group)
    group.add_argument(
        "--slices",
        action="store_true",
        help="each folder is one volume, its files the slices, in the order of the number in their names",
    )
    group.add_argument(
        "--percentiles", type=float, nargs=2, metavar=("LOW", "HIGH"), help="normalise by these, not as in training"
    )
    group.add_argument(
        "--normalize-over",
        nargs="+",
        default=(),
        metavar="AXIS",
        help="normalise all frames along T, planes along Z or channels along C of an image by the same values "
        "(default: each has its own)",
    )


def _add_results(parser):
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--format", choices=("tif", "zarr"), dest="file_format", help="of the predictions (default: as each input)"
    )
    group.add_argument(
        "--dtype",
        choices=("uint8", "uint16", "float32"),
        default="float32",
        help="of the predictions: float32 (default), or rounded and clipped, which is said for each file",
    )
    group.add_argument("--scale", action="store_true", help="also write the scale of a probabilistic model")
    group.add_argument(
        "--interval",
        type=float,
        metavar="P",
        help="also write the limits between which the truth lies with this probability, such as 0.95, as NAME_lower "
        "and NAME_upper (probabilistic models; docs/uncertainty.md)",
    )
    group.add_argument(
        "--divergence",
        action="store_true",
        help="also write how far the distributions of several probabilistic models are apart, 0 to 1",
    )
    group.add_argument(
        "--uncalibrated", action="store_true", help="take scales as the network gives them, not as calibrated"
    )
    group.add_argument(
        "--preview",
        action="store_true",
        help="also draw input and prediction side by side, NAME_preview.png beside each prediction",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace what another model has predicted there, or other files"
    )


def _add_tiling(parser):
    group = parser.add_argument_group("large images (docs/large_images.md)")
    group.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="what a process may hold, such as 4GB, from which the tiles follow (default: 80 %% of what is free)",
    )
    group.add_argument(
        "--n-tiles", type=int, nargs="+", metavar="N", help="tiles along each axis of the images (default: as needed)"
    )
    group.add_argument(
        "--tiling",
        choices=("exact", "overlap", "whole", "patches"),
        help="exact (default): tiles share the attention of the whole image; overlap: each has its own, as in CSBDeep; "
        "whole: no tiles; patches: see below",
    )
    group.add_argument(
        "--context",
        choices=("image", "group"),
        default="image",
        help="image (default): each image and frame attends to itself; group: all of the call share one context",
    )
    cluster = group.add_mutually_exclusive_group()
    cluster.add_argument("--workers", type=int, metavar="N", help="predict in this number of processes")
    cluster.add_argument("--scheduler", metavar="ADDRESS", help="predict on a running dask.distributed cluster")


def _add_volumes(parser):
    group = parser.add_argument_group("volumes that are coarse along Z (docs/isotropic.md)")
    factors = group.add_mutually_exclusive_group()
    factors.add_argument(
        "--isotropic",
        type=float,
        metavar="FACTOR",
        help="restore planes YZ and XZ by a model of images, with planes along Z at a FACTOR-th of their distance",
    )
    factors.add_argument(
        "--upsample",
        type=float,
        metavar="FACTOR",
        help="interpolate planes along Z at a FACTOR-th of their distance, and restore the volume",
    )


def _add_segmentation(parser):
    group = parser.add_argument_group("segmentation (docs/segmentation.md)")
    group.add_argument("--probabilities", action="store_true", help="also write the probabilities of the classes")
    group.add_argument(
        "--patch-size",
        type=int,
        nargs="+",
        metavar="N",
        help="of --tiling patches, which averages overlapping patches: pixels along each axis of the model (default: "
        "as in training)",
    )
    group.add_argument(
        "--step",
        type=int,
        nargs="+",
        metavar="N",
        help="distance of the patches (default: 8)",
    )
    group.add_argument(
        "--channels",
        nargs="+",
        metavar="NAME",
        help="the channels are files of their own, whose names differ by these, such as T1 T2",
    )


def run(args):
    """Predict; see `aeanet_tf.runs.predict_files.predict_files`."""
    from dataclasses import fields

    from aeanet_tf.prediction.options import FileOptions
    from aeanet_tf.runs.predict_files import predict_files

    channels, models = _channel_models(args)
    args.model = models or args.model
    expect(args.model, "--model", "none", "a model folder, or --channel with one for each channel, as 0=DIR 1=DIR")
    # Arguments have the names of the fields.
    given = {field.name: getattr(args, field.name) for field in fields(FileOptions) if hasattr(args, field.name)}
    given |= {"channel": channels, "channel_models": bool(models)}
    if args.channels:
        given["channels"] = tuple(args.channels)
    if args.step and len(args.step) == 1:
        (given["step"],) = args.step
    options = FileOptions(**given)
    with ExitStack() as stack:
        client, normalization = _client(args, stack), _normalization(args)
        written = predict_files(
            partial(_model, args.model, args.weights, bool(models)),
            args.input,
            args.output,
            normalization,
            options,
            client,
            stored=_stored(args, options),
            skip_bad=args.skip_bad,
            wait=args.wait,
            overwrite=args.overwrite,
            preview=args.preview,
        )
    _say_next(args, written, bool(models))


def _channel_models(args):
    """The channels that are to be restored, and for each the folder of its model; ``None`` where there are none."""
    given = args.channel
    if given is None or not any("=" in one for one in given):
        return given and tuple(given), None
    expect(args.model is None, "--model", "given with models for the channels", "one of both")
    pairs = [one.partition("=") for one in given]
    complete = all(channel and folder and channel != "all" for channel, _, folder in pairs)
    expect(complete, "--channel", " ".join(given), "a channel and its model each time, as 0=DIR 1=DIR")
    return tuple(channel for channel, _, _ in pairs), [folder for *_, folder in pairs]


def _stored(args, options):
    """What the folder of the first model says; all of them are checked before the first is loaded."""
    from aeanet_tf.models.stored import stored_model
    from aeanet_tf.prediction.options import check_parts
    from aeanet_tf.runs.chosen_channels import check_takes_channels
    from aeanet_tf.runs.volumes import check_takes_volumes

    models = [stored_model(folder, args.weights) for folder in args.model]
    for model in models:
        if model.interpolates:
            raise InputError(f"{model.folder}: a model that interpolates slices; use aeanet interpolate")
        check_parts(options, model.probabilistic, model.segments)
        check_takes_channels(options, model)
        check_takes_volumes(options, model, len(models))
    return models[0]


def _say_next(args, written, by_channel):
    """Say where the first picture is, how to score where the ground truth is seen, and how to export."""
    from aeanet_tf.runs.outputs import preview_path

    if args.preview:
        say_next(f"open {preview_path(written[0])}")
    source = Path(args.input[0])
    truth = next((path for path in (source.parent / "GT", source.parent / "gt") if path.is_dir()), None)
    if len(args.input) == 1 and source.is_dir() and truth is not None and truth != source:
        folder = written[0].parent
        # Beside the folder, in which it would be one more image.
        chart = ("--calibration", folder.with_name(f"{folder.name}_calibration.png")) if args.scale else ()
        say_next(command_line("aeanet", "evaluate", "--prediction", folder, "--gt", truth, "--input", source, *chart))
    if len(args.model) == 1 and not by_channel:
        from aeanet_tf.models.stored import stored_model

        # Which has no place for results of another size.
        form = "fiji" if stored_model(args.model[0], args.weights).upscale == 1 else "onnx"
        say_next(command_line("aeanet", "export", "--model", args.model[0], "--format", form))


def _model(folders, weights, by_channel):
    """The model of a folder, the ensemble of several, or a list of those of the channels."""
    from aeanet_tf.models.folder import load_model

    models = [load_model(folder, weights) for folder in folders]
    if by_channel or len(models) == 1:
        return models if by_channel else models[0]
    from aeanet_tf.models import Ensemble

    return Ensemble(models)


def _normalization(args):
    """For each model that of its training, or the one given for all."""
    from aeanet_tf.models.folder import prediction_normalization
    from aeanet_tf.models.preparation import NormalizationSection

    if args.percentiles is None:
        return [prediction_normalization(folder) for folder in args.model]
    low, high = args.percentiles
    if not 0 <= low < high <= 100:
        raise InputError(f"--percentiles: {low} {high}, expected 0 <= LOW < HIGH <= 100")
    return [NormalizationSection(low=low, high=high)] * len(args.model)


def _client(args, stack):
    """A function that connects to the cluster of the command line until the stack is closed, ``None`` without one."""
    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers: {args.workers}, expected at least 1")
    if args.workers is None and args.scheduler is None:
        return None

    def connect():
        from aeanet_tf.prediction.cluster import connected

        return stack.enter_context(connected(args.scheduler, args.workers))

    return connect

"""``aeanet evaluate``: score predictions against ground truth."""

from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import add_series_arguments
from aeanet_tf.errors import InputError

# Written out so that --help need not import the metrics; a test compares them with the registry.
PROTOCOLS = ("care", "plain", "em", "em-notebook", "label-free", "mri", "interpolation", "segmentation")

HELP = "score predictions against ground truth"
DESCRIPTION = """\
Score predictions against ground truth, image by image, matched by file name (extensions may differ).
Prints mean ± standard deviation over the images; channels and time points count as images, volumes as one.

protocols:
  care           GT by percentiles 0.1 / 99.9, image fitted to it in gain and offset; PSNR, SSIM at range 1, NRMSE
                 (root mean square error, so 10^(-PSNR/20) of an image)
  plain          values as they are; PSNR, SSIM at --data-range (default: maximum - minimum of each GT), NRMSE (root
                 mean square error over the root mean square of the GT),
                 signal ratio (mean of the prediction over that of the GT, both less --offset; 1 is right)
  em             values cut off at 0 and 255; PSNR, SSIM with Gaussian weights (Wang et al. 2004), as the paper says
  em-notebook    the same with the SSIM that gave the published figures: a uniform window of 7
  label-free     Pearson correlation
  mri            labels 0, 10, 150, 250 (iSeg-2017): Dice, modified Hausdorff distance and 3D-MHD of CSF, GM, WM
  interpolation  values cut off at 0 and 255; PSNR, SSIM, IE (root mean square error)
  segmentation   labels of any classes: Dice of each class, mean Dice (all but class 0), pixels by class, confusion
                 matrix (with --output FILE.csv also in FILE_confusion.csv)

With --baselines the inputs are also filtered, by a Gaussian and by non-local means, and scored beside the predictions
(protocols care, plain, em, em-notebook, interpolation). A restoration worth having is better than these. Inputs with
1/2, 1/3, ... of the ground truth's pixels along every axis are brought to its size by cubic interpolation. With
--library they are also restored by library non-local means: from patches of training pairs that resemble theirs."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--prediction", required=True, metavar="DIR", help="folder or pattern of predictions")
    parser.add_argument("--gt", required=True, metavar="DIR", help="folder or pattern of the ground truth")
    parser.add_argument("--input", metavar="DIR", help="folder or pattern of the inputs, scored for comparison")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="care", help="what to compute (default: care)")
    parser.add_argument("--data-range", type=float, metavar="L", help="span of the values (protocol plain)")
    parser.add_argument(
        "--offset", type=float, metavar="V", help="the camera's value without light (protocol plain; default: 0)"
    )
    parser.add_argument(
        "--baselines",
        nargs="?",
        const="",
        metavar="MODEL_DIR",
        help="also score simple filters of the --input, as chosen on the validation images of this model; without "
        "a folder as they are best for these very images",
    )
    parser.add_argument(
        "--library",
        nargs=2,
        metavar=("LOW", "GT"),
        help="also score library non-local means of the --input, with patches of the pairs in these two folders, such "
        "as train/low train/GT; every tenth pair is held out to choose the size of patches and the strength",
    )
    parser.add_argument(
        "--background",
        type=_label,
        metavar="LABEL",
        help="class that the mean leaves out, or none (protocol segmentation; default: 0)",
    )
    parser.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")
    add_series_arguments(parser)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE.png",
        help="of probabilistic models: draw predicted against true errors, and intervals, and write them as FILE.csv; "
        "NAME_scale has to be beside each prediction (protocols care, plain; docs/uncertainty.md)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="also write the scores of each image")


def _label(text):
    return text if text == "none" else int(text)


def run(args):
    """Print the table and write the scores."""
    from aeanet_tf.io.read import find_images

    # Before what takes a second to import.
    for source in filter(None, (args.prediction, args.gt, args.input)):
        find_images(source)
    from aeanet_tf.evaluation.protocols import get_protocol
    from aeanet_tf.evaluation.tables import absence_note, summary_table, write_csv

    protocol = get_protocol(args.protocol)
    if args.background is not None and protocol.name != "segmentation":
        raise InputError(f"--background: got {args.background}, but it is for the protocol segmentation")
    if args.offset is not None and not protocol.takes_offset:
        raise InputError(f"--offset: found {args.offset:g}, but it is for the protocol plain")
    _check_calibration(args, protocol)
    filters = _filters(args, protocol)
    if protocol.name == "segmentation":
        rows, confusion = _segmentation(args)
    else:
        from aeanet_tf.evaluation.folders import score_folders

        rows = score_folders(
            args.prediction,
            args.gt,
            protocol,
            args.input,
            args.data_range,
            args.axes,
            args.offset,
            filters,
            **_chosen(args),
        )
        confusion = None
    print(f"protocol {protocol.name}: {protocol.description}")
    if confusion is not None:
        print(f"background {0 if args.background is None else args.background}")
    if args.data_range is not None:
        print(f"data range {args.data_range:g}")
    if args.offset is not None:
        print(f"offset {args.offset:g}")
    if args.baselines:
        print(f"filters chosen on the validation images of {args.baselines}")
    print(f"\n{summary_table(rows)}")
    if (note := absence_note(rows)) is not None:
        print(f"\n{note}")
    if confusion is not None:
        print(f"\n{confusion.table()}")
    if args.output is not None:
        write_csv(args.output, rows)
        print(f"\nscores of {len(rows)} images in {args.output}")
        if confusion is not None:
            path = args.output.with_name(f"{args.output.stem}_confusion{args.output.suffix}")
            confusion.write(path)
            print(f"confusion matrix in {path}")
    if args.calibration is not None:
        _calibration(args, protocol)
    model = [args.baselines] if args.baselines else ["MODEL"]
    say_next(command_line("aeanet", "export", "--model", *model, "--format", "fiji"))


def _check_calibration(args, protocol):
    """Refuse a calibration that cannot be made before images are scored."""
    from aeanet_tf.errors import expect
    from aeanet_tf.evaluation.folders import CALIBRATED

    if args.calibration is None:
        return
    expected = " or ".join(CALIBRATED)
    expect(protocol.name in CALIBRATED, "--calibration", f"the protocol {protocol.name}", expected)
    expect(args.calibration.suffix == ".png", "--calibration", args.calibration, "the name of a .png")
    # As one of the images it would have no partner the next time.
    images = {Path(place).resolve() for place in (args.prediction, args.gt, args.input) if place is not None}
    inside = args.calibration.resolve().parent in images
    expect(not inside, "--calibration", f"{args.calibration}, in a folder of images", "a file elsewhere")
    if args.output is not None:
        expect(args.calibration.with_suffix(".csv") != args.output, "--calibration", "the name of --output", "another")


def _calibration(args, protocol):
    """Print, draw and write how predicted errors compare with true ones."""
    from aeanet_tf.evaluation.calibration_chart import calibration_chart
    from aeanet_tf.evaluation.figures import save_figure
    from aeanet_tf.evaluation.folders import CALIBRATED, calibration_of_folders

    unit = CALIBRATED[protocol.name]
    found = calibration_of_folders(args.prediction, args.gt, protocol, args.axes, **_chosen(args))
    total, table = found.total(), args.calibration.with_suffix(".csv")
    print(f"\ncalibration, {found.pixels} pixels: expected calibration error {found.expected_error():.4f}")
    print(f"predicted error {total.predicted:.4g}, true error {total.true:.4g} ({unit})")
    save_figure(calibration_chart({"predictions": found}, unit), args.calibration)
    found.write(table)
    print(f"chart in {args.calibration}, its numbers in {table}")


def _filters(args, protocol):
    """Functions of an image by label; None where none are asked for."""
    from aeanet_tf.evaluation.folders import choose_for_folders, library_of_folders

    asked = [name for name in ("baselines", "library") if getattr(args, name) is not None]
    if asked and args.input is None:
        raise InputError(f"--{asked[0]}: found no --input, expected the images to filter")
    filters = {}
    if args.baselines is not None:
        model = args.baselines or None
        filters |= choose_for_folders(args.input, args.gt, protocol, model, args.axes, **_chosen(args))
    if args.library is not None:
        library = library_of_folders(*args.library, protocol, args.axes)
        filters[library.label] = library
    return filters or None


def _chosen(args):
    return {"series": args.series, "allow_missing": args.allow_missing}


def _segmentation(args):
    """Rows and the confusion matrix."""
    from aeanet_tf.evaluation.label_folders import score_segmentation

    if args.data_range is not None:
        raise InputError(f"data_range: got {args.data_range}, but the protocol segmentation fixes it")
    background = {None: 0, "none": None}.get(args.background, args.background)
    scored = score_segmentation(args.prediction, args.gt, args.input, args.axes, background, **_chosen(args))
    return scored.rows, scored.confusion

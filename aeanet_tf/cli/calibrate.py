"""``aeanet calibrate``: make the scales of a probabilistic model right on validation images."""

from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next

HELP = "make the predicted errors of a probabilistic model right"
DESCRIPTION = """\
Fit a factor for the scales that a probabilistic model predicts to its true errors on validation images, and keep it in
the model folder, where predict finds it. The restored images stay as they are. Never use the images that results are
reported of, nor those that the model was trained on."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument(
        "--model", required=True, nargs="+", metavar="DIR", help="model folder, or several, each by itself"
    )
    parser.add_argument(
        "--input", metavar="DIR", help="folder or pattern of images (default: the validation images of the training)"
    )
    parser.add_argument("--gt", metavar="DIR", help="folder or pattern of their ground truth")
    parser.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")


def run(args):
    """Calibrate; see `aeanet_tf.runs.calibrate.calibrate`."""
    from aeanet_tf.errors import expect
    from aeanet_tf.io.read import find_images
    from aeanet_tf.models.stored import stored_model

    # Before what takes seconds to import.
    expect((args.input is None) == (args.gt is None), "--input, --gt", "one of them", "both, or none")
    for folder in args.model:
        expect(stored_model(folder).probabilistic, folder, "a model that predicts no scale", "a probabilistic one")
    for source in filter(None, (args.input, args.gt)):
        find_images(source)
    from aeanet_tf.models.folder import load_model
    from aeanet_tf.models.scale_calibration import CALIBRATION_FILE
    from aeanet_tf.runs.calibrate import calibrate

    for folder in args.model:
        model = load_model(folder)
        kept, found = calibrate(model, args.input, args.gt, args.axes)
        total = found.total()
        print(f"{folder}: {kept.data}, {kept.pixels} pixels, as they are normalised for the network")
        calibrated = kept.factor * total.predicted
        print(f"true error {total.true:.4g}, predicted {total.predicted:.4g}, calibrated {calibrated:.4g}")
        print(f"expected calibration error {kept.error_before:.4f}, calibrated {kept.error_after:.4f}")
        print(f"factor {kept.factor:.4g} in {Path(folder) / CALIBRATION_FILE}")
    predict = ("aeanet", "predict", "--model", args.model[0], "--input", "IMAGES", "--output", "restored", "--scale")
    say_next(command_line(*predict))

"""``aeanet export``: a trained model for other programs."""

import errno
import os
from importlib import import_module
from pathlib import Path

from aeanet_tf.cli.next_steps import say_next
from aeanet_tf.errors import InputError, WriteError

FORMATS = {
    "fiji": ("TF_SavedModel.zip", "fiji.export_fiji"),
    "bioimageio": ("{name}.bioimageio.zip", "bioimageio.export_bioimageio"),
    "keras": ("{name}.keras", "portable.export_keras"),
    "savedmodel": ("saved_model", "saved_model.export_saved_model"),
    "onnx": ("{name}.onnx", "onnx.export_onnx"),
}
"""What is written into the model folder when nothing else is said (Fiji's zip has CSBDeep's name), and the function of
`aeanet_tf.interop` that writes it."""

HELP = "export a model to Fiji, the BioImage Model Zoo, Keras, TensorFlow or ONNX"
DESCRIPTION = """\
Export a trained model. fiji: the zip of the CSBDeep plugin; bioimageio: a package of the BioImage Model Zoo; keras:
one file that Keras loads without this package; savedmodel: a folder for TensorFlow 2; onnx: one file for ONNX
Runtime."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output", metavar="PATH", help="file or folder to write (default: in the model folder)")
    fiji = parser.add_argument_group("fiji")
    fiji.add_argument("--target", metavar="RUNTIME", help="tf1.15 (default), or tf1.12 for older installations")
    zoo = parser.add_argument_group("bioimageio")
    zoo.add_argument(
        "--author", action="append", default=[], metavar="NAME[, AFFILIATION]", help="once for each author"
    )
    zoo.add_argument("--license", metavar="SPDX", help="of the trained model, such as CC-BY-4.0")
    zoo.add_argument("--description", metavar="TEXT", help="one line on what the model does")
    zoo.add_argument("--test-image", metavar="FILE", help="input of the package's test and cover (default: simulated)")
    zoo.add_argument("--series", type=int, metavar="N", help="which of several images of that file, from 0")


def run(args):
    """Export; see the modules of `aeanet_tf.interop`."""
    from aeanet_tf.io.read import read_image
    from aeanet_tf.models.folder import load_model
    from aeanet_tf.models.scale_calibration import say_exported_scale
    from aeanet_tf.models.stored import stored_model

    _check_options(args)
    # Before the model, which takes TensorFlow.
    stored = stored_model(args.model)
    image = None if args.test_image is None else read_image(args.test_image, series=args.series)
    if image is not None:
        _fitting(image, stored.axes, stored.n_channel_in)
    name, function = FORMATS[args.format]
    folder = stored.folder.resolve()
    path = Path(args.output) if args.output else stored.folder / name.format(name=folder.name)
    _check_output(path, args.format)
    model = load_model(args.model)
    say_exported_scale(model)
    module, function = function.split(".")
    options = _package(model, image, args) if args.format == "bioimageio" else {}
    if args.target is not None:
        options["target"] = args.target
    path = getattr(import_module(f"aeanet_tf.interop.{module}"), function)(model, path, **options)
    _say_next(args, path)


def _check_output(path, file_format):
    """Refuse a place that cannot be written before TensorFlow is loaded."""
    from aeanet_tf.files import existing_folder
    from aeanet_tf.paths import check_path

    there = existing_folder(check_path(path).parent)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        reason = errno.EACCES if there.is_dir() else errno.ENOTDIR
        raise WriteError(f"{path}: cannot be written ({os.strerror(reason)})")
    # A SavedModel is one; other names are given the ending of the format.
    if path.is_dir() and path.suffix and file_format != "savedmodel":
        raise InputError(f"--output: {path}: found a folder, expected the name of a file to write")


def _say_next(args, path):
    """Say where the file is opened."""
    places = {
        "fiji": f"in Fiji, Plugins > CSBDeep > Run your network, with {path} (docs/fiji.md)",
        "bioimageio": f"in napari, ilastik or deepImageJ, open {path}",
        "keras": f"in Python, keras.models.load_model({str(path)!r})",
        "savedmodel": f"in Python, tensorflow.saved_model.load({str(path)!r})",
        "onnx": f"in Python, onnxruntime.InferenceSession({str(path)!r})",
    }
    say_next(places[args.format])


def _fitting(image, axes, channels):
    """The test image as the model takes it; refuses one that it does not take."""
    from aeanet_tf.io.image import check_fits, with_axes

    image = with_axes(image, axes)
    check_fits(image, axes, channels)
    return image


def _check_options(args):
    """Refuse what a format does not know before anything is loaded, and ask for what it needs."""
    from aeanet_tf.interop.runtimes import check_target

    if args.target is not None:
        if args.format != "fiji":
            raise InputError(f"--target: belongs to --format fiji, found {args.format}")
        check_target(args.target)
    given = {"--author": args.author, "--license": args.license}
    if args.series is not None and not args.test_image:
        raise InputError("--series: chooses the --test-image, found none")
    optional = {"--description": args.description, "--test-image": args.test_image}
    if args.format == "bioimageio":
        missing = [option for option, value in given.items() if not value]
        if missing:
            raise InputError(f"--format bioimageio: {' and '.join(missing)} missing, a package must name them")
    else:
        for option, value in (given | optional).items():
            if value:
                raise InputError(f"{option}: belongs to --format bioimageio, found {args.format}")


def _package(model, image, args):
    """What the package of a model is made with."""
    from csbdeep.utils import move_image_axes

    from aeanet_tf.models.folder import prediction_normalization

    if image is not None:
        image = _fitting(image, model.config.axes, model.config.n_channel_in)
        image = move_image_axes(image.array, image.axes, model.config.axes, True)
    facts = {"authors": args.author, "license": args.license, "description": args.description}
    return {**facts, "normalization": prediction_normalization(args.model), "test_image": image}

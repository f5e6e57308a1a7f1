"""``aeanet explain``: what the attention of a model computes for the user's own images."""

import re
from pathlib import Path

from aeanet_tf.cli.series import add_series_arguments
from aeanet_tf.errors import InputError

MOST_IMAGES = 6
MOST_REFERENCES = 12

HELP = "draw what the attention of a model computes"
DESCRIPTION = """\
Draw to which parts of images the learned shared references are relevant (relevance.png, and all maps as
NAME_relevance.tif), and how query and attention output follow a rotation of the image (NAME_equivariance.png). Images
are normalised as in training. docs/explain.md says what the maps mean."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder")
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH", help=f"images, at most {MOST_IMAGES} (folders, patterns)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the pictures and maps")
    parser.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")
    add_series_arguments(parser)
    parser.add_argument(
        "--operator", metavar="NAME", help="attention operator, by name or number (default: that of the bottom block)"
    )
    parser.add_argument(
        "--references",
        metavar="N|LIST",
        help=f"how many references to show, the most different ones, at most {MOST_REFERENCES} "
        "(default: as many as in the paper's figure), or which, from 1: 3,17,42",
    )
    parser.add_argument("--seed", type=int, help="draw the references at random with this seed, as in the paper")


def run(args):
    """Evaluate the operator on all images, then draw and write."""
    from aeanet_tf.io.image import check_axes
    from aeanet_tf.io.series import find_series
    from aeanet_tf.models.folder import load_model, prediction_normalization
    from aeanet_tf.models.stored import stored_model
    from aeanet_tf.prediction.options import FileOptions
    from aeanet_tf.runs.predict_files import check_image

    axes = None if args.axes is None else check_axes(args.axes)
    wanted = _wanted(args.references, args.seed)
    paths = find_series(args.input, args.series, args.allow_missing)
    targets = _targets(args.output, paths)
    stored, normalization = stored_model(args.model), prediction_normalization(args.model)
    for path in paths:
        check_image(path, stored, FileOptions(axes=axes), frames=False)
    model = load_model(args.model)
    from aeanet_tf.runs.explain import explain_files

    explain_files(model, targets, normalization, axes, args.operator, wanted, args.seed)


def _wanted(text, seed):
    """How many references, or which, from 0, as the command line says; ``None`` for the default."""
    if seed is not None and seed < 0:
        raise InputError(f"--seed: {seed}, expected a number of at least 0")
    if text is None:
        return None
    text = text.strip()
    if not re.fullmatch(r"\d{1,9}|\d{1,9}(,\d{1,9})*,?", text):
        raise InputError(f"--references: {text!r}, expected a number, or numbers with commas such as 3,17,42")
    if "," not in text:
        wanted = shown = int(text)
    else:
        wanted = [int(part) - 1 for part in text.strip(",").split(",")]
        shown = len(wanted)
        if len(set(wanted)) < shown:
            raise InputError(f"--references: {text}, expected each reference once")
        if seed is not None:
            raise InputError("--seed: given with a list of references, expected with a number of them")
    if not 1 <= shown <= MOST_REFERENCES:
        raise InputError(f"--references: {shown} of them, expected 1 to {MOST_REFERENCES}; the tif holds all maps")
    return wanted


def _targets(output, paths):
    """What will be written: ``{"relevance": png, path: (tif, png), ...}``; refuses to write over an input."""
    from aeanet_tf.io.image import image_stem

    if len(paths) > MOST_IMAGES:
        raise InputError(f"--input: {len(paths)} images, expected at most {MOST_IMAGES}, the rows of one figure")
    output = Path(output)
    targets = {"relevance": output / "relevance.png"}
    for path in paths:
        stem = image_stem(path)
        targets[path] = (output / f"{stem}_relevance.tif", output / f"{stem}_equivariance.png")
    files = [targets["relevance"], *(file for path in paths for file in targets[path])]
    inputs = {Path(path).resolve() for path in paths}
    for file in files:
        if files.count(file) > 1:
            raise InputError(f"{file}: would be written for two images of the same name; explain them apart")
        if file.resolve() in inputs:
            raise InputError(f"{output}: {file.name} would replace an input, choose another output folder")
    return targets

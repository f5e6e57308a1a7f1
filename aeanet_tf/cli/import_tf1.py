"""``aeanet import-tf1``: a model folder from a checkpoint of the original programs."""

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.errors import InputError

# How many numbers may follow a kind of normalisation.
_NUMBERS = {"none": (0,), "standard": (0,), "percentile": (0, 2), "range": (2,)}

HELP = "make a model from a TensorFlow 1 checkpoint"
DESCRIPTION = """\
Make a model folder from a TensorFlow 1 checkpoint of the AEANet or GVTNet programs (.index and .data-*; no .meta is
needed). The network is told from the names and shapes of the variables."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="PREFIX", help="such as results/model.ckpt-120000, or its folder"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="model folder to make, such as models/NAME")
    parser.add_argument("--preset", metavar="NAME", help="published network, such as aeanet-em (default: identified)")
    parser.add_argument("--axes", help="axes of the images (default: YX or ZYX)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a field of the network that a checkpoint does not show, such as attention.num_heads=1",
    )
    parser.add_argument(
        "--normalization",
        nargs="+",
        metavar=("KIND", "LOW HIGH"),
        help="of images in prediction: percentile LOW HIGH, range LOW HIGH, standard, or none (default: range 0 255 "
        "for the networks of paired EM, standard for label-free ones, percentile 2 99.8 for the others)",
    )


def run(args):
    """Import; see `aeanet_tf.interop.tf1_checkpoint.import_checkpoint`."""
    from aeanet_tf.interop.tf1_files import find_prefix
    from aeanet_tf.startup import load_backend

    # Before TensorFlow is loaded: most mistakes are in the paths.
    find_prefix(args.checkpoint)
    normalization = parse_normalization(args.normalization)
    load_backend()
    from aeanet_tf.interop.tf1_checkpoint import import_checkpoint

    folder = import_checkpoint(args.checkpoint, args.output, args.preset, args.axes, args.set, normalization)
    print(f"imported model in {folder}")
    say_next(f"{command_line('aeanet', 'predict', '--model', folder)} --input IMAGES --output FOLDER --preview")


def parse_normalization(words):
    """The `NormalizationSection` of ``--normalization``, such as ``["range", "0", "255"]``; ``None`` of ``None``.

    Raises:
        InputError: an unknown kind, not two numbers, or numbers that make no sense.
    """
    from pydantic import ValidationError

    from aeanet_tf.field_errors import from_validation
    from aeanet_tf.models.preparation import NormalizationSection

    if words is None:
        return None
    kind, *numbers = words
    if len(numbers) not in _NUMBERS.get(kind, (2,)):
        raise InputError(f"--normalization: {' '.join(words)!r}, expected KIND LOW HIGH such as range 0 255, or none")
    try:
        return NormalizationSection(kind=kind, **dict(zip(("low", "high"), numbers, strict=False)))
    except ValidationError as error:
        raise from_validation(error, "--normalization", model=NormalizationSection) from None

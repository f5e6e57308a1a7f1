"""``aeanet new``: a run configuration for one's own images."""

import sys
from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import series_number
from aeanet_tf.errors import InputError, expect

HELP = "make a configuration for one's own images"
DESCRIPTION = """\
Look at images, say what they are, and write a configuration that `aeanet train` takes. --data is a folder that holds:

  two folders of images, such as low and GT, noisy and clean, input and target; also in train, and in val to validate on
  images whose names differ by a word, such as a_noisy.tif and a_clean.tif
  images and label images, for segmentation
  patches of CSBDeep or of `aeanet patches` (.npz)

or it is one stack of sections, to learn slices from their neighbours. --low and --gt name two folders, patterns
or files. What cannot be seen is asked for at a terminal; elsewhere one line says which argument is missing."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="of the configuration, NAME.json, and of the model")
    images = parser.add_argument_group("images")
    images.add_argument("--data", metavar="PATH", help="folder, image or .npz")
    images.add_argument("--low", metavar="PATH", help="folder, quoted pattern or file of the inputs")
    images.add_argument("--gt", metavar="PATH", help="the same of the ground truth, or the label images")
    images.add_argument("--axes", help="axes of the images, such as YX or ZYX (default: as the files state)")
    images.add_argument(
        "--match",
        choices=("name", "order"),
        default="name",
        help="how inputs and ground truth pair: by name, or in the order of the numbers in the names (default: name)",
    )
    images.add_argument("--series", type=series_number, metavar="N|all", help="of files that hold several images")
    images.add_argument("--dataset", metavar="NAME", help="data set of an HDF5 file (default: volumes/raw)")
    training = parser.add_argument_group("training (default: what suits the images and this machine)")
    training.add_argument(
        "--task", choices=("restoration", "projection", "segmentation", "slices"), help="what is to be learned"
    )
    training.add_argument("--preset", help="the network (docs/networks.md)")
    training.add_argument("--steps", type=int, metavar="N", help="steps of the optimiser")
    training.add_argument("--patch-size", type=int, nargs="+", metavar="N", help="one size an axis")
    training.add_argument("--batch-size", type=int, metavar="N", help="patches a step")
    training.add_argument("--name", dest="model_name", metavar="NAME", help="of the model (default: as the file)")
    training.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other field")
    parser.add_argument("--overwrite", action="store_true", help="replace NAME.json where it exists")


def run(args):
    """Look, propose, write."""
    from aeanet_tf.files import with_suffix, write_text
    from aeanet_tf.paths import check_path
    from aeanet_tf.runs.config import as_run_config, override
    from aeanet_tf.runs.find_data import find_data
    from aeanet_tf.runs.new_config import propose
    from aeanet_tf.runs.proposal import Wishes, as_text
    from aeanet_tf.runs.shipped import SCHEMA

    expect(check_path(args.name, "NAME").name, "NAME", repr(args.name), "the name of a file to write")
    path = with_suffix(args.name, ".json")
    expect(args.overwrite or not path.exists(), path, "a file", "none, or --overwrite to replace it")
    for flag in ("steps", "batch_size"):
        value = getattr(args, flag)
        expect(value is None or value > 0, f"--{flag.replace('_', '-')}", value, "a number above 0")
    names = ("task", "axes", "preset", "steps", "patch_size", "batch_size", "match", "series", "dataset")
    wishes = Wishes(**{name: getattr(args, name) for name in names})
    wishes.axes = args.axes and args.axes.upper()
    data = args.data
    if data is None and args.low is None:
        data = ask("Folder of the images", "--data")
    proposal = propose(find_data(data, args.low, args.gt), wishes, ask)
    fields = proposal.fields(args.model_name or path.stem, SCHEMA.as_uri())
    given = dict(override(fields, text) for text in args.set)
    config = as_run_config(fields, path, given)
    write_text(path, as_text(fields))
    _say(proposal, config, path)


def _say(proposal, config, path):
    """What was seen, what is proposed, and what comes next."""
    for line in proposal.seen:
        print(line)
    for note in proposal.notes:
        print(f"note: {note}")
    training, size = config.training, config.training.patch_size
    patches = f"patches of {' x '.join(map(str, size))}" if size else "ready-made patches"
    length = f"{training.steps:,} steps of {training.batch_size}" if training.steps else f"{training.epochs:g} epochs"
    print(f"{path}: {proposal.task} with {config.model.preset}, {patches}, {length}")
    model = Path(config.model.basedir) / config.model.name
    train = command_line("aeanet", "train", "--config", path)
    if proposal.task == "slices":
        words = ("aeanet", "interpolate", "--model", model, "--input", proposal.input, "--test", proposal.tested)
        say_next(train, command_line(*words, "--output", "tested"))
    else:
        words = ("aeanet", "predict", "--model", model, "--input", proposal.input, "--output", "restored")
        say_next(train, command_line(*words))


def ask(question, flag, choices=()):
    """Ask at a terminal.

    Args:
        question: a line without its question mark.
        flag: which argument answers it, too.
        choices: possible answers; none for any text.

    Raises:
        InputError: there is no terminal, or no answer; the message names the flag.
    """
    among = f" ({' or '.join(choices)})" if choices else ""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(f"{question}{among}: give {flag}")
    while True:
        try:
            answer = input(f"{question}{among}: ").strip()
        except EOFError:
            raise InputError(f"{question}{among}: give {flag}") from None
        if answer and (not choices or answer in choices):
            return answer

"""``aeanet train``: train the model of a run configuration."""

import json
import sys

from aeanet_tf.device_names import PRECISIONS

HELP = "train a model"
DESCRIPTION = """\
Train the model of a run configuration. An interrupted run goes on where it stopped when the same command is given
again. Values are changed by --set, for instance --set training.steps=500."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument(
        "--config", required=True, metavar="FILE.json", help="run configuration: a file, or a name of `aeanet configs`"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a field, any number of times"
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the data, short for --set data.root=DIR")
    parser.add_argument("--precision", choices=PRECISIONS, help="to compute in, short for --set training.precision=...")
    parser.add_argument("--overwrite", action="store_true", help="train anew although the model folder is in use")
    parser.add_argument("--wait", action="store_true", help="wait where another process trains in the model folder")


def run(args):
    """Train; see `aeanet_tf.runs.train.train_run`."""
    from aeanet_tf.runs.config import load_run_config
    from aeanet_tf.startup import load_backend

    short = {"data.root": args.data, "training.precision": args.precision}
    overrides = [*args.set, *(f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None)]
    config = load_run_config(args.config, overrides)
    # Before TensorFlow is imported, which takes seconds.
    config.data.folder()
    load_backend()
    from aeanet_tf.runs.train import train_run

    model = train_run(config, args.overwrite, verbose=1 if sys.stderr.isatty() else 2, wait=args.wait)
    print(f"trained model in {model.logdir}")

"""``aeanet train``: train the model of a run configuration."""

import sys

from aeanet_tf.device_names import PRECISIONS

HELP = "train a model"
DESCRIPTION = """\
Train the model of a run configuration. An interrupted run goes on where it stopped when the same command is given
again; --continue gives it, or a finished one, more steps. Values are changed by --set, for instance
--set training.steps=500."""


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
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--overwrite", action="store_true", help="train anew although the model folder is in use")
    folder.add_argument(
        "--continue",
        dest="steps",
        nargs="?",
        const=True,
        default=None,
        metavar="STEPS",
        help="go on with the training in the model folder until it has so many steps in all, by default those of the "
        "configuration",
    )
    parser.add_argument("--wait", action="store_true", help="wait where another process trains in the model folder")


def run(args):
    """Train; see `aeanet_tf.runs.train.train_run`."""
    import json

    from aeanet_tf.runs.config import load_run_config
    from aeanet_tf.runs.held_out import check_pairs
    from aeanet_tf.startup import load_backend

    short = {"data.root": args.data, "training.precision": args.precision}
    overrides = [*args.set, *(f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None)]
    if isinstance(args.steps, str):
        overrides.append(f"training.steps={args.steps}")
    config = load_run_config(args.config, overrides)
    # Before TensorFlow is imported, which takes seconds.
    config.data.folder()
    check_pairs(config.data)
    load_backend()
    from aeanet_tf.cli.next_steps import command_line, say_next
    from aeanet_tf.models.next_commands import commands_after_training, report_path
    from aeanet_tf.runs.train import train_run

    verbose = 1 if sys.stderr.isatty() else 2
    model = train_run(config, args.overwrite, verbose, args.wait, go_on=args.steps is not None)
    print(f"trained model in {model.logdir}")
    report = report_path(model)
    if report is not None:
        print(f"report: {report}")
    say_next(*(command_line(*words) for words in commands_after_training(model)))

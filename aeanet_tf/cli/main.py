"""The ``aeanet`` command: one subcommand a module, nothing heavy imported before it is needed."""

import argparse
import logging
import os
import sys

import aeanet_tf
from aeanet_tf.cli import (
    configs,
    download,
    evaluate,
    experiment,
    explain,
    export,
    import_tf1,
    interpolate,
    patches,
    predict,
    quickstart,
    train,
)
from aeanet_tf.errors import DivergedError, InputError

COMMANDS = (
    train,
    predict,
    interpolate,
    evaluate,
    experiment,
    explain,
    export,
    import_tf1,
    patches,
    download,
    configs,
    quickstart,
)


def make_parser():
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="aeanet", description="Microscopy image transformation with global attention (AEANet, GVTNet)."
    )
    parser.add_argument("--version", action="version", version=f"aeanet_tf {aeanet_tf.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        # Lines are filled, but where there are lists beside the text.
        layout = argparse.RawDescriptionHelpFormatter if "\n\n" in command.DESCRIPTION else argparse.HelpFormatter
        texts = {"help": command.HELP, "description": command.DESCRIPTION}
        subparser = subparsers.add_parser(name, **texts, formatter_class=layout)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments=None):
    """Run a command. Bad input gives one line and exit code 2, a training that diverged one and exit code 1; an
    interruption exit code 130.

    Args:
        arguments: list of strings, those of the command line by default.

    Returns:
        0 when the command succeeded.
    """
    args = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("aeanet_tf").setLevel(logging.INFO)
    # TensorFlow's Python side warns about every new image size; images of many sizes are normal here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # What it warns of in a damaged file, reading the file says in one line.
    logging.getLogger("tifffile").setLevel(logging.ERROR)
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        args.run(args)
    except (InputError, MemoryError) as error:
        print(f"aeanet: error: {str(error) or 'out of memory'}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"aeanet: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("aeanet: interrupted", file=sys.stderr)
        return 130
    return 0


def run_command(name):
    """Entry point of the scripts ``train.py`` and ``predict.py``: the subcommand of that name."""
    sys.exit(main([name, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())

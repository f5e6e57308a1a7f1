"""The ``aeanet`` command: one subcommand a module, nothing heavy imported before it is needed."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from contextlib import contextmanager

import aeanet_tf
from aeanet_tf.cli import (
    calibrate,
    configs,
    download,
    evaluate,
    experiment,
    explain,
    export,
    import_tf1,
    interpolate,
    new,
    patches,
    predict,
    project,
    quickstart,
    train,
)
from aeanet_tf.errors import DivergedError, InputError, SkippedError, bounded
from aeanet_tf.startup import begin_command

COMMANDS = (
    new,
    train,
    predict,
    project,
    interpolate,
    evaluate,
    calibrate,
    experiment,
    explain,
    export,
    import_tf1,
    patches,
    download,
    configs,
    quickstart,
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message):
        self.exit(2, f"aeanet: error: {bounded(message)} ({self.prog} --help)\n")


def make_parser():
    """The parser with all subcommands."""
    parser = _Parser(
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
    """Run a command. Bad input gives one line and exit code 2, or 3 where it was skipped and the rest is done; a
    training that diverged gives one and exit code 1; an
    interruption exit code 130.

    Args:
        arguments: list of strings, those of the command line by default.

    Returns:
        0 when the command succeeded.
    """
    _print_any_name()
    if arguments is None:
        begin_command()
        arguments = sys.argv[1:]
    parser = make_parser()
    if any("\0" in argument for argument in arguments):
        parser.error("an argument with NUL in it")
    args = parser.parse_args(arguments)
    # Not before: help has no messages.
    from aeanet_tf.cli.messages import show_messages

    show_messages()
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        with _interruptions_noted():
            args.run(args)
    except DivergedError as error:
        return _fail(error, 1)
    except SkippedError as error:
        return _fail(error, 3)
    except InputError as error:
        return _fail(error)
    except MemoryError as error:
        return _fail(str(error) or "out of memory")
    except OSError as error:
        # What the system says of a name or a disk, where nobody has said it better.
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
    except KeyboardInterrupt:
        print("aeanet: interrupted", file=sys.stderr)
        return 130
    return 0


def _fail(error, code=2):
    print(f"aeanet: error: {bounded(error)}", file=sys.stderr)
    return code


def _print_any_name():
    """Let names that are not UTF-8 be printed, escaped."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _interruptions_noted():
    """End with ``KeyboardInterrupt`` where Ctrl-C was swallowed and an error came of it.

    Keras has places that catch everything while a network is traced, which takes seconds.
    """
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    noted = []

    def note(number, frame):
        noted.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception:
        if noted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_command(name):
    """Entry point of the scripts ``train.py`` and ``predict.py``: the subcommand of that name."""
    sys.argv.insert(1, name)
    sys.exit(main())


if __name__ == "__main__":
    sys.exit(main())

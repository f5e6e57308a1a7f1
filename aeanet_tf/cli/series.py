"""Arguments of the commands that read images: which of several images of a file, and planes that are missing."""

import argparse


def add_series_arguments(group, several=True):
    """Add ``--series`` and ``--allow-missing``; ``several`` commands can take every image of a file."""
    metavar, how = ("N|all", "one of them, from 0, or all") if several else ("N", "one of them, from 0")
    group.add_argument(
        "--series",
        type=series_number if several else _one,
        metavar=metavar,
        help=f"of files that hold several images (positions, scenes): {how} (default: they are refused)",
    )
    group.add_argument(
        "--allow-missing", action="store_true", help="fill planes that a file lacks with 0 and say so (default: refuse)"
    )


def _one(text):
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"found {text[:40]!r}, expected a number from 0")
    return int(text)


def series_number(text):
    """A number from 0, or ``"all"``, of an argument."""
    try:
        return "all" if text == "all" else _one(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or all") from None

"""``aeanet download``: fetch the public data sets of the papers, and say where their checkpoints are."""

from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.errors import InputError

HELP = "fetch the public data sets"
DESCRIPTION = """\
Fetch public data sets, check them, and unpack each into a folder of its own, OUTPUT/NAME. A download that broke off
goes on where it stopped when the command is given again; one that is complete is not fetched twice. For data that
their owners give out by hand only, and for the checkpoints that the authors of AEANet and GVTNet have released, says
where to get them and which folders are expected."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets, as --list names them")
    parser.add_argument("--output", type=Path, default=Path("data"), metavar="DIR", help="default: data")
    parser.add_argument(
        "--list", action="store_true", help="show the data sets and checkpoints, and where they come from"
    )


def run(args):
    """List, or fetch one after the other."""
    from aeanet_tf.datasets.catalogue import DATASETS, get_dataset

    if args.list:
        print("\n".join(_entry(dataset) for dataset in DATASETS.values()))
        return
    if not args.names:
        raise InputError("download: got no name, expected one or more of those that --list shows")
    # All names before the first download, which may take hours.
    datasets = [get_dataset(name) for name in args.names]

    from aeanet_tf.datasets.download import download

    for dataset in datasets:
        result = download(dataset, args.output)
        if result.fetched:
            print(f"{dataset.name}: in {result.folder}, sha256 and address in {result.record}")
        else:
            print(f"{dataset.name}: already in {result.folder}, nothing to do")
        _say_next(dataset, result.folder)


def _say_next(dataset, folder):
    """Say how to train on it: with the configuration that is for it, or one that is made for it."""
    from aeanet_tf.files import read_fields
    from aeanet_tf.runs.shipped import shipped_configs

    for name, path in shipped_configs().items():
        data = read_fields(path)["data"]
        if data.get("download") == dataset.name:
            # Unpacked, an archive may have a folder of its owner's name in it.
            inner = folder / data["root"]
            say_next(command_line("aeanet", "train", "--config", name, "--data", inner if inner.is_dir() else folder))
            return
    say_next(command_line("aeanet", "new", dataset.name, "--data", folder))


def _entry(dataset):
    how = "fetched" if dataset.url else "by hand"
    return f"{dataset.name}\n    {how}: {dataset.description}\n    {dataset.page}"

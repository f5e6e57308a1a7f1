"""``aeanet experiment``: rerun an experiment of the papers."""

import sys
from pathlib import Path

from aeanet_tf.errors import DivergedError, InputError
from aeanet_tf.experiments.registry import COMPARED, EXPERIMENTS, SELF_TRAINED, TIMED

_MOST_SEEDS = 1000

HELP = "rerun an experiment of the papers"
DESCRIPTION = """\
Train, predict, score, and write the table of a paper with the published figures beside ours: NAME.md, NAME.csv,
pictures, and every configuration, in the folder --output. Models and scores stay there too: a run that was stopped goes
on when the same command is given again, and experiments on the same data share their models.

experiments:
""" + "\n".join(
    f"  {name:{max(map(len, EXPERIMENTS)) + 2}}{experiment.description}" for name, experiment in EXPERIMENTS.items()
)


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help="of the experiment")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the data as published")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of tables, models and scores")
    parser.add_argument(
        "--budget",
        default="full",
        help="full (default), a fraction of the published steps such as 0.01, or tiny: 2 steps, to see that all runs",
    )
    parser.add_argument(
        "--seeds",
        default="1",
        metavar="N",
        help="trainings of each network (default: 1), or their seeds, such as 0,2",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="what each training has of this machine's time (w2s, volume; default: the steps of the configuration)",
    )
    parser.add_argument(
        "--self",
        action="store_true",
        dest="self_training",
        help="also self-training, one network for each image (table1)",
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        metavar="NAME",
        help="what to compare in place of the experiment's own networks (table1, table6, w2s, volume): names of those, "
        "or presets from the literature in a size for one workstation, such as rcan; as published, rcan:published; or "
        "with other fields, rcan:filters=32:blocks=4",
    )
    parser.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="to score: of the lowest validation loss (default), or those at the end of the training, as the papers' "
        "programs; their reports are in OUTPUT/last_weights",
    )
    parser.add_argument(
        "--configs",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "configs",
        metavar="DIR",
        help="folder of run configurations (default: those of the package)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a field of every configuration"
    )


def run(args):
    """Run the experiment; see `aeanet_tf.experiments`."""
    from aeanet_tf.experiments.budget import parse_budget
    from aeanet_tf.paths import nearest_path
    from aeanet_tf.startup import load_backend

    budget = parse_budget(args.budget)
    seeds = _seeds(args.seeds)
    if args.minutes is not None and not args.minutes > 0:
        raise InputError(f"--minutes: found {args.minutes:g}, expected a number above 0")
    if args.minutes is not None and args.name not in TIMED:
        raise InputError(f"--minutes: found it for {args.name}, expected one of {', '.join(TIMED)}")
    if args.self_training and args.name not in SELF_TRAINED:
        raise InputError(f"--self: found it for {args.name}, expected {', '.join(SELF_TRAINED)}")
    if args.networks and args.name not in COMPARED:
        raise InputError(f"--networks: found it for {args.name}, expected one of {', '.join(COMPARED)}")
    if not args.data.is_dir():
        raise InputError(f"--data: {args.data}: no such folder{nearest_path(args.data)}")
    if args.output.exists() and not args.output.is_dir():
        raise InputError(f"--output: {args.output}: is a file, expected a folder")
    load_backend()
    from aeanet_tf.experiments.laboratory import Laboratory
    from aeanet_tf.experiments.registry import run_experiment

    verbose = 1 if sys.stderr.isatty() else 2
    lab = Laboratory(
        args.data,
        args.output,
        budget,
        seeds,
        args.configs,
        tuple(args.set),
        verbose,
        args.minutes,
        self_training=args.self_training,
        weights=args.weights,
        networks=args.networks and tuple(args.networks),
    )
    path = run_experiment(args.name, lab)
    print(path.read_text(encoding="utf-8"))
    print(f"report in {path}")
    if lab.diverged:
        names = ", ".join(dict.fromkeys(lab.diverged))
        raise DivergedError(f"{names}: training diverged; what the report in {path} has is of the epochs before")


def _seeds(text):
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    many = len(numbers) == 1 and numbers[0] > _MOST_SEEDS
    if not numbers or not 0 <= min(numbers) <= max(numbers) < 2**32 or many or numbers == [0]:
        numbers = []
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds: {text!r}, expected a number of at least 1, or different seeds such as 0,2")
    return tuple(range(numbers[0])) if len(numbers) == 1 else tuple(numbers)

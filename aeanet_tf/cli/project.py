"""``aeanet project``: a sheet of cells out of stacks, without a network."""

from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import add_series_arguments

HELP = "project stacks onto the sheet of cells in them, without a network"
DESCRIPTION = """\
Find the sheet of cells that runs through each stack (a surface of least cost through planes of high local contrast)
and write what lies on it, NAME.tif, and the height of the surface in planes from 0, height/NAME.tif. A baseline for
networks that project, and a target to train them on:

  aeanet project --input "good/*.tif" --output projected"""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="stacks: files, folders, patterns")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--axes", help="axes of the files, such as ZYX or CZYX (default: as each file states)")
    parser.add_argument(
        "--smoothness",
        type=float,
        metavar="S",
        help="the larger, the flatter the surface; 0 follows every bump and all noise (default: 0.2)",
    )
    parser.add_argument(
        "--thickness", type=float, metavar="PLANES", help="of the sheet, as a standard deviation (default: 1)"
    )
    parser.add_argument(
        "--channel", type=int, default=0, metavar="N", help="in which the surface is found, for all (default: 0)"
    )
    add_series_arguments(parser)


def run(args):
    """Project and say where the images are."""
    from aeanet_tf.runs.project_files import project_files

    given = {"smoothness": args.smoothness, "thickness": args.thickness}
    written = project_files(
        args.input,
        args.output,
        args.axes,
        channel=args.channel,
        series=args.series,
        allow_missing=args.allow_missing,
        **{name: value for name, value in given.items() if value is not None},
    )
    print(f"{len(written)} projections and their heights in {args.output}")
    say_next(f"open {written[0]}", command_line("aeanet", "evaluate", "--prediction", args.output, "--gt", "DIR"))

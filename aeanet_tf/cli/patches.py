"""``aeanet patches``: cut training patches from folders of image pairs."""

from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.cli.series import add_series_arguments
from aeanet_tf.errors import InputError

HELP = "cut training patches from image pairs"
DESCRIPTION = """\
Cut normalised training patches from pairs of TIFF images with CSBDeep, into the .npz file that CARE and
`aeanet train` read, and a PNG picture of random pairs beside it. Images match by file name:

  BASEPATH/low/a.tif  BASEPATH/GT/a.tif"""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--basepath", required=True, type=Path, metavar="DIR", help="folder of the folders")
    parser.add_argument("--source", required=True, nargs="+", metavar="NAME", help="folder(s) of the inputs")
    parser.add_argument("--target", required=True, metavar="NAME", help="folder of the ground truth")
    parser.add_argument("--axes", required=True, help="axes of the source images, such as YX, ZYX or CYX")
    parser.add_argument(
        "--patch-size", required=True, nargs="+", type=int, metavar="N", help="one size an axis; 0 is all of it"
    )
    parser.add_argument("--patches-per-image", type=int, default=16, metavar="N", help="default: 16")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE.npz", help="file to write")
    parser.add_argument("--reduce", metavar="AXIS", help="axis that the target lacks (a projection), such as Z")
    background = parser.add_mutually_exclusive_group()
    background.add_argument(
        "--threshold",
        type=float,
        default=0.4,
        help="take patches whose brightest target pixel exceeds this part of the image's (default: 0.4)",
    )
    background.add_argument("--no-background-filter", action="store_true", help="take patches from anywhere")
    parser.add_argument(
        "--percentiles",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="percentiles mapped to 0 and 1 (default: drawn from 1..3 and 99.5..99.9 for each patch)",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--pattern", help="which files of a folder, such as '*_c1.tif' (default: every TIFF)")
    add_series_arguments(parser)


def run(args):
    """Cut, write the patches and the picture."""
    from aeanet_tf.datasets.patches import PatchSettings, cut_patches, save_patches
    from aeanet_tf.evaluation.figures import draw_patches

    settings = PatchSettings(
        axes=args.axes,
        patch_size=args.patch_size,
        patches_per_image=args.patches_per_image,
        reduce=args.reduce.upper() if args.reduce else None,
        threshold=None if args.no_background_filter else args.threshold,
        percentiles=tuple(args.percentiles) if args.percentiles else None,
        seed=args.seed,
    )
    # Before the work, not after it.
    if args.pattern is not None and Path(args.pattern).name != (args.pattern or None):
        raise InputError(f"--pattern: got {args.pattern!r}, expected one of names of files, such as *.tif")
    if args.output.suffix != ".npz":
        raise InputError(f"--output: got {args.output}, expected a name ending in .npz")
    x, y, axes = cut_patches(
        args.basepath,
        args.source,
        args.target,
        settings,
        args.pattern,
        series=args.series,
        allow_missing=args.allow_missing,
    )
    picture = args.output.with_suffix(".png")
    save_patches(args.output, x, y, axes)
    draw_patches(picture, x, y, axes, seed=args.seed)
    print(f"{len(x)} patches, X {x.shape}, Y {y.shape}, axes {axes}: {args.output}, picture {picture}")
    say_next(f"open {picture}", command_line("aeanet", "new", args.output.stem, "--data", args.output))

"""What the library takes beside its networks: prediction of an image, of a folder, the command line, training.

* ``image``: `AEANet.predict` of one image, against the network alone (overhead_image.py);
* ``folder``: `predict_files` for images of many sizes, against as many pixels in images of one (overhead_folder.py);
* ``small``: `AEANet.predict` of a list of small images, against a call for each (overhead_small.py);
* ``cli``: `aeanet predict` of one image from a cold start, and where its time goes (overhead_cli.py);
* ``training``: steps of `AEANet.train`, against a loop over ``train_on_batch`` (overhead_training.py).

    python benchmarks/overhead.py [--output overhead.json]
    python benchmarks/overhead.py --parts cli --rounds 5
    python benchmarks/overhead.py --network '{"first_filters": 4}' --image 64 --files 4 --file 32 --small 16 --cold 64
"""

import numpy as np
from hardware import facts, line
from options import add_network, check_positive, given, make_parser, network_changes
from tables import quiet, run_script, section, write_results

from aeanet_tf.errors import InputError

TITLES = {
    "image": "Prediction of one image",
    "folder": "Prediction of a folder",
    "small": "Prediction of small images",
    "cli": "Cold start",
    "training": "Training",
}
# Factor of the 2D presets, of which all sizes here are multiples.
STEP = 8


def main(argv=None):
    """Measure the parts that are asked for, print their tables, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options, "image", "files", "file", "small", "cold", "patch", "batch", "steps")
    for name in ("image", "file", "small", "cold", "patch"):
        for size in np.atleast_1d(getattr(options, name)):
            if size % STEP:
                raise InputError(f"--{name}: {size}, expected a multiple of {STEP}")
    changes = network_changes(options)
    found = {"hardware": facts(), "options": given(options)}
    config = make_config(options.preset, changes)
    section("Overhead", line(found["hardware"]))
    for part in options.parts:
        with quiet():
            found[part], texts = _measure(part, config, options)
        section(TITLES[part], *texts)
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=5, seconds=60)
    add_network(parser)
    parser.add_argument("--preset", default="aeanet-em")
    parser.add_argument("--parts", nargs="+", default=list(TITLES), choices=TITLES)
    parser.add_argument("--image", type=int, default=1024, metavar="N", help="image: N x N pixels")
    parser.add_argument("--files", type=int, default=20, metavar="N", help="folder: number of images")
    parser.add_argument("--file", type=int, default=256, metavar="N", help="folder: N x N pixels on average")
    parser.add_argument(
        "--small", type=int, nargs="+", default=[64, 96, 128, 256], metavar="N", help="small: N x N pixels"
    )
    parser.add_argument("--cold", type=int, default=512, metavar="N", help="cli: N x N pixels")
    parser.add_argument("--patch", type=int, default=64, metavar="N", help="training: patches of N x N pixels")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="training: patches a step")
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="training: of an epoch")
    return parser.parse_args(argv)


def make_config(preset, changes):
    """Configuration of a 2D `AEANet`."""
    from aeanet_tf.models import AEANetConfig
    from aeanet_tf.networks import as_spec

    if as_spec(preset).dimension != 2:
        raise InputError(f"--preset: {preset}, expected one for 2D images")
    return AEANetConfig("YX", preset=preset, network=changes, train_seed=0)


def _measure(part, config, options):
    """Numbers for JSON, and the paragraphs of the report."""
    if part == "image":
        from overhead_image import measure, report

        found = measure(config, options.image, options.rounds, options.seconds)
    elif part == "folder":
        from overhead_folder import measure, report

        found = measure(config, options.files, options.file, options.rounds, options.seconds)
    elif part == "small":
        from overhead_small import measure, report

        found = measure(config, options.small, options.files, options.rounds, options.seconds)
    elif part == "cli":
        from overhead_cli import measure, report

        found = measure(config, options.cold, options.rounds, options.seconds)
    else:
        from overhead_training import measure, report

        found = measure(config, options, options.rounds, options.seconds)
    return found, report(found)


if __name__ == "__main__":
    run_script(main)

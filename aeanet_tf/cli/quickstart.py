"""``aeanet quickstart``: the main job from end to end on sample data that is already installed."""

import sys
from pathlib import Path

from aeanet_tf.cli.next_steps import command_line, say_next
from aeanet_tf.errors import InputError

HELP = "train, predict and evaluate on sample data"
DESCRIPTION = """\
Train a small AEANet on images that come with scikit-image (real microscopy, simulated low-exposure noise), restore
held-out images, score them and draw a picture. Takes minutes."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument(
        "--config",
        default="quickstart",
        metavar="FILE.json",
        help="file, or name of `aeanet configs`: quickstart by default",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a field")
    parser.add_argument("--output", default="quickstart", metavar="DIR", help="folder of images, scores and picture")


def run(args):
    """Train, predict, evaluate, draw; every step is what the other subcommands do."""
    from aeanet_tf.runs.config import load_run_config
    from aeanet_tf.runs.data_sections import SampleSection
    from aeanet_tf.startup import load_backend

    config = load_run_config(args.config, args.set)
    if not isinstance(config.data, SampleSection):
        raise InputError(f"{args.config}: data.kind is {config.data.kind!r}, the quickstart takes 'sample'")
    load_backend()
    from aeanet_tf.runs.predict_files import predict_files
    from aeanet_tf.runs.train import is_unfinished, train_run

    output = Path(args.output)
    folder = Path(config.model.basedir) / config.model.name
    # The same command goes on with an interrupted run; anything else begins anew.
    model = train_run(config, overwrite=not is_unfinished(folder, config), verbose=1 if sys.stderr.isatty() else 2)
    names = _write_samples(output, config.model.n_channel_in)
    predict_files(model, output / "low", output / "prediction", config.data.normalization)
    _report(output, model, names)


def _write_samples(output, channels):
    from aeanet_tf.datasets.samples import as_channels, load_sample_pairs
    from aeanet_tf.io.tiff import write_image

    low, gt = load_sample_pairs()["test"]
    axes = "YX"
    if channels == 3:
        low, gt, axes = as_channels(low), as_channels(gt), "YXC"
    names = [f"sample_{i}.tif" for i in range(len(low))]
    # Those of another run may be more.
    for folder in ("low", "GT", "prediction"):
        for path in (output / folder).glob("sample_*.tif"):
            path.unlink()
    for folder, images in (("low", low), ("GT", gt)):
        for name, image in zip(names, images, strict=True):
            write_image(output / folder / name, image, axes)
    return names


def _report(output, model, names):
    import numpy as np
    from csbdeep.utils import move_image_axes

    from aeanet_tf.evaluation.baselines import FILTERS_FILE
    from aeanet_tf.evaluation.figures import restoration_figure
    from aeanet_tf.evaluation.folders import choose_for_folders, score_folders
    from aeanet_tf.evaluation.lattice import lattice
    from aeanet_tf.evaluation.protocols import get_protocol
    from aeanet_tf.evaluation.tables import mean_scores, summary_table, write_csv
    from aeanet_tf.io.read import read_image
    from aeanet_tf.training import read_history

    protocol = get_protocol("care")
    # What a filter reaches at best, with the truth of the test images at hand; beside it, what it reaches in practice.
    best = choose_for_folders(output / "low", output / "GT", protocol)
    chosen = {}
    if (model.logdir / FILTERS_FILE).is_file():
        chosen = choose_for_folders(output / "low", output / "GT", protocol, model.logdir)
    rows = score_folders(output / "prediction", output / "GT", protocol, output / "low", filters={**best, **chosen})
    write_csv(output / "scores.csv", rows)

    images = {}
    for kind in ("low", "prediction", "GT"):
        found = [read_image(output / kind / name) for name in names]
        images[kind] = [move_image_axes(image.array, image.axes, "CYX", True) for image in found]
    label, gaussian = next(iter(best.items()))
    low, prediction, truth = (arrays[0] for arrays in images.values())
    filtered = np.stack([gaussian(plane) for plane in low])
    shown = {"input": low, label: filtered, "prediction": prediction, "truth": truth}
    restoration_figure(
        output / "quickstart.png",
        # Channels last, as colours; one alone in grey.
        {name: np.moveaxis(planes, 0, -1).squeeze() for name, planes in shown.items()},
        mean_scores(rows[: len(low)]),
        read_history(model.logdir / "history.csv"),
        title="Quickstart: held-out tissue (scikit-image, immunohistochemistry), simulated low exposure",
    )
    print(f"\n{len(rows)} held-out images, protocol {protocol.name}: {protocol.description}\n")
    print(summary_table(rows))
    planes = {kind: [plane for image in arrays for plane in image] for kind, arrays in images.items()}
    of_prediction, of_truth = (
        np.mean([lattice(*pair) for pair in zip(planes[kind], planes["GT"], strict=True)])
        for kind in ("prediction", "GT")
    )
    print(f"\nlattice of period 2 (about 1: none): prediction {of_prediction:.2f}, ground truth {of_truth:.2f}")
    print(f"\npicture: {output / 'quickstart.png'}    scores: {output / 'scores.csv'}    model: {model.logdir}")
    say_next(
        f"open {output / 'quickstart.png'}",
        command_line("aeanet", "export", "--model", model.logdir, "--format", "fiji"),
        "aeanet new NAME --data FOLDER, for images of your own",
    )

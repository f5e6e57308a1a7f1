"""What half precision gains in time and costs in PSNR: test images restored in float32 and in bfloat16.

Both precisions predict every image in turn, whole, with the weights of one trained model. The table gives

* seconds an image (`AEANet.predict`, normalisation included) and the ratio of float32 to bfloat16;
* the PSNR against the truth, care protocol, as `aeanet evaluate --protocol care`; the mean difference with its 95 %
  interval over the images, and the largest loss of an image;
* the mean absolute difference of the two predictions, relative to the range of the first.

    python benchmarks/precision.py --model models/w2s --data w2s [--every 3] [--output precision.json]
"""

import numpy as np
from hardware import facts, line
from options import check_positive, given, make_parser
from seams import CARE, add_sources, model_and_normalizer, read_arrays, test_pairs
from shared_context import paired
from tables import digits, markdown, ratio, run_script, section, spread, write_results
from timing import alternate, clocked, summary

PRECISIONS = ("float32", "bfloat16")


def main(argv=None):
    """Measure, print the table, and write the numbers of every image where asked to."""
    parser = make_parser(__doc__, 1, 60)
    add_sources(parser)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth image")
    options = parser.parse_args(argv)
    check_positive(options, "every")
    pairs = test_pairs(options.data)[:: options.every]
    model, normalizer = model_and_normalizer(options.model)
    hardware = facts()
    rows = [
        measure(model, normalizer, *read_arrays(paths, model), options) | {"image": paths[0].name} for paths in pairs
    ]
    times = {name: [row[name]["seconds"] for row in rows] for name in PRECISIONS}
    programs = summary(times, PRECISIONS[-1])
    section("Half precision", line(hardware), precision_table(rows, programs))
    given_options = {name: str(value) for name, value in given(options).items()}
    write_results(
        options.output, {"hardware": hardware, "options": given_options, "images": rows, "programs": programs}
    )


def measure(model, normalizer, low, truth, options):
    """Median seconds and PSNR of each precision for one image, and how far the predictions are apart."""

    def predict(precision):
        return model.predict(low, "YX", normalizer, tiling="whole", precision=precision)

    images = {name: predict(name) for name in PRECISIONS}
    times = alternate(
        {name: clocked(lambda name=name: predict(name)) for name in PRECISIONS}, options.rounds, options.seconds
    )
    single, half = (images[name].astype("float64") for name in PRECISIONS)
    found = {
        name: {"psnr": float(CARE(truth, images[name])["psnr"]), "seconds": float(np.median(times[name]))}
        for name in PRECISIONS
    }
    return {**found, "difference": float(np.abs(half - single).mean() / np.ptp(single))}


def precision_table(rows, programs):
    """Markdown table, one line a precision."""
    psnr = {name: [row[name]["psnr"] for row in rows] for name in PRECISIONS}
    single, half = (psnr[name] for name in PRECISIONS)
    mean, interval, _ = paired(single, half) if len(rows) > 1 else (half[0] - single[0], float("nan"), 0)
    worst = min(h - s for s, h in zip(single, half, strict=True))
    compared = [f"{mean:+.4f} ± {interval:.4f}", f"{worst:+.4f}", f"{np.mean([r['difference'] for r in rows]):.1e}"]
    header = [
        "precision",
        "seconds an image",
        "time / bfloat16",
        "PSNR (dB)",
        "difference",
        "worst image",
        "mean change",
    ]
    lines = [
        [name, spread(programs[name]), ratio(programs[name]), digits(np.mean(psnr[name]), 5), *last]
        for name, last in zip(PRECISIONS, (["–"] * 3, compared), strict=True)
    ]
    return markdown(header, lines)


if __name__ == "__main__":
    run_script(main)

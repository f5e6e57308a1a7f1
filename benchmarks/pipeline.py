"""Patches a second of the training data alone: `PatchSampler`, by itself and through ``fit``, NumPy and CSBDeep.

* ``2D images``: random crops from whole images of 8 bit, and of float32 (those of W2S are 512 x 512 with 8 bit);
* ``3D patches``: ready-made volumes in one float32 array, as CARE's ``.npz`` files hold them.

Each with flips and rotations and without. In turn, in one process, a number of batches each:

* ``NumPy``: as one would write it: slices of pairs drawn at random, one by one, stacked to two float32 arrays;
* ``CSBDeep``: ``csbdeep.internals.train.DataWrapper``, the data of ``CARE.train``, with the same functions for
  augmentation as ``NumPy``; ready-made patches only;
* ``PatchSampler``: batches one after the other in a loop;
* ``fit, workers=N``: the sampler as ``fit`` uses it, with N threads, for a model that does nothing. Timed
  from the beginning of the epoch to the end of its last step, what ``fit`` itself does at each step included.

    python benchmarks/pipeline.py [--workers 1 2 4] [--output pipeline.json]
"""

from time import perf_counter

import numpy as np
from hardware import facts, line
from options import check_positive, given, make_parser
from tables import digits, markdown, quiet, ratio, run_script, section, write_results
from timing import alternate, summary

from aeanet_tf.errors import InputError

BASELINE = "NumPy"


def main(argv=None):
    """Measure every case, print the table, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options, "image", "images", "patch", "volume", "volumes", "batch", "batches", "workers")
    if options.patch > options.image:
        raise InputError(f"--patch: {options.patch}, expected at most {options.image}, the size of the images")
    if len(options.volume) != 3:
        raise InputError(f"--volume: {len(options.volume)} numbers, expected z y x")
    found = {"hardware": facts(), "options": given(options), "rows": []}
    section("Training data", line(found["hardware"]))
    for case, (images, patch) in make_cases(options).items():
        for augment in (False, True):
            with quiet():
                row = measure(images, patch, augment, options)
            found["rows"].append({"case": case, "patch": patch or options.volume, "augment": augment, **row})
    section("Patches a second", patches_table(found["rows"]))
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=7, seconds=20)
    parser.add_argument("--image", type=int, default=512, metavar="N", help="2D images of N x N pixels")
    parser.add_argument("--images", type=int, default=16, metavar="N", help="number of them")
    parser.add_argument("--patch", type=int, default=128, metavar="N", help="crops of N x N pixels")
    parser.add_argument("--volume", type=int, nargs="+", default=[16, 64, 64], metavar="N", help="3D patches, z y x")
    parser.add_argument("--volumes", type=int, default=128, metavar="N", help="number of them")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="patches a batch")
    parser.add_argument("--batches", type=int, default=200, metavar="N", help="batches a measurement")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="threads of fit")
    return parser.parse_args(argv)


def make_cases(options):
    """Case -> images ``(n, *spatial, 1)`` and size of the crops, ``None`` for ready-made patches."""
    rng, side = np.random.default_rng(0), options.image
    images = rng.integers(0, 256, (options.images, side, side, 1), "uint8")
    volumes = rng.random((options.volumes, *options.volume, 1), "float32")
    crops = [options.patch] * 2
    # A list: images of a folder are single arrays.
    return {
        "2D images, uint8": (list(images), crops),
        "2D images, float32": (list(images.astype("float32")), crops),
        "3D patches, float32": (volumes, None),
    }


def measure(images, patch, augment, options):
    """Times of all ways to make ``--batches`` batches, and how many patches that are."""
    from pipeline_sources import NumpyPatches, make_csbdeep, make_sampler

    sampler = make_sampler(images, patch, augment, options)
    measures = {BASELINE: _loop(NumpyPatches(images, patch, augment, options.batch), options.batches)}
    if patch is None:
        measures["CSBDeep"] = _loop(make_csbdeep(images, augment, options), options.batches)
    measures["PatchSampler"] = _loop(sampler, options.batches)
    for workers in options.workers:
        measures[f"fit, workers={workers}"] = _fit(make_sampler(images, patch, augment, options, workers))
    times = alternate(measures, options.rounds, options.seconds)
    return {"patches": options.batch * options.batches, "programs": summary(times, BASELINE)}


def _loop(source, batches):
    """A measurement: batches 0, 1, ... of what gives them by number."""

    def run():
        start = perf_counter()
        for index in range(batches):
            source[index]
        return perf_counter() - start

    return run


def _fit(sampler):
    """A measurement: an epoch of ``fit`` for a model that does nothing."""
    from pipeline_sources import IdleModel
    from step_clock import StepClock

    model, clock = IdleModel(), StepClock()
    model.compile(loss="mae", jit_compile=False)

    def run():
        model.fit(**sampler.fit_arguments(), callbacks=[clock], verbose=0)
        return clock.seconds[-1]

    return run


def patches_table(rows):
    """Markdown table, one line a case; in brackets the time relative to NumPy's."""
    names = list(dict.fromkeys(name for row in rows for name in row["programs"]))
    # CSBDeep has no part in the first cases.
    names.sort(key=lambda name: (name != BASELINE, name != "CSBDeep"))
    lines = []
    for row in rows:
        cells = []
        for name in names:
            found = row["programs"].get(name)
            rate = digits(found and row["patches"] / found["median"])
            cells.append(f"{rate} ({ratio(found)})" if found else rate)
        lines.append([row["case"], " x ".join(map(str, row["patch"])), "yes" if row["augment"] else "no", *cells])
    note = "In brackets: the time, relative to NumPy's."
    return f"{markdown(['', 'patch', 'flips, rotations', *names], lines)}\n\n{note}"


if __name__ == "__main__":
    run_script(main)

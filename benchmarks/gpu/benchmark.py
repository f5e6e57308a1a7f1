"""U-Net, GVTNet and AEANet on a GPU with JAX: what each learns in the same time, and how fast they are.

Images are those that prepare.py packed. Everything is in one JSON file, written anew after every result, so that a run
that is stopped leaves what it did. In this order:

1. training of the three networks with the first seed (2D, no batch norm, output offset, matched targets, MAE, Adam,
   warm-up and cosine decay, clipped gradients), each for the same time; scores of the test images by the care protocol
   beside those of the input and of a Gaussian filter;
2. times of predictions and training steps, in single and half precision, and what share of the device's rates that is;
   of context moments, by XLA and by a kernel that reads the features once (moments.py);
3. the other seeds.

    KERAS_BACKEND=jax PYTHONPATH=. python benchmarks/gpu/benchmark.py --data benchmarks/gpu/carried/w2s.npz --minutes 9

README.md beside this file tells the rest; report.py makes tables of the file.
"""

import argparse
import math
import os
import sys
from pathlib import Path
from time import perf_counter

# Loading Keras and JAX takes of the time, too.
STARTED = perf_counter()

# ruff: noqa: E402  the clock comes first
# The folder above has what all benchmarks share.
sys.path.append(str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("KERAS_BACKEND", "jax")

from concurrent.futures import ThreadPoolExecutor

import keras
import moments
import numpy as np
import scores
import speed
from hardware import facts, line
from images import normalised, read_pairs
from learning import Learner, Material
from record import Clock, Record
from tables import run_script

from aeanet_tf.errors import InputError
from aeanet_tf.networks import presets
from aeanet_tf.networks.literature import LITERATURE, preset_and_fields

NETWORKS = ("aeanet", "unet", "gvtnet")
# Of the features whose moments are timed.
CHANNELS = (32, 128, 512)
# Of the time that runs would have for steps: initial weights, a few steps to time, and what varies.
SPARE = 0.1


def main(argv=None):
    """Do what time allows."""
    options = parse(argv)
    clock = Clock(60 * options.minutes, STARTED)
    if keras.backend.backend() != "jax":
        raise InputError(f"KERAS_BACKEND: {keras.backend.backend()}, expected jax")
    hardware = facts()
    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    record = Record(options.output, {"hardware": hardware, "options": given})
    _say(clock, line(hardware))
    splits = read_pairs(options.data)
    sections = [("training", seed) for seed in options.seeds]
    if "timings" not in options.skip:
        sections.insert(1, ("timings", None))
    bench = Benchmark(options, splits, clock, record)
    for section, seed in sections:
        if section == "timings":
            bench.time_programs()
        elif "training" not in options.skip:
            bench.train(seed)
    record.update(finished=not record.found["left_out"], elapsed=clock.elapsed)
    _say(clock, f"written {options.output}")


def parse(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    output = Path(os.environ.get("OUT", "benchmarks/results")) / "gpu.json"
    parser.add_argument("--data", type=Path, required=True, help="w2s.npz of prepare.py")
    parser.add_argument("--output", type=Path, default=output, help="JSON file; by default gpu.json in the folder $OUT")
    parser.add_argument("--minutes", type=float, default=9, help="for all, from the start (9)")
    parser.add_argument("--skip", nargs="*", default=[], choices=("training", "timings"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    training = parser.add_argument_group("training")
    text = f"of {', '.join(NETWORKS)}, or a preset of docs/networks.md: rcan, rcan:published, rcan:filters=32:blocks=4"
    training.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME", help=text)
    training.add_argument("--first-filters", type=int, default=32, metavar="N")
    training.add_argument("--depth", type=int, default=4, metavar="N")
    training.add_argument("--batch", type=int, default=16, metavar="N")
    training.add_argument("--patch", type=int, default=128, metavar="N")
    training.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="the highest (0.001)")
    training.add_argument("--clip-norm", type=float, default=1.0, metavar="X", help="of gradients (1)")
    training.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    training.add_argument("--seconds", type=float, help="of steps a run; by default what fits --minutes")
    training.add_argument("--steps", type=int, help="of a run, in place of a time")
    timings = parser.add_argument_group("timings")
    timings.add_argument("--share", type=float, default=0.25, help="of the time, for timings (0.25)")
    timings.add_argument("--groups", type=int, metavar="N", help="only the first N of the groups that are timed")
    timings.add_argument("--sizes", type=int, nargs="+", default=[512, 2048], metavar="N", help="of predicted images")
    timings.add_argument("--volume", type=int, nargs=3, default=[64, 256, 256], metavar="N", help="z y x, predicted")
    text = "images z y x, of a training step"
    timings.add_argument("--volume-batch", type=int, nargs=4, default=[8, 16, 64, 64], metavar="N", help=text)
    timings.add_argument("--matrix", type=int, metavar="N", help="rows of the matrices for the peak rate")
    timings.add_argument("--array", type=int, metavar="N", help="numbers of the array for the peak bandwidth")
    timings.add_argument("--features", type=int, metavar="N", help="numbers in the features for context moments")
    return parser.parse_args(argv)


class Benchmark:
    """The sections of a run, each of which does what the clock allows.

    Args:
        options: of the command line.
        splits: of `images.read_pairs`.
        clock, record: of record.py.
    """

    def __init__(self, options, splits, clock, record):
        self._options, self._splits, self._clock, self._record = options, splits, clock, record
        self._learners, self._trained, self._compiled = None, {}, {}
        self._seconds, self._timing_seconds = options.seconds, None

    def spec(self, network, dimension=2):
        """The preset for CARE's data: as published in 3D, in 2D with the depth and filters asked for. One of the
        literature has the size of its own, as in ``aeanet experiment --networks``."""
        if network not in NETWORKS:
            return literature(network, dimension)
        spec = presets[f"{network}-care"]
        if dimension == 2:
            spec = spec.replace(dimension=2).with_depth(self._options.depth)
        return spec.replace(first_filters=self._options.first_filters)

    def train(self, seed):
        """One run of each network."""
        if self._learners is None and self._clock.left > 0:
            self._prepare()
        for network in self._options.networks:
            name = {"network": network, "seed": seed}
            # With a fixed number of steps nobody knows how long they take.
            needed = 0 if self._options.steps else self._seconds or 0
            if self._clock.left <= needed:
                self._record.append("left_out", {"section": "training", **name})
                continue
            self._compile(network)
            learner = self._learners[network]
            entry, weights = learner.run(seed, self._clock, self._seconds, self._options.steps)
            self._record.append("runs", {**name, **entry})
            if weights is None:
                self._record.append("left_out", {"section": "training", **name, "reason": "the time was over"})
                continue
            if math.isfinite(entry["test"]["psnr"]):
                self._trained.setdefault(network, weights)
            found = f"{entry['test']['psnr']:.2f} dB, {entry['test']['ssim']:.4f}"
            _say(self._clock, f"{network}, seed {seed}: {entry['steps']} steps, {entry['seconds']:.1f} s; {found}")

    def _prepare(self):
        """Baselines, programs, and how long a run may be."""
        options, tests = self._options, self._splits["test"]
        sigma = scores.best_sigma(self._splits["val"])
        filtered = [scores.gaussian(image, sigma) for image in tests.low]
        start = perf_counter()
        found = {"input": scores.score_all(tests, tests.low), "gaussian": scores.score_all(tests, filtered)}
        scoring = (perf_counter() - start) / len(found)
        self._record.update(baselines={**found, "sigma": sigma})
        text = ", ".join(f"{name} {row['psnr']:.2f} dB, {row['ssim']:.4f}" for name, row in found.items())
        _say(self._clock, f"{text}, sigma {sigma:g}")
        material = Material(self._splits)
        chosen = (options.batch, options.patch, options.learning_rate, options.clip_norm, options.precision)
        self._learners = {name: Learner(self.spec(name), material, *chosen) for name in options.networks}
        # With a number of steps nothing is to be shared out: each network is compiled before its first run, so that
        # those that the time is enough for have been trained at its end.
        if not options.steps:
            self._compile(*self._learners)
            beside = np.mean([learner.seconds_of_predictions() for learner in self._learners.values()]) + scoring
        left, share = max(0, self._clock.left), 0 if "timings" in options.skip else options.share
        self._timing_seconds = share * left
        if options.steps:
            return
        if self._seconds is None:
            runs = len(options.seeds) * len(options.networks)
            self._seconds = float(max(0, (1 - SPARE) * (1 - share) * left / runs - beside))
        self._record.update(seconds_a_run=self._seconds)

    def _compile(self, *networks):
        """Compile these networks, all at once, unless they are."""
        waiting = [network for network in networks if network not in self._compiled]
        if not waiting:
            return
        with ThreadPoolExecutor() as pool:
            times = list(pool.map(lambda network: self._learners[network].compile(), waiting))
        self._compiled |= dict(zip(waiting, times, strict=True))
        self._record.update(compile_seconds=self._compiled)
        _say(self._clock, f"compiled {', '.join(waiting)}")

    def time_programs(self):
        """Rates of the device, then group after group while there is time."""
        options, clock = self._options, self._clock
        seconds = clock.left if self._timing_seconds is None else self._timing_seconds
        budget = Clock(min(clock.left, seconds))
        large = speed.on_gpu()
        if budget.left > 0:
            matrix, array = options.matrix or (8192 if large else 1024), options.array or 2 ** (28 if large else 24)
            rates = speed.device_rates(matrix, array)
            self._record.update(rates=rates)
            _say(clock, ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items()) + " (10^12 a second)")
        image, longest = normalised(self._splits["test"].low[0])[0], 0.0
        groups = speed.groups(options.sizes, options.volume, options.batch, options.patch, options.volume_batch)
        for group in groups[: options.groups]:
            # A group is not begun that would take as long as the longest before it and has not that time.
            if budget.left <= longest:
                self._record.append("left_out", {"section": "timings", "task": group["task"], "size": group["size"]})
                continue
            began = budget.elapsed
            specs = {name: self.spec(name, group["dimension"]) for name in options.networks}
            trained = self._trained if group["dimension"] == 2 else None
            rows = speed.measure(group, specs, rates, max(1.0, 0.1 * budget.left), trained, image)
            self._record.append("timings", *rows)
            longest = max(longest, budget.elapsed - began)
            size = " x ".join(map(str, group["size"]))
            _say(clock, f"timed {group['task']} {size}: {len(rows)} programs, {budget.elapsed - began:.1f} s")
        numbers = options.features or 2 ** (30 if large else 20)
        if budget.left <= longest:
            self._record.append("left_out", {"section": "timings", "task": "context moments", "size": [numbers]})
            return
        rows = moments.measure(rates, numbers, CHANNELS, max(1.0, 0.5 * budget.left))
        self._record.update(moments=rows)
        _say(clock, f"timed context moments: {len(rows)} programs")


def literature(name, dimension=2):
    """The spec of ``rcan``, in its size for one workstation; ``rcan:published``; or ``rcan:filters=32:blocks=4``."""
    if name.partition(":")[0] not in LITERATURE:
        raise InputError(f"--networks: found {name}, expected some of {', '.join((*NETWORKS, *LITERATURE))}")
    preset, fields = preset_and_fields(name)
    return presets[preset].replace(dimension=dimension, **fields)


def _say(clock, text):
    print(f"{clock.elapsed:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    run_script(main)

"""Time and memory of predicting large images: whole, in exact tiles within a memory limit, in overlapping tiles.

    python benchmarks/large_images.py --preset aeanet-em --size 2048 2048 --max-memory 3GB --ways whole exact
    python benchmarks/large_images.py --preset aeanet-em --size 8192 8192 --max-memory 3GB --ways exact
    python benchmarks/large_images.py --preset aeanet-care --size 96 1024 1024 --max-memory 6GB --ways exact

Each way runs in a process of its own, one after the other, repeated in turn: a model with random weights, an image of
noise, from file to file through `predict_files`, tracing included, imports not. Memory is the largest resident memory
of the process, TensorFlow and all. Exact tiles are compared with the whole image, piece by piece.
"""

import argparse
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main(argv=None):
    """Measure, print a table and write JSON; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--size", required=True, type=int, nargs="+")
    parser.add_argument("--max-memory", default="3GB")
    parser.add_argument("--n-tiles", type=int, nargs="+", help="of the overlapping tiles (default: as needed)")
    parser.add_argument("--ways", nargs="+", default=["whole", "exact"], choices=("whole", "exact", "overlap"))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--folder", help="for the files (default: a temporary one, removed afterwards)")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        return _child(args)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        args.folder = folder
        _write_image(Path(folder) / "image.tif", args.size)
        runs = [_run(args, way) for _ in range(args.repeat) for way in args.ways]
        difference = _difference(Path(folder)) if {"whole", "exact"} <= set(args.ways) else None
    _report(args, runs, difference)


def _write_image(path, size):
    """Noise that gets brighter to the right, written plane by plane or in bands."""
    from aeanet_tf.io.write import ImageTarget

    target = ImageTarget.create(path, size, "ZYX"[-len(size) :])
    rng = np.random.default_rng(0)
    for start in range(0, size[0], 64 if len(size) == 2 else 1):
        stop = min(size[0], start + (64 if len(size) == 2 else 1))
        band = rng.gamma(2, 50, (stop - start, *size[1:])) + np.linspace(0, 200, size[-1])
        target.write((slice(start, stop), *(slice(0, n) for n in size[1:])), band.astype("float32"))
    target.finish()


def _run(args, way):
    command = [
        sys.executable,
        __file__,
        "--preset",
        args.preset,
        "--size",
        *map(str, args.size),
        "--folder",
        args.folder,
    ]
    command += ["--max-memory", args.max_memory, "--child", way]
    if args.n_tiles:
        command += ["--n-tiles", *map(str, args.n_tiles)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"way": way, **json.loads(done.stdout.splitlines()[-1])}


def _child(args):
    from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANet, ProjectionAEANetConfig
    from aeanet_tf.models.preparation import NormalizationSection
    from aeanet_tf.networks import as_spec
    from aeanet_tf.runs.predict_files import predict_files

    projects = as_spec(args.preset).kind == "projection"
    make_config, make = (ProjectionAEANetConfig, ProjectionAEANet) if projects else (AEANetConfig, AEANet)
    model = make(make_config("ZYX"[-len(args.size) :], preset=args.preset, train_seed=0), "model", None)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("aeanet_tf").addHandler(handler)
    logging.getLogger("aeanet_tf").setLevel(logging.INFO)
    folder, options = Path(args.folder), {"whole": {"tiling": "whole"}}
    options["exact"] = {"max_memory": args.max_memory}
    options["overlap"] = {"tiling": "overlap", "n_tiles": args.n_tiles, "max_memory": args.max_memory}
    start = time.perf_counter()
    predict_files(model, folder / "image.tif", folder / args.child, NormalizationSection(), **options[args.child])
    seconds = time.perf_counter() - start
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "log": lines[0].split(": ", 1)[-1]}))


def _difference(folder):
    """Largest difference of the exact tiles to the whole image, relative to the range, read in bands."""
    from aeanet_tf.io.read import open_image

    whole, exact = (open_image(folder / way / "image.tif").array for way in ("whole", "exact"))
    largest, low, high = 0.0, np.inf, -np.inf
    for start in range(0, whole.shape[0], 16):
        part = (slice(start, min(start + 16, whole.shape[0])), *(slice(0, n) for n in whole.shape[1:]))
        a, b = whole[part], exact[part]
        largest, low, high = max(largest, np.abs(a - b).max()), min(low, a.min()), max(high, a.max())
    return float(largest / (high - low))


def _report(args, runs, difference):
    found = {way: [run for run in runs if run["way"] == way] for way in args.ways}
    seconds = {way: float(np.median([run["seconds"] for run in found[way]])) for way in args.ways}
    print(f"{args.preset}, {' x '.join(map(str, args.size))}, at most {args.max_memory}\n")
    print("| | s | times whole | resident GB at most | |\n| --- | --- | --- | --- | --- |")
    for way in args.ways:
        ratio = f"{seconds[way] / seconds['whole']:.2f}" if "whole" in seconds else ""
        peak = max(run["peak"] for run in found[way]) / 1e9
        print(f"| {way} | {seconds[way]:.1f} | {ratio} | {peak:.2f} | {found[way][0]['log']} |")
    if difference is not None:
        print(f"\nLargest difference of exact to whole, relative to the range: {difference:.1e}")
    if args.output:
        result = {**vars(args), "runs": runs, "difference": difference}
        Path(args.output).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

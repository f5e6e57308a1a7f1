"""Measures the memory that the evaluation of tiles takes, and compares it with the model of `tile_bytes`.

Every stage of a network runs in a process of its own, on tiles of ascending size: TensorFlow keeps the memory that it
once had. At last all stages run in one process, one after the other, on tiles of several shapes, for which the model
gives the largest of the stages. Peaks are those of the resident memory, less what was resident after the stages had run
on two small tiles (which traces them for tiles of any size). Linux only.

    python benchmarks/memory_model.py [--quick] [--output results.json]
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

GOALS = (60e6, 300e6, 1.2e9)
CASES = {
    "aeanet-em": ("aeanet-em", {}, ("0", "all", "own")),
    "aeanet-em, 16 filters": ("aeanet-em", {"first_filters": 16}, ("0",)),
    "aeanet-em, probabilistic": ("aeanet-em", {"probabilistic": True}, ("0",)),
    "unet-em": ("unet-em", {}, ("own",)),
    "unet-care": ("unet-care", {}, ("own",)),
    "aeanet-care": ("aeanet-care", {}, ("0", "all", "own")),
    "aeanet-care, 16 filters": ("aeanet-care", {"first_filters": 16}, ("own",)),
    "gvtnet-labelfree": ("gvtnet-labelfree", {}, ("0", "all", "own")),
    "gvtnet-care, down v1": ("gvtnet-care", {"downsampling": "attention", "attention": {"residual": "v1"}}, ("own",)),
    "gvtnet-care, down v2": ("gvtnet-care", {"downsampling": "attention"}, ("all", "own")),
    "aeanet-flywing": ("aeanet-flywing", {}, ("all", "own")),
    "CARE": ({"kind": "care"}, {}, ("own",)),
    "CARE, volumes": ({"kind": "care", "dimension": 3, "kern_size": 3, "probabilistic": True}, {}, ("own",)),
    "CARE, projection": ({"kind": "care", "dimension": 3, "kern_size": 3, "projection": {}}, {}, ("own",)),
}
QUICK = ("aeanet-em", "aeanet-care", "aeanet-flywing")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three networks, tiles of up to 300 MB")
    parser.add_argument("--networks", nargs="+", choices=CASES, help="only these")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--stage", nargs=3, metavar=("NETWORK", "KEPT", "STAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    goals = GOALS[:2] if options.quick else GOALS
    if options.stage:
        name, kept, stage = options.stage
        print(json.dumps(measure(name, kept, stage, goals)))
        return
    rows = []
    for name in options.networks or (QUICK if options.quick else CASES):
        for kept in CASES[name][2]:
            rows += _measure_stages(name, kept, options.quick)
    ratios = [row["predicted"] / row["measured"] for row in rows]
    print(f"predicted / measured: {min(ratios):.2f} to {max(ratios):.2f}")
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


def _measure_stages(name, kept, quick):
    """Rows of all stages, each from a process of its own, and of all together."""
    rows, stages = [], ["0"]
    while stages:
        command = [sys.executable, __file__, "--stage", name, kept, stages.pop(0), *(["--quick"] if quick else [])]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if not rows and found["stages"] > 1:
            stages = [*map(str, range(1, found["stages"])), "all"]
        for row in found["rows"]:
            _print(row)
        rows += found["rows"]
    return rows


def _print(row):
    tile = " x ".join(map(str, row["tile"]))
    start = f"{row['network']:25} kept {row['kept']:4} stage {row['stage']:4} {tile:17}"
    measured, predicted, start_up = (row[key] / 1e6 for key in ("measured", "predicted", "start_up"))
    ratio = f"ratio {predicted / measured:.2f}"
    print(f"{start} {measured:6.0f} MB  predicted {predicted:6.0f} MB  {ratio}  (start {start_up:.0f} MB)", flush=True)


def measure(name, kept, index, goals):
    """Rows for a stage of a network, or ``"all"``, on tiles of about ``goals`` bytes, or of sizes given instead; and
    the number of stages."""
    from aeanet_tf.networks import as_spec, build_network
    from aeanet_tf.prediction.liveness import tile_bytes
    from aeanet_tf.prediction.stages import OwnAttention, Stages

    preset, changes, _ = CASES[name]
    spec = as_spec(preset).replace(**changes)
    network = build_network(spec)
    if kept == "own":
        stages = OwnAttention(network)
    else:
        stages = Stages(network, kept=max(Stages(network).densities(), default=0) if kept == "all" else 0)
    chosen = range(len(stages.stages)) if index == "all" else [int(index)]

    def model(size):
        return max(tile_bytes(stages.graph, stages.stages[i], size) for i in chosen)

    loaded = _status("VmRSS")
    for times in (3, 4):
        _run(stages, chosen, [times * d if d > 1 else 2 + times for d in spec.divisor], spec)
    started, rows = _status("VmRSS"), []
    for goal in goals[-1:] if index == "all" else goals:
        size = goal if isinstance(goal, tuple) else _tile(goal, spec, model)
        sizes = [(*size[:-2], size[-2] - 2 * spec.divisor[-1], size[-1]), size] if index == "all" else [size]
        row = {"network": name, "kept": kept, "stage": str(index), "tile": size, "start_up": started - loaded}
        row.update(measured=_peak(stages, chosen, sizes, spec) - started, predicted=model(size))
        row["alive"] = max(_alive(stages, i, size) for i in chosen)
        rows.append(row)
    return {"stages": len(stages.stages), "rows": rows}


def _alive(stages, index, size):
    """What the model takes to be alive at a time, without the gaps of the allocator."""
    from aeanet_tf.prediction.liveness import COPIES, stage_peak

    peak = stage_peak(stages.graph, stages.stages[index], size)
    return COPIES * peak.inputs + peak.outputs + peak.between


def _tile(goal, spec, model):
    """The largest tile of at most ``goal`` bytes that is square, and of 48 planes in 3D, or 16 in small ones."""
    step, planes = spec.divisor[-1], (48 if goal > 1e8 else 16,) * (spec.dimension - 2)
    side = 3 * step
    while model((*planes, side + step, side + step)) <= goal:
        side += step
    return (*planes, side, side)


def _peak(stages, chosen, sizes, spec):
    # Sets the peak back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    for index in chosen:
        for size in sizes:
            _run(stages, [index], size, spec)
    return _status("VmHWM")


def _status(key):
    return 1024 * int(re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def _run(stages, chosen, size, spec):
    """Evaluate stages on a random tile in a corner of an image, with the smallest halo there can be."""
    import numpy as np

    inner = [(d, n) if d > 1 else (0, n) for n, d in zip(size, spec.divisor, strict=True)]
    for index in chosen:
        rng, inputs = np.random.default_rng(0), []
        for tensor in stages.stages[index].inputs:
            strides = stages.graph.strides(tensor)
            spatial = [n // s for n, s in zip(size[-len(strides) :], strides, strict=True)]
            inputs.append(rng.random((*spatial, tensor.shape[-1]), "float32"))
        stages.run(index, inputs, inner, _contexts(stages.stages[:index]))


def _contexts(stages):
    import numpy as np

    from aeanet_tf.layers import Moments

    one = np.ones(1, "float32")
    channels = [stage.target.shape[-1] for stage in stages]
    return [Moments(one, np.zeros((1, c), "float32"), np.eye(c, dtype="float32")[None]) for c in channels]


if __name__ == "__main__":
    main()

"""Memory of a training step beside its estimate: what `aeanet_tf.models.training_memory` was made with.

Each case runs in a process of its own: a step on the smallest patches, so that TensorFlow is loaded and warm, then two
steps on the patches of the case; measured is the peak of resident memory above what was there before them.

    python benchmarks/training_memory.py
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# preset, axes, changes of the network, patch, batch, and in how many parts
CASES = [
    ("aeanet-care", "YX", {"first_filters": 16}, (128, 128), 8, 1),
    ("aeanet-care", "YX", {"first_filters": 16}, (256, 256), 4, 1),
    ("aeanet-care", "YX", {"first_filters": 16}, (256, 256), 4, 2),
    ("aeanet-care", "YX", {"first_filters": 16}, (256, 256), 4, 4),
    ("unet-care", "YX", {"first_filters": 16}, (128, 128), 8, 1),
    ("aeanet-em", "YX", {}, (128, 128), 4, 1),
    ("aeanet-em", "YX", {}, (256, 256), 2, 1),
    ("aeanet-care", "ZYX", {"first_filters": 16}, (16, 64, 64), 1, 1),
    ("aeanet-care", "ZYX", {"first_filters": 16}, (16, 64, 64), 4, 1),
    ("unet-care", "ZYX", {"first_filters": 16}, (16, 64, 64), 4, 1),
    ("gvtnet-labelfree", "ZYX", {"first_filters": 16}, (16, 64, 64), 2, 1),
    ("aeanet-flywing", "ZYX", {}, (16, 64, 64), 2, 1),
]


def measure(number):
    """Estimate and measurement of a case, in bytes."""
    import numpy as np

    from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANet, ProjectionAEANetConfig
    from aeanet_tf.models.training_memory import training_bytes

    preset, axes, network, patch, batch, parts = CASES[number]
    make, settings = (ProjectionAEANet, ProjectionAEANetConfig) if "flywing" in preset else (AEANet, AEANetConfig)

    def model(size):
        facts = {"train_batch_size": batch, "train_epochs": 1, "train_steps_per_epoch": 2, "train_baselines": False}
        facts |= {"train_accumulate": parts, "train_batch_norm_batches": 0, "train_patch_size": size}
        return make(settings(axes, preset=preset, network=network, **facts), "m", basedir=None)

    def train(model, size):
        x = np.random.default_rng(0).random((2, *size, 1), "float32")
        y = x[:, 0] if "flywing" in preset else x
        data = model.prepared_data(model.config, x, y, (x, y))
        model.fit(*data, verbose=0)
        return data[0]

    first = model(None)
    small = [max(d, 8) if n > 8 else n for n, d in zip(patch, first.spec.divisor, strict=True)]
    train(model(tuple(small)), small)
    made = model(patch)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    sampler = train(made, patch)
    return {"estimate": training_bytes(made, sampler), "measured": _status("VmHWM") - before}


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main():
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=int, help="measure this one, in this process")
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(measure(options.case)))
        return
    ratios = []
    for number, (preset, axes, network, patch, batch, parts) in enumerate(CASES):
        command = [sys.executable, __file__, "--case", str(number)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        ratios.append(found["estimate"] / found["measured"])
        size = " x ".join(map(str, (batch, *patch))) + f" in {parts} parts" * (parts > 1)
        facts = " ".join(f"{key}={value}" for key, value in network.items())
        print(
            f"{preset} {axes} {facts}, {size}: measured {found['measured'] / 1e6:.0f} MB, "
            f"estimate {found['estimate'] / 1e6:.0f} MB, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"estimate / measured: {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()

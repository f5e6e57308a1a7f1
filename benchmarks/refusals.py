"""Measures what the commands take to refuse what is wrong, from the start of a process to its end.

Each command is given one thing that is wrong, in a temporary folder with an image, a stack of sections, and the folders
of four small models as training leaves them. Commands run one after the other; the least of --rounds counts, since a
first start reads the libraries from disk. Processor time is that of all threads; other work on the machine stretches
the clock's seconds and hardly these.

    python benchmarks/refusals.py [--rounds 3] [--only predict]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tables import markdown
from tifffile import imwrite

NETWORK = {"first_filters": 4, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}
OUT = ["--output", "out"]
PATCHES = ["--basepath", ".", "--source", "in", "--target", "in", "--axes", "YX", "--output", "p.npz"]
COMMANDS = {
    "predict, no such model": ["predict", "--model", "none", "--input", "in", *OUT],
    "predict, no such image": ["predict", "--model", "plane", "--input", "none.tif", *OUT],
    "predict, no image": ["predict", "--model", "plane", "--input", "bad.tif", *OUT],
    "predict, other axes": ["predict", "--model", "volume", "--input", "in", *OUT],
    "predict, other channels": ["predict", "--model", "plane", "--input", "colours.tif", *OUT],
    "predict, a model of slices": ["predict", "--model", "slices", "--input", "in", *OUT],
    "predict, damaged model": ["predict", "--model", "damaged", "--input", "in", *OUT],
    "evaluate, no such folder": ["evaluate", "--prediction", "none", "--gt", "in"],
    "export, no such model": ["export", "--model", "none", "--format", "fiji"],
    "export, damaged model": ["export", "--model", "damaged", "--format", "fiji"],
    "export, a folder that is a file": ["export", "--model", "plane", "--format", "fiji", "--output", "bad.tif/a.zip"],
    "explain, no such model": ["explain", "--model", "none", "--input", "in", *OUT],
    "explain, other axes": ["explain", "--model", "volume", "--input", "in", *OUT],
    "interpolate, no such stack": ["interpolate", "--model", "slices", "--missing", "1", "--input", "no.tif", *OUT],
    "interpolate, another model": ["interpolate", "--model", "plane", "--missing", "1", "--input", "stack.tif", *OUT],
    "train, no such configuration": ["train", "--config", "none.json"],
    "train, no such data": ["train", "--config", "quickstart", "--set", "data.kind=folders", "--data", "none"],
    "patches, a size too large": ["patches", *PATCHES, "--patch-size", "512", "512"],
    "import-tf1, no such checkpoint": ["import-tf1", "--checkpoint", "none", *OUT],
}


def main(argv=None):
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name has this in it, such as predict")
    options = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_workplace(Path(folder))
        for name, arguments in COMMANDS.items():
            if options.only not in name:
                continue
            runs = [refused(arguments, folder) for _ in range(options.rounds)]
            clock, processor, said = zip(*runs, strict=True)
            rows.append([name, f"{min(clock):.2f}", f"{min(processor):.2f}", said[0]])
    print(markdown(["given", "seconds", "processor seconds", "said"], rows))


def refused(arguments, folder):
    """Seconds of a command by the clock and of the processor, and the last line that it says."""
    # What is measured is the package that this process has imported, from wherever it runs.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "aeanet_tf.cli.main", *arguments]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 2:
        raise RuntimeError(f"{arguments}: left with {done.returncode}, {done.stderr}")
    return seconds, processor, done.stderr.splitlines()[-1].removeprefix("aeanet: error: ")


def make_workplace(folder):
    """Write the images and the models."""
    from aeanet_tf.models import AEANet, AEANetConfig, SliceInterpolationConfig, SliceInterpolationNet

    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    imwrite(folder / "in" / "a.tif", rng.random((32, 32), "float32"))
    imwrite(folder / "stack.tif", rng.random((4, 32, 32), "float32"), imagej=True, metadata={"axes": "ZYX"})
    imwrite(folder / "colours.tif", rng.random((3, 32, 32), "float32"), imagej=True, metadata={"axes": "CYX"})
    (folder / "bad.tif").write_bytes(b"II*\0" + bytes(99))
    models = {
        "plane": (AEANet, AEANetConfig("YX", network=NETWORK)),
        "damaged": (AEANet, AEANetConfig("YX", network=NETWORK)),
        "volume": (AEANet, AEANetConfig("ZYX", network=NETWORK)),
        "slices": (SliceInterpolationNet, SliceInterpolationConfig(network={"filters": 8})),
    }
    for name, (kind, config) in models.items():
        kind(config, name, str(folder)).keras_model.save_weights(str(folder / name / "weights_best.h5"))
    (folder / "damaged" / "weights_best.h5").write_bytes(b"what was no file of weights")


if __name__ == "__main__":
    main()

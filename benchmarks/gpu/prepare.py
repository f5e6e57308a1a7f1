"""Packs what a machine without network needs for benchmark.py: W2S in one file, and wheels of missing packages.

    python benchmarks/gpu/prepare.py --data /path/to/w2s [--python 3.12] [--packages keras namex ...]

Both are put into a folder that git ignores, benchmarks/gpu/carried. Packages are those of the versions that are
installed here, in wheels for the other machine's Python on x86-64 Linux.
"""

import argparse
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

# The folder above has what all benchmarks share.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from images import SPLITS, Pairs, write_pairs
from tables import run_script
from tifffile import imread

from aeanet_tf.errors import InputError

HERE = Path(__file__).resolve().parent
MIB = 2**20
# What Keras and the specs of networks need beside JAX and NumPy. `EVERYTHING` has the rest for a bare machine; where
# they are there already, other versions of them would only stand in the way.
MISSING = ("keras", "namex", "optree", "pydantic", "pydantic-core", "annotated-types", "typing-inspection")
MISSING += ("typing-extensions",)
EVERYTHING = (*MISSING, "absl-py", "h5py", "ml-dtypes", "packaging", "rich", "markdown-it-py", "mdurl", "pygments")
# pip takes a wheel whose platform is one of these, exactly.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"]


def main(argv=None):
    """Make both and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of W2S, with train, val and test")
    parser.add_argument("--output", type=Path, default=HERE / "carried", metavar="FOLDER")
    parser.add_argument("--python", default="3.12", help="version of the other machine's Python (3.12)")
    parser.add_argument("--packages", nargs="*", default=MISSING, help="'all' for those that JAX brings, too")
    parser.add_argument("--train-images", type=int, metavar="N", help="only the first N")
    parser.add_argument("--limit", type=float, default=64, help="MiB of the folder and the tracked files together (64)")
    options = parser.parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    packages = EVERYTHING if list(options.packages) == ["all"] else options.packages
    download(packages, options.python, options.output / "wheels")
    splits = {split: find_pairs(options.data / split) for split in SPLITS}
    if options.train_images is not None:
        first, count = splits["train"], options.train_images
        splits["train"] = Pairs(first.names[:count], first.low[:count], first.truth[:count])
    write_pairs(options.output / "w2s.npz", splits)
    report(options, splits)


def download(packages, python, folder):
    """Wheels of these packages, in the versions installed here, in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    if not packages:
        return
    wanted = [f"{name}=={version(name)}" for name in packages]
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    done = subprocess.run([*command, "--dest", str(folder), *wanted], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"pip download: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def find_pairs(folder):
    """The pairs of ``low`` and ``GT`` in a folder, by name."""
    paths = sorted((folder / "low").glob("*.tif"))
    if not paths:
        raise InputError(f"{folder}: no images low/*.tif")
    low, truth = (np.stack([imread(folder / side / path.name) for path in paths]) for side in ("low", "GT"))
    if low.dtype != np.uint8 or truth.dtype != np.uint8 or low.shape != truth.shape:
        raise InputError(f"{folder}: {low.dtype} {low.shape}, {truth.dtype} {truth.shape}, expected uint8 of one shape")
    return Pairs([path.stem for path in paths], low, truth)


def report(options, splits):
    """Say what was made; an error where it is too large to be carried along with the tracked files."""
    carried = {path: path.stat().st_size for path in sorted(options.output.rglob("*")) if path.is_file()}
    for path, size in carried.items():
        print(f"{size / MIB:7.2f} MiB  {path.relative_to(options.output)}")
    for split, pairs in splits.items():
        print(f"{split}: {len(pairs.names)} pairs, {pairs.names[0]} to {pairs.names[-1]}")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parents[1], capture_output=True, text=True).stdout
    tracked = (HERE.parents[1] / name for name in listed.split("\0") if name)
    tracked = sum(path.stat().st_size for path in tracked if path.is_file()) / MIB
    total = sum(carried.values()) / MIB
    print(f"{total:.1f} MiB, with the tracked files {total + tracked:.1f} MiB")
    if total + tracked > options.limit:
        count = len(splits["train"].names)
        each = (options.output / "w2s.npz").stat().st_size / MIB / sum(len(pairs.names) for pairs in splits.values())
        fit = count - int(np.ceil((total + tracked - options.limit) / each))
        raise InputError(f"--limit: {options.limit:g} MiB, found more; --train-images {max(1, fit)} would fit")


if __name__ == "__main__":
    run_script(main)

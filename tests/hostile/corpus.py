"""The corpus of odd, damaged and hostile inputs, sent through the command line one by one.

``python -m tests.hostile.corpus`` prints the table of docs/reliability.md; ``--kind TIFF`` only that kind, ``--faults``
what is wrong with each.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.hostile.forks import LINE, preload, run_forked

KINDS = {
    "TIFF": "makers_tiff",
    "OME-TIFF": "makers_ome",
    "CZI": "makers_czi",
    "OME-Zarr": "makers_zarr",
    "HDF5": "makers_hdf5",
    "npz": "makers_npz",
    "NIfTI, Analyze": "makers_nifti",
    "PNG, BMP, JPEG": "makers_pictures",
    "archives": "makers_archives",
    "configurations, `--set`": "makers_configurations",
    "model folders": "makers_model_folders",
    "TensorFlow 1 checkpoints": "makers_checkpoints",
    "names and places": "makers_names",
}
_SMALL = {"first_filters": 4, "depth": 2}
ENDS = ("right", "refused", "fault")


class Verdict(NamedTuple):
    """``end``, one of `ENDS`; ``why`` it is a fault; seconds of processor time, bytes beyond the start."""

    end: str
    why: str
    seconds: float
    more: int


def cases(kind):
    """``(name, make, expected)`` of a kind."""
    return import_module(f"tests.hostile.{KINDS[kind]}").CASES


def make_models(folder):
    """Small untrained models of images, of volumes and of slices, in a fork."""

    def save():
        from aeanet_tf.models import AEANet, AEANetConfig, SliceInterpolationConfig, SliceInterpolationNet

        small = {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}
        slices = SliceInterpolationNet(SliceInterpolationConfig(network=small, train_seed=0), "slices", str(folder))
        slices.keras_model.save_weights(slices.logdir / "weights_best.h5")

        for axes in ("YX", "ZYX"):
            model = AEANet(AEANetConfig(axes, network=_SMALL, train_seed=0), axes, str(folder))
            model.keras_model.save_weights(model.logdir / "weights_best.h5")
        return 0

    ended = run_forked(save, folder)
    if ended.code != 0:
        raise RuntimeError(ended.text)


def run_case(kind, made, models, output):
    """The exit code of what is done with what a maker made; messages as the command line has them.

    A maker that gives words gives a command; of files those of microscopes and pictures are predicted, stacks are
    interpolated, patches trained on, archives unpacked as a download does.
    """
    from aeanet_tf.cli.main import main

    if isinstance(made, list) and made and not isinstance(made[0], Path):
        return main(made)
    path, *more = made if isinstance(made, list) else [made]
    if kind == "archives":
        return _unpacked(path, output)
    if kind == "HDF5":
        return main(["interpolate", "--model", str(models / "slices"), "--input", str(path), "--output",
                     str(output / "stack.zarr"), "--missing", "1"])  # fmt: skip
    if kind == "npz":
        return main(_training(path, output))
    model = str(models / _axes(path, more))
    return main(["predict", "--model", model, "--input", str(path), "--output", str(output), *more])


def _unpacked(path, output):
    from aeanet_tf.datasets.archives import unpack
    from aeanet_tf.errors import InputError, writing

    try:
        with writing(output):
            unpack(path, output)
    except InputError as error:
        print(f"aeanet: error: {error}", file=sys.stderr)
        shutil.rmtree(output, ignore_errors=True)
        return 2
    return 0


def _training(path, output):
    """A command that trains on patches for a step."""
    config = {
        "model": {"name": "m", "basedir": str(output), "n_channel_in": 2, "n_channel_out": 2, "network": _SMALL},
        "data": {"kind": "npz", "root": str(path.parent), "npz": path.name, "validation_split": 0.25},
        "training": {"steps": 1, "steps_per_epoch": 1, "batch_size": 1, "batch_norm_batches": 0},
    }
    # Beside the case, whose files are watched.
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(config, file)
    return ["train", "--config", file.name]


def _axes(path, more):
    """Of the model that an image is for; that of images for what cannot be opened."""
    from aeanet_tf.io.read import find_images, open_image

    given = more[more.index("--axes") + 1] if "--axes" in more else None
    try:
        return "ZYX" if "Z" in open_image(find_images(path)[0], given).axes else "YX"
    except Exception:
        return "YX"


def judge(kind, make, expected, models, folder):
    """The `Verdict` on a case, made and run in ``folder``, which is new."""
    inside, output = folder / "case", folder / "case" / "out"
    inside.mkdir()
    made = make(inside)
    before = _listing(folder)

    # Whatever looks at the file is in the fork: the file may be too much for it.
    ended = run_forked(lambda: run_case(kind, made, models, output), folder)
    why = ended.fault or _fault(kind, ended, expected, output, made) or _touched(before, _listing(folder))
    end = "fault" if why else "right" if ended.code == 0 else "refused"
    return Verdict(end, why, ended.seconds, ended.more)


def _fault(kind, ended, expected, output, made):
    """What is wrong with the end of a process that kept to its bounds; empty for nothing."""
    lines = [line for line in ended.text.splitlines() if line.startswith("aeanet: error:")]
    if ended.code not in (0, 2):
        return f"exit code {ended.code}: {ended.text.strip()[-200:]!r}"
    if ended.code == 2:
        last = ended.text.strip().splitlines()[-1:]
        if len(lines) != 1 or lines != last:
            return f"{len(lines)} messages: {ended.text.strip()[-200:]!r}"
        if len(lines[0]) > LINE:
            return f"a message of {len(lines[0])} characters"
        if expected == "right":
            return f"refused: {lines[0][:200]}"
        return _left(output, made)
    if expected == "refused":
        return "taken, expected a refusal"
    # What an archive holds is no image of ours.
    return "" if kind == "archives" else _unfit(output)


def _left(output, made):
    """What a refused command left: of a folder of images those before the bad one may be there, whole."""
    left = [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else []
    of_many = isinstance(made, list) and isinstance(made[0], Path) and made[0].is_dir()
    bad = [path for path in left if path.name.startswith(".") or not of_many]
    return f"refused, and left {[path.name for path in bad]}" if bad else ""


def _unfit(output):
    """What is wrong with images that were written."""
    import tifffile

    for path in output.rglob("*") if output.is_dir() else ():
        if ".partial" in path.name:
            return f"left {path.name}"
        if path.suffix.lower() in (".tif", ".tiff") and path.is_file():
            with tifffile.TiffFile(path) as tif:
                array = tif.asarray()
            if not array.size or not np.isfinite(array).all():
                return f"{path.name} holds NaN or nothing"
    return ""


def _listing(folder):
    """Everything under a folder but the outputs and the streams: size and time of files."""
    found = {}
    for path in folder.rglob("*"):
        place = path.relative_to(folder)
        if place.parts[:2] == ("case", "out") or place.parts[0] in ("stdout", "stderr"):
            continue
        status = path.lstat()
        found[place] = None if path.is_dir() and not path.is_symlink() else (status.st_size, status.st_mtime_ns)
    return found


def _touched(before, after):
    # Commands that train write into models.
    new = {place for place in after if before.get(place, 0) != after[place] and "models" not in place.parts}
    gone = set(before) - set(after)
    return f"wrote {sorted(map(str, new))[:3]}, removed {sorted(map(str, gone))[:3]}" if new or gone else ""


def run_kind(kind, models, progress=lambda name, verdict: None):
    """The `Verdict` of each case of a kind, by its name."""
    verdicts = {}
    for name, make, expected in cases(kind):
        with tempfile.TemporaryDirectory(prefix="aeanet-corpus-") as folder:
            verdicts[name] = judge(kind, make, expected, models, Path(folder))
        progress(name, verdicts[name])
    return verdicts


def table(verdicts):
    """Markdown: counts by kind, and the most that a case took."""
    lines = [
        "| kind | cases | right | refused in one line | faults | longest (s) | most memory (MB) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, of in [*verdicts.items(), ("all", {(k, n): v for k, vs in verdicts.items() for n, v in vs.items()})]:
        count = Counter(verdict.end for verdict in of.values())
        longest = max((verdict.seconds for verdict in of.values()), default=0)
        most = max((verdict.more for verdict in of.values()), default=0)
        cells = (kind, len(of), *(count[end] for end in ENDS), f"{longest:.1f}", f"{most / 1e6:.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    """Print the table; exit code 1 where there is a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind")
    parser.add_argument("--faults", action="store_true", help="say what is wrong with each")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.INFO)
    preload()
    logging.disable(logging.NOTSET)
    verdicts = {}
    with tempfile.TemporaryDirectory(prefix="aeanet-corpus-") as models:
        make_models(Path(models))
        for kind in args.kind or KINDS:

            def say(name, verdict, kind=kind):
                if verdict.why and args.faults:
                    print(f"{kind}, {name}: {verdict.why}", file=sys.stderr, flush=True)

            verdicts[kind] = run_kind(kind, Path(models), say)
    print(table(verdicts))
    return any(verdict.why for of in verdicts.values() for verdict in of.values())


if __name__ == "__main__":
    sys.exit(main())

"""Tables of what benchmark.py measured, Markdown on standard output.

    python benchmarks/gpu/report.py gpu.json [more.json ...]

Several files are taken for parts of one measurement, such as seeds that were trained later with the same ``--seconds``.
"""

import argparse
import json
import sys
from pathlib import Path

# The folder above has what all benchmarks share.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from hardware import line
from tables import ABSENT, digits, markdown, run_script, section

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.statistics import paired_difference

NAMES = {"unet": "U-Net", "gvtnet": "GVTNet", "aeanet": "AEANet", "input": "input", "gaussian": "Gaussian filter"}
DECIMALS = {"psnr": 2, "ssim": 4}
TITLES = {"psnr": "PSNR (dB)", "ssim": "SSIM"}


def main(argv=None):
    """Print the tables of all files together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="JSON")
    files = [_read(path) for path in parser.parse_args(argv).files]
    section("On a GPU", *dict.fromkeys(line(found["hardware"]) for found in files), *_left_out(files))
    runs = [run for found in files for run in found["runs"] if _scored(run)]
    _check_alike(files, runs)
    baselines = next((found["baselines"] for found in files if "baselines" in found), None)
    if runs:
        section("Learned in the same time", _conditions(files, runs, baselines), quality_table(runs, baselines))
        section("Seeds, PSNR (dB) / SSIM", seeds_table(runs))
        section("Paired differences, mean ± 95 % interval over the images", differences_table(runs))
        section("PSNR (dB) of the validation images on the way", curve_table(runs))
    for found in files:
        if found["timings"] or found.get("moments"):
            rates = found["rates"]
            text = ", ".join(f"{name} {digits(rate / 1e12)} TFLOP/s" for name, rate in rates.items() if name != "copy")
            text = f"At most, measured: {text}; {digits(rates['copy'] / 1e12)} TB/s."
            section("Times", text, *([times_table(found["timings"])] if found["timings"] else []))
        if found.get("moments"):
            section("Context moments", moments_table(found["moments"]))


def _read(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def _scored(run):
    """Whether a run came to its end and to scores: one that diverged has none."""
    return run["complete"] and run["test"]["psnr"] is not None


def _check_alike(files, runs):
    """Raise `InputError` for runs that are not parts of one measurement."""
    settings = ("batch", "patch", "first_filters", "depth", "learning_rate", "precision")
    for name in settings:
        values = {found["options"][name] for found in files if found["runs"]}
        if len(values) > 1:
            raise InputError(
                f"runs with --{name.replace('_', '-')} {' and '.join(map(str, sorted(values)))}, expected one"
            )
    if len({tuple(row["name"] for row in run["test"]["images"]) for run in runs}) > 1:
        raise InputError("runs were tested on different images, expected the same")


def _left_out(files):
    names = [
        f"{row['section']} of {_label(row['network'])}, seed {row['seed']}"
        if row["section"] == "training"
        else f"timing of {row['task']} {_size(row['size'])}"
        for found in files
        for row in found["left_out"]
    ]
    diverged = [
        f"{_label(run['network'])}, seed {run['seed']}"
        for found in files
        for run in found["runs"]
        if run["complete"] and not _scored(run)
    ]
    unfinished = any(not found["finished"] and not found["left_out"] for found in files)
    texts = {"Left out for the time": names, "Without scores, since training diverged": diverged}
    lines = [f"{text}: {'; '.join(found)}." for text, found in texts.items() if found]
    return [*lines, "The run was stopped."] if unfinished else lines


def _conditions(files, runs, baselines):
    options = files[0]["options"]
    times = [run["seconds"] for run in runs]
    return (
        f"{len(runs[0]['test']['images'])} test images, care protocol. {min(times):.1f} to {max(times):.1f} s of steps "
        f"a run, {options['batch']} crops of {options['patch']} x {options['patch']} each, {options['first_filters']} "
        f"first filters, depth {options['depth']}, {options['precision']}, learning rate {options['learning_rate']:g}. "
        f"Gaussian filter: sigma {baselines['sigma']:g}, chosen on the validation images."
    )


def quality_table(runs, baselines):
    """Means over seeds and images, and over those of each channel, beside the input and the filter."""
    channels = sorted(baselines["input"]["channels"])
    header = ["", "parameters", "steps", *TITLES.values(), *(f"{channel}: PSNR / SSIM" for channel in channels)]
    lines = []
    for name in ("input", "gaussian"):
        lines.append([NAMES[name], ABSENT, ABSENT, *_cells([baselines[name]], channels)])
    for network, found in _by_network(runs).items():
        steps = sorted({run["steps"] for run in found})
        text = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
        scores = _cells([run["test"] for run in found], channels)
        lines.append([_label(network), f"{found[0]['parameters']:,}", text, *scores])
    return markdown(header, lines)


def _cells(tests, channels):
    means = [f"{np.mean([test[score] for test in tests]):.{decimals}f}" for score, decimals in DECIMALS.items()]
    for channel in channels:
        found = (np.mean([test["channels"][channel][score] for test in tests]) for score in DECIMALS)
        means.append(" / ".join(f"{v:.{n}f}" for v, n in zip(found, DECIMALS.values(), strict=True)))
    return means


def seeds_table(runs):
    """Scores of every run."""
    seeds = sorted({run["seed"] for run in runs})
    lines = []
    for network, found in _by_network(runs).items():
        cells = {run["seed"]: f"{run['test']['psnr']:.2f} / {run['test']['ssim']:.4f}" for run in found}
        lines.append([_label(network), *(cells.get(seed, ABSENT) for seed in seeds)])
    return markdown(["", *(f"seed {seed}" for seed in seeds)], lines)


def differences_table(runs):
    """Of each pair of networks, over the seeds that both have: image by image, each averaged over the seeds."""
    networks, lines = _by_network(runs), []
    for a, b in (("aeanet", "unet"), ("aeanet", "gvtnet"), ("gvtnet", "unet")):
        if not {a, b} <= set(networks):
            continue
        seeds = {run["seed"] for run in networks[a]} & {run["seed"] for run in networks[b]}
        if not seeds:
            continue
        cells = []
        for score, decimals in DECIMALS.items():
            values = [_by_image([run for run in networks[name] if run["seed"] in seeds], score) for name in (a, b)]
            found = paired_difference(*values)
            cells.append(f"{found.mean:+.{decimals}f} ± {found.half_width:.{decimals}f}")
        lines.append([f"{NAMES[a]} - {NAMES[b]}", str(len(seeds)), *cells])
    return markdown(["", "seeds", *TITLES.values()], lines)


def _by_image(runs, score):
    return np.mean([[row[score] for row in run["test"]["images"]] for run in runs], axis=0)


def curve_table(runs):
    """Mean over the seeds by the share of the steps that is done."""
    networks = _by_network(runs)
    points = min(len(run["curve"]) for run in runs)
    lines = [
        [_label(network), *(f"{np.mean([run['curve'][i]['psnr'] for run in found]):.2f}" for i in range(points))]
        for network, found in networks.items()
    ]
    return markdown(["", *(f"{(i + 1) / points:.0%}" for i in range(points))], lines)


def times_table(rows):
    """A line a program: time, rates, and the share of the device's."""
    header = ["task", "size", "network", "precision", "ms (quartiles)", "TFLOP/s", "of peak", "TB/s", "of peak"]
    header += ["floor (ms)", "temporary (MiB)", "mean difference"]
    lines = []
    for row in rows:
        low, high = (digits(1e3 * value) for value in row["quartiles"])
        cells = [row["task"], _size(row["size"]), _label(row["network"]), row["precision"]]
        cells += [f"{digits(1e3 * row['median'])} ({low} to {high})"]
        cells += [digits(row["operations_per_second"] / 1e12), f"{row['of_matrix_rate']:.1%}"]
        cells += [digits(row["bytes_per_second"] / 1e12), f"{row['of_bandwidth']:.1%}", digits(1e3 * row["floor"])]
        cells.append(ABSENT if row["temporary_bytes"] is None else digits(row["temporary_bytes"] / 2**20))
        # The first precision of a group is the one that others are compared with.
        compared = "difference" in row and row["precision"] != row["reference"]
        lines.append([*cells, f"{row['difference']['mean']:.1e}" if compared else ABSENT])
    return markdown(header, lines)


def moments_table(rows):
    """A line for each size and program: time, and how many times what reading or multiplying takes at least."""
    header = ["positions", "channels", "dtype", "program", "ms", "floor (ms)", "bound by", "times the floor"]
    lines = []
    for row in rows:
        cells = [f"{row['positions']:,}", str(row["channels"]), row["dtype"], row["program"]]
        floor = [digits(1e3 * row["floor"]), row["bound_by"]]
        if "failed" in row:
            lines.append([*cells, "failed", *floor, ABSENT])
        else:
            lines.append([*cells, digits(1e3 * row["median"]), *floor, f"{row['of_floor']:.2f}"])
    return markdown(header, lines)


def _size(size):
    return " x ".join(map(str, size))


def _by_network(runs):
    names = dict.fromkeys([*NAMES, *(run["network"] for run in runs)])
    return {name: found for name in names if (found := [run for run in runs if run["network"] == name])}


def _label(network):
    """Of a network in tables: those of the literature by their names on the command line."""
    return NAMES.get(network, f"`{network}`")


if __name__ == "__main__":
    run_script(main)

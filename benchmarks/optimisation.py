"""What each training option brings: variants of one run configuration, trained for equal time, scored on validation
images.

Every variant differs from the default in one option. It gets the steps that fit into ``--minutes`` by the time of its
training step on this machine, all steps being timed in turn before the first training. The weights are those of the
lowest validation loss, and the images that are scored are those of this validation: a variant is chosen by them, so
test images stay unseen. The table gives

* steps, and seconds a step;
* PSNR and SSIM, care protocol, mean over the images and the seeds, with the 95 % interval over the seeds;
* the difference to the default, seed by seed, with its interval;
* beside them the input, and the Gaussian filter that is best for these images.

Seed by seed all variants are trained, and what is finished is not done again: a run that was stopped goes on with the
same command.

    python benchmarks/optimisation.py --data w2s --output results [--minutes 3] [--seeds 3] [--only batch-4 mse]
    python benchmarks/optimisation.py --data sample --output results
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from hardware import facts, line
from optimisation_variants import DEFAULT, SAMPLE, VARIANTS, Study
from tables import ABSENT, digits, markdown, quiet, run_script, section, write_results

from aeanet_tf.datasets.pairs import pair_folders, read_pair
from aeanet_tf.datasets.samples import as_channels, load_sample_pairs
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import choose_filters
from aeanet_tf.evaluation.statistics import mean_interval, paired_difference
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.laboratory import Case, Laboratory
from aeanet_tf.experiments.scores import scorer
from aeanet_tf.experiments.step_times import steps_in
from aeanet_tf.io.image import image_stem
from aeanet_tf.runs.held_out import held_out_pairs
from aeanet_tf.runs.train import train_run
from aeanet_tf.training import read_history

SCORES = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}


def main(argv=None):
    """Train what is not trained yet, print the table."""
    options = _options(argv)
    study = Study(options.data, options.output, options.config, tuple(options.set))
    names = study.variants(options.only)
    path = options.output / f"optimisation_{study.label}.json"
    results = _read(path, options)
    with quiet():
        cases = validation_cases(study.run_config(DEFAULT))
        results["hardware"] = results.get("hardware") or facts()
        lab = Laboratory(Path(options.data), options.output, parse_budget("full"))
        results["filters"] = results.get("filters") or filter_scores(lab, cases)
        seconds = study.seconds(names)
        for seed in range(options.seeds):
            for name in names:
                config = study.run_config(name, seed, steps_in(options.minutes, seconds[name]))
                if not _is_done(results["runs"].get(config.model.name), config):
                    found = train_and_score(lab, config, cases)
                    results["runs"][config.model.name] = _entry(name, seed, config, seconds[name], found)
                    write_results(path, results)
    title = f"Training options, {study.label}, {options.minutes:g} minutes each"
    section(title, line(results["hardware"]), variants_table(results))


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="pairs as those of W2S; or sample: scikit-image's")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of models and results")
    parser.add_argument("--minutes", type=float, default=3, metavar="M", help="of each training (3)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each variant (3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"some of {', '.join(VARIANTS)}")
    text = "the default (configuration w2s, of the sample quickstart)"
    parser.add_argument("--config", type=Path, metavar="FILE.json", help=text)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a field of all variants")
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        raise InputError(f"--minutes: found {options.minutes:g}, expected a number above 0")
    if options.seeds < 1:
        raise InputError(f"--seeds: found {options.seeds}, expected at least 1")
    return options


def _read(path, options):
    """Results of earlier runs, or none."""
    given = {"minutes": options.minutes, "set": options.set}
    if not path.is_file():
        return {"options": given, "runs": {}}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        found, _ = results["options"], results["runs"]
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path}: found something else, expected results of this benchmark") from None
    for name, value in given.items():
        if found.get(name) != value:
            raise InputError(f"--{name}: found {value}, expected {found.get(name)} as in {path}; or another --output")
    return results


def validation_cases(config):
    """A `Case` for each image that a run is validated on; of images with channels one a channel."""
    data = config.data
    if data.kind == SAMPLE:
        low, gt = (as_channels(images)[0] for images in load_sample_pairs()["validation"])
        return [Case(f"c{c}", lambda c=c: (low, gt[..., c]), "YXC", part=(..., c)) for c in range(gt.shape[-1])]
    if data.kind != "folders":
        raise InputError(f"data.kind: found {data.kind!r}, expected folders or sample")
    root, axes = data.folder(), data.axes or config.model.axes
    _, held_out = held_out_pairs(data, pair_folders(root / data.low, root / data.GT))
    return [Case(image_stem(low), partial(_arrays, low, gt, axes), axes, files=(low, gt)) for low, gt in held_out]


def _arrays(low, gt, axes):
    return tuple(image.array for image in read_pair(low, gt, axes))


def filter_scores(lab, cases):
    """Label -> scores of the inputs, and of the Gaussian filter that is best for these images."""
    pairs = [(case.cut(low), gt) for case in cases for low, gt in [case.read()]]
    ((label, function),) = choose_filters(pairs, strengths=()).named("the best for these images").items()
    planes = [case._replace(read=lambda pair=pair: pair, part=None) for case, pair in zip(cases, pairs, strict=True)]
    found = {"input": lab.score_inputs(planes, scorer("care"))}
    found[label] = lab.score_inputs(planes, scorer("care"), function)
    return {label: _means(rows) for label, rows in found.items()}


def train_and_score(lab, config, cases):
    """Mean scores of a run by name, trained where it is not; ``None`` if the training diverged in its first epoch."""
    if not lab.is_trained(config):
        train_run(config, verbose=lab.verbose)
    losses = [row.get("val_loss", np.nan) for row in read_history(lab.folder(config) / "history.csv")]
    return _means(lab.score(config, cases, scorer("care"))) if np.isfinite(losses).any() else None


def _means(rows):
    return {score: float(np.mean([row[score] for row in rows])) for score in SCORES}


def _entry(name, seed, config, seconds, scores):
    """What is kept of a run."""
    return {
        "variant": name,
        "seed": seed,
        "steps": config.training.steps,
        "seconds_per_step": seconds,
        "scores": scores,
        "configuration": config.model_dump(mode="json"),
    }


def _is_done(entry, config):
    return entry is not None and entry["configuration"] == config.model_dump(mode="json")


def variants_table(results):
    """Markdown table: the filters, then a line for each variant that was trained."""
    titles = [title for title, _ in SCORES.values()]
    header = ["variant", "steps", "s a step", *(t for title in titles for t in (title, "difference")), "seeds"]
    lines = []
    for label, scores in results["filters"].items():
        cells = [cell for name, (_, decimals) in SCORES.items() for cell in (f"{scores[name]:.{decimals}f}", ABSENT)]
        lines.append([label, ABSENT, ABSENT, *cells, ABSENT])
    by_variant = {}
    for entry in results["runs"].values():
        by_variant.setdefault(entry["variant"], {})[entry["seed"]] = entry
    default = by_variant.get(DEFAULT, {})
    lines += [_line(VARIANTS[name].label, by_variant[name], default) for name in VARIANTS if name in by_variant]
    return markdown(header, lines)


def _line(label, runs, default):
    """Cells of a variant: of the seeds that did not diverge."""
    first = next(iter(runs.values()))
    kept = {seed: run["scores"] for seed, run in runs.items() if run["scores"] is not None}
    cells = []
    for name, (_, decimals) in SCORES.items():
        own = [scores[name] for scores in kept.values()]
        pairs = [
            (scores[name], default[seed]["scores"][name])
            for seed, scores in kept.items()
            if runs is not default and seed in default and default[seed]["scores"] is not None
        ]
        cells.append(_interval(*mean_interval(own), decimals) if own else ABSENT)
        compared = paired_difference(*zip(*pairs, strict=True)) if pairs else None
        cells.append(_interval(*compared, decimals, "+") if compared else ABSENT)
    seeds = str(len(kept)) + f", {len(runs) - len(kept)} diverged" * (len(kept) < len(runs))
    return [label, str(first["steps"]), digits(first["seconds_per_step"]), *cells, seeds]


def _interval(mean, half_width, decimals, sign=""):
    """``"33.50 ± 0.04"``; without an interval where there is one seed."""
    text = f"{mean:{sign}.{decimals}f}"
    return text if np.isnan(half_width) else f"{text} ± {half_width:.{decimals}f}"


if __name__ == "__main__":
    run_script(main)

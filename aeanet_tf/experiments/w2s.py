"""U-Net, GVTNet and AEANet on W2S under one budget: several seeds, intervals, paired differences."""

from functools import partial

import numpy as np
from csbdeep.data import PercentileNormalizer

from aeanet_tf.data.images import image_stem, read_image
from aeanet_tf.data.pairs import pair_folders
from aeanet_tf.evaluation.protocols import align_care
from aeanet_tf.evaluation.statistics import mean_interval, paired_difference
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.patchwise import predict_in_patches
from aeanet_tf.experiments.pictures import draw_curves, draw_panels
from aeanet_tf.experiments.report import Cell, mean, write_report
from aeanet_tf.experiments.scores import by_image, scorer
from aeanet_tf.experiments.turning import (
    BASELINE,
    OURS,
    errors_alone,
    middle_patches,
    turning_errors,
    turning_table,
)
from aeanet_tf.models.folder import prediction_normalization

METHODS = (
    Method("U-Net", "unet", "unet-em"),
    Method("GVTNet", "gvtnet", "gvtnet-em"),
    Method("AEANet, references only", "aeanet-references", "aeanet-em", {"attention": {"batch_aware": False}}),
    Method("AEANet, batch-aware only", "aeanet-batch", "aeanet-em", {"attention": {"shared_references": 0}}),
    Method("AEANet", "aeanet", "aeanet-em"),
)
COLUMNS = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}
# Of patches that are predicted; that of training is the last.
SIZES = (256, 128)
PICTURED = 3


def run(lab):
    """Train every method with every seed, score the test pairs by the care protocol, write ``w2s.md``."""
    tests, protocol = lab.budget.some(test_images(lab.data)), scorer("care")
    inputs = lab.score_inputs(tests, protocol)
    scores, configs = {}, []
    # Seed by seed: whoever stops early has a comparison of the first.
    for seed in lab.seeds:
        for method in METHODS:
            config = lab.config("w2s", method, seed)
            configs.append(config)
            scores.setdefault(method.label, []).append(lab.score(config, tests, protocol))
    tables = [
        ("Mean over seeds and images, with the 95 % interval over images.", *_means(lab, inputs, scores, configs)),
        (
            "Means of each seed, PSNR (dB).",
            {f"seed {seed}": 2 for seed in lab.seeds},
            {
                label: {f"seed {s}": Cell(_mean(rows, "psnr")) for s, rows in zip(lab.seeds, runs, strict=True)}
                for label, runs in scores.items()
            },
        ),
        *_differences(scores, lab.seeds),
    ]
    tables.append(_patch_sizes(lab, tests, configs, scores, protocol))
    table, verdict = _equivariance(lab, tests, configs)
    notes = [*_notes(lab, tests), verdict]
    path = write_report(lab, "w2s", "W2S denoising under one budget", [*tables, table], notes, configs)
    draw_curves(lab, "w2s", {method.label: configs[i :: len(METHODS)] for i, method in enumerate(METHODS)})
    draw_panels(lab, "w2s", tests[:PICTURED], dict(zip(scores, configs, strict=False)), protocol, align_care)
    return path


def test_images(root):
    """The pairs of ``test/low`` and ``test/GT``, a `Case` each."""
    return [
        Case(
            image_stem(low),
            lambda low=low, gt=gt: (read_image(low, "YX").array, read_image(gt, "YX").array),
            "YX",
            files=(low, gt),
        )
        for low, gt in pair_folders(root / "test" / "low", root / "test" / "GT")
    ]


def _mean(rows, score):
    return float(np.mean([row[score] for row in rows]))


def _means(lab, inputs, scores, configs):
    columns = {"parameters": 0, **{f"{title}": decimals for title, decimals in COLUMNS.values()}}
    rows = {"input": {title: _interval([row[s] for row in inputs]) for s, (title, _) in COLUMNS.items()}}
    for (label, runs), config in zip(scores.items(), configs, strict=False):
        rows[label] = {title: _interval(by_image(runs, s)) for s, (title, _) in COLUMNS.items()}
        rows[label]["parameters"] = Cell(lab.parameters(config))
    return columns, rows


def _interval(values):
    return Cell(*mean_interval(values)[:2])


def _differences(scores, seeds):
    """Tables of the paired differences to U-Net and to GVTNet: over the images, and over the seeds."""
    for score, (title, decimals) in COLUMNS.items():
        columns, rows = {}, {label: {} for label in scores}
        for baseline in ("U-Net", "GVTNet"):
            over_images, over_seeds = f"to {baseline}, over images", f"to {baseline}, over seeds"
            columns[over_images] = decimals
            if len(seeds) > 1:
                columns[over_seeds] = decimals
            for label, runs in scores.items():
                if label == baseline:
                    continue
                pair = [by_image(r, score) for r in (runs, scores[baseline])]
                rows[label][over_images] = Cell(*paired_difference(*pair)[:2])
                if len(seeds) > 1:
                    pair = [[_mean(rows_, score) for rows_ in r] for r in (runs, scores[baseline])]
                    rows[label][over_seeds] = Cell(*paired_difference(*pair)[:2])
        yield (
            f"Paired differences, {title}, with 95 % intervals: over the images (each averaged over the seeds), and "
            "over the seeds (each averaged over the images).",
            columns,
            rows,
        )


def _patch_sizes(lab, tests, configs, scores, protocol):
    """Figure 9 for these networks: PSNR by the size of what is predicted at a time."""
    rows = {label: {"whole": mean(by_image(runs, "psnr"))} for label, runs in scores.items()}
    for size in SIZES:
        found = {}
        for config, method in zip(configs, METHODS * len(lab.seeds), strict=True):
            predict = partial(predict_in_patches, size=size)
            found.setdefault(method.label, []).append(lab.score(config, tests, protocol, f"patches{size}", predict))
        for label, runs in found.items():
            rows[label][f"{size} x {size}"] = mean(by_image(runs, "psnr"))
    caption = "PSNR (dB) by the size of the patches that are predicted, each with attention of its own."
    return caption, {"whole": 2, **{f"{size} x {size}": 2 for size in SIZES}}, rows


def _equivariance(lab, tests, configs):
    """Table V for these networks; of the self-attention that of GVTNet."""
    labels = {"gvtnet": BASELINE, "aeanet": OURS, "unet": "U-Net"}
    cases, errors, scores = middle_patches(tests), turning_errors(_normalised), {}
    for config, method in zip(configs, METHODS * len(lab.seeds), strict=True):
        if method.key in labels:
            found = lab.score(config, cases, errors_alone, "equivariance", errors)
            scores.setdefault(labels[method.key], []).append(found)
    return turning_table(scores, cases)


def _normalised(model, image, axes):
    section = prediction_normalization(model.logdir)
    return model.predict(image, axes, normalizer=PercentileNormalizer(section.low, section.high, do_after=False))


def _notes(lab, tests):
    return [
        f"{len(tests)} test images, care protocol; {len(lab.seeds)} seeds. Of each run the weights with the lowest "
        "validation loss. The interval over images takes these as independent, which three channels of one field are "
        "not quite; that over seeds has few degrees of freedom. The learned query is left out: it fixes the input size "
        "to that of training."
    ]

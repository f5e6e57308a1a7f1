"""Tables I, V and VI and figure 9 of the AEANet paper: super-resolution of paired electron micrographs."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from aeanet_tf.datasets.paired_em import REGISTRATION_FILE, prepare_paired_em, whole_images
from aeanet_tf.evaluation.charts import size_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.metrics import region_psnr
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.evaluation.tables import mean
from aeanet_tf.experiments import published
from aeanet_tf.experiments.equivariance import (
    BASELINE,
    MARGIN,
    OURS,
    PATCH,
    equivariance_table,
    errors_alone,
    middle_patches,
    predict_in_patches,
    transformation_errors,
)
from aeanet_tf.experiments.figures import draw_curves, draw_panels, draw_rotation
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.literature import chosen_methods, sizes_note
from aeanet_tf.experiments.paired_em_library import LIBRARY, library_scores
from aeanet_tf.experiments.paired_em_library import NOTE as LIBRARY_NOTE
from aeanet_tf.experiments.scores import by_image, write_report

UNET, GVTNET = Method("U-Net", "unet", "unet-em"), Method("GVTNet", "gvtnet", "gvtnet-em")
LEARNED = Method("Learned query", "learned-query", "learned-query-em")
AEANET = Method("AEANet", "aeanet", "aeanet-em")
REFERENCES = Method("References only", "aeanet-references", "aeanet-em", {"attention": {"batch_aware": False}})
BATCH = Method("Batch-aware only", "aeanet-batch", "aeanet-em", {"attention": {"shared_references": 0}})
FEWER = {
    n: Method(f"AEANet ({n})", f"aeanet-{n}", "aeanet-em", {"attention": {"shared_references": n}}) for n in (16, 32)
}
SIZES = ("full", 512, 384, 256, 128)
PICTURED = 3


def run_table1(lab):
    """U-Net, GVTNet, learned query, AEANet, library: improvement over the input; Otsu foreground and background.

    With ``lab.self_training`` also of networks that were trained on the tested image alone.
    """
    tests, methods = _tests(lab), chosen_methods(lab.networks, (UNET, GVTNET, LEARNED, AEANET))
    runs, notes = _runs(lab, methods), [_note(tests), LIBRARY_NOTE, *sizes_note(methods)]
    scores = {LIBRARY: [library_scores(lab, runs[methods[0].label][0], tests, _protocol)]}
    scores |= lab.score_runs(runs, tests, _protocol, predict=_predict)
    regions, improvement = scores, _table(_IMPROVEMENT, _DELTAS, scores, published.TABLE1)
    alone, of_images = _self_trained(lab, methods) if lab.self_training else ({}, {})
    if alone:
        regions = scores | {f"{label} (self)": of_seeds for label, of_seeds in alone.items()}
        improvement = _beside(improvement, _table("", _DELTAS, alone, published.TABLE1_SELF), "self-training")
        notes.append(
            f"Self-training: {len(of_images) // len(methods)} networks of each kind, one an image, trained on its "
            "left-hand sub-images and tested on its right-hand ones, for as many passes over them as the pooled "
            "training makes, which takes as long for all together. Published figures of U-Net, GVTNet and AEANet are "
            "from the earlier versions of the paper, whose other figures are the same."
        )
    caption = "Improvement in PSNR (dB) within the foreground and the background (Otsu)."
    tables = [improvement, _table(caption, _REGIONS, regions, published.TABLE1_REGIONS)]
    path = write_report(lab, "table1", "Table I: paired EM", tables, notes, runs | of_images)
    draw_curves(lab, "table1", runs)
    draw_panels(lab, "table1", tests[:PICTURED], runs, _protocol, predict=_predict)
    return path


def _self_trained(lab, methods):
    """Networks that are trained on one image each, with their share of the steps.

    Returns:
        Label of a method -> scores of all test images, one list a seed; and the runs, by method and image.
    """
    pairs = _tests_of_pairs(lab)
    share = replace(lab.budget, fraction=lab.budget.fraction / len(whole_images(_prepared(lab))))
    lab, scores, runs = replace(lab, budget=share), {method.label: [] for method in methods}, {}
    for seed in lab.seeds:
        for method in methods:
            rows = []
            for pair, tests in pairs.items():
                data = {"prepared": str(_prepared(lab)), "pair": pair}
                config = lab.config("paired_em", method, seed, part=pair, data=data)
                runs.setdefault(f"{method.label}, {pair}", []).append(config)
                rows += lab.score(config, tests, _protocol, predict=_predict)
            scores[method.label].append(rows)
    of_library = []
    for pair, tests in pairs.items():
        config = runs[f"{methods[0].label}, {pair}"][0]
        of_library += library_scores(lab, config, tests, _protocol, pair)
    return {LIBRARY: [of_library], **scores}, runs


def _beside(table, other, suffix):
    """A table with the columns of another one beside its own, their names with a suffix."""
    (caption, columns, rows), (_, added, further) = table, other
    named = {title: f"{title}, {suffix}" for title in added}
    merged = {
        label: rows.get(label, {}) | {named[title]: cell for title, cell in further.get(label, {}).items()}
        for label in {**rows, **further}
    }
    return caption, columns | {named[title]: decimals for title, decimals in added.items()}, merged


def run_table6(lab):
    """The ablation: references only, batch-aware only, both with 16, 32 and 64 references."""
    tests = _tests(lab)
    methods = chosen_methods(lab.networks, (UNET, GVTNET, REFERENCES, BATCH, *FEWER.values(), AEANET))
    runs = _runs(lab, methods)
    scores = lab.score_runs(runs, tests, _protocol, predict=_predict)
    names = {**{FEWER[n].label: f"Both, {n} references" for n in FEWER}, AEANET.label: "Both, 64 references"}
    scores = {names.get(label, label): of_seeds for label, of_seeds in scores.items()}
    table = _table(_IMPROVEMENT, _DELTAS, scores, published.TABLE6)
    path = write_report(lab, "table6", "Table VI: ablation", [table], [_note(tests), *sizes_note(methods)], runs)
    draw_curves(lab, "table6", runs)
    return path


def run_figure9(lab):
    """Improvement in PSNR by the size of the patches that are predicted, each with attention of its own.

    Patches are predicted with a margin of 32 pixels, which is cut off within the image.
    """
    tests = _tests(lab)
    runs, rows = _runs(lab, (GVTNET, *FEWER.values(), AEANET)), {}
    for size in SIZES:
        predict = _predict if size == "full" else partial(predict_in_patches, size=size, margin=MARGIN)
        scores = lab.score_runs(runs, tests, _protocol, "" if size == "full" else f"patches{size}", predict)
        for label, of_seeds in scores.items():
            label = "AEANet (64)" if label == AEANET.label else label
            figure = published.FIGURE9.get(label, {}).get(str(size))
            rows.setdefault(label, {})[str(size)] = mean(by_image(of_seeds, "delta_psnr"), figure)
    caption = "Improvement in PSNR (dB) by the size of the patches that are predicted."
    table = (caption, {str(size): 3 for size in SIZES}, rows)
    notes = [
        _note(tests),
        f"Published: what the authors' notebook prints. Patches overlap by twice a margin of {MARGIN} pixels, which is "
        "cut off within the image; those at the border are shifted inwards to their full size.",
    ]
    path = write_report(lab, "figure9", "Figure 9: size of the predicted patches", [table], notes, runs)
    ours, theirs = (
        {label: [np.array(getattr(cell, part), float) for cell in row.values()] for label, row in rows.items()}
        for part in ("value", "published")
    )
    save_figure(size_chart(ours, list(table[1]), "improvement in PSNR (dB)", theirs), lab.reports / "figure9.png")
    return path


def run_table5(lab):
    """Equivariance: self-attention, learned query, AEA block under rotations and transposition."""
    labels = {GVTNET.label: BASELINE, LEARNED.label: "Learned query", AEANET.label: OURS}
    cases = middle_patches(_tests(lab))
    errors = transformation_errors(lambda model, image, axes: _predict(model, image, axes) / 255)
    runs = _runs(lab, (GVTNET, LEARNED, AEANET))
    scores = lab.score_runs(runs, cases, errors_alone, "equivariance", errors)
    scores = {labels[label]: of_seeds for label, of_seeds in scores.items()}
    table, verdict = equivariance_table(scores, cases, published.TABLE5)
    path = write_report(lab, "table5", "Table V: equivariance", [table], [verdict], runs)
    for label, (config, *_) in runs.items():
        draw_rotation(lab, f"table5_{config.model.name}", config, cases[0], labels[label])
    return path


def _runs(lab, methods):
    return lab.runs("paired_em", methods, data={"prepared": str(_prepared(lab))})


def _prepared(lab):
    return _prepare(lab.data, (lab.output / "paired_em").resolve())


@lru_cache
def _prepare(root, folder):
    return prepare_paired_em(root, folder)


def _tests(lab):
    """A `Case` for each of the right-hand sub-images; whole images are predicted, as the authors do."""
    return [case for cases in _tests_of_pairs(lab).values() for case in cases]


def _tests_of_pairs(lab):
    """Name of a registered pair -> its cases, of those that the budget has."""
    # Says from which files the sub-images are, and how they were registered.
    table = _prepared(lab) / REGISTRATION_FILE
    tests = {}
    for name, read, parts in lab.budget.some(whole_images(_prepared(lab))):
        # One image at a time is in memory, and it is the same object for all of its parts.
        read = lru_cache(maxsize=1)(read)
        tests[name] = [
            Case(f"{name}_{label}", lambda r=read, p=part: (r()[0], r()[1][p]), "YX", part=part, files=(table,))
            for label, part in parts
        ]
    return tests


def _protocol(gt, image, low):
    """Scores of the protocols em and em-notebook, which differ in SSIM, and their improvement over the input."""
    scores, before = (
        {
            **get_protocol("em")(gt, scored),
            "ssim_notebook": get_protocol("em-notebook")(gt, scored)["ssim"],
            **region_psnr(gt, scored),
        }
        for scored in (image, low)
    )
    return scores | {f"delta_{name}": scores[name] - before[name] for name in before}


def _predict(model, image, axes):
    """The whole image; in patches of its own size for a network with a learned query."""
    fixed = getattr(model.spec, "input_size", None)
    return predict_in_patches(model, image, axes, fixed[0] if fixed else max(image.shape))


_DELTAS = {
    "Δ PSNR (dB)": ("delta_psnr", 2),
    "Δ SSIM (em)": ("delta_ssim", 3),
    "Δ SSIM (em-notebook)": ("delta_ssim_notebook", 3),
}
_REGIONS = {"Foreground": ("delta_foreground", 2), "Background": ("delta_background", 2)}
_IMPROVEMENT = "Improvement over the bicubic input, pooled training."


def _table(caption, columns, scores, figures):
    """A table of ``columns``: the published figures of all methods, and ours where there are any."""
    rows = {}
    for label in {**figures, **scores}:
        values = (by_image(scores[label], score) if label in scores else [] for score, _ in columns.values())
        known = figures.get(label, (None,) * len(columns))
        rows[label] = dict(zip(columns, map(mean, values, known), strict=True))
    return caption, {title: decimals for title, (_, decimals) in columns.items()}, rows


def _note(tests):
    return (
        f"{len(tests)} sub-images of the right-hand quarter, mean. The protocols em and em-notebook have one PSNR, of "
        "predictions cut off at 0 and 255, and two SSIMs: with Gaussian weights, as the paper's text says, and with "
        "the uniform window of the authors' notebook, which gave the published figures of their networks. Whole images "
        f"are predicted; by the learned query, whose input size is fixed, in patches of {PATCH} x {PATCH}. "
        "A tenth of the training sub-images, spread over all pairs, is held out for validation."
    )

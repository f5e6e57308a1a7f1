"""Tables I, V and VI and figure 9 of the AEANet paper: super-resolution of paired electron micrographs."""

from functools import lru_cache

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
    """U-Net, GVTNet, learned query, AEANet: improvement over the input; Otsu foreground and background."""
    tests = _tests(lab)
    scores, configs = _scores(lab, (UNET, GVTNET, LEARNED, AEANET), tests)
    rows = {label: _row([], figures) for label, figures in published.TABLE1.items()}
    rows |= {label: _row(runs, published.TABLE1.get(label)) for label, runs in scores.items()}
    left = ("Improvement over the bicubic input, pooled training.", _COLUMNS, rows)
    regions = {label: _row([], figures, _REGIONS) for label, figures in published.TABLE1_REGIONS.items()}
    regions |= {label: _row(runs, published.TABLE1_REGIONS.get(label), _REGIONS) for label, runs in scores.items()}
    right = ("Improvement in PSNR (dB) within the foreground and the background (Otsu).", _decimals(_REGIONS), regions)
    path = write_report(lab, "table1", "Table I: paired EM", [left, right], [_note(tests)], _flat(configs))
    draw_curves(lab, "table1", configs)
    draw_panels(lab, "table1", tests[:PICTURED], {k: c[0] for k, c in configs.items()}, _protocol, predict=_predict)
    return path


def run_table6(lab):
    """The ablation: references only, batch-aware only, both with 16, 32 and 64 references."""
    tests = _tests(lab)
    methods = (UNET, GVTNET, REFERENCES, BATCH, *FEWER.values(), AEANET)
    scores, configs = _scores(lab, methods, tests)
    names = {**{FEWER[n].label: f"Both, {n} references" for n in FEWER}, AEANET.label: "Both, 64 references"}
    scores = {names.get(label, label): runs for label, runs in scores.items()}
    rows = {label: _row(scores.get(label, []), figures) for label, figures in published.TABLE6.items()}
    table = ("Improvement over the bicubic input, pooled training.", _COLUMNS, rows)
    path = write_report(lab, "table6", "Table VI: ablation", [table], [_note(tests)], _flat(configs))
    draw_curves(lab, "table6", configs)
    return path


def run_figure9(lab):
    """Improvement in PSNR by the size of the patches that are predicted, each with attention of its own."""
    tests = _tests(lab)
    labels = {
        GVTNET.label: "GVTNet",
        FEWER[16].label: "AEANet (16)",
        FEWER[32].label: "AEANet (32)",
        AEANET.label: "AEANet (64)",
    }
    rows, configs = {}, {}
    for size in SIZES:
        predict = _predict if size == "full" else _in_patches(size)
        kind = "" if size == "full" else f"patches{size}"
        scores, configs = _scores(lab, (GVTNET, *FEWER.values(), AEANET), tests, kind, predict)
        for label, runs in scores.items():
            figure = published.FIGURE9.get(labels[label], {}).get(str(size))
            rows.setdefault(labels[label], {})[str(size)] = mean(by_image(runs, "delta_psnr"), figure)
    table = (
        "Improvement in PSNR (dB) by the size of the patches that are predicted.",
        {str(s): 3 for s in SIZES},
        rows,
    )
    notes = [
        _note(tests),
        "Published: the authors' own run. Patches at the border are shifted inwards to their full size.",
    ]
    path = write_report(lab, "figure9", "Figure 9: size of the predicted patches", [table], notes, _flat(configs))
    ours, theirs = (
        {label: [np.array(getattr(cell, part), float) for cell in row.values()] for label, row in rows.items()}
        for part in ("value", "published")
    )
    save_figure(size_chart(ours, list(table[1]), "improvement in PSNR (dB)", theirs), lab.output / "figure9.png")
    return path


def run_table5(lab):
    """Equivariance: self-attention, learned query, AEA block under rotations and transposition."""
    labels = {GVTNET.label: BASELINE, LEARNED.label: "Learned query", AEANET.label: OURS}
    cases = middle_patches(_tests(lab))
    errors = transformation_errors(lambda model, image, axes: _predict(model, image, axes) / 255)
    scores, configs = _scores(lab, (GVTNET, LEARNED, AEANET), cases, "equivariance", errors, errors_alone)
    scores = {labels[label]: runs for label, runs in scores.items()}
    table, verdict = equivariance_table(scores, cases, published.TABLE5)
    path = write_report(lab, "table5", "Table V: equivariance", [table], [verdict], _flat(configs))
    for label, runs in configs.items():
        draw_rotation(lab, f"table5_{runs[0].model.name}", runs[0], cases[0], labels[label])
    return path


def _scores(lab, methods, tests, kind="", predict=None, protocol=None):
    """label -> scores of each seed, and label -> configurations."""
    scores, configs = {}, {}
    for method in methods:
        configs[method.label] = [
            lab.config("paired_em", method, s, data={"prepared": str(_prepared(lab))}) for s in lab.seeds
        ]
        used = predict or _predict
        scores[method.label] = [lab.score(c, tests, protocol or _protocol, kind, used) for c in configs[method.label]]
    return scores, configs


def _prepared(lab):
    return _prepare(lab.data, (lab.output / "paired_em").resolve())


@lru_cache
def _prepare(root, folder):
    return prepare_paired_em(root, folder)


def _tests(lab):
    """A `Case` for each of the right-hand sub-images; whole images are predicted, as the authors do."""
    # Says from which files the sub-images are, and how they were registered.
    table = _prepared(lab) / REGISTRATION_FILE
    tests = []
    for name, read, parts in lab.budget.some(whole_images(_prepared(lab))):
        # One image at a time is in memory, and it is the same object for all of its parts.
        read = lru_cache(maxsize=1)(read)
        for label, part in parts:
            tests.append(
                Case(f"{name}_{label}", lambda r=read, p=part: (r()[0], r()[1][p]), "YX", part=part, files=(table,))
            )
    return tests


def _protocol(gt, image, low):
    """Scores of the em protocol, and their improvement over the input."""
    em, image = get_protocol("em"), np.clip(image, 0, 255)
    scores, before = em(gt, image), em(gt, low)
    regions, regions_before = region_psnr(gt, image), region_psnr(gt, low)
    scores |= {f"delta_{name}": scores[name] - before[name] for name in before}
    return scores | {f"delta_{name}": regions[name] - regions_before[name] for name in regions}


def _predict(model, image, axes):
    """The whole image; in patches of its own size for a network with a learned query."""
    fixed = getattr(model.spec, "input_size", None)
    if fixed:
        return predict_in_patches(model, image, axes, fixed[0])
    return predict_in_patches(model, image, axes, max(image.shape))


def _in_patches(size):
    return lambda model, image, axes: predict_in_patches(model, image, axes, size)


_DELTAS = {"Δ PSNR (dB)": ("delta_psnr", 2), "Δ SSIM": ("delta_ssim", 3)}
_REGIONS = {"Foreground": ("delta_foreground", 2), "Background": ("delta_background", 2)}


def _decimals(columns):
    return {title: decimals for title, (_, decimals) in columns.items()}


_COLUMNS = _decimals(_DELTAS)


def _row(runs, figures, columns=_DELTAS):
    figures = figures or (None, None)
    return {
        title: mean(by_image(runs, score) if runs else [], figure)
        for (title, (score, _)), figure in zip(columns.items(), figures, strict=True)
    }


def _note(tests):
    return (
        f"{len(tests)} sub-images of the right-hand quarter, em protocol, mean. Whole images are predicted, and "
        f"clipped to 0 to 255; by the learned query, whose input size is fixed, in patches of {PATCH} x {PATCH}. "
        "A tenth of the training sub-images, spread over all pairs, is held out for validation."
    )


def _flat(configs):
    return [config for runs in configs.values() for config in runs]

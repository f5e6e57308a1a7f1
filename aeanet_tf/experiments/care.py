"""Tables II and III of the AEANet paper, tribolium and figure 5 of the GVTNet paper: denoising and projection."""

from functools import partial

import numpy as np

from aeanet_tf.evaluation.charts import group_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.protocols import align_care
from aeanet_tf.evaluation.tables import mean, mean_and_deviation
from aeanet_tf.experiments import published
from aeanet_tf.experiments.care_methods import (
    CARE,
    CONDITIONS,
    FOLDERS,
    care_note,
    care_runs,
    dataset_root,
    methods,
    test_images,
)
from aeanet_tf.experiments.care_surface import NOTE, SURFACE, TRANSFER_NOTE, chosen_surface, comparable, then
from aeanet_tf.experiments.figures import draw_curves, draw_panels
from aeanet_tf.experiments.scores import by_image, scorer, write_report

PICTURED = 2
# Decimals.
SCORES = {"ssim": 4, "psnr": 2, "nrmse": 4}


def run_table2(lab):
    """Planaria: SSIM and PSNR of three conditions; NRMSE."""
    return _run_table(lab, "table2", "planaria", published.TABLE2, "Table II: denoising of planaria")


def run_table3(lab):
    """Flywing: the same for the projection."""
    return _run_table(lab, "table3", "flywing", published.TABLE3, "Table III: projection of flywing")


def run_tribolium(lab):
    """Tribolium: the same; the GVTNet paper gives its figures in a supplement."""
    return _run_table(lab, "tribolium", "tribolium", {}, "Denoising of tribolium (GVTNet paper, section 2.3)")


def _run_table(lab, name, dataset, figures, title):
    root = dataset_root(lab.data, dataset)
    tests, protocol = test_images(root, lab.budget), scorer("care")
    care, runs = care_runs(lab, dataset, root), lab.runs(dataset, methods(dataset), root)
    scores = _without_network(lab, dataset, tests, protocol, runs)
    scores[CARE] = [run.score(tests, protocol) for run in care]
    scores |= lab.score_runs(runs, tests, protocol)
    count = len({test.name for test in tests})
    caption = f"Care protocol, mean ± standard deviation over {count} test images; seeds: {len(lab.seeds)}."
    tables = [
        _table(caption, ("ssim", "psnr"), scores, figures),
        _table("NRMSE, the other score of the GVTNet paper.", ("nrmse",), scores, {}),
    ]
    notes = [
        "The paper calls its spread standard errors; with its images they are standard deviations in size. "
        + ("The input is scored as its maximum along z. " if dataset == "flywing" else "")
        + "PSNR in dB.",
        *([NOTE] if SURFACE in scores else []),
        care_note(care),
    ]
    path = write_report(lab, name, title, tables, notes, runs)
    for score in ("ssim", "nrmse"):
        groups = {c: {label: by_image(of, score, c) for label, of in scores.items()} for c in CONDITIONS[::-1]}
        save_figure(group_chart({name: groups}, score.upper(), {name: title}), lab.reports / f"{name}_{score}.png")
    draw_curves(lab, name, runs)
    worst = [test for test in tests if test.condition == "C3"][:PICTURED]
    draw_panels(lab, name, worst, runs, protocol, align_care, others={CARE: care[0]})
    return path


def _without_network(lab, dataset, tests, protocol, runs):
    """Scores of the inputs, and for flywing of the surface projection, as one seed each.

    Args:
        runs: label of a method -> list of `RunConfig` on this data set.
    """
    if dataset != "flywing":
        return {"Input": [lab.score_inputs(tests, protocol)]}
    surface = chosen_surface(lab, next(iter(runs.values()))[0])
    shown = {"Input": partial(np.max, axis=0), SURFACE: surface}
    return {label: [lab.score_inputs(tests, protocol, show)] for label, show in shown.items()}


def _table(caption, chosen, scores, figures):
    """A table of some of `SCORES`; ``figures`` are those of `published.TABLE2` and the like."""
    columns = {f"{c} ({s.upper()})": SCORES[s] for c in (*CONDITIONS, "Avg") for s in chosen}
    return caption, columns, {label: _row(of, chosen, figures.get(label, {})) for label, of in scores.items()}


def _row(runs, chosen, figures):
    row = {}
    for number, score in enumerate(chosen):
        known = {condition: pair[number] for condition, pair in figures.items()}
        for condition in CONDITIONS:
            cell = mean_and_deviation(by_image(runs, score, condition), known.get(condition))
            row[f"{condition} ({score.upper()})"] = cell
        row[f"Avg ({score.upper()})"] = mean(by_image(runs, score), known.get("Avg"))
    return row


def run_transfer(lab):
    """Train on each data set, test on all: CARE against GVTNet (and AEANet, and U-Net), SSIM and NRMSE."""
    roots = {dataset: dataset_root(lab.data, dataset, among_others=True) for dataset in FOLDERS}
    tests = {dataset: test_images(root, lab.budget) for dataset, root in roots.items()}
    protocol, runs, scores, cares = scorer("care"), {}, {}, {}
    for source, root in roots.items():
        cares[source] = care_runs(lab, source, root)
        of_source = lab.runs(source, methods(source), root)
        runs |= {(source, label): configs for label, configs in of_source.items()}
        for label, of in _without_network(lab, source, tests[source], protocol, of_source).items():
            scores["no training", label, source] = of
        for target in FOLDERS:
            shown, make = comparable(source == "flywing", tests[target])
            kind = "" if target == source else target if shown is tests[target] and make is None else f"{target}surface"
            of_care = None if make is None else then(make, cares[source][0].care.predict)
            scores[source, CARE, target] = [run.score(shown, protocol, kind, of_care) for run in cares[source]]
            of_ours = None if make is None else then(make, lab.predict)
            for label, of_seeds in lab.score_runs(of_source, shown, protocol, kind, of_ours).items():
                scores[source, label, target] = of_seeds
    results = {score: _transfer(scores, score) for score in ("ssim", "nrmse")}
    notes = [
        "A row is trained on the first data set, a column is what it is tested on. The paper gives its figures as "
        "charts, so there are none to print here. Inputs of flywing are scored as their maximum along z.",
        TRANSFER_NOTE,
        NOTE,
        *(f"{source}: {care_note(of_seeds)}" for source, of_seeds in cares.items()),
    ]
    title = "Transfer between data sets (GVTNet paper, figure 5)"
    path = write_report(lab, "transfer", title, [table for table, _ in results.values()], notes, runs)
    for score, (_, groups) in results.items():
        chart = group_chart(groups, score.upper(), {source: f"trained on {source}" for source in FOLDERS})
        save_figure(chart, lab.reports / f"transfer_{score}.png")
    return path


def _transfer(scores, score):
    """The table of a score, and for its chart: source -> target and condition -> method -> scores of images."""
    columns = {f"{target} {condition}": 4 for target in FOLDERS for condition in CONDITIONS[::-1]}
    rows, groups = {}, {source: {} for source in FOLDERS}
    for (source, label, target), runs in scores.items():
        row = rows.setdefault(f"{source}, {label}", {})
        for condition in CONDITIONS[::-1]:
            of_images = by_image(runs, score, condition)
            row[f"{target} {condition}"] = mean_and_deviation(of_images)
            if source in groups:
                groups[source].setdefault(f"{target}\n{condition}", {})[label] = of_images
    return (f"{score.upper()}, mean ± standard deviation over test images.", columns, rows), groups

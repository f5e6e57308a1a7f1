"""Tables II and III of the AEANet paper and figure 5 of the GVTNet paper: denoising and projection, CARE's data."""

from functools import partial

import numpy as np

from aeanet_tf.datasets.care import care_test_images
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.charts import group_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.protocols import align_care
from aeanet_tf.evaluation.tables import mean, mean_and_deviation
from aeanet_tf.experiments import published
from aeanet_tf.experiments.figures import draw_curves, draw_panels
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.scores import by_image, scorer, write_report

CONDITIONS = ("C3", "C2", "C1")
FOLDERS = {"planaria": "Denoising_Planaria", "tribolium": "Denoising_Tribolium", "flywing": "Projection_Flywing"}
# Suffix of the presets.
NETWORKS = {"planaria": "care", "tribolium": "care", "flywing": "flywing"}
PICTURED = 2


def methods(dataset):
    """U-Net, GVTNet and AEANet for a data set."""
    network = NETWORKS[dataset]
    return [
        Method(label, key, f"{key}-{network}")
        for label, key in (("U-Net", "unet"), ("GVTNet", "gvtnet"), ("AEANet", "aeanet"))
    ]


def run_table2(lab):
    """Planaria: SSIM and PSNR of three conditions."""
    return _run_table(lab, "table2", "planaria", published.TABLE2, "Table II: denoising of planaria")


def run_table3(lab):
    """Flywing: the same for the projection."""
    return _run_table(lab, "table3", "flywing", published.TABLE3, "Table III: projection of flywing")


def _run_table(lab, name, dataset, figures, title):
    root = dataset_root(lab.data, dataset)
    tests, protocol = test_images(root, lab.budget), scorer("care")
    scores = {"Input": [lab.score_inputs(tests, protocol, partial(np.max, axis=0) if dataset == "flywing" else None)]}
    runs = lab.runs(dataset, methods(dataset), root)
    scores |= lab.score_runs(runs, tests, protocol)
    columns = {f"{c} ({s})": d for c in (*CONDITIONS, "Avg") for s, d in (("SSIM", 4), ("PSNR", 2))}
    rows = {label: _row(of_seeds, figures.get(label, {})) for label, of_seeds in scores.items()}
    count = len({test.name for test in tests})
    caption = f"Care protocol, mean ± standard deviation over {count} test images; seeds: {len(lab.seeds)}."
    notes = [
        "The paper calls its spread standard errors; with its images they are standard deviations in size. "
        + ("The input is scored as its maximum along z. " if dataset == "flywing" else "")
        + "PSNR in dB."
    ]
    path = write_report(lab, name, title, [(caption, columns, rows)], notes, runs)
    draw_curves(lab, name, runs)
    worst = [test for test in tests if test.condition == "C3"][:PICTURED]
    draw_panels(lab, name, worst, runs, protocol, align_care)
    return path


def _row(runs, figures):
    row = {}
    for number, score in enumerate(("ssim", "psnr")):
        known = {condition: pair[number] for condition, pair in figures.items()}
        for condition in CONDITIONS:
            cell = mean_and_deviation(by_image(runs, score, condition), known.get(condition))
            row[f"{condition} ({score.upper()})"] = cell
        row[f"Avg ({score.upper()})"] = mean(by_image(runs, score), known.get("Avg"))
    return row


def dataset_root(folder, dataset, among_others=False):
    """The folder of one of `FOLDERS`: that of the owner's name in ``folder``, or ``folder`` itself.

    With ``among_others`` it cannot be ``folder`` itself, because others have to be there, too.

    Raises:
        InputError: there is no ``train_data``.
    """
    named = folder / FOLDERS[dataset]
    for root in (named,) if among_others else (named, folder):
        if (root / "train_data").is_dir():
            return root
    itself = "" if among_others else " and no train_data"
    raise InputError(f"--data: {folder} has no {FOLDERS[dataset]}/train_data{itself}; see docs/datasets.md")


def test_images(root, budget):
    """A `Case` for each test image and condition."""
    images = budget.some(care_test_images(root))
    return [
        Case(
            image.name,
            lambda i=image, c=condition: (i.read(c), i.read("GT")),
            "ZYX",
            condition,
            files=(image.path(condition), image.path("GT")),
        )
        for image in images
        for condition in CONDITIONS
    ]


def run_transfer(lab):
    """Train on each data set, test on all: U-Net against GVTNet (and AEANet), SSIM and NRMSE."""
    roots = {dataset: dataset_root(lab.data, dataset, among_others=True) for dataset in FOLDERS}
    tests = {dataset: test_images(root, lab.budget) for dataset, root in roots.items()}
    protocol, runs, scores = scorer("care"), {}, {}
    for source, root in roots.items():
        targets = {target: "" if target == source else target for target in FOLDERS if _fits(source, tests[target])}
        for label, configs in lab.runs(source, methods(source), root).items():
            runs[source, label] = configs
            for target, kind in targets.items():
                of_seeds = [lab.score(config, tests[target], protocol, kind) for config in configs]
                scores[source, label, target] = of_seeds
    results = {score: _transfer(scores, score) for score in ("ssim", "nrmse")}
    notes = [
        "A row is trained on the first data set, a column is what it is tested on. Denoising networks need a ground "
        "truth in 3D, projecting ones in 2D: where the owner ships the other one only, a cell is empty (the paper made "
        "projections of planaria and tribolium with PreMosa). The paper gives its figures as charts, so there are none "
        "to print here."
    ]
    title = "Transfer between data sets (GVTNet paper, figure 5)"
    path = write_report(lab, "transfer", title, [table for table, _ in results.values()], notes, runs)
    for score, (_, groups) in results.items():
        chart = group_chart(groups, score.upper(), {source: f"trained on {source}" for source in FOLDERS})
        save_figure(chart, lab.reports / f"transfer_{score}.png")
    return path


def _fits(source, tests):
    """Whether the ground truth has the dimensions of what a network that was trained on ``source`` gives."""
    return tests[0].read()[1].ndim == (2 if source == "flywing" else 3)


def _transfer(scores, score):
    """The table of a score, and for its chart: source -> target and condition -> method -> scores of images."""
    columns = {f"{target} {condition}": 4 for target in FOLDERS for condition in CONDITIONS[::-1]}
    rows, groups = {}, {source: {} for source in FOLDERS}
    for (source, label, target), runs in scores.items():
        row = rows.setdefault(f"{source}, {label}", {})
        for condition in CONDITIONS[::-1]:
            of_images = by_image(runs, score, condition)
            row[f"{target} {condition}"] = mean_and_deviation(of_images)
            groups[source].setdefault(f"{target}\n{condition}", {})[label] = of_images
    return (f"{score.upper()}, mean ± standard deviation over test images.", columns, rows), groups

"""Label-free prediction (GVTNet paper, section 2.2): Pearson correlation for each structure, and paired t-tests."""

from aeanet_tf.datasets.label_free import label_free_images, structures_in
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.charts import group_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.statistics import paired_t_test
from aeanet_tf.evaluation.tables import Cell, mean_and_deviation
from aeanet_tf.experiments.figures import draw_curves
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.scores import by_image, scorer, write_report

BASELINE = "U-Net"
METHODS = (
    Method(BASELINE, "unet", "unet-labelfree"),
    Method("GVTNet", "gvtnet", "gvtnet-labelfree"),
    Method("AEANet", "aeanet", "aeanet-labelfree"),
)


def run(lab):
    """Train every method for every structure in the data folder; Pearson r, and p of being better than U-Net."""
    rows, runs, charted = {}, {}, {}
    structures = structures_in(lab.data)
    if not structures:
        raise InputError(f"--data: {lab.data} has a table of none of the 13 structures; see docs/datasets.md")
    # Before days of training: what is wrong with a later one.
    for structure in structures:
        for split in ("train", "test"):
            label_free_images(lab.data, structure, split)
    for structure in structures:
        configs = lab.runs(f"label_free/{structure}", METHODS, data={"structure": structure})
        runs |= {f"{structure}, {label}": of_seeds for label, of_seeds in configs.items()}
        tests = _tests(lab, structure, configs[BASELINE][0].data.resize)
        scores = lab.score_runs(configs, tests, scorer("label-free"))
        charted[structure] = {label: by_image(of_seeds, "pearson") for label, of_seeds in scores.items()}
        rows[structure] = _row(charted[structure])
    columns = {"n": 0, **{m.label: 4 for m in METHODS}}
    columns |= {f"{m.label} > {BASELINE}: {what}": d for m in METHODS[1:] for what, d in (("t", 2), ("p", 4))}
    caption = (
        "Pearson correlation of prediction and fluorescence, mean ± standard deviation over test images; t and p of a "
        f"paired one-tailed t-test of being better than {BASELINE}, with n - 1 degrees of freedom."
    )
    notes = [
        f"{BASELINE} here has the depth and the blocks of GVTNet; the paper's baseline is deeper (23 million "
        "parameters). The paper gives its figures as charts and in its supplement, so there are none to print here."
    ]
    title = "Label-free prediction (GVTNet paper, figure 2)"
    path = write_report(lab, "labelfree", title, [(caption, columns, rows)], notes, runs)
    save_figure(group_chart({"labelfree": charted}, "Pearson r", {"labelfree": ""}), lab.reports / "labelfree.png")
    draw_curves(lab, "labelfree", runs)
    return path


def _tests(lab, structure, resize):
    images = lab.budget.some(label_free_images(lab.data, structure, "test", resize))
    return [Case(image.name, image.read, "ZYX", files=(image.signal[0], image.target[0])) for image in images]


def _row(scores):
    """The cells of a structure, of the scores of its images by label."""
    row = {"n": Cell(len(scores[BASELINE]))}
    for label, correlations in scores.items():
        row[label] = mean_and_deviation(correlations)
        if label != BASELINE and len(correlations) > 1:
            test = paired_t_test(correlations, scores[BASELINE])
            row[f"{label} > {BASELINE}: t"] = Cell(test.statistic)
            row[f"{label} > {BASELINE}: p"] = Cell(test.p_value)
    return row

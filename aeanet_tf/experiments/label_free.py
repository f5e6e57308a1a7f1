"""Label-free prediction (GVTNet paper, section 2.2): Pearson correlation for each structure, and paired t-tests."""

from functools import partial

from aeanet_tf.datasets.label_free import label_free_images, structures_in
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.charts import group_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.statistics import paired_t_test
from aeanet_tf.evaluation.tables import Cell, mean_and_deviation
from aeanet_tf.experiments.figures import draw_curves, draw_slices
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.published import LABEL_FREE_COSTS
from aeanet_tf.experiments.scores import by_image, scorer, write_report
from aeanet_tf.experiments.step_times import seconds_per_call
from aeanet_tf.runs.train import count_parameters

BASELINE = "U-Net"
METHODS = (
    # That of the paper, and one with the depth and the blocks of GVTNet.
    Method(BASELINE, "fnet", "fnet-labelfree"),
    Method("U-Net, depth 4", "unet", "unet-labelfree"),
    Method("GVTNet", "gvtnet", "gvtnet-labelfree"),
    Method("AEANet", "aeanet", "aeanet-labelfree"),
)


def run(lab):
    """Train every method for every structure in the data folder; Pearson r, and p of being better than U-Net."""
    rows, runs, charted, pictured = {}, {}, {}, {}
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
        pictured[structure] = configs, tests[0], {label: f"r {of[0][0]['pearson']:.3f}" for label, of in scores.items()}
    columns = {"n": 0, **{m.label: 4 for m in METHODS}}
    columns |= {f"{m.label} > {BASELINE}: {what}": d for m in METHODS[1:] for what, d in (("t", 2), ("p", 4))}
    caption = (
        "Pearson correlation of prediction and fluorescence, mean ± standard deviation over test images; t and p of a "
        f"paired one-tailed t-test of being better than {BASELINE}, with n - 1 degrees of freedom."
    )
    notes = [
        f"{BASELINE} is the paper's baseline (Ounkomol et al. 2018), here with the training settings of the others. "
        "The paper gives its correlations as charts and in its supplement, so there are none to print here."
    ]
    title = "Label-free prediction (GVTNet paper, figure 2)"
    tables = [(caption, columns, rows), _costs(lab, *pictured[structures[0]][:2])]
    path = write_report(lab, "labelfree", title, tables, notes, runs)
    save_figure(group_chart({"labelfree": charted}, "Pearson r", {"labelfree": ""}), lab.reports / "labelfree.png")
    draw_curves(lab, "labelfree", runs)
    for structure, (configs, test, captions) in pictured.items():
        draw_slices(lab, f"labelfree_{structure}", test, configs, captions, standardised)
    return path


def standardised(image):
    """An image with mean 0 and standard deviation 1, which is what networks of this data predict."""
    return (image - image.mean()) / image.std()


def _costs(lab, configs, test):
    """Parameters, and the time of a prediction: what section 2.2 of the paper compares."""
    image = test.read()[0]

    def prediction(config):
        model = lab.model(config)
        return lambda: lab.predict(model, image, test.axes)

    candidates = {label: partial(prediction, config) for label, (config, *_) in configs.items()}
    seconds = seconds_per_call(lab.output / "labelfree_image_times.json", candidates)
    rows = {}
    for label, (config, *_) in configs.items():
        known = LABEL_FREE_COSTS.get(label, {})
        parameters = count_parameters(lab.model(config))
        rows[label] = {
            "parameters": Cell(parameters, published=known.get("parameters")),
            "seconds": Cell(seconds[label], published=known.get("seconds")),
        }
    caption = (
        f"Trainable parameters, and seconds to predict one image, of {' x '.join(map(str, image.shape))} voxels: the "
        "median of several on this machine."
    )
    return caption, {"parameters": 0, "seconds": 2}, rows


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

"""Figure 3d of the GVTNet paper: SSIM by the size of the volumes that are predicted at a time, on planaria."""

from functools import partial

from csbdeep.data import PercentileNormalizer

from aeanet_tf.evaluation.charts import size_charts
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.tables import mean_and_deviation
from aeanet_tf.experiments.care_methods import (
    CARE,
    CONDITIONS,
    care_note,
    care_runs,
    dataset_root,
    methods,
    test_images,
)
from aeanet_tf.experiments.equivariance import predict_in_patches
from aeanet_tf.experiments.scores import by_image, scorer, write_report

# ZYX. The paper names the first, that of 512 x 512 x 95 and the whole.
SIZES = ((48, 64, 64), (95, 128, 128), (95, 256, 256), (95, 512, 512))
WHOLE = "whole"
NOTE = (
    "X x Y x Z voxels, each with attention of its own; the last along an axis is shifted inwards to its full size, an "
    "image that is smaller is one patch. The paper names 64 x 64 x 48, 512 x 512 x 95 and the whole image; the sizes "
    "between are ours. It gives its figures as a chart, so there are none to print here."
)


def run(lab):
    """Predict the test images of planaria in patches of each size, and whole, by CARE, U-Net, GVTNet and AEANet."""
    root = dataset_root(lab.data, "planaria")
    tests, protocol = test_images(root, lab.budget), scorer("care")
    care, runs = care_runs(lab, "planaria", root), lab.runs("planaria", methods("planaria"), root)
    scores = {}
    # Size by size: whole images first, whose scores are those of table II.
    for size in (None, *SIZES):
        kind, of_care, of_ours = _prediction(size)
        found = {CARE: [run.score(tests, protocol, kind, of_care) for run in care]}
        found |= lab.score_runs(runs, tests, protocol, kind, of_ours)
        for label, of_seeds in found.items():
            scores.setdefault(label, {})[title(size)] = of_seeds
    columns = [title(size) for size in (*SIZES, None)]
    rows = {
        f"{label}, {condition}": {
            column: mean_and_deviation(by_image(of_sizes[column], "ssim", condition)) for column in columns
        }
        for label, of_sizes in scores.items()
        for condition in CONDITIONS[::-1]
    }
    caption = "SSIM (care protocol) by the size of the predicted patches, mean ± standard deviation over test images."
    tables = [(caption, dict.fromkeys(columns, 4), rows)]
    name = "Figure 3d: size of the predicted patches (GVTNet paper)"
    path = write_report(lab, "figure3d", name, tables, [NOTE, care_note(care)], runs)
    lines = {
        c: {label: [rows[f"{label}, {c}"][x].value for x in columns] for label in scores} for c in CONDITIONS[::-1]
    }
    save_figure(size_charts(lines, columns, "SSIM"), lab.reports / "figure3d.png")
    return path


def title(size):
    """How a size is called in the table."""
    return WHOLE if size is None else " x ".join(map(str, size[::-1]))


def _prediction(size):
    """Name of the kind of scores, and the functions that predict by CARE and by ours; whole as everywhere else."""
    if size is None:
        return "", None, None
    in_patches = partial(predict_in_patches, size=size)
    # That of CARE's examples; ours know theirs.
    return f"patches{'x'.join(map(str, size))}", partial(in_patches, normalizer=PercentileNormalizer()), in_patches

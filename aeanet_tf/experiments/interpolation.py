"""Tables 1 to 4 and figures 3 and 4 of the SSAN paper: slice interpolation, its extractors and its attention."""

from aeanet_tf.evaluation.charts import progress_chart
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.slice_report import slice_figure
from aeanet_tf.evaluation.statistics import paired_difference
from aeanet_tf.evaluation.tables import Cell, mean_and_deviation
from aeanet_tf.experiments import published
from aeanet_tf.experiments.attention_costs import costs_table
from aeanet_tf.experiments.figures import draw_curves
from aeanet_tf.experiments.laboratory import Method
from aeanet_tf.experiments.scores import by_image, write_report
from aeanet_tf.experiments.slice_data import (
    BASELINES,
    ISBI,
    SSAN,
    find_slice_data,
    interpolate,
    score,
    without_network,
)
from aeanet_tf.runs.repair_stack import LeftOut
from aeanet_tf.training import read_history

KERNELS = Method("Separable kernels", "kernels", "sepconv")
FLOW = Method("Flow", "flow", "flow-interpolation")
AEA = Method("SSAN, AEA block", "aea", "ssan", {"attention": "aea"})
ONE_ORDER = {"siamese": False, "symmetric": False}
EXTRACTORS = (
    Method("U-Net", "unet", "ssan", {"extractor": "unet", **ONE_ORDER}),
    Method("SU-Net", "sunet", "ssan", {"extractor": "unet"}),
    Method("RDN", "rdn", "ssan", ONE_ORDER),
)
INTERLACED = Method("SSA, one level", "interlaced", "ssan", {"attention": "interlaced"})
DENSE = Method("Self-attention, dense", "dense", "ssan", {"attention": "dense"})
PARTS = (
    Method("Long-range only", "long", "ssan", {"attention": "long"}),
    Method("Short-range only", "short", "ssan", {"attention": "short"}),
    Method("No attention", "none", "ssan", {"attention": "none"}),
)
METHODS = (SSAN, KERNELS, FLOW, AEA, *EXTRACTORS, INTERLACED, *PARTS, DENSE)
SCORES = {"psnr": ("PSNR", 2), "ssim": ("SSIM", 4), "ie": ("IE", 2)}
# Dense attention has a weight for each pair of positions: its patches are no larger, its tiles smaller.
DENSE_PATCH, DENSE_TILE = 64, 32
PICTURED = 2
# What pictures show beside the averages.
SHOWN = (SSAN.label, AEA.label)


def run(lab):
    """Train every method on every data set of the folder, score the test slices, write ``interpolation.md``."""
    sets = find_slice_data(lab)
    runs, scores, others = {}, {}, {}
    for data in sets:
        runs[data.name] = _runs(lab, data)
        others[data.name] = {
            label: [lab.score_inputs(data.tests, score, without_network(method))] for label, method in BASELINES.items()
        }
    for data in sets:
        # The methods of table 4 first, for whoever stops early.
        of_set, dense = dict(runs[data.name]), {DENSE.label: runs[data.name][DENSE.label]}
        del of_set[DENSE.label]
        scores[data.name] = lab.score_runs(of_set, data.tests, score, predict=interpolate)
        scores[data.name] |= lab.score_runs(dense, data.tests, score, predict=_interpolate_dense)
    shown = {name: {**others[name], **scores[name]} for name in scores}
    flat = {f"{label}, {name}": configs for name, of_set in runs.items() for label, configs in of_set.items()}
    tables = [
        _table("Table 4: comparison.", shown, (SSAN, AEA, KERNELS, FLOW), published.SSAN_TABLE4),
        _differences(shown),
        _table("Table 1: extractors of features.", shown, (*EXTRACTORS, SSAN), published.SSAN_TABLE1),
        _table("Table 3: attention, and parts of it.", shown, (INTERLACED, SSAN, *PARTS, DENSE), published.SSAN_TABLE3),
        costs_table(lab.budget),
    ]
    path = write_report(lab, "interpolation", "Slice interpolation (SSAN paper)", tables, _notes(lab, sets), flat)
    draw_curves(lab, "interpolation", flat)
    for data in sets:
        _draw_progress(lab, data, runs[data.name])
        _draw_slices(lab, data, runs[data.name], shown[data.name])
    return path


def _runs(lab, data):
    """`RunConfig` by label; those of dense attention with smaller patches."""
    runs = data.runs(lab, [method for method in METHODS if method is not DENSE])
    return runs | data.runs(lab, [DENSE], training={"patch_size": [DENSE_PATCH, DENSE_PATCH]})


def _interpolate_dense(model, pair, axes):
    return interpolate(model, pair, axes, [-(-side // DENSE_TILE) for side in pair.shape[1:]])


def _table(caption, shown, methods, figures):
    """Means and deviations of a table's methods on all data sets, those without a network first."""
    labels = [*BASELINES, *(label for label in figures if label not in {m.label for m in methods})]
    labels += [method.label for method in methods]
    columns, rows = {}, {label: {} for label in labels}
    for name, scores in shown.items():
        for key, (title, decimals) in SCORES.items():
            columns[f"{name}, {title}"] = decimals
            for label in labels:
                known = figures.get(label, {}).get(name, {}).get(key)
                values = by_image(scores[label], key) if label in scores else []
                rows[label][f"{name}, {title}"] = mean_and_deviation(values, known)
    # What was published of data sets that are not there says nothing here.
    rows = {label: row for label, row in rows.items() if any(cell != Cell() for cell in row.values())}
    return f"{caption} Mean ± standard deviation over the test slices; PSNR in dB.", columns, rows


def _differences(shown):
    """Paired differences in PSNR to what a network has to beat."""
    columns, rows = {}, {}
    for name, scores in shown.items():
        for baseline in BASELINES:
            column = f"{name}, to the {baseline.lower()}"
            columns[column] = 2
            for method in METHODS:
                values = (by_image(scores[label], "psnr") for label in (method.label, baseline))
                rows.setdefault(method.label, {})[column] = Cell(*paired_difference(*values))
    return "Paired differences in PSNR (dB), with 95 % intervals over the test slices.", columns, rows


def _draw_progress(lab, data, runs):
    """Figures 3 and 4 of the first run: the gammas, and the terms of the style balance loss where it is trained."""
    config = runs[SSAN.label][0]
    history = read_history(lab.folder(config) / "history.csv")
    for prefix, label, file in (
        ("gamma_", "γ", "gammas"),
        ("term_style_", "term of the style balance loss", "style_terms"),
    ):
        keys = [key for key in history[-1] if key.startswith(prefix)]
        if keys:
            curves = {key.removeprefix(prefix).replace("_", " "): [row[key] for row in history] for key in keys}
            chart = progress_chart(curves, lab.lengths(config)[1], label)
            save_figure(chart, lab.reports / data.picture("interpolation", file))


def _draw_slices(lab, data, runs, shown):
    """Pictures of the first test slices: neighbours, what methods make of them, errors."""
    tests = data.tests[:PICTURED]
    predictions = [{} for _ in tests]
    for label in SHOWN:
        model = lab.model(runs[label][0])
        for test, by_label in zip(tests, predictions, strict=True):
            by_label[label] = interpolate(model, test.read()[0], test.axes)
    for index, (test, by_label) in enumerate(zip(tests, predictions, strict=True)):
        pair, truth = test.read()
        by_label |= {label: without_network(method)(pair) for label, method in BASELINES.items()}
        scores = {label: {key: shown[label][0][index][key] for key in SCORES} for label in by_label}
        number = data.places[test.name].number
        figure = slice_figure(LeftOut(number, pair[0], pair[1], truth, by_label, scores), f"{data.name}, {test.name}")
        save_figure(figure, lab.reports / data.picture("interpolation", test.name))


def _notes(lab, sets):
    counts = ", ".join(f"{data.name} {len(data.tests)}" for data in sets)
    losses = sorted({lab.config(data.file, SSAN, lab.seeds[0]).training.loss for data in sets})
    notes = [
        f"Test slices: {counts}; seeds: {len(lab.seeds)}. All methods are given, and scored on, the same: the two "
        "neighbours aligned to the slice between, in one histogram. Predictions are rounded to 8 bits. "
        f"Losses: {', '.join(losses)}. The paper trains with the style "
        "balance loss (`style`), which asks for texture and costs PSNR.",
        "SSAN has the residual dense extractor in both orders (SRDN) and attention of two levels (AAL). RDN and U-Net "
        "see one order, and each of their warped slices has a convolution of its own. The kernel estimation layer "
        "(KEL), SepConv and DAIN are others' programs, and not here; separable kernels and flow are networks of ours "
        "after their ideas, a U-Net of one order each.",
        f"Dense attention is trained on patches of at most {DENSE_PATCH} pixels and attends within tiles of "
        f"{DENSE_TILE} and what is around them, since of a whole slice its weights do not fit into any memory.",
    ]
    if any(data.name != ISBI for data in sets):
        notes.append(
            "The paper's triplets were sorted by eye, and it does not say which of them were tested: published figures "
            "are of other test slices of the same data."
        )
    return notes

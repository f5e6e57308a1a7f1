"""Table 5 and figure 8 of the SSAN paper: are the membranes of an interpolated slice those of the true one?"""

from typing import NamedTuple

import numpy as np

from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.panels import label_panels
from aeanet_tf.evaluation.segmentation_metrics import detection_scores
from aeanet_tf.evaluation.tables import Cell, mean_and_deviation
from aeanet_tf.experiments import published
from aeanet_tf.experiments.interpolation import AEA
from aeanet_tf.experiments.laboratory import quiet
from aeanet_tf.experiments.membranes import CLASSES, METHODS, held_out_slices
from aeanet_tf.experiments.scores import by_image, write_report
from aeanet_tf.experiments.slice_data import BASELINES, ISBI, SSAN, find_slice_data, interpolate, without_network
from aeanet_tf.models.folder import weight_files
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.sections.stack import open_stack

MEMBRANE, NETWORK = 0, METHODS[0]
COLUMNS = {"precision": "precision", "recall": "recall", "f1": "F1"}
TRUE_SLICE = "True slice"
PICTURED = 2


class _Membranes:
    """The model of membranes, whose labels of a slice are the truth that interpolated slices are held against."""

    def __init__(self, lab):
        (self.config,) = lab.runs("isbi2012_membranes", [NETWORK])[NETWORK.label][:1]
        # Refuses data that lack labels, and a training on slices that are tested.
        held_out_slices(self.config.data)
        self.model = lab.model(self.config)
        self.weights = weight_files(lab.folder(self.config))

    def labels(self, image):
        """The classes of the pixels of a slice ``(y, x)``."""
        with quiet():
            return self.model.predict(np.asarray(image, "float32"), "YX", normalizer=own_normalizer(self.model))

    def annotated(self, place):
        """What annotators say of a `Place` of the stack."""
        data = self.config.data
        labels = open_stack(f"{data.root}/{data.label_stack}", data.axes, data.dataset).read(place.number)
        return labels[tuple(slice(start, start + size) for start, size in zip(place.corner, place.size, strict=True))]


class _Truth(NamedTuple):
    """What a test is scored against: labels of the true slice by the model, and by annotators where there are any."""

    model: np.ndarray
    annotated: np.ndarray | None

    def scores(self, labels):
        """Scores of labels, those against annotators with ``annotated_`` before their names."""
        scores = detection_scores(self.model, labels, MEMBRANE, tuple(CLASSES))
        if self.annotated is not None:
            own = detection_scores(self.annotated, labels, MEMBRANE, tuple(CLASSES))
            scores |= {f"annotated_{name}": value for name, value in own.items()}
        return scores


def run(lab):
    """Train the model of membranes and the networks of table 4, label true and interpolated slices, write the table."""
    sets = find_slice_data(lab)
    membranes = _Membranes(lab)
    runs, shown, annotated = {}, {}, {}
    for data in sets:
        of_set = data.runs(lab, (SSAN, AEA))
        runs |= {f"{label}, {data.name}": configs for label, configs in of_set.items()}
        shown[data.name] = _scores(lab, data, membranes, of_set)
        if data.name == ISBI:
            annotated = {data.name: shown[data.name]}
        _draw(lab, data, membranes, of_set, shown[data.name])
    tables = [_table("Against the labels of the true slice by the same model.", shown, "")]
    if annotated:
        tables.append(_table("Against the annotators' labels.", annotated, "annotated_"))
    title = "Membranes in interpolated slices (SSAN paper, table 5)"
    runs = {NETWORK.label: [membranes.config], **runs}
    return write_report(lab, "interpolation-membranes", title, tables, _notes(lab, sets, membranes), runs)


def _scores(lab, data, membranes, runs):
    """Label -> scores of each run: of slices without a network, of the true one, and of those of each network."""
    truths = {test.name: _truth(data, test, membranes) for test in data.tests}
    scores = {}
    for label, method in {TRUE_SLICE: None, **BASELINES}.items():
        rows = []
        for test in data.tests:
            pair, truth = test.read()
            image = truth if method is None else without_network(method)(pair)
            row = truths[test.name].scores(membranes.labels(image))
            rows.append({"image": test.name, "condition": test.condition, **row})
        scores[label] = [rows]
    for label, configs in runs.items():
        scores[label] = [_of_run(lab, data, membranes, truths, config) for config in configs]
    return scores


def _of_run(lab, data, membranes, truths, config):
    """Scores of a network's slices, kept for as long as neither its weights nor those of the membranes change."""
    weights = weight_files(lab.folder(config)) if lab.is_trained(config) else []
    tests = [test._replace(read=_with_truth(test, truths[test.name])) for test in data.tests]

    def predict(model, pair, axes):
        return membranes.labels(interpolate(model, pair, axes))

    def protocol(truth, labels, pair):
        return truth.scores(labels)

    own = [*weights, *membranes.weights] if weights else []
    name, load = config.model.name, lambda: lab.model(config)
    return lab.score_other(name, load, own, tests, protocol, "membranes", predict)


def _truth(data, test, membranes):
    annotated = membranes.annotated(data.places[test.name]) if data.name == ISBI else None
    return _Truth(membranes.labels(test.read()[1]), annotated)


def _with_truth(test, truth):
    return lambda: (test.read()[0], truth)


def _table(caption, shown, prefix):
    figures = {} if prefix else published.SSAN_TABLE5
    there = {label for label, of_sets in figures.items() if not {*of_sets}.isdisjoint(shown)}
    first = [TRUE_SLICE] if prefix else []
    labels = [*first, *BASELINES, *(label for label in figures if label in there - {SSAN.label}), SSAN.label, AEA.label]
    columns, rows = {}, {label: {} for label in labels}
    for name, scores in shown.items():
        for key, title in COLUMNS.items():
            column = f"{name}, {title}"
            columns[column] = 4
            for label in labels:
                values = by_image(scores[label], prefix + key) if label in scores else []
                known = figures.get(label, {}).get(name, (None, None))[1] if key == "f1" else None
                rows[label][column] = mean_and_deviation(values, known) if len(values) or known else Cell()
    return f"{caption} Membranes, mean ± standard deviation over the test slices.", columns, rows


def _draw(lab, data, membranes, runs, scores):
    """Figure 8: the labels of the first test slices, true and interpolated."""
    tests = data.tests[:PICTURED]
    found = [{} for _ in tests]
    for label, configs in runs.items():
        model = lab.model(configs[0])
        for test, by_label in zip(tests, found, strict=True):
            by_label[label] = membranes.labels(interpolate(model, test.read()[0], test.axes))
    for index, (test, networks) in enumerate(zip(tests, found, strict=True)):
        pair, truth = test.read()
        by_label = {label: membranes.labels(without_network(method)(pair)) for label, method in BASELINES.items()}
        by_label |= networks
        dice = {label: {f"dice_{MEMBRANE}": scores[label][0][index]["f1"]} for label in by_label}
        title = f"{data.name}, {test.name}: membranes in interpolated slices"
        figure = label_panels(truth, membranes.labels(truth), by_label, CLASSES, dice, title)
        save_figure(figure, lab.reports / data.picture("interpolation-membranes", test.name))


def _notes(lab, sets, membranes):
    counts = ", ".join(f"{data.name} {len(data.tests)}" for data in sets)
    return [
        f"Test slices: {counts}; seeds of the interpolation: {len(lab.seeds)}, of the membranes: 1. One model of "
        f"membranes (`{membranes.config.model.name}`, trained on ISBI 2012) labels all slices; it sees no tested slice "
        "in training. All slices are prepared alike: neighbours aligned to the true one, one histogram for the three.",
        "F1 is the Dice ratio, of which the paper gives both, up to 0.004 apart. The paper does not say what its model "
        "of membranes is, nor what it was trained on: published figures are of the same volumes, not of one model.",
    ]

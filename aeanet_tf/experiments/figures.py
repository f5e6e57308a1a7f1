"""Pictures of an experiment: how its networks learned, and what they make of test images."""

import logging
from functools import partial
from typing import Any, NamedTuple

from aeanet_tf.evaluation.charts import training_figure
from aeanet_tf.evaluation.equivariance import rotate_input
from aeanet_tf.evaluation.figures import plane, save_figure
from aeanet_tf.evaluation.map_figures import equivariance_figure
from aeanet_tf.evaluation.panels import label_panels, prediction_panels
from aeanet_tf.evaluation.slice_panels import centre_slices, slice_panels
from aeanet_tf.models.folder import weight_files
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.training import read_history

logger = logging.getLogger("aeanet_tf")


def draw_curves(lab, name, runs):
    """Write ``<name>_curves.png``: losses of all ``runs``, label -> list of `RunConfig`, one a seed."""
    histories = {
        label: [read_history(lab.folder(config) / "history.csv") for config in configs]
        for label, configs in runs.items()
    }
    steps = {label: lab.lengths(configs[0])[1] for label, configs in runs.items()}
    save_figure(training_figure(histories, steps), lab.reports / f"{name}_curves.png")


def draw_panels(lab, name, tests, runs, protocol, align=None, predict=None, others=None):
    """Write ``<name>_<image>.png`` for each test: input, predictions, ground truth, and errors.

    Args:
        lab, name: `Laboratory`, and name of the experiment.
        tests: list of `Case`; of volumes the middle plane is shown.
        runs: label -> list of `RunConfig`, of which the first is shown.
        protocol: see `Laboratory.score`, for the captions.
        align: function ``(gt, prediction)`` that brings both to one unit; as they are by default.
        predict: see `Laboratory.score`.
        others: label -> `CareRun`; these stand first.
    """
    drawn = _drawn(lab, runs, predict, others)
    files = [file for method in drawn.values() for file in method.weights]
    tests = [test for test in tests if not _is_drawn(lab, name, test, files)]
    results = {test.name: ({}, {}) for test in tests}
    # Method by method, because each is loaded by itself.
    for label, method in drawn.items():
        model = method.load() if tests else None
        for test in tests:
            image, gt = test.read()
            prediction = test.cut(method.predict(model, image, test.axes))
            pictures, scores = results[test.name]
            scores[label] = protocol(gt, prediction, test.cut(image))
            gt, prediction = align(gt, prediction) if align else (gt, prediction)
            # Copied, lest the volume stays.
            pictures[label] = plane(prediction).copy()
    for test in tests:
        image, gt = test.read()
        low = test.cut(image)
        pictures, scores = results[test.name]
        if low.ndim == gt.ndim:
            scores["input"] = protocol(gt, low, low)
        else:
            # A projection is shown beside the brightest voxels.
            low = low.max(axis=0)
        gt = align(gt, gt)[0] if align else gt
        title = f"{test.name} {test.condition}".strip()
        _save(lab, name, test, prediction_panels(plane(low), pictures, plane(gt), scores, title))


class _Drawn(NamedTuple):
    """A trained model of a picture: a function that gives it, how it predicts, and the files of its weights."""

    load: Any
    predict: Any
    weights: list


def _drawn(lab, runs, predict, others=None):
    """Label -> `_Drawn`, of the arguments of `draw_panels`."""
    shown = {label: _Drawn(run.model, run.care.predict, run.weights()) for label, run in (others or {}).items()}
    for label, (config, *_) in runs.items():
        weights = weight_files(lab.folder(config))
        shown[label] = _Drawn(partial(lab.model, config), predict or lab.predict, weights)
    return shown


def draw_labels(lab, name, tests, runs, scores, classes, predict=None, view=None, planes=None):
    """Write ``<name>_<image>.png`` for each test: image, ground truth, labels of each method, and where they are wrong.

    Args:
        lab, name: `Laboratory`, and name of the experiment.
        tests: list of `Case`.
        runs: label -> list of `RunConfig`, at the place of each test the run to show.
        scores: label -> what the runs scored, one a test, for the captions.
        classes: value -> name of each class, as `label_panels` takes them.
        predict: see `Laboratory.score`.
        view: function ``(image, array)`` of an input and itself, the ground truth or a prediction that gives what is
            shown of the array, 2D; the middle plane by default.
        planes: ``(name of the model, name of the test)`` -> what is shown of a prediction that was made before.
    """
    predict, view = predict or lab.predict, view or (lambda image, array: plane(array))
    places = [
        place
        for place, test in enumerate(tests)
        if not _is_drawn(
            lab, name, test, [file for of in runs.values() for file in weight_files(lab.folder(of[place]))]
        )
    ]
    pictures = {place: {} for place in places}
    # Method by method, because each is loaded by itself.
    for label, configs in runs.items():
        for place in places:
            config, test = configs[place], tests[place]
            picture = (planes or {}).get((config.model.name, test.name))
            if picture is None:
                image = test.read()[0]
                # Copied, lest the volume stays.
                picture = view(image, predict(lab.model(config), image, test.axes)).copy()
            pictures[place][label] = picture
    for place, by_label in pictures.items():
        image, gt = tests[place].read()
        of_test = {label: rows[place] for label, rows in scores.items()}
        figure = label_panels(view(image, image), view(image, gt), by_label, classes, of_test, tests[place].name)
        _save(lab, name, tests[place], figure)


def draw_slices(lab, name, test, runs, captions, align):
    """Write ``<name>_<image>.png``: slices in z, y and x of input, predictions and ground truth (figure 2c).

    Args:
        lab, name: `Laboratory`, and name of the experiment.
        test: `Case`, a volume.
        runs: label -> list of `RunConfig`, of which the first is shown.
        captions: label -> what stands below it.
        align: function of the ground truth that brings it to the unit of the predictions.
    """
    drawn = _drawn(lab, runs, None)
    if _is_drawn(lab, name, test, [file for method in drawn.values() for file in method.weights]):
        return
    image, gt = test.read()
    # Method by method, because each is loaded by itself; copied, lest the volumes stay.
    shown = {
        label: {axis: part.copy() for axis, part in centre_slices(method.predict(method.load(), image, "ZYX")).items()}
        for label, method in drawn.items()
    }
    figure = slice_panels(centre_slices(image), shown, centre_slices(align(gt)), captions, test.name)
    _save(lab, name, test, figure)


def draw_rotation(lab, name, config, case, title):
    """Write ``<name>.png``: query and attention output of a run for a 2D `Case` and for it rotated (figure 6)."""
    model, image = lab.model(config), case.read()[0]
    rotated = rotate_input(model.keras_model, own_normalizer(model).before(image, case.axes)[None, ..., None])
    save_figure(equivariance_figure(rotated, title=f"{title}, {case.name}"), lab.reports / f"{name}.png")


def _is_drawn(lab, name, test, files):
    """Whether the picture of a test is not older than the weights of what it shows."""
    path = _path(lab, name, test)
    newest = max(file.stat().st_mtime for file in files)
    return path.is_file() and path.stat().st_mtime >= newest


def _save(lab, name, test, figure):
    path = _path(lab, name, test)
    save_figure(figure, path)
    logger.info("picture: %s", path)


def _path(lab, name, test):
    return lab.reports / f"{name}_{test.name}{test.condition and '_'}{test.condition}.png"

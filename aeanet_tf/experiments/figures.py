"""Pictures of an experiment: how its networks learned, and what they make of test images."""

import logging

from aeanet_tf.evaluation.charts import training_figure
from aeanet_tf.evaluation.equivariance import rotate_input
from aeanet_tf.evaluation.figures import plane, save_figure
from aeanet_tf.evaluation.map_figures import equivariance_figure
from aeanet_tf.evaluation.panels import label_panels, prediction_panels
from aeanet_tf.models.folder import weight_files
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.training import read_history

logger = logging.getLogger("aeanet_tf")


def draw_curves(lab, name, runs):
    """Write ``<name>_curves.png``: losses of all runs.

    Args:
        lab: `Laboratory`.
        name: of the experiment.
        runs: label -> list of `RunConfig`, one a seed.
    """
    histories, steps = {}, {}
    for label, configs in runs.items():
        histories[label] = [read_history(lab.folder(config) / "history.csv") for config in configs]
        steps[label] = configs[0].training.steps_per_epoch
    save_figure(training_figure(histories, steps), lab.output / f"{name}_curves.png")


def draw_panels(lab, name, tests, runs, protocol, align=None, predict=None):
    """Write ``<name>_<image>.png`` for each test: input, predictions, ground truth, and errors.

    Args:
        lab: `Laboratory`.
        name: of the experiment.
        tests: list of `Case`; of volumes the middle plane is shown.
        runs: label -> `RunConfig` of the run to show.
        protocol: see `Laboratory.score`, for the captions.
        align: function ``(gt, prediction)`` that brings both to one unit; as they are by default.
        predict: see `Laboratory.score`.
    """
    predict = predict or lab.predict
    newest = _newest(lab, runs.values())
    tests = [test for test in tests if not _is_newer(_path(lab, name, test), newest)]
    results = {test.name: ({}, {}) for test in tests}
    # Method by method, because each is loaded by itself.
    for label, config in runs.items():
        model = lab.model(config)
        for test in tests:
            image, gt = test.read()
            prediction = test.cut(predict(model, image, test.axes))
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
        path, title = _path(lab, name, test), f"{test.name} {test.condition}".strip()
        save_figure(prediction_panels(plane(low), pictures, plane(gt), scores, title=title), path)
        logger.info("picture: %s", path)


def draw_labels(lab, name, shown, classes, predict=None, view=None, planes=None):
    """Write ``<name>_<image>.png`` for each test: image, ground truth, labels of each method, and where they are wrong.

    Args:
        lab: `Laboratory`.
        name: of the experiment.
        shown: list of ``(test, runs)``: a `Case`, and a dict label -> ``(config, scores)``, the `RunConfig` of the run
            to show and what it scored, for the caption; the same labels for all tests.
        classes: value -> name of each class, as `label_panels` takes them.
        predict: see `Laboratory.score`.
        view: function ``(image, array)`` of an input and itself, the ground truth or a prediction that gives what is
            shown of the array, 2D; the middle plane by default.
        planes: ``(name of the model, name of the test)`` -> what is shown of a prediction that was made before.
    """
    predict, view = predict or lab.predict, view or (lambda image, array: plane(array))
    shown = [
        (test, runs)
        for test, runs in shown
        if not _is_newer(_path(lab, name, test), _newest(lab, [config for config, _ in runs.values()]))
    ]
    pictures = [{} for _ in shown]
    # Method by method, because each is loaded by itself.
    for label in shown[0][1] if shown else ():
        for by_label, (test, runs) in zip(pictures, shown, strict=True):
            config = runs[label][0]
            by_label[label] = (planes or {}).get((config.model.name, test.name))
            if by_label[label] is None:
                image = test.read()[0]
                # Copied, lest the volume stays.
                by_label[label] = view(image, predict(lab.model(config), image, test.axes)).copy()
    for by_label, (test, runs) in zip(pictures, shown, strict=True):
        image, gt = test.read()
        scores, path = {label: of_run for label, (_, of_run) in runs.items()}, _path(lab, name, test)
        figure = label_panels(
            view(image, image), view(image, gt), by_label, list(classes), scores, test.name, list(classes.values())
        )
        save_figure(figure, path)
        logger.info("picture: %s", path)


def draw_rotation(lab, name, config, case, title):
    """Write ``<name>.png``: query and attention output for an image and the rotated image (figure 6).

    Args:
        lab: `Laboratory`.
        name: of the file.
        config: of the run.
        case: a 2D `Case`.
        title: above the figure.
    """
    model, image = lab.model(config), case.read()[0]
    rotated = rotate_input(model.keras_model, own_normalizer(model).before(image, case.axes)[None, ..., None])
    save_figure(equivariance_figure(rotated, title=f"{title}, {case.name}"), lab.output / f"{name}.png")


def _newest(lab, configs):
    """When the last of the weights were written."""
    return max(path.stat().st_mtime for config in configs for path in weight_files(lab.folder(config)))


def _is_newer(path, time):
    return path.is_file() and path.stat().st_mtime >= time


def _path(lab, name, test):
    return lab.output / f"{name}_{test.name}{test.condition and '_'}{test.condition}.png"

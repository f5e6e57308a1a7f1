"""Pictures of an experiment: how its networks learned, and what they make of test images."""

import logging

from aeanet_tf.evaluation.curve_figures import training_figure
from aeanet_tf.evaluation.drawing import plane, save_figure
from aeanet_tf.evaluation.map_figures import equivariance_figure
from aeanet_tf.evaluation.panel_figures import prediction_panels
from aeanet_tf.evaluation.rotation import rotate_input
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
    newest = max(path.stat().st_mtime for config in runs.values() for path in weight_files(lab.folder(config)))
    tests = [test for test in tests if not _is_newer(_path(lab, name, test), newest)]
    found = {test.name: ({}, {}) for test in tests}
    # Method by method, because each is loaded by itself.
    for label, config in runs.items():
        model = lab.model(config)
        for test in tests:
            image, gt = test.read()
            prediction = test.cut(predict(model, image, test.axes))
            pictures, scores = found[test.name]
            scores[label] = protocol(gt, prediction, test.cut(image))
            gt, prediction = align(gt, prediction) if align else (gt, prediction)
            # Copied, lest the volume stays.
            pictures[label] = plane(prediction).copy()
    for test in tests:
        image, gt = test.read()
        low = test.cut(image)
        pictures, scores = found[test.name]
        if low.ndim == gt.ndim:
            scores["input"] = protocol(gt, low, low)
        else:
            # A projection is shown beside the brightest voxels.
            low = low.max(axis=0)
        gt = align(gt, gt)[0] if align else gt
        path, title = _path(lab, name, test), f"{test.name} {test.condition}".strip()
        save_figure(prediction_panels(plane(low), pictures, plane(gt), scores, title=title), path)
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
    found = rotate_input(model.keras_model, own_normalizer(model).before(image, case.axes)[None, ..., None])
    save_figure(equivariance_figure(found, title=f"{title}, {case.name}"), lab.output / f"{name}.png")


def _is_newer(path, time):
    return path.is_file() and path.stat().st_mtime >= time


def _path(lab, name, test):
    return lab.output / f"{name}_{test.name}{test.condition and '_'}{test.condition}.png"

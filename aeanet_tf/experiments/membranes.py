"""AEANet and U-Net on the membranes of ISBI 2012: six slices at the end of the stack, which no training sees."""

from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.segmentation_metrics import class_scores, confusion
from aeanet_tf.evaluation.statistics import paired_difference
from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments.comparison import intervals
from aeanet_tf.experiments.figures import draw_curves, draw_labels
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.scores import by_image, write_report
from aeanet_tf.io.labels import to_classes
from aeanet_tf.runs.train import count_parameters
from aeanet_tf.sections.stack import open_stack, parse_slices

METHODS = (Method("AEANet", "aeanet", "aeanet-em"), Method("U-Net", "unet", "unet-em"))
INSIDE = 255
CLASSES = {0: "membrane", INSIDE: "inside"}
COLUMNS = {"dice_0": ("Dice of membranes", 4), "dice_255": ("Dice of inside", 4), "accuracy": ("pixel accuracy", 4)}
TESTED = range(24, 30)
PICTURED = 3


def run(lab):
    """Train both methods with every seed, score the tested slices, write ``membranes.md``."""
    runs = lab.runs("isbi2012_membranes", METHODS)
    tests = lab.budget.some(held_out_slices(runs[METHODS[0].label][0].data))
    scores = lab.score_runs(runs, tests, membrane_scores)
    # What a network has to surpass in whatever is shown of it: most of a slice is inside.
    nothing = lab.score_inputs(tests, membrane_scores, lambda image: np.full(image.shape, INSIDE))
    path = write_report(
        lab, "membranes", "Membranes of ISBI 2012", _tables(lab, runs, scores, nothing), _notes(tests), runs
    )
    draw_curves(lab, "membranes", runs)
    first = {label: [of_seeds[0]] * PICTURED for label, of_seeds in runs.items()}
    of_first = {label: of_seeds[0] for label, of_seeds in scores.items()}
    draw_labels(lab, "membranes", tests[:PICTURED], first, of_first, CLASSES)
    return path


def held_out_slices(data):
    """A `Case` for each slice of `TESTED`, of the stacks that a `DataSection` names. All are read, before the training.

    Raises:
        InputError: a stack cannot be read, is too short, or they differ in size; a slice has other labels than
            `CLASSES`, or lacks one of them; or the section trains or validates on a tested slice.
    """
    used = {*parse_slices(data.train_slices), *parse_slices(data.validation_slices)}
    if not used.isdisjoint(TESTED):
        raise InputError(
            f"data.train_slices, data.validation_slices: slice {min(used & {*TESTED})} is among them, expected none of "
            f"{TESTED[0]} to {TESTED[-1]}, which are tested"
        )
    paths = (Path(data.root) / name for name in (data.stack, data.label_stack))
    images, labels = (open_stack(path, data.axes, data.dataset) for path in paths)
    if (len(images), images.shape) != (len(labels), labels.shape):
        raise InputError(
            f"{labels.path}: found {len(labels)} slices of {labels.shape}, expected {len(images)} of {images.shape} as "
            f"{images.path} has"
        )
    for number in TESTED:
        images.read(number)
        classes = to_classes(labels.read(number), list(CLASSES), f"{labels.path}, slice {number}")
        if np.unique(classes).size < len(CLASSES):
            raise InputError(f"{labels.path}, slice {number}: has one class only, expected labels {list(CLASSES)}")
    return [
        Case(f"slice-{n}", lambda n=n: (images.read(n), labels.read(n)), "YX", files=(images.path, labels.path))
        for n in TESTED
    ]


def membrane_scores(gt, image, _):
    """Dice ratio of the two classes, ``dice_0`` of the membranes and ``dice_255``, their mean, and ``accuracy``: the
    part of the pixels that have their true class.
    """
    matrix = confusion(gt, image, tuple(CLASSES))
    return {**class_scores(tuple(CLASSES), matrix, None), "accuracy": np.trace(matrix) / matrix.sum()}


def _tables(lab, runs, scores, nothing):
    rows = {"all inside": intervals([nothing], COLUMNS)}
    for label, (config, *_) in runs.items():
        parameters = Cell(count_parameters(lab.model(config)))
        rows[label] = {"parameters": parameters, **intervals(scores[label], COLUMNS)}
    first, second = (method.label for method in METHODS)
    rows[f"{first} − {second}"] = {
        title: Cell(*paired_difference(by_image(scores[first], name), by_image(scores[second], name)))
        for name, (title, _) in COLUMNS.items()
    }
    columns = dict(COLUMNS.values())
    tables = [("Mean over seeds and slices, with the 95 % interval over slices.", {"parameters": 0, **columns}, rows)]
    if len(lab.seeds) > 1:
        single = {
            f"{label}, seed {seed}": intervals([run], COLUMNS)
            for label, of_seeds in scores.items()
            for seed, run in zip(lab.seeds, of_seeds, strict=True)
        }
        tables.append(("Mean over the slices of each seed, with the 95 % interval over slices.", columns, single))
    return tables


def _notes(tests):
    return [
        f"Tested: {', '.join(test.name for test in tests)} (counted from 0), whole slices. The interval takes the "
        "slices as independent; neighbours in one stack are not, so it is too narrow for what another tissue would "
        "give."
    ]

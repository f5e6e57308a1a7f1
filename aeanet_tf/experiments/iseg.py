"""Tissues of infant brains (AEANet paper, section VI-C, table IV): each subject of iSeg-2017 is left out in turn."""

from functools import partial
from typing import NamedTuple

import numpy as np

from aeanet_tf.datasets.iseg import CLASSES, LABELS, TISSUES, brain_box, iseg_subjects, read_subject
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import plane
from aeanet_tf.evaluation.metrics import mean_of_classes
from aeanet_tf.evaluation.segmentation_metrics import class_scores, confusion, linewise_hausdorff
from aeanet_tf.evaluation.tables import Cell, mean_and_deviation
from aeanet_tf.experiments.figures import draw_curves, draw_labels
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.experiments.published import TABLE4
from aeanet_tf.experiments.scores import by_image, write_report
from aeanet_tf.io.labels import to_labels
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.models.segmentation import STEP

METHODS = (
    Method("Non-local U-Net", "nonlocal-unet", "nonlocal-unet-mri"),
    Method("AEANet", "aeanet", "aeanet-mri"),
    Method("U-Net", "unet", "unet-mri"),
)
COLUMNS = {**TISSUES, "mean": "Avg."}
PICTURED = 3
FEWEST_SUBJECTS = 3


class Fold(NamedTuple):
    """Numbers of the subjects: the one that is tested, the one that weights are chosen by, those of the training."""

    tested: int
    validation: int
    train: tuple[int, ...]

    @property
    def fields(self):
        """What differs in the section ``data`` of a run configuration."""
        return {"train_subjects": ",".join(map(str, self.train)), "validation_subjects": str(self.validation)}


def run(lab):
    """Train every method without each subject, and write the Dice ratios and distances of the subjects left out."""
    subjects = labelled_subjects(lab.data, lab.config("iseg2017", METHODS[0], lab.seeds[0]).training.patch_size)
    folds = lab.budget.some(leave_one_out(subjects))
    tests = [subject_case(lab.data, fold.tested) for fold in folds]
    configs, scores, planes = _trained(lab, folds, tests)
    tables = [
        (
            f"Dice ratio, mean ± standard deviation over {len(folds)} subjects, each left out of training in turn.",
            dict.fromkeys(COLUMNS.values(), 4),
            _rows(scores, "dice", TABLE4),
        ),
        (
            "3D-MHD, modified Hausdorff distance of the lines of the whole volume along each axis (Wang et al. 2020; "
            "the root of a number of voxels, no millimetres), mean ± standard deviation over the same subjects.",
            dict.fromkeys(COLUMNS.values(), 4),
            _rows(scores, "mhd"),
        ),
        _by_subject(scores, folds),
    ]
    title = "Segmentation of infant brains, iSeg-2017 (AEANet paper, table IV)"
    path = write_report(lab, "table4", title, tables, _notes(lab, subjects, scores, folds), configs)
    draw_curves(lab, "table4", configs)
    of_first = {label: of_seeds[0] for label, of_seeds in scores.items()}
    classes = dict(zip(LABELS, CLASSES, strict=True))
    draw_labels(lab, "table4", tests[:PICTURED], configs, of_first, classes, predict_subject, _middle_of_t1, planes)
    return path


def _trained(lab, folds, tests):
    """Runs of each method, fold by fold and seed by seed, the scores of the folds for each seed, planes to show."""
    configs = {method.label: [] for method in METHODS}
    scores, planes = {method.label: [[] for _ in lab.seeds] for method in METHODS}, {}
    # Seed by seed: whoever stops early has a comparison of the first.
    for number, seed in enumerate(lab.seeds):
        for fold, test in zip(folds, tests, strict=True):
            predict = partial(_predict_and_keep, planes, test.name)
            for method in METHODS:
                config = lab.config("iseg2017", method, seed, part=f"subject{fold.tested}", data=fold.fields)
                configs[method.label].append(config)
                scores[method.label][number] += lab.score(config, [test], tissue_scores, predict=predict)
    return configs, scores, planes


def _predict_and_keep(planes, name, model, image, axes):
    """`predict_subject`, which takes minutes; what the picture shows of it is kept."""
    labels = predict_subject(model, image, axes)
    planes[model.name, name] = _middle_of_t1(image, labels).copy()
    return labels


def labelled_subjects(folder, patch_size=None):
    """Numbers of the subjects of a folder that have labels, sorted; each is read, before days of training.

    Args:
        folder: of iSeg-2017.
        patch_size: Z, Y, X of the patches to train on, that the box of each brain has to hold.

    Raises:
        InputError: there are fewer than three, one to train on, to choose weights by, and to test each; or one cannot
            be read, see `aeanet_tf.datasets.iseg.read_subject`, or is too small.
    """
    labelled = [number for number in iseg_subjects(folder) if any(folder.glob(f"subject-{number}-label.*"))]
    if len(labelled) < FEWEST_SUBJECTS:
        raise InputError(
            f"--data: {folder} has {len(labelled)} subjects with labels, expected at least {FEWEST_SUBJECTS}: one to "
            "test, one to choose the weights by, one to train on"
        )
    for number in labelled:
        box = tuple(side.stop - side.start for side in read_subject(folder, number).crop)
        if patch_size is not None and any(np.less(box, patch_size)):
            raise InputError(
                f"{folder}: the brain of subject {number} has a box of {box} voxels, expected at least "
                f"training.patch_size {tuple(patch_size)}"
            )
    return labelled


def leave_one_out(subjects):
    """A `Fold` for each subject: it is tested, the next one (after the last the first) validated, the others trained.

    The paper does not say how weights are chosen. Our choice: not by the subject that is tested.
    """
    folds = []
    for place, tested in enumerate(subjects):
        validation = subjects[(place + 1) % len(subjects)]
        folds.append(Fold(tested, validation, tuple(n for n in subjects if n not in (tested, validation))))
    return folds


def subject_case(folder, number):
    """The `Case` of a subject: images as stored, and labels as stored."""

    def read():
        subject = read_subject(folder, number)
        return subject.images, to_labels(subject.labels, LABELS)

    files = sorted(path for name in ("T1", "T2", "label") for path in folder.glob(f"subject-{number}-{name}.*"))
    return Case(f"subject-{number}", read, "ZYXC", files=tuple(files))


def predict_subject(model, image, axes):
    """Labels of a subject: of the box of the brain, in overlapping patches whose probabilities are averaged.

    Args:
        model: `SegmentationAEANet`.
        image: (Z, Y, X, 2) as stored.
        axes: "ZYXC".

    Returns:
        (Z, Y, X) of `LABELS`, the background about the brain.
    """
    box = brain_box(image)
    normalizer = own_normalizer(model)
    labels = np.full(image.shape[:3], LABELS[0], np.uint8)
    labels[box] = model.predict(image[box], axes, normalizer=normalizer, tiling="patches", step=STEP)
    return labels


def tissue_scores(gt, image, _):
    """Scores of the tissues of a volume: ``dice_<label>`` and ``mhd_<label>``, and their means over the tissues.

    A tissue that the ground truth lacks has NaN, and is left out of the means: for every method alike, whether it
    finds some or not.
    """
    ratios = class_scores(LABELS, confusion(gt, image, LABELS))
    scores = {}
    for name, score in (
        ("dice", lambda label: ratios[f"dice_{label}"]),
        ("mhd", lambda label: linewise_hausdorff(gt, image, label)),
    ):
        by_label = {label: score(label) if (gt == label).any() else np.nan for label in TISSUES}
        scores |= {f"{name}_{label}": value for label, value in by_label.items()}
        scores[f"{name}_mean"] = mean_of_classes(list(by_label.values()))
    return scores


def _rows(scores, name, published=None):
    """The table of a score; with published figures those of other methods, too."""
    published, rows = published or {}, {}
    for label in {**published, **scores}:
        row = rows[label] = {}
        for key, column in COLUMNS.items():
            values = by_image(scores[label], f"{name}_{key}") if label in scores else np.empty(0)
            row[column] = mean_and_deviation(values[~np.isnan(values)], published.get(label, {}).get(column))
    return rows


def _by_subject(scores, folds):
    means = {label: by_image(runs, "dice_mean") for label, runs in scores.items()}
    columns = {"weights chosen on": 0, **dict.fromkeys(means, 4)}
    rows = {}
    for i, fold in enumerate(folds):
        cells = {label: Cell(float(values[i])) for label, values in means.items()}
        rows[f"subject {fold.tested}"] = {"weights chosen on": Cell(fold.validation), **cells}
    return "Dice ratio of each subject when it is left out, mean over its tissues.", columns, rows


def _notes(lab, subjects, scores, folds):
    seeds = f" Scores of a subject are means over {len(lab.seeds)} seeds." if len(lab.seeds) > 1 else ""
    notes = [
        f"{len(subjects)} subjects have labels. Each is tested by networks that are trained on {len(subjects) - 2} "
        "others, their weights chosen by the validation loss of one more: the next one, after the last the first. The "
        "paper trains on nine of ten and says nothing of validation. That weights are never chosen by the subject that "
        f"is tested is our choice.{seeds}",
        f"Prediction: the box of the brain, patches of the training's size every {STEP} voxels, probabilities averaged "
        "(Wang et al. 2020). What is scored is the whole volume.",
        "The U-Net without attention is ours; the paper has no row for it. No published distances stand beside ours: "
        "the paper has none, and those of Wang et al. (AAAI 2020) could not be verified.",
    ]
    # What the ground truth lacks is the same for every method.
    runs = next(iter(scores.values()))
    for label, tissue in TISSUES.items():
        lacking = np.isnan(by_image(runs, f"dice_{label}"))
        if lacking.any():
            named = ", ".join(str(fold.tested) for fold, lacks in zip(folds, lacking, strict=True) if lacks)
            notes.append(f"{tissue} is absent from the labels of subject {named}, which its means leave out.")
    return notes


def _middle_of_t1(image, array):
    """The middle plane of the brain: of T1, where there are channels."""
    return plane((array[..., 0] if array.ndim > 3 else array)[brain_box(image)])

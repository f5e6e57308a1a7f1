"""Table V: how far the output of a turned patch is from the turned output of the patch."""

from aeanet_tf.evaluation.equivariance import TRANSFORMATIONS, equivariance_errors
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.experiments.report import mean
from aeanet_tf.experiments.scores import by_image

PATCH = 256
BASELINE, OURS = "Self-attention", "AEA block"


def middle_patches(cases):
    """The middle 256 x 256 pixels of each case, as the paper takes patches."""
    return [Case(case.name, lambda case=case: (_middle(case),) * 2, case.axes, files=case.files) for case in cases]


def _middle(case):
    image = case.cut(case.read()[0])
    starts = [max(0, (n - PATCH) // 2) for n in image.shape]
    return image[tuple(slice(start, start + PATCH) for start in starts)].astype("float32")


def turning_errors(predict):
    """A function for `Laboratory.score` that gives the errors of a model on a patch.

    Args:
        predict: function ``(model, image, axes)`` whose result is in the units of the table, values about 0 to 1.
    """
    return lambda model, patch, axes: equivariance_errors(lambda image: predict(model, image, axes), patch)


def errors_alone(gt, errors, image):
    """The protocol: what `turning_errors` gave."""
    return errors


def turning_table(scores, cases, figures=None):
    """The table and a sentence on it.

    Args:
        scores: label -> runs of `Laboratory.score`; the paper's labels are ``BASELINE``, "Learned query", ``OURS``.
        cases: of `middle_patches`.
        figures: published ones, label -> transformation -> error.
    """
    figures = figures or {}
    rows = {
        label: {name: mean(by_image(runs, name), figures.get(label, {}).get(name)) for name in TRANSFORMATIONS}
        for label, runs in scores.items()
    }
    caption = (
        "Equivariance: mean absolute difference between the output of a turned patch and the turned output, values "
        f"about 0 to 1, {len(cases)} patches of {PATCH} x {PATCH} from the middle of the test images."
    )
    lower = [name for name, cell in rows[OURS].items() if cell.value < rows[BASELINE][name].value]
    if len(lower) == len(TRANSFORMATIONS):
        verdict = "The AEA block's errors are all below the self-attention's."
    elif lower:
        verdict = f"The AEA block's error is below the self-attention's for {', '.join(lower)} only."
    else:
        verdict = "The AEA block's errors are below the self-attention's for none of the transformations."
    return (caption, dict.fromkeys(TRANSFORMATIONS, 5), rows), verdict

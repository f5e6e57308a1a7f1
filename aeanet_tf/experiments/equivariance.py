"""Table V: how far the output of a turned patch is from the turned output of the patch."""

import itertools

import numpy as np

from aeanet_tf.evaluation.equivariance import TRANSFORMATIONS, equivariance_errors
from aeanet_tf.evaluation.tables import mean
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.experiments.scores import by_image
from aeanet_tf.models.normalizers import own_normalizer

PATCH = 256
# Of the patches of figure 9, as in the authors' notebook.
MARGIN = 32
BASELINE, OURS = "Self-attention", "AEA block"


def middle_patches(cases):
    """The middle 256 x 256 pixels of each case, as the paper takes patches."""
    return [Case(case.name, lambda case=case: (_middle(case),) * 2, case.axes, files=case.files) for case in cases]


def _middle(case):
    image = case.cut(case.read()[0])
    starts = [max(0, (n - PATCH) // 2) for n in image.shape]
    return image[tuple(slice(start, start + PATCH) for start in starts)].astype("float32")


def transformation_errors(predict):
    """A function for `Laboratory.score` that gives the errors of a model on a patch.

    Args:
        predict: function ``(model, image, axes)`` whose result is in the units of the table, values about 0 to 1.
    """
    return lambda model, patch, axes: equivariance_errors(lambda image: predict(model, image, axes), patch)


def errors_alone(gt, errors, image):
    """The protocol: what `transformation_errors` gave."""
    return errors


def equivariance_table(scores, cases, figures=None):
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


def predict_in_patches(model, image, axes, size, margin=0, normalizer=None):
    """Cut an image into patches, predict each on its own, and put the predictions together (figure 9).

    As in the authors' notebook: a patch begins ``size - 2 * margin`` after the one before it, and of its prediction the
    margin is cut off where the image goes on. The last patch along an axis is shifted inwards to its full size, and is
    used where it overlaps with the one before. A side that is no longer than ``size`` is one patch of its own length.
    Normalisation is that of the whole image.

    Args:
        model: an `AEANet`, or another model of CSBDeep's, for images of one channel.
        image, axes: array, and its axes, such as "YX".
        size: of the patches, in pixels: one number, or one for each axis.
        margin: pixels, less than half of ``size``.
        normalizer: CSBDeep's, that of the model by default.
    """
    normalizer = own_normalizer(model) if normalizer is None else normalizer
    image = normalizer.before(image, axes)
    result, sizes = np.empty(image.shape, np.float32), np.broadcast_to(size, image.ndim)
    for place in itertools.product(*(_patch_places(n, s, margin) for n, s in zip(image.shape, sizes, strict=True))):
        patch = image[tuple(slice(first, first + s) for (first, *_), s in zip(place, sizes, strict=True))]
        prediction = model.predict(patch, axes, normalizer=None)
        kept = tuple(slice(start - first, stop - first) for first, start, stop in place)
        result[tuple(slice(start, stop) for _, start, stop in place)] = prediction[kept]
    return normalizer.after(result, None, axes)[0] if normalizer.do_after else result


def _patch_places(length, size, margin):
    """Along an axis: where each patch begins, and from where to where its prediction is used."""
    last = max(0, length - size)
    firsts = [*range(0, last, size - 2 * margin), last]
    return [
        (first, first + margin if first else 0, first + size - margin if first < last else length) for first in firsts
    ]

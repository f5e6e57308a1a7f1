"""Prediction of arrays by several models, and in several orientations: one member after the other."""

import logging

import numpy as np
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.models.predict_arrays import predict_images
from aeanet_tf.prediction.ensemble_statistics import EnsembleStatistics, Results
from aeanet_tf.prediction.orientations import orientations

logger = logging.getLogger("aeanet_tf")

# Numbers that are added at a time, for what is between to stay small beside the image.
_AT_ONCE = 2**20


def model_orientations(models, ensemble):
    """The `Orientation` list of models whose axes are the same: those that all of them take.

    Args:
        models: list of `AEANet`.
        ensemble: see `AEANet.predict`.

    Raises:
        InputError: an unknown ``ensemble``, or one that does not fit the axes.
    """
    return orientations(ensemble, models[0].config.axes.replace("C", ""), all(map(_transposable, models)))


def _transposable(model):
    """Whether the network's grid is the same in Y and X, so that it takes an image with these exchanged as it is."""
    spatial = model.config.axes.replace("C", "")
    if not {"Y", "X"} <= set(spatial):
        return False
    fixed = getattr(model.spec, "input_size", None)
    y, x = spatial.index("Y"), spatial.index("X")
    return all(sizes is None or sizes[y] == sizes[x] for sizes in (model.spec.divisor, fixed))


def predict_ensemble(models, img, axes, options, ensemble=None, scale=False, disagreement=False):
    """Predict an image, or a list of them, by all members of an ensemble, and sum up what they give.

    A member is a model and an orientation. Its prediction is made of the image turned, as by a call of its own, and
    turned back. Beside it there are the running sums, whatever the number of members: one array of the size of the
    prediction, one more for the scale, and one or two for the disagreement.

    Args:
        models: list of `AEANet` that agree in axes and channels.
        img, axes: see `AEANet.predict`.
        options: for each model the arguments of `predict_images` from ``normalizer`` on.
        ensemble: see `AEANet.predict`.
        scale, disagreement: what is wanted beside the mean, see `EnsembleStatistics`.

    Returns:
        `Results`, or a list of them.

    Raises:
        InputError: as `AEANet.predict`.
    """
    turns, several = model_orientations(models, ensemble), isinstance(img, (list, tuple))
    images = list(img) if several else [img]
    if not images:
        return []
    letters = axes_check_and_normalize(axes, images[0].ndim)
    statistics = EnsembleStatistics(len(models), len(turns), scale, disagreement)
    states = [{} for _ in images]
    logger.info(
        "prediction: an ensemble of %d (models: %d, orientations: %d)", statistics.members, len(models), len(turns)
    )
    members = [(model, own, turn) for model, own in zip(models, options, strict=True) for turn in turns]
    for number, (model, own, turn) in enumerate(members):
        names, turned = turn.axes(letters), [turn.turned(image, letters) for image in images]
        found = predict_images(model, turned if several else turned[0], names, *own)
        # Each is let go when it is added.
        found, kept = list(found) if several else [found], _kept_axes(model, names)
        for state in states:
            parts = [None if part is None else turn.flipped_back(part, kept) for part in found.pop(0)]
            _add(statistics, state, number, *parts)
    results = [_results(statistics, state) for state in states]
    return results if several else results[0]


def _kept_axes(model, axes):
    """The axes that a model leaves of those of an image; channels that it adds are last."""
    return "".join(a for a in axes if a == "C" or a in model._axes_out or a not in model.config.axes)


def _add(statistics, state, member, mean, scale):
    """Add a member's prediction to the state of an image, in place and part by part."""
    if not state:
        state |= {name: np.empty(mean.shape, "float32") for name in statistics.fields}
    for rows in _parts(mean):
        before = {name: array[rows] for name, array in state.items()}
        own = None if scale is None else scale[rows]
        for name, values in statistics.update(before, member, mean[rows], own).items():
            state[name][rows] = values


def _results(statistics, state):
    """`Results`, in the arrays of the state."""
    for rows in _parts(state["mean"]):
        found = statistics.results({name: array[rows] for name, array in state.items()})
        for name, values in (("squares", found.scale), ("between", found.disagreement)):
            if values is not None:
                state[name][rows] = values
    return Results(state["mean"], state.get("squares"), state.get("between"))


def _parts(array):
    """Slices of the first dimension, of so many numbers that copies of them are small beside the image."""
    step = max(1, _AT_ONCE * len(array) // max(1, array.size))
    return [slice(start, start + step) for start in range(0, len(array), step)]

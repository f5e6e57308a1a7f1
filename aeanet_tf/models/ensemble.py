"""Ensemble: several models of one task that predict together, or one in several orientations."""

import logging

import numpy as np
from csbdeep.data import PadAndCropResizer
from csbdeep.internals.probability import ProbabilisticPrediction

from aeanet_tf.errors import InputError
from aeanet_tf.models.folder import load_model, prediction_normalization
from aeanet_tf.models.given_images import given_axes, given_image
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.predict_arrays import kept_axes, predict_images
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.models.scale_calibration import without_calibration
from aeanet_tf.prediction.ensemble_statistics import EnsembleStatistics, Results
from aeanet_tf.prediction.mixtures import LaplaceMixture
from aeanet_tf.prediction.options import PredictionOptions
from aeanet_tf.prediction.orientations import orientations

logger = logging.getLogger("aeanet_tf")

# Numbers that are added at a time, for what is between to stay small beside the image.
_AT_ONCE = 2**20


class Ensemble:
    """The mean of what several models predict, and their disagreement.

    The models are trained on the same task, for instance with different seeds or parts of the data. They predict one
    after the other, each with its own normalisation; beside their weights nothing grows with their number.

    Args:
        models: list of `AEANet` of one class.

    Attributes:
        models: the list.

    Raises:
        InputError: no model, or two that do not fit each other, with the folder and the field that differs.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import AEANet, AEANetConfig, Ensemble
        >>> configs = [AEANetConfig("YX", unet_n_first=4, train_seed=seed) for seed in (1, 2)]
        >>> ensemble = Ensemble([AEANet(config, f"seed{config.train_seed}", basedir=None) for config in configs])
        >>> mean, disagreement = ensemble.predict_with_disagreement(np.random.rand(16, 16), "YX", ensemble="flips")
        >>> mean.shape, bool((disagreement > 0).any())
        ((16, 16), True)
    """

    def __init__(self, models):
        self.models = list(models)
        if not self.models:
            raise InputError("models: found none, expected one at least")
        first = _facts(self.models[0])
        for model in self.models[1:]:
            for field, value in _facts(model).items():
                if value != first[field]:
                    raise InputError(
                        f"{folder_of(model)}: {field}: found {value}, expected {first[field]} as in "
                        f"{folder_of(self.models[0])}"
                    )
            # They predict in turn, and use what the ones before have left in TensorFlow's pool.
            model.memory = self.models[0].memory

    @classmethod
    def load(cls, folders):
        """The ensemble of the models in these folders; see `load_model`."""
        return cls([load_model(folder) for folder in folders])

    def predict(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008  as CSBDeep
        """The mean of the models' predictions.

        Args:
            img, axes: see `AEANet.predict`.
            normalizer: ``"own"``, for each model that of its folder, CSBDeep's percentiles for one without; or a
                CSBDeep ``Normalizer`` or ``None`` for all, or a list with one for each model.
            resizer: as in CSBDeep.
            options: ``n_tiles``, ``tiling``, ``max_memory``, ``context``, ``precision`` and ``ensemble`` as of
                `AEANet.predict`; of models that segment also ``patch_size`` and ``step``.

        Returns:
            As `AEANet.predict`. For models that segment the labels that are likeliest by the mean of the
            probabilities.

        Raises:
            InputError: as `AEANet.predict`; also models whose predictions have different units.
        """
        results = self._predict(img, axes, normalizer, resizer, options)
        first = self.models[0]
        return _each(lambda result: first.labels_of(result.mean, axes) if first.segments else result.mean, results)

    def predict_probabilities(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """The mean of the probabilities of models that segment; see `predict`.

        Raises:
            ValueError: the models do not segment.
        """
        if not self.models[0].segments:
            raise ValueError("These are no models that segment.")
        return _each(lambda result: result.mean, self._predict(img, axes, normalizer, resizer, options))

    def predict_with_disagreement(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """The mean of the models' predictions and how far they are apart, pixel by pixel.

        The disagreement is the standard deviation over the models (that of the population, as NumPy's), in the unit of
        the prediction. With ``ensemble="flips"`` that of a model is the mean of its orientations.

        Args:
            img, axes, normalizer, resizer, options: see `predict`.

        Returns:
            Arrays ``(mean, disagreement)`` of the same shape; a list of such pairs for a list. For models that segment
            both are of probabilities.

        Raises:
            InputError: as `predict`; also a single model.
        """
        if len(self.models) == 1:
            raise InputError("models: found 1, expected at least 2 that can disagree")
        results = self._predict(img, axes, normalizer, resizer, options, disagreement=True)
        return _each(lambda result: (result.mean, result.disagreement), results)

    def predict_probabilistic(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """A Laplace distribution for each pixel with the mean and the variance of the mixture of all members.

        How, and why, says `EnsembleStatistics`. Scales of several models are those that the networks give: what one
        model was calibrated by is not for the mixture, which is less sure already (docs/uncertainty.md). Arguments
        and errors are those of `predict`.

        Returns:
            CSBDeep's ``ProbabilisticPrediction``; a list for a list.

        Raises:
            ValueError: the models are not probabilistic.
        """
        if not self.models[0].config.probabilistic:
            raise ValueError("These are no probabilistic models.")
        results = self._predict(img, axes, normalizer, resizer, options, scale=True)
        return _each(lambda result: ProbabilisticPrediction(result.mean, result.scale), results)

    def predict_mixture(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """The mixture itself of the distributions that the models predict, for intervals and CARE's disagreement.

        With an ``ensemble`` of orientations the distribution of a model is the Laplace distribution with the mean and
        the variance of all of them. Two arrays of the size of the prediction are kept for each model. Arguments and
        errors are those of `predict`.

        Returns:
            `LaplaceMixture`, with ``mean()``, ``scale()``, ``std()``, ``interval(0.95)``, ``disagreement()`` and the
            other methods of CSBDeep's ``ProbabilisticPrediction``; a list for a list.

        Raises:
            ValueError: the models are not probabilistic.
        """
        if not self.models[0].config.probabilistic:
            raise ValueError("These are no probabilistic models.")
        each = self._each(normalizer, resizer, options)
        pairs = zip(self.models, each, strict=True)
        members = [predict_ensemble([model], img, axes, [own], scale=True) for model, own in pairs]
        if isinstance(img, (list, tuple)):
            return [_mixture(results) for results in zip(*members, strict=True)]
        return _mixture(members)

    def _predict(self, img, axes, normalizer, resizer, options, scale=False, disagreement=False):
        """`Results` of an image, or a list of them."""
        return predict_ensemble(self.models, img, axes, self._each(normalizer, resizer, options), scale, disagreement)

    def _each(self, normalizer, resizer, options):
        """For each model the normaliser, the resizer and the `PredictionOptions`."""
        options, normalizers = PredictionOptions(**options), self._normalizers(normalizer)
        if len(self.models) > 1:
            options = without_calibration(options)
        return [(own, resizer, model.decided(options)) for model, own in zip(self.models, normalizers, strict=True)]

    def _normalizers(self, normalizer):
        if isinstance(normalizer, (list, tuple)):
            if len(normalizer) != len(self.models):
                raise InputError(
                    f"normalizer: found {len(normalizer)}, expected one for each of {len(self.models)} models"
                )
            return list(normalizer)
        if not isinstance(normalizer, str):
            return [normalizer] * len(self.models)
        if normalizer != "own":
            raise InputError(f"normalizer: found {normalizer!r}, expected 'own' or CSBDeep's")
        sections = [
            NormalizationSection() if m.basedir is None else prediction_normalization(m.logdir) for m in self.models
        ]
        check_units(self.models, sections)
        return [make_normalizer(section) for section in sections]


def check_units(models, sections):
    """Refuse to average predictions that do not have the same unit.

    Args:
        models: list of `AEANet` that agree in channels.
        sections: the `NormalizationSection` of each.

    Raises:
        InputError: predictions of one are mapped back to the intensities of the image and those of the other stay
            normalised, or both stay, by different normalisations.
    """
    for model, section in zip(models, sections, strict=True):
        # Probabilities are never mapped back.
        if not model.segments and _unit(model, section) != _unit(model, sections[0]):
            raise InputError(
                f"{folder_of(model)}: normalization: found {section.model_dump_json()}, expected "
                f"{sections[0].model_dump_json()} as in {folder_of(models[0])}: the units of their predictions differ"
            )


def _unit(model, section):
    config = model.config
    mapped = config.n_channel_in == config.n_channel_out and section.kind != "standard"
    return "that of the image" if mapped else section


def folder_of(model):
    """What a model is called in messages: its folder, or its name where it has none."""
    return model.name if model.basedir is None else str(model.logdir)


def _facts(model):
    """What the models of an ensemble have in common, by the name of the field."""
    config, names = model.config, ("axes", "n_channel_in", "n_channel_out", "probabilistic", "labels")
    return {
        "kind": model.spec.model_kind,
        **{name: getattr(config, name, None) for name in names},
        "axes of the prediction": model.axes_out,
        "network.upscale": model.spec.upscale,
    }


def _mixture(results):
    """The `LaplaceMixture` of the `Results` of several models."""
    return LaplaceMixture(np.stack([one.mean for one in results]), np.stack([one.scale for one in results]))


def _each(function, results):
    return [function(result) for result in results] if isinstance(results, list) else function(results)


def model_orientations(models, ensemble):
    """The `Orientation` list of models whose axes are the same: those that all of them take.

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


def predict_ensemble(models, img, axes, each, scale=False, disagreement=False):
    """Predict an image, or a list of them, by all members of an ensemble, and sum up what they give.

    A member is a model and an orientation. Its prediction is made of the image turned, as by a call of its own, and
    turned back. Beside it there are the running sums, whatever the number of members: one array of the size of the
    prediction, one more for the scale, and one or two for the disagreement.

    Args:
        models: list of `AEANet` that agree in axes and channels.
        img, axes: see `AEANet.predict`.
        each: for each model the normaliser, the resizer and the `PredictionOptions`, whose ``ensemble`` is the same.
        scale, disagreement: what is wanted beside the mean, see `EnsembleStatistics`.

    Returns:
        `Results`, or a list of them.

    Raises:
        InputError: as `AEANet.predict`.
    """
    turns, several = model_orientations(models, each[0][-1].ensemble), isinstance(img, (list, tuple))
    images = list(img) if several else [img]
    if not images:
        return []
    # Before it is turned.
    for number, image in enumerate(images):
        given_image(models[0], image, axes, f"image {number}" if several else "image", frames=not several)
    letters = given_axes(axes, images[0].ndim)
    statistics = EnsembleStatistics(len(models), len(turns), scale, disagreement)
    states = [{} for _ in images]
    logger.info(
        "prediction: an ensemble of %d (models: %d, orientations: %d)", statistics.members, len(models), len(turns)
    )
    members = [(model, own, turn) for model, own in zip(models, each, strict=True) for turn in turns]
    for number, (model, own, turn) in enumerate(members):
        names, turned = turn.axes(letters), [turn.turned(image, letters) for image in images]
        predicted = predict_images(model, turned if several else turned[0], names, *own)
        # Each is let go when it is added.
        predicted = list(predicted) if several else [predicted]
        # Channels that the model adds are last.
        kept = kept_axes(names, model.config.axes, model.axes_out)
        for state in states:
            parts = [None if part is None else turn.flipped_back(part, kept) for part in predicted.pop(0)]
            _add(statistics, state, number, *parts)
    results = [_results(statistics, state) for state in states]
    return results if several else results[0]


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
        part = statistics.results({name: array[rows] for name, array in state.items()})
        for name, values in (("squares", part.scale), ("between", part.disagreement)):
            if values is not None:
                state[name][rows] = values
    return Results(state["mean"], state.get("squares"), state.get("between"))


def _parts(array):
    """Slices of the first dimension, of so many numbers that copies of them are small beside the image."""
    step = max(1, _AT_ONCE * len(array) // max(1, array.size))
    return [slice(start, start + step) for start in range(0, len(array), step)]

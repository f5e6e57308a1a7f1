"""Ensemble: several models of one task that predict together."""

from csbdeep.data import PadAndCropResizer
from csbdeep.internals.probability import ProbabilisticPrediction

from aeanet_tf.errors import InputError
from aeanet_tf.models.ensemble_prediction import predict_ensemble
from aeanet_tf.models.folder import load_model, prediction_normalization
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.preparation import NormalizationSection


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
        >>> ensemble = Ensemble([AEANet(None, name, basedir="models") for name in ("seed1", "seed2", "seed3")])
        >>> mean, disagreement = ensemble.predict_with_disagreement(image, "YX", ensemble="flips")
    """

    def __init__(self, models):
        self.models = list(models)
        if not self.models:
            raise InputError("models: found none, expected one at least")
        first = _facts(self.models[0])
        for model in self.models[1:]:
            for field, found in _facts(model).items():
                if found != first[field]:
                    raise InputError(
                        f"{folder_of(model)}: {field}: found {found}, expected {first[field]} as in "
                        f"{folder_of(self.models[0])}"
                    )

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
        found = self._predict(img, axes, normalizer, resizer, **options)
        first = self.models[0]
        if not first.segments:
            return _each(lambda one: one.mean, found)
        return _each(lambda one: first.labels_of(one.mean, first._channel_axis(axes)), found)

    def predict_probabilities(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """The mean of the probabilities of models that segment; see `predict`.

        Raises:
            ValueError: the models do not segment.
        """
        if not self.models[0].segments:
            raise ValueError("These are no models that segment.")
        return _each(lambda one: one.mean, self._predict(img, axes, normalizer, resizer, **options))

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
        found = self._predict(img, axes, normalizer, resizer, disagreement=True, **options)
        return _each(lambda one: (one.mean, one.disagreement), found)

    def predict_probabilistic(self, img, axes, normalizer="own", resizer=PadAndCropResizer(), **options):  # noqa: B008
        """A Laplace distribution for each pixel with the mean and the variance of the mixture of all members.

        How, and why, says `EnsembleStatistics`. Arguments and errors are those of `predict`.

        Returns:
            CSBDeep's ``ProbabilisticPrediction``; a list for a list.

        Raises:
            ValueError: the models are not probabilistic.
        """
        if not self.models[0].config.probabilistic:
            raise ValueError("These are no probabilistic models.")
        found = self._predict(img, axes, normalizer, resizer, scale=True, **options)
        return _each(lambda one: ProbabilisticPrediction(one.mean, one.scale), found)

    def _predict(
        self,
        img,
        axes,
        normalizer,
        resizer,
        n_tiles=None,
        tiling=None,
        max_memory=None,
        context="image",
        precision="float32",
        ensemble=None,
        scale=False,
        disagreement=False,
        **patches,
    ):
        """`Results` of an image, or a list of them."""
        each = [
            (own, resizer, n_tiles, model.checked_tiling(tiling, **patches), max_memory, context, precision)
            for model, own in zip(self.models, self._normalizers(normalizer), strict=True)
        ]
        return predict_ensemble(self.models, img, axes, each, ensemble, scale, disagreement)

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
        "axes of the prediction": model._axes_out,
    }


def _each(function, found):
    return [function(one) for one in found] if isinstance(found, list) else function(found)

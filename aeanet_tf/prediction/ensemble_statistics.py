"""What the members of an ensemble predict together, and how far they are apart, summed up one after the other."""

from typing import Any, NamedTuple

import numpy as np


class Results(NamedTuple):
    """What an ensemble predicts.

    Attributes:
        mean: of all members.
        scale: of the Laplace distribution that has the variance of the members' mixture; ``None`` where not asked for.
        disagreement: the standard deviation of the models' predictions; ``None`` where not asked for.
        divergence: how far the distributions of the models are apart, 0 to 1; ``None`` where not asked for.
        lower, upper: limits of the credible interval; ``None`` where not asked for.
    """

    mean: Any
    scale: Any = None
    disagreement: Any = None
    divergence: Any = None
    lower: Any = None
    upper: Any = None

    @property
    def wanted(self):
        """Those that were asked for, in their order."""
        return [part for part in self if part is not None]


class EnsembleStatistics:
    """Sums over the members of an ensemble, pixel by pixel; their number does not show in the memory they take.

    Members are models times orientations; all have the same weight, and come model by model.

    The **scale** of a probabilistic ensemble is that of one Laplace distribution with the mean and the variance of the
    mixture of all members. A Laplace distribution of mean m and scale b has the variance 2 b^2, so
    ``scale^2 = (mean(2 b_i^2 + m_i^2) - mean(m_i)^2) / 2``. This is our choice: CARE keeps the mixture itself, which
    cannot be written as one image (`aeanet_tf.prediction.mixtures.LaplaceMixture`).

    The **disagreement** is the standard deviation (that of the population, as NumPy's) over the models, each with the
    mean of its orientations.

    Deviations are taken from running means (Welford, and for the models Chan et al.), and only their squares are
    summed, so intensities with a large offset do not cancel.

    Args:
        models: number of models.
        turns: number of orientations of each.
        scale: whether the scale is wanted, too.
        disagreement: whether the disagreement is wanted, too.

    Attributes:
        members: number of members.
        fields: names of the arrays that a state consists of.
    """

    def __init__(self, models, turns, scale=False, disagreement=False):
        self.members, self.models, self.turns = models * turns, models, turns
        self.scale, self.disagreement = scale, disagreement
        # "model" is the mean of the model at work; with one orientation it is the member.
        self.fields = ("mean", *("squares",) * scale, *("between",) * disagreement)
        self.fields += ("model",) * (disagreement and turns > 1)

    def update(self, state, member, mean, scale=None):
        """The state with one more member, for a piece of the image.

        Args:
            state: dict of arrays by `fields`, after the members before; it stays as it is. Not looked at for the first.
            member: index of the member.
            mean: what it predicts.
            scale: of its distribution, where the scale is wanted.

        Returns:
            The new state. It depends on the arguments only, so to repeat an update gives the same.
        """
        count, (model, turn) = member + 1, divmod(member, self.turns)
        deviation = mean - state["mean"] if member else np.zeros_like(mean)
        updated = {"mean": state["mean"] + deviation / count if member else mean}
        if self.scale:
            squares = 2 * scale**2 + deviation**2 * (member / count)
            updated["squares"] = state["squares"] + squares if member else squares
        if self.disagreement:
            of_model = state["model"] + (mean - state["model"]) / (turn + 1) if turn else mean
            between = state["between"] if member else np.zeros_like(mean)
            if model and turn == self.turns - 1:
                # Over whole models, the mean of all members is that of the models.
                between = between + (of_model - updated["mean"]) ** 2 * ((model + 1) / model)
            updated |= {"between": between, "model": of_model}
        return {name: updated[name] for name in self.fields}

    def results(self, state):
        """`Results` of a state after the last member, for a piece of the image."""
        scale = np.sqrt(state["squares"] / (2 * self.members)) if self.scale else None
        return Results(state["mean"], scale, np.sqrt(state["between"] / self.models) if self.disagreement else None)

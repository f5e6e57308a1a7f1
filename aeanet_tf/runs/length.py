"""How long a training is: passes over the data as the papers count them, in steps of the optimiser."""

import math
from typing import Annotated

from pydantic import Discriminator, Field, PositiveFloat, Tag

from aeanet_tf.models.preparation import Section
from aeanet_tf.models.training_settings import DecaySection

Epochs = Annotated[PositiveFloat, Field(le=1e9)]
"""A number of passes over the data, which need not be whole."""

FEWEST_VALIDATIONS = 10
"""Validations, and so checkpoints to choose from, of a training that is shorter than as many passes."""


class EpochDecaySection(Section):
    """``rate`` multiplies the learning rate every ``epochs`` passes over the data.

    Attributes:
        rate: what the learning rate is multiplied by.
        epochs: how often, in passes over the data.
    """

    rate: Annotated[float, Field(gt=0, le=1)]
    epochs: Epochs


def _unit(value):
    in_epochs = isinstance(value, EpochDecaySection) or (isinstance(value, dict) and "epochs" in value)
    return "epochs" if in_epochs else "steps"


Decay = Annotated[
    Annotated[DecaySection, Tag("steps")] | Annotated[EpochDecaySection, Tag("epochs")], Discriminator(_unit)
]
"""A `DecaySection`, or an `EpochDecaySection` where there are ``epochs``."""


def steps_of_epochs(epochs, pairs, batch_size):
    """Steps of ``batch_size`` pairs in so many passes over ``pairs`` of them; the last step may be of the next pass."""
    # A fraction such as 0.01 of 80 epochs is not to become a step more by its last digit.
    return max(1, math.ceil(round(epochs * pairs / batch_size, 6)))


def steps_between_validations(steps, pairs, batch_size):
    """A pass over ``pairs``, or a tenth of the training where that is shorter."""
    return min(steps_of_epochs(1, pairs, batch_size), math.ceil(steps / FEWEST_VALIDATIONS))


def equal_epochs(steps, most):
    """Steps of an epoch, at most ``most``, of which whole ones make as nearly ``steps`` as they can."""
    return math.ceil(steps / math.ceil(steps / most))

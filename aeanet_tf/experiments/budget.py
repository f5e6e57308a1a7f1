"""How much of a published training an experiment does."""

import math
from dataclasses import dataclass

from aeanet_tf.errors import InputError
from aeanet_tf.runs.length import FEWEST_VALIDATIONS


@dataclass(frozen=True)
class Budget:
    """A part of the published steps, or epochs.

    Attributes:
        name: ``"full"``, ``"tiny"`` or the fraction, such as ``"0.01"``; in the names of models that are not full.
        fraction: of the published steps. The learning rate falls in proportion, so its schedule keeps its shape.
        steps: instead of a fraction.
        batch_size: at most so many patches a step, ``None`` for as many as published.
        images: at most so many test images of each kind, ``None`` for all.
    """

    name: str
    fraction: float = 1.0
    steps: int | None = None
    batch_size: int | None = None
    images: int | None = None

    def apply(self, training):
        """The fields of a `TrainingSection`, as a dict, shortened; what is published where the budget is full."""
        if self.name == "full" and self.fraction == 1:
            return training
        changed = dict(training)
        if self.batch_size is not None:
            changed["batch_size"] = min(training["batch_size"], self.batch_size)
        if training.get("epochs") is not None:
            return changed | self._of_epochs(training)
        steps = self.steps or max(1, round(self.fraction * training["steps"]))
        changed["steps"] = steps
        changed["steps_per_epoch"] = min(training["steps_per_epoch"], max(1, math.ceil(steps / FEWEST_VALIDATIONS)))
        return changed | _shortened(training, steps / training["steps"])

    def _of_epochs(self, training):
        """What differs where the length is in epochs, whose steps are not known here."""
        if self.steps is not None:
            # So few that the learning rate does not fall.
            return {"epochs": None, "steps": self.steps, "steps_per_epoch": 1, "learning_rate_decay": None}
        length = training.get("steps_per_epoch")
        length = length and max(1, math.ceil(self.fraction * length))
        changed = {"epochs": self.fraction * training["epochs"], "steps_per_epoch": length}
        return changed | _shortened(training, self.fraction)

    @property
    def suffix(self):
        """What the names of models end in that are not trained in full."""
        return "" if self.name == "full" else f"-{self.name}"

    def some(self, images):
        """The first of a list of test images; all of them where the budget does not limit them."""
        return images[: self.images]


def _shortened(training, fraction):
    """The decay of the learning rate, where there is one, in so much of its time."""
    decay = training.get("learning_rate_decay")
    if not decay:
        return {}
    if "epochs" in decay:
        return {"learning_rate_decay": {**decay, "epochs": fraction * decay["epochs"]}}
    return {"learning_rate_decay": {**decay, "steps": max(1, round(fraction * decay["steps"]))}}


def parse_budget(text):
    """The `Budget` of ``full``, ``tiny`` (2 steps of 2 patches and 2 test images: does everything run?) or a fraction.

    Raises:
        InputError: something else.
    """
    if text == "full":
        return Budget("full")
    if text == "tiny":
        return Budget("tiny", steps=2, batch_size=2, images=2)
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0
    if not 0 < fraction <= 1:
        raise InputError(
            f"--budget: found {text!r}, expected full, tiny, or a fraction of the published steps above 0, up to 1"
        )
    return Budget("full") if fraction == 1 else Budget(f"{fraction:g}", fraction)

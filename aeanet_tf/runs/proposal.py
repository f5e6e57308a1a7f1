"""What `aeanet new` proposes: a run configuration, in sections, and in words what it is made from."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aeanet_tf.datasets.pairs import held_out_count
from aeanet_tf.errors import InputError
from aeanet_tf.runs.training_proposal import Plan, plan_training

Ask = Callable[[str, str, Sequence[str]], str]
"""Asks a question that a flag answers as well: question, flag, possible answers (none for any text) -> answer."""

NO_TRUTH = (
    "training needs pairs: the same fields of view with a better exposure, or the average of many frames of a still "
    "sample, as --gt; a stack of sections alone can be trained on with --task slices, and noisy images alone with "
    "aeanet train --config n2v --data FOLDER"
)
"""What to do about images that have no ground truth."""


@dataclass
class Wishes:
    """What the user has chosen; ``None`` for what follows from the data."""

    task: str | None = None
    axes: str | None = None
    preset: str | None = None
    steps: int | None = None
    patch_size: Sequence[int] | None = None
    batch_size: int | None = None
    match: str = "name"
    series: int | str | None = None
    dataset: str | None = None

    def plan(self, task: str, axes: str, sizes: Sequence[int], exact: bool = False) -> Plan:
        """Network, patches and length for a task and the sizes of the smallest image; see `plan_training`."""
        chosen = {"preset": self.preset, "steps": self.steps, "patch": self.patch_size, "batch": self.batch_size}
        return plan_training(task, axes, sizes, exact=exact, **chosen)


@dataclass
class Proposal:
    """A configuration, and in words what it is made from.

    Attributes:
        task: one of `aeanet_tf.runs.training_proposal.TASKS`.
        model, data, training: the sections, without the model's name.
        seen: lines on the data.
        notes: lines on what the user should know of the choices.
        input: what to predict with the model, for an example.
        tested: slices that the model may be tested on, for slice interpolation.
    """

    task: str
    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    seen: list[str]
    notes: list[str] = field(default_factory=list)
    input: str = ""
    tested: str = ""

    def fields(self, name: str, schema: str) -> dict[str, Any]:
        """The configuration of a model of that name, as nested dicts."""
        return {
            "$schema": schema,
            "description": f"By aeanet new: {self.task}. {' '.join(f'{line}.' for line in self.seen)}",
            "model": {"name": name, **self.model},
            "data": self.data,
            "training": self.training,
        }


def as_text(fields: dict[str, Any]) -> str:
    """A configuration as JSON, lists of numbers and small objects on a line."""
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    short = re.compile(r"([\[{])\s+([^\[\]{}]{1,90}?)\s+([\]}])")
    return short.sub(lambda match: match[1] + re.sub(r"\s*\n\s*", " ", match[2]) + match[3], text) + "\n"


def with_axes(look: Callable[[str | None], Any], wishes: Wishes, ask: Ask) -> Any:
    """What ``look`` gives; where files do not name their axes these are asked for, and kept."""
    try:
        return look(wishes.axes)
    except InputError as error:
        if wishes.axes is not None or "--axes" not in str(error):
            raise
        what = str(error).partition("; give them")[0].partition("; say what")[0]
        wishes.axes = ask(f"{what} (such as YX or ZYX)", "--axes", ()).upper()
        return look(wishes.axes)


def model_section(plan: Plan, axes: str, channels: int, target_channels: int) -> dict[str, Any]:
    """The section ``model``, without a name."""
    model: dict[str, Any] = {"preset": plan.preset, "axes": axes}
    if (channels, target_channels) != (1, 1):
        model |= {"n_channel_in": channels, "n_channel_out": target_channels}
    return model | ({"network": plan.network} if plan.network else {})


def validation_line(count: int, what: str, how: str = "") -> str:
    """A line that says how many of ``count`` are held out where no others are there to validate on."""
    held = held_out_count(count, 0.1)
    if not held:
        return "validation: the end of the only image is held out"
    return f"validation: {held} of {count} {what}, the last{how}"

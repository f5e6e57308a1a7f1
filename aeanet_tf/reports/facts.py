"""What a report is made of: pairs of images, predictions of them, scores, the history of the training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from aeanet_tf.cubic import at_size
from aeanet_tf.evaluation.baselines import choose_filters
from aeanet_tf.evaluation.protocols import care_psnr

RESTORATION, SEGMENTATION, INTERPOLATION = "restoration", "segmentation", "interpolation"


class Finding(NamedTuple):
    """``title``, a few words; ``text``, what was measured and what to do about it."""

    title: str
    text: str


class DataPart(NamedTuple):
    """What a report says of its data, which no training changes: findings, and pictures (PNG)."""

    findings: list[Finding]
    pictures: list[bytes]


@dataclass
class Example:
    """A pair of images of one channel, as the network sees them, and what was predicted of it.

    Attributes:
        name: of the file, or its number.
        input: ``(*spatial)``; of a projection with the axis that the truth lacks; of slices the one before.
        truth: of class indices where the model segments.
        best, last: predictions by the best weights and by those at the end, None where there are none.
    """

    name: str
    input: np.ndarray
    truth: np.ndarray
    best: np.ndarray | None = None
    last: np.ndarray | None = None

    @property
    def flat_input(self) -> np.ndarray:
        """The input in the shape of the truth: its maximum along the axis that a projection loses, its cubic
        interpolation where the truth is larger."""
        flat = self.input if self.input.ndim == self.truth.ndim else self.input.max(axis=0)
        return at_size(flat, self.truth.shape)


@dataclass
class TrainingFacts:
    """All that a report says of a training.

    Attributes:
        name: of the model.
        kind: `RESTORATION` (projections, too), `SEGMENTATION` or `INTERPOLATION`.
        axes: spatial axes of the network, such as "ZYX".
        examples: pairs that it is trained on.
        shown: pairs that it is validated on, with predictions.
        counts: number of images to train on and to validate on.
        history: rows of `aeanet_tf.training.read_history`.
        steps_per_epoch: steps between two validations.
        classes: name by index, of segmentation.
        pixel_size, unit: step of predictions along Y and X where it is known.
        lines: further facts, name and text.
        commands: what to run next.
        running: whether the training goes on.
        pixels: of all images to train on and of all to validate on, as far as they are used; None where not known.
        copies: number of images to validate on that are images to train on.
        target: "truth"; or "noise2noise" or "noise2void", where the truths of examples are noisy images as well, and
            nothing can be scored.
        adversarial: whether the model has learned to make what passes for recorded.
        of_data: what `aeanet_tf.reports.page.write_report` says of the data; None lets it look, and leaves it here.
    """

    name: str
    kind: str
    axes: str
    examples: Sequence[Example]
    shown: Sequence[Example]
    counts: tuple[int, int]
    history: Sequence[Mapping[str, float]]
    steps_per_epoch: int
    classes: Mapping[int, str] = field(default_factory=dict)
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    lines: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    running: bool = True
    pixels: tuple[int, int] | None = None
    copies: int = 0
    of_data: DataPart | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    target: str = "truth"
    adversarial: bool = False

    @property
    def has_truth(self) -> bool:
        """Whether there is anything to compare predictions with."""
        return self.target == "truth"


def restoration_scores(shown: Sequence[Example], baselines: Mapping[str, float] | None = None) -> dict[str, float]:
    """Mean PSNR (dB, care protocol) of inputs, of the best Gaussian filter, and of predictions by best, last weights.

    Images whose truth has no contrast do not count; without any other the scores are none.

    Args:
        shown: validation images.
        baselines: scores of inputs and filter where they are known, of `baseline_scores`.
    """
    there = _with_contrast(shown)
    scores = dict(baseline_scores(shown) if baselines is None else baselines)
    for label, name in (("best weights", "best"), ("last weights", "last")):
        predictions = [(example.truth, getattr(example, name)) for example in there]
        if there and all(prediction is not None for _, prediction in predictions):
            scores[label] = _mean([care_psnr(truth, prediction) for truth, prediction in predictions])
    return scores


def baseline_scores(shown: Sequence[Example]) -> dict[str, float]:
    """Those of `restoration_scores` that no training changes: of the inputs and of the best Gaussian filter."""
    there = _with_contrast(shown)
    if not there:
        return {}
    filters = choose_filters([(example.flat_input, example.truth) for example in there], strengths=())
    return {
        "input": _mean([care_psnr(example.truth, example.flat_input) for example in there]),
        f"Gaussian filter (sigma {filters.sigma:g})": filters.gaussian_score,
    }


def _with_contrast(shown):
    return [example for example in shown if np.ptp(np.percentile(example.truth, (0.1, 99.9))) > 0]


def segmentation_scores(shown: Sequence[Example], classes: Mapping[int, str] | None = None) -> dict[str, float]:
    """Share of pixels of the right class in per cent: of the commonest class everywhere, of best and last weights.

    Args:
        shown: validation images.
        classes: name by index, "class" and the index where there is none.
    """
    if not shown:
        return {}
    truth = np.concatenate([example.truth.ravel() for example in shown])
    values, numbers = np.unique(truth, return_counts=True)
    commonest = int(values[numbers.argmax()])
    name = (classes or {}).get(commonest, f"class {commonest}")
    scores = {f"{name} everywhere": 100 * float(numbers.max()) / truth.size}
    for label, name in (("best weights", "best"), ("last weights", "last")):
        predictions = [getattr(example, name) for example in shown]
        if all(prediction is not None for prediction in predictions):
            right = np.concatenate([prediction.ravel() for prediction in predictions]) == truth
            scores[label] = 100 * float(right.mean())
    return scores


def _mean(values):
    return float(np.mean(values))
